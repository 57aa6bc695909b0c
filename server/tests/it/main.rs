//! Real coordinators on a free loopback port, spoken to over gRPC.

mod access;
mod authentication;
mod lifecycle;
mod server;
