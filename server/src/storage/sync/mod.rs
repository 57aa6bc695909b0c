//! Sync sets, members, copies and what follows from them.
//!
//! The engine of [`domain`](crate::domain::engine) works on rows; this room loads those that it asks for
//! ([`load`]), and writes those that it changed ([`save`]), in a constant number of statements for a whole group.

pub mod accounts;
pub mod batches;
pub mod codec;
pub mod conflicts;
pub mod deliveries;
pub mod due;
pub mod ended;
pub mod generations;
pub mod greetings;
pub mod imports;
pub mod journal;
pub mod late;
pub mod load;
pub mod members;
pub mod pauses;
pub(in crate::storage) mod read;
pub mod rows;
pub mod save;
pub mod scans;
pub mod sets;
pub mod stays;
pub mod versions;
pub mod walks;
