//! A repository in memory: the second implementation of [`Repository`](super::repository::Repository).
//!
//! [`MemoryTree`] is plain data with plain methods, without clock, threads or randomness, so that a simulation can run
//! thousands of them; [`MemoryRepository`] puts one behind the trait. [`Faults`] make either misbehave on purpose.

pub use self::{
    faults::Faults,
    people::{People, Rights},
    repository::MemoryRepository,
    tree::{MemoryTree, PRIVATE, ROOT, Refused, Rules},
};

mod apply;
mod faults;
mod offers;
mod people;
mod repository;
mod scan;
mod tree;
mod versions;

#[cfg(test)]
mod tests;
