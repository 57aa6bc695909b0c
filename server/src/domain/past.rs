//! States that a copy had before: what a rolled-back repository shows again is no change (R-AGT-4).

use super::copy::Copy;
use super::ids::NodeId;
use super::planted::planted;
use super::projection::{NodeKind, Projection, PropertyValue};

/// Former states of one copy that are remembered; older ones are forgotten first.
pub const PAST_MAX: usize = 32;

/// Stands for a state: FNV-1a over all that is compared and the folder it lay in. Kept in tables, so it never changes.
#[must_use]
pub fn mark(projection: &Projection, parent: &NodeId) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.text(&parent.0);
    hash.bytes(&[u8::from(projection.kind == NodeKind::Folder)]);
    hash.text(&projection.name);
    if let Some(content) = &projection.content {
        hash.bytes(&content.digest.0);
    }
    for (name, value) in &projection.properties {
        hash.text(name);
        hash.value(value);
    }
    hash.0
}

impl Copy {
    /// Remembers how the copy looked before, where that differs from how it looks now.
    pub fn follows(&mut self, before: &Self) {
        self.past.clone_from(&before.past);
        if self.projection == before.projection && self.parent == before.parent {
            return;
        }
        let former = mark(&before.projection, &before.parent);
        self.past.retain(|known| *known != former);
        self.past.push(former);
        let surplus = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..surplus);
    }

    /// Whether the copy looked so before, in this folder.
    #[must_use]
    pub fn looked_so(&self, projection: &Projection, parent: &NodeId) -> bool {
        self.past.contains(&mark(projection, parent)) && !planted("past-forgotten")
    }
}

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// With its length before it, so that two texts never look like two others.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    fn value(&mut self, value: &PropertyValue) {
        match value {
            PropertyValue::Text(text) => self.text(text),
            PropertyValue::Flag(flag) => self.bytes(&[1, u8::from(*flag)]),
            PropertyValue::Integer(integer) => self.bytes(&integer.to_be_bytes()),
            PropertyValue::Number(bits) => self.bytes(&bits.to_be_bytes()),
            PropertyValue::Timestamp(seconds, nanos) => {
                self.bytes(&seconds.to_be_bytes());
                self.bytes(&nanos.to_be_bytes());
            }
            PropertyValue::TextList(texts) => texts.iter().for_each(|text| self.text(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::copy::CopyState;
    use crate::domain::ids::RepositoryId;

    fn copy(name: &str, parent: &str) -> Copy {
        Copy {
            repository: RepositoryId(1),
            node: NodeId("node".to_owned()),
            member: None,
            state: CopyState::Live,
            parent: NodeId(parent.to_owned()),
            name_key: name.to_owned(),
            revision: String::new(),
            projection: Arc::new(Projection {
                kind: NodeKind::Document,
                name: name.to_owned(),
                content: None,
                properties: [("cm:title".to_owned(), PropertyValue::Flag(true))].into(),
                node_type: String::new(),
            }),
            locked: false,
            edited: false,
            actor: String::new(),
            unfit: None,
            past: Vec::new(),
        }
    }

    #[test]
    fn r_agt_4_former_states_are_known_and_the_present_one_is_not_among_them() {
        let first = copy("a", "f");
        let mut second = copy("b", "f");
        second.follows(&first);
        let mut third = copy("b", "g");
        third.follows(&second);
        assert!(third.looked_so(&first.projection, &first.parent));
        assert!(third.looked_so(&second.projection, &second.parent));
        assert!(!third.looked_so(&third.projection, &third.parent));
        assert!(!third.looked_so(&first.projection, &third.parent));
    }

    #[test]
    fn only_the_newest_former_states_are_kept() {
        let mut now = copy("0", "f");
        for number in 1..=PAST_MAX + 1 {
            let mut next = copy(&number.to_string(), "f");
            next.follows(&now);
            now = next;
        }
        assert_eq!(now.past.len(), PAST_MAX);
        assert!(!now.looked_so(&copy("0", "f").projection, &now.parent));
        assert!(now.looked_so(&copy("1", "f").projection, &now.parent));
    }

    #[test]
    fn a_mark_is_the_same_for_ever() {
        let copy = copy("a", "f");
        assert_eq!(mark(&copy.projection, &copy.parent), MARK_OF_A);
    }

    const MARK_OF_A: u64 = 0xc9ea_c902_957a_8da4;
}
