//! What people may see and steer, on a real database with agents that follow a script.

mod accounts;
mod batches;
mod conflicts;
mod creating;
mod documents;
mod editing;
mod failing_calls;
mod journal;
mod members;
mod owners;
mod pauses;
mod preview;
mod rights;
mod sessions;
mod sets;
mod steps;
mod target_folders;
