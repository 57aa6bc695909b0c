//! Decides everything and touches nothing: no IO, no clock, no randomness; time and ids are arguments.

pub mod access;
pub mod ids;
pub mod limits;
