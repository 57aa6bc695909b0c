//! The client side of Tandem: a typed client, sessions that heal themselves, the agent runtime, and connectors.
//!
//! Who writes an agent for another repository implements [`agent::repository::Repository`] and hands it to the
//! agent runtime; everything else (outbox, sessions, content transfer, retry) is the runtime's.

pub mod agent;
pub mod cli;
pub mod client;
pub mod connectors;
pub mod error;
pub mod policies;
pub mod recover;
pub mod session;
