//! Which names are legal, and how the file system compares them.

use std::{borrow::Cow, io, os::fd::AsFd};

use tandem_proto::v1::NameRule;
use unicode_normalization::UnicodeNormalization;

use super::os;
use crate::agent::repository::NAME_BYTES_MAX;

/// The folder for what is half done, directly below the root; never reported, removed when nothing is under way.
pub(super) const WORK: &str = ".tandem";

/// Checks a name that came from elsewhere; the answer says what is wrong with it (SPEC §12).
pub(super) fn check(name: &str) -> Result<(), String> {
    let complaint = match name {
        "" => "it is empty",
        "." | ".." => "it stands for a folder itself",
        _ if name.contains('/') => "it contains a separator",
        _ if name.contains('\0') => "it contains NUL",
        _ if name.len() > NAME_BYTES_MAX => "it is longer than 255 bytes",
        _ if !is_legal(name) => "it contains characters that stand for bytes here",
        _ => return Ok(()),
    };
    Err(format!(
        "the name {name:?} is illegal in a directory: {complaint}; rename it on the other side"
    ))
}

/// Private characters that stand for bytes in the names of files that are not UTF-8.
const BYTES: std::ops::RangeInclusive<char> = '\u{10ff00}'..='\u{10ffff}';

fn is_byte(character: char) -> bool {
    BYTES.contains(&character)
}

/// The name of a file as the tree keeps it: bytes that are not UTF-8, and the characters that stand for some, one by one.
pub(super) fn kept(name: &[u8]) -> String {
    let mut kept = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match is_byte(character) {
                false => kept.push(character),
                true => {
                    let mut bytes = [0; 4];
                    let bytes = character.encode_utf8(&mut bytes).bytes();
                    kept.extend(bytes.filter_map(standing_for));
                }
            }
        }
        kept.extend(chunk.invalid().iter().copied().filter_map(standing_for));
    }
    kept
}

fn standing_for(byte: u8) -> Option<char> {
    char::from_u32(u32::from(*BYTES.start()) + u32::from(byte))
}

/// The name on disk of what the tree keeps under a name.
pub(super) fn on_disk(name: &str) -> Cow<'_, [u8]> {
    if !name.contains(is_byte) {
        return Cow::Borrowed(name.as_bytes());
    }
    let mut bytes = Vec::with_capacity(name.len());
    for character in name.chars() {
        match u32::from(character).checked_sub(u32::from(*BYTES.start())) {
            Some(byte) => bytes.extend(u8::try_from(byte)),
            None => {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    Cow::Owned(bytes)
}

/// True for a name that can be told: it is UTF-8, and not too long.
pub(super) fn is_legal(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && !name.contains(is_byte)
}

/// What is told of a name: bytes that are not UTF-8 show as `\xE9`, and the end is cut off where that is too long.
pub(super) fn told(name: &str) -> String {
    if is_legal(name) {
        return name.to_owned();
    }
    let mut told = String::new();
    for character in name.chars() {
        match u32::from(character).checked_sub(u32::from(*BYTES.start())) {
            Some(byte) => told.push_str(&format!("\\x{byte:02X}")),
            None => told.push(character),
        }
    }
    told.truncate(told.floor_char_boundary(NAME_BYTES_MAX));
    told
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
    fn r_mem_1_names_that_are_not_utf_8_are_kept_byte_by_byte_and_told_readably() {
        for (name, says) in [
            (&b"caf\xe9.txt"[..], "caf\\xE9.txt"),
            (b"\xff\xfe", "\\xFF\\xFE"),
            ("plain \u{e9}".as_bytes(), "plain \u{e9}"),
            ("\u{10ff41}".as_bytes(), "\\xF4\\x8F\\xBD\\x81"),
        ] {
            let kept = kept(name);
            assert_eq!(&*on_disk(&kept), name);
            assert_eq!(told(&kept), says);
            assert_eq!(is_legal(&kept), !says.contains('x'), "{says}");
            assert_eq!(check(&kept).is_ok(), is_legal(&kept));
        }
        assert!(told(&kept(&[0xff; 200])).len() <= NAME_BYTES_MAX);
    }

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
