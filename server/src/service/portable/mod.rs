//! Definitions and pairings of sets as JSON lines, out of a coordinator and into another one (R-ADM-1).
//!
//! What travels is what both sides agreed on, not what they have now: after an import both repositories are listed anew as
//! after a restore (R-AGT-4), and only then is decided. So nothing is transferred that is equal, and nothing is deleted.

mod export;
mod format;
mod import;
mod read;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use export::Lines;
pub use import::{Import, ImportResult};
pub use read::check_line;
