//! The agent: what stands beside a repository and talks to the coordinator for it.

pub mod chunks;
pub(crate) mod manifests;
pub mod memory;
pub mod outbox;
pub mod repository;
pub mod runtime;
#[cfg(test)]
pub(crate) mod trace;
