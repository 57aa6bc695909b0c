//! What is compared and synced of a node (SPEC §4).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::ids::{Digest, MemberId};
use super::planted::planted;

/// Which of the two repositories of a set is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    /// The organisation's own repository.
    OnPremise,
    /// The repository that outsiders reach.
    Cloud,
}

impl Side {
    /// Both, on-premise first.
    pub const BOTH: [Self; 2] = [Self::OnPremise, Self::Cloud];

    /// The opposite side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::OnPremise => Self::Cloud,
            Self::Cloud => Self::OnPremise,
        }
    }

    /// The short name that tables and texts use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnPremise => "ON_PREMISE",
            Self::Cloud => "CLOUD",
        }
    }

    /// Reads what [`Side::name`] gave.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.name() == name)
    }
}

/// One value for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides<T> {
    /// Of the on-premise side.
    pub on_premise: T,
    /// Of the cloud side.
    pub cloud: T,
}

impl<T> Sides<T> {
    /// The value of a side.
    pub fn get(&self, side: Side) -> &T {
        match side {
            Side::OnPremise => &self.on_premise,
            Side::Cloud => &self.cloud,
        }
    }

    /// The value of a side, to be changed.
    pub fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::OnPremise => &mut self.on_premise,
            Side::Cloud => &mut self.cloud,
        }
    }
}

/// Document or folder; never changes in the life of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// A node with content.
    Document,
    /// A node that holds others.
    Folder,
}

/// Content by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentRef {
    /// The SHA-256 digest.
    pub digest: Digest,
    /// Bytes.
    pub size: i64,
}

/// A typed property value; numbers are kept by their bits, so that values can be compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PropertyValue {
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// The IEEE 754 bits of a double.
    Number(u64),
    /// Seconds and nanoseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64, i32),
    /// Texts in order.
    TextList(Vec<String>),
}

/// The properties of a node by prefixed name. Absent is not empty.
pub type Properties = BTreeMap<String, PropertyValue>;

/// What is compared and synced of a node, without its place.
#[derive(Debug, Clone)]
pub struct Projection {
    /// Document or folder.
    pub kind: NodeKind,
    /// The name in its folder.
    pub name: String,
    /// The content of a document.
    pub content: Option<ContentRef>,
    /// The allow-listed properties (R-PRJ-1).
    pub properties: Properties,
    /// The repository's own type; sent at creation, never compared (R-PRJ-3).
    pub node_type: String,
}

/// R-PRJ-3: a type never counts; a node of which nothing else changed is as it was.
impl PartialEq for Projection {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.name == other.name
            && self.content == other.content
            && self.properties == other.properties
            && (!planted("type-counts") || self.node_type == other.node_type)
    }
}

impl Eq for Projection {}

/// A projection and the member in whose folder it lies; what reconciling compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How the node looks.
    pub projection: Arc<Projection>,
    /// The member whose folder holds it; `None` for DIRECT members, whose place is not compared (R-MOV-1).
    pub parent: Option<MemberId>,
}

/// What counts when two states are compared: whatever one of the repositories cannot keep does not (R-PRJ-5).
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// One of the repositories stores names in another Unicode form.
    pub unicode_insensitive: bool,
    /// Properties that both keep; `None` = all.
    pub properties: Option<std::collections::BTreeSet<String>>,
}

impl Comparison {
    /// Whether two states count as equal.
    #[must_use]
    pub fn equal(&self, left: &State, right: &State) -> bool {
        left.parent == right.parent && self.equal_projections(&left.projection, &right.projection)
    }

    fn equal_projections(&self, left: &Arc<Projection>, right: &Arc<Projection>) -> bool {
        Arc::ptr_eq(left, right)
            || (left.kind == right.kind
                && left.content.map(|content| content.digest)
                    == right.content.map(|content| content.digest)
                && self.equal_names(&left.name, &right.name)
                && self.equal_properties(&left.properties, &right.properties))
    }

    /// Whether two names count as equal; their case always counts.
    #[must_use]
    pub fn equal_names(&self, left: &str, right: &str) -> bool {
        left == right || (self.unicode_insensitive && left.nfc().eq(right.nfc()))
    }

    /// Whether properties count as equal.
    #[must_use]
    pub fn equal_properties(&self, left: &Properties, right: &Properties) -> bool {
        match &self.properties {
            None => left == right,
            Some(kept) => kept
                .iter()
                .all(|name| left.get(name.as_str()) == right.get(name.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, title: Option<&str>) -> State {
        let properties = title
            .map(|title| ("cm:title".to_owned(), PropertyValue::Text(title.to_owned())))
            .into_iter()
            .collect();
        let projection = Projection {
            kind: NodeKind::Document,
            name: name.to_owned(),
            content: None,
            properties,
            node_type: String::new(),
        };
        State {
            projection: Arc::new(projection),
            parent: None,
        }
    }

    #[test]
    fn r_prj_1_absent_is_not_empty() {
        let all = Comparison::default();
        assert!(!all.equal(&state("a", None), &state("a", Some(""))));
    }

    #[test]
    fn r_prj_3_a_type_never_counts() {
        let one = state("a", None).projection;
        let mut other = (*one).clone();
        other.node_type = "acme:invoice".to_owned();
        assert_eq!(*one, other);
        other.name = "b".to_owned();
        assert_ne!(*one, other);
    }

    #[test]
    fn r_prj_5_what_a_repository_cannot_keep_counts_as_equal() {
        let none = Comparison {
            properties: Some([].into()),
            unicode_insensitive: true,
        };
        assert!(none.equal(&state("é", Some("t")), &state("e\u{301}", None)));
        assert!(!none.equal(&state("a", None), &state("A", None)));
    }
}
