//! What the tree offers to be reported.

use tandem_proto::v1::{AbsenceKind, Observation, WatchRoot};

use super::tree::{MemoryTree, absence};
use crate::agent::repository::Seen;

impl MemoryTree {
    /// Replaces the folders that are watched.
    pub fn watch(&mut self, roots: &[WatchRoot]) {
        self.roots = roots.to_vec();
        let unwatched: Vec<String> = self
            .changed
            .iter()
            .filter(|id| self.nodes.contains_key(*id) && !self.is_watched(id))
            .cloned()
            .collect();
        unwatched.iter().for_each(|id| {
            self.changed.remove(id);
        });
    }

    /// Offers at most so many changes in their newest state, parents before children, until they are reported.
    #[must_use]
    pub fn take_changes(&self, max: usize) -> Vec<Observation> {
        let mut changed: Vec<(usize, &String)> =
            self.changed.iter().map(|id| (self.depth(id), id)).collect();
        changed.sort();
        changed
            .into_iter()
            .take(max)
            .map(|(_, id)| self.offer(id))
            .collect()
    }

    /// These states are noted; a node that has changed again since is offered again.
    pub fn reported(&mut self, seen: &[Seen]) {
        for seen in seen {
            if self.offer(&seen.node_id).revision == seen.revision {
                self.changed.remove(&seen.node_id);
            }
        }
    }

    /// A new generation begins: every root is going to be scanned. A coordinator that was restored may name deliveries
    /// again that were applied (R-AGT-4).
    pub fn forget_reported(&mut self) {
        self.changed.clear();
        self.applied.clear();
    }

    /// Looks at nodes, in the order asked.
    #[must_use]
    pub fn observe(&self, node_ids: &[String]) -> Vec<Observation> {
        node_ids.iter().map(|id| self.observation(id)).collect()
    }

    /// A node in its newest state; one that left the watched folders is absent there.
    fn offer(&self, node_id: &str) -> Observation {
        if !self.nodes.contains_key(node_id) || self.is_watched(node_id) {
            return self.observation(node_id);
        }
        let left = if self.rules.move_out {
            AbsenceKind::MovedOut
        } else {
            AbsenceKind::Deleted
        };
        absence(node_id, left)
    }

    fn depth(&self, node_id: &str) -> usize {
        let mut depth = 0;
        let mut at = node_id;
        while let Some(node) = self.nodes.get(at) {
            depth += 1;
            at = &node.parent;
        }
        depth
    }
}
