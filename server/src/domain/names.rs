//! Names of nodes: which are allowed at all, and when two of them are the same (R-REC-10).

use unicode_normalization::UnicodeNormalization;

use super::limits::NAME_BYTES_MAX;
use super::planted::planted;

/// How a repository compares names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameRule {
    /// `a` and `A` are the same name there.
    pub case_insensitive: bool,
    /// Composed and decomposed forms (UAX #15) are the same name there.
    pub unicode_insensitive: bool,
}

impl NameRule {
    /// What two names that clash in this repository have in common.
    #[must_use]
    pub fn key(self, name: &str) -> String {
        let composed: String = if self.unicode_insensitive && !planted("unicode-forms-differ") {
            name.nfc().collect()
        } else {
            name.to_owned()
        };
        if self.case_insensitive && !planted("names-compared-exactly") {
            composed.to_lowercase()
        } else {
            composed
        }
    }
}

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no bytes.
    #[error("a name needs at least one byte")]
    Empty,
    /// It has more bytes than any repository takes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// It means a place, not a node.
    #[error("`.` and `..` are no names")]
    Dots,
    /// It would leave its folder, or end early.
    #[error("a name contains neither `/` nor NUL")]
    Separator,
}

/// Checks a name wherever it comes in; the connectors check again (SPEC §12).
///
/// # Errors
/// The rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    if name.contains(['/', '\0']) {
        return Err(NameError::Separator);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let cases = [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("a/b", NameError::Separator),
            ("a\0b", NameError::Separator),
            (long.as_str(), NameError::TooLong),
        ];
        for (name, error) in cases {
            assert_eq!(check_name(name), Err(error), "{name:?}");
        }
        assert_eq!(check_name("...").and_then(|()| check_name("é")), Ok(()));
    }

    #[test]
    fn r_rec_10_names_are_equal_when_the_receiver_says_so() {
        let exact = NameRule::default();
        let folding = NameRule {
            case_insensitive: true,
            unicode_insensitive: true,
        };
        assert_ne!(exact.key("É"), exact.key("e\u{301}"));
        assert_eq!(folding.key("É"), folding.key("e\u{301}"));
    }
}
