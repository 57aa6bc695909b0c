//! Who takes part and what they may do.

use serde::{Deserialize, Serialize};

pub use super::projection::Side;

/// What a user's token allows; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Sees everything in the network, changes nothing.
    Viewer,
    /// Makes and steers sets.
    User,
    /// Administers the network.
    Admin,
    /// Administers the coordinator and every network.
    Operator,
}

impl Role {
    /// The short name that tables and texts use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "VIEWER",
            Self::User => "USER",
            Self::Admin => "ADMIN",
            Self::Operator => "OPERATOR",
        }
    }

    /// Reads what [`Role::name`] gave.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Viewer, Self::User, Self::Admin, Self::Operator]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// True for what may name a network or a repository: 1 to 63 of `a-z 0-9 -`, beginning with a letter.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        let longest = "a".repeat(63);
        for good in ["a", "a-1", "hq", longest.as_str()] {
            assert!(is_slug(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "1a",
            "-",
            "-a",
            "A",
            "a_b",
            "a/b",
            "ä",
            "a ",
            too_long.as_str(),
        ] {
            assert!(!is_slug(bad), "{bad}");
        }
    }

    #[test]
    fn names_read_back_and_roles_are_ordered() {
        for role in [Role::Viewer, Role::User, Role::Admin, Role::Operator] {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        for side in [Side::OnPremise, Side::Cloud] {
            assert_eq!(Side::from_name(side.name()), Some(side));
        }
        assert!(
            Role::Viewer < Role::User && Role::User < Role::Admin && Role::Admin < Role::Operator
        );
    }
}
