//! What an operator does with the data beside serving it: back it up, restore it, verify it.

pub mod backup;
pub mod restore;
mod show;
pub mod verify;

use std::process::ExitCode;

/// How these commands end when they found something that somebody should look at.
const FOUND: u8 = 2;

/// Done, with or without something to look at.
fn code(found: bool) -> ExitCode {
    if found {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
}
