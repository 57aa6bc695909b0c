//! What users wrote and deleted, so that it can be told whether a delivery destroys something that nobody gave up.

use std::collections::{BTreeMap, BTreeSet};

use tandem_server::domain::ids::NodeId;

use super::repository::{Repository, content_ref};
use super::store::Store;

/// Remembers which content was written in sight of which, and what was deleted.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    tokens: u64,
    seen_by: BTreeMap<u64, BTreeSet<u64>>,
    given_up: BTreeSet<u64>,
}

impl Ledger {
    /// New content, written by somebody who had the old one before his eyes; 0 = there was none.
    pub fn write(&mut self, old: u64) -> u64 {
        self.tokens += 1;
        let mut seen = self.seen_by.get(&old).cloned().unwrap_or_default();
        seen.insert(old);
        self.seen_by.insert(self.tokens, seen);
        self.tokens
    }

    /// Content that was there before was put back over newer content, and counts as written in sight of it.
    pub fn rewrite(&mut self, newer: u64, again: u64) {
        let seen = self.seen_by.entry(again).or_default();
        seen.insert(newer);
    }

    /// A node, and what lies in it, was deleted or moved away: nobody may complain if its copies go.
    pub fn give_up(&mut self, repository: &Repository, node: &NodeId) {
        let inside = repository.nodes.keys();
        let contents: Vec<u64> = inside
            .filter(|id| repository.is_within(id, node))
            .filter_map(|id| repository.nodes.get(id))
            .map(|node| node.content)
            .collect();
        for content in contents {
            self.given_up.insert(content);
            let older = self.seen_by.get(&content).into_iter().flatten().copied();
            self.given_up.extend(older);
        }
    }

    /// Content that may be brought back over anything, because somebody asked for it.
    pub fn is_known(&self, token: u64) -> bool {
        token == 0 || self.seen_by.contains_key(&token)
    }

    /// Whether content may be overwritten: by what was written in sight of it, or because it lost a conflict.
    #[must_use]
    pub fn may_overwrite(&self, store: &Store, old: u64, new: u64) -> bool {
        let newer = self
            .seen_by
            .get(&new)
            .is_some_and(|seen| seen.contains(&old));
        // A node that takes the place of one that was given up may be taken for it (R-AGT-10).
        old == new || newer || self.given_up.contains(&old) || self.lost(store, old)
    }

    /// Whether a copy with this content may be removed.
    #[must_use]
    pub fn may_remove(&self, store: &Store, old: u64) -> bool {
        old == 0 || self.given_up.contains(&old) || self.lost(store, old)
    }

    /// Whether nobody can miss content: it was given up, or written over by somebody who saw it.
    #[must_use]
    pub fn is_over(&self, token: u64) -> bool {
        let mut later = self.seen_by.values();
        self.given_up.contains(&token) || later.any(|seen| seen.contains(&token))
    }

    fn lost(&self, store: &Store, token: u64) -> bool {
        let digest = content_ref(token).digest;
        // While a person has not decided, nothing of it may go (R-CON-3).
        let mut decided = store.conflicts.iter().filter(|conflict| !conflict.open);
        decided.any(|conflict| {
            let states = [&conflict.states.on_premise, &conflict.states.cloud];
            states.into_iter().flatten().any(|state| {
                state
                    .projection
                    .content
                    .is_some_and(|content| content.digest == digest)
            })
        })
    }
}
