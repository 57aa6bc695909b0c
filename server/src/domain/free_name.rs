//! Names that nobody has yet: for a loser that becomes a node of its own (R-CON-3), for a newcomer whose name is
//! taken (R-REC-9), and for a node that steps aside for another one (R-REC-10).

use std::sync::Arc;

use super::ids::MemberId;
use super::limits::NAME_BYTES_MAX;
use super::projection::{NodeKind, State};

/// What lost a conflict and becomes a sibling, on-premise first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// How the loser looked.
    pub state: State,
    /// The number in its new name; the first that is free is taken.
    pub number: u32,
}

impl Sibling {
    /// How the sibling is to look.
    #[must_use]
    pub fn named(&self, number: u32) -> State {
        let mut projection = (*self.state.projection).clone();
        let label = format!(" (on-premise conflict {number})");
        projection.name = labelled(&projection.name, projection.kind, &label);
        State {
            projection: Arc::new(projection),
            parent: self.state.parent,
        }
    }
}

/// A newcomer whose name is taken on the other side, and that is to have another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming {
    /// The name that is taken.
    pub from: String,
    /// The number in the new one; the first that is free is taken.
    pub number: u32,
}

impl Renaming {
    /// The new name.
    #[must_use]
    pub fn name(&self, kind: NodeKind, number: u32) -> String {
        labelled(&self.from, kind, &format!(" ({number})"))
    }
}

/// The name of a copy that steps aside for a moment.
#[must_use]
pub fn aside_name(member: MemberId) -> String {
    format!("~{}.moving", member.0.simple())
}

/// Whether a copy has that name, and not one that anybody gave it.
#[must_use]
pub fn is_aside_name(member: MemberId, name: &str) -> bool {
    name.starts_with('~') && name == aside_name(member)
}

/// Puts a label before the extension of a document, or behind the name of a folder. What would be too long is cut in
/// front of the label.
fn labelled(name: &str, kind: NodeKind, label: &str) -> String {
    let dot = name.rfind('.').filter(|at| *at > 0);
    let dot = dot.filter(|_| kind == NodeKind::Document);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let room = NAME_BYTES_MAX.saturating_sub(label.len());
    let mut kept = extension.len().min(room);
    while !extension.is_char_boundary(kept) {
        kept -= 1;
    }
    let extension = &extension[..kept];
    let mut end = stem.len().min(room - kept);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{label}{extension}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_con_3_a_label_stands_before_the_extension_and_names_stay_short_enough() {
        let label = " (on-premise conflict 1)";
        let document = |name: &str| labelled(name, NodeKind::Document, label);
        assert_eq!(document("a.txt"), "a (on-premise conflict 1).txt");
        assert_eq!(document("a"), "a (on-premise conflict 1)");
        assert_eq!(document(".a"), ".a (on-premise conflict 1)");
        assert_eq!(document("a.b.c"), "a.b (on-premise conflict 1).c");
        assert_eq!(labelled("v1.0", NodeKind::Folder, " (1)"), "v1.0 (1)");
        for name in ["é".repeat(127), format!("a.{}", "é".repeat(126))] {
            let long = document(&name);
            assert!((NAME_BYTES_MAX - 1..=NAME_BYTES_MAX).contains(&long.len()));
            assert!(long.contains(label));
        }
    }
}
