//! Connectors: what makes a content store of some kind a [`Repository`](crate::agent::repository::Repository).

pub mod directory;
