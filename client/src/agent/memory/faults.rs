//! What goes wrong on purpose.

use std::{collections::BTreeMap, time::Duration};

use tandem_proto::v1::FailureReason;

/// Switches that make a repository fail. Everything is off at first.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Deliveries to these node ids, or of these names, fail with the reason.
    pub chosen: BTreeMap<String, FailureReason>,
    /// The next deliveries fail with the reason: how many, and which.
    pub next: Option<(usize, FailureReason)>,
    /// So many of the next updates and deletions are answered stale with what is there.
    pub stale_next: usize,
    /// Content of these nodes cannot be opened.
    pub unreadable: Vec<String>,
    /// Present content comes out with another first byte than it has.
    pub damaged: bool,
    /// The root is gone.
    pub root_gone: bool,
    /// Every call fails as if the repository were away.
    pub away: bool,
    /// How long every call takes; only behind the trait.
    pub delay: Option<Duration>,
}

// === impl Faults ===

impl Faults {
    /// The reason for which a delivery is to fail now.
    pub(super) fn failure_of(&mut self, node_id: &str, name: &str) -> Option<FailureReason> {
        if let Some((count, reason)) = &mut self.next
            && *count > 0
        {
            *count -= 1;
            return Some(*reason);
        }
        self.chosen
            .get(node_id)
            .or_else(|| self.chosen.get(name))
            .copied()
    }

    /// True when this change of a node is to be answered as stale.
    pub(super) fn is_stale(&mut self) -> bool {
        let stale = self.stale_next > 0;
        self.stale_next = self.stale_next.saturating_sub(1);
        stale
    }
}
