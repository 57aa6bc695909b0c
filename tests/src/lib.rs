//! The testkit: real programs in processes, trees of files to compare, seeded inputs, and waiting with a deadline.
//!
//! Used by the end-to-end tests in `tests/it` and by the benchmark in `tests/bench`.

pub mod agents;
pub mod change;
pub mod coordinator;
pub mod decoders;
pub mod disk_image;
pub mod generate;
pub mod hand_agent;
pub mod memory_pair;
pub mod pair;
pub mod process;
pub mod program;
pub mod sim;
pub mod small_disk;
pub mod tree;
pub mod wait;
