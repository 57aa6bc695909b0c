//! Decides everything and touches nothing: no IO, no clock, no randomness; time and ids are arguments.
//!
//! [`reconcile`] holds the table of SPEC §5, pure and small. [`engine`] applies what agents report and what people
//! ask to the rows of a [`view`], and says which rows change. Whoever runs it loads the rows that it asks for.

pub mod access;
pub mod allow_list;
pub mod conflict;
pub mod copy;
pub mod delivery;
pub mod engine;
pub mod failure;
pub mod fields;
pub mod free_name;
pub mod ids;
pub mod journal;
pub mod limits;
pub mod member;
pub mod names;
pub mod past;
pub mod planted;
pub mod policy;
pub mod projection;
pub mod reconcile;
pub mod report;
pub mod repository;
pub mod session;
pub mod stay;
pub mod sync_set;
pub mod view;
