//! A repository in memory: the second implementation of [`Repository`](super::repository::Repository).
//!
//! [`MemoryTree`] is plain data with plain methods, without clock, threads or randomness, so that a simulation can run
//! thousands of them; [`MemoryRepository`] puts one behind the trait. [`Faults`] make either misbehave on purpose.
//!
//! For those who write a connector it shows what a content repository can be asked for, and what it answers:
//!
//! - users or accounts with rights on nodes ([`People`]): NODE_ACCESS_DENIED, OWNER_NOT_FOUND, AUTHENTICATION_ERROR;
//! - a size limit and a quota ([`Limits`]): CONTENT_LIMIT_VIOLATION, QUOTA_LIMIT_VIOLATION;
//! - locks of sync ([`Refused::Locked`]), check-out and working copies ([`MemoryTree::check_out`]), documents that somebody
//!   edits ([`MemoryTree::set_edited`]);
//! - rules of folders ([`FolderRules`]): one in the foreground refuses, RULE_FAILED, one in the background changes what was
//!   written; and a rule in the foreground that changes what is delivered ([`Rules::titles`]);
//! - records, links and the like ([`MemoryTree::set_trait`]), the trash, and kept versions.

pub use self::{
    faults::Faults,
    folder_rules::{Effect, FolderRule, FolderRules},
    limits::Limits,
    people::{People, Rights},
    repository::MemoryRepository,
    tree::{MemoryTree, PRIVATE, ROOT, Refused, Rules},
};

mod apply;
mod checkouts;
mod faults;
mod folder_rules;
mod limits;
mod offers;
mod people;
mod repository;
mod scan;
mod tree;
mod versions;

#[cfg(test)]
mod tests;
