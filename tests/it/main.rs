//! Everything that is tested across crates, in one binary: programs end to end, and the shape of the code itself.
//!
//! A file beside this one that is not listed here is a test nobody runs; `shape` fails on it.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy does not see"
)]

mod accounts;
mod backups;
mod bad_input;
mod checkouts;
mod collection;
mod content_rules;
#[cfg(debug_assertions)]
mod crash_points;
#[cfg(debug_assertions)]
mod crash_sweep;
mod decoders;
mod directories;
mod disasters;
mod documents;
mod editors;
mod endings;
mod floors;
mod full_disk;
mod in_flight;
mod kills;
mod large_edits;
mod libraries;
mod mass_deletion;
mod moves_and_copies;
mod os_users;
mod pair;
mod pauses;
mod planted_bugs;
mod policies;
mod portable;
mod power_cut;
mod races;
mod rules;
mod rules_deletes_and_conflicts;
mod rules_documents;
mod rules_editing;
mod rules_folder_sets;
mod rules_generations;
mod rules_locks;
mod rules_membership;
mod rules_names_and_moves;
mod rules_policies;
mod scans;
mod shape;
mod sim;
mod source;
mod unary;
mod unsync;
mod verify;
mod ways;
mod what_is_synced;
