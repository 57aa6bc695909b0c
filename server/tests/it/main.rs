//! Real coordinators on a free loopback port, spoken to over gRPC.

#![allow(
    clippy::unwrap_used,
    reason = "the crate is made of tests and what they share"
)]

mod access;
mod authentication;
mod lifecycle;
mod server;
