//! The runtime against a scripted coordinator.

mod applying;
mod fake;
mod reporting;
mod sessions;
