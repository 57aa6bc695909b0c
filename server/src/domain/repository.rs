//! Repositories, as far as decisions depend on them.

use std::collections::BTreeSet;

use super::ids::RepositoryId;
use super::names::NameRule;
use super::projection::{Comparison, Side};

/// The properties that a repository keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeptProperties {
    /// Every allow-listed one.
    #[default]
    All,
    /// Only these.
    Only(BTreeSet<String>),
}

/// A repository that takes part, with what it declared in its last handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its row.
    pub id: RepositoryId,
    /// Its side; fixed.
    pub side: Side,
    /// How it compares names.
    pub name_rule: NameRule,
    /// The properties it keeps.
    pub properties: KeptProperties,
    /// Types that it knows beside the two base ones (R-PRJ-3).
    pub node_types: BTreeSet<String>,
    /// It can keep a copy read-only for users.
    pub locks: bool,
    /// It has users of its own, and can tell what each may do (R-IDN-1, R-IDN-2).
    pub users: bool,
}

/// What counts when a copy of one repository is compared with a copy of another (R-PRJ-5).
#[must_use]
pub fn comparison(left: &Repository, right: &Repository) -> Comparison {
    let properties = match (&left.properties, &right.properties) {
        (KeptProperties::All, KeptProperties::All) => None,
        (KeptProperties::All, KeptProperties::Only(kept))
        | (KeptProperties::Only(kept), KeptProperties::All) => Some(kept.clone()),
        (KeptProperties::Only(left), KeptProperties::Only(right)) => {
            Some(left.intersection(right).cloned().collect())
        }
    };
    Comparison {
        unicode_insensitive: left.name_rule.unicode_insensitive
            || right.name_rule.unicode_insensitive,
        properties,
    }
}
