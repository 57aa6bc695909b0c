//! Which names are legal, and how the file system compares them.

use std::{io, os::fd::AsFd};

use tandem_proto::v1::NameRule;
use unicode_normalization::UnicodeNormalization;

use super::os;

/// The folder for what is half done, directly below the root; never reported, removed when nothing is under way.
pub(super) const WORK: &str = ".tandem";

/// Checks a name that came from elsewhere; the answer says what is wrong with it (SPEC §12).
pub(super) fn check(name: &str) -> Result<(), String> {
    let complaint = match name {
        "" => "it is empty",
        "." | ".." => "it stands for a folder itself",
        _ if name.contains('/') => "it contains a separator",
        _ if name.contains('\0') => "it contains NUL",
        _ if name.len() > 255 => "it is longer than 255 bytes",
        _ => return Ok(()),
    };
    Err(format!(
        "the name {name:?} is illegal in a directory: {complaint}; rename it on the other side"
    ))
}

/// Finds out by probe files how names are compared (R-REC-10).
pub(super) fn probe(folder: impl AsFd) -> io::Result<NameRule> {
    let composed = "probe-\u{e9}-a";
    let decomposed: String = composed.nfd().collect();
    drop(os::create_at(&folder, composed)?);
    let rule = NameRule {
        case_insensitive: os::stat_at(&folder, &composed.to_uppercase()).is_ok()
            || os::stat_at(&folder, "PROBE-\u{e9}-A").is_ok(),
        unicode_insensitive: os::stat_at(&folder, &decomposed).is_ok(),
    };
    os::unlink(&folder, composed)?;
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
            assert!(check(name).is_err(), "{name:?}");
        }
        for name in ["a", "...", ".hidden", &"x".repeat(255)] {
            assert!(check(name).is_ok(), "{name:?}");
        }
    }
}
