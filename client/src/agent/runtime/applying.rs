//! What is being applied right now, so that no older observation overtakes its outcome.
//!
//! Whoever reads nodes notes the time before it reads. Whatever was touched by a delivery since then is not to be
//! reported from that reading, but read again: the outcome tells first.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tandem_proto::v1::{Delivery, Observation, delivery::Action};
use tokio::sync::watch;

/// Deliveries that are remembered after their outcome; beyond that every reading begun before counts as touched.
const ENDED_MAX: usize = 20_000;

/// By what an observation is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Node(String),
    Member(Bytes),
}

/// A moment, counted by ended deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

#[derive(Debug)]
pub(super) struct Applying {
    state: Mutex<State>,
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    now: Moment,
    forgotten: Moment,
    entries: HashMap<Key, Entry>,
    ended: usize,
}

#[derive(Debug, Default)]
struct Entry {
    active: usize,
    ended: Moment,
}

/// The set, held still: nothing begins to be applied while this lives.
#[derive(Debug)]
pub(super) struct Still<'a>(MutexGuard<'a, State>);

// === impl Applying ===

impl Default for Applying {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            ended: watch::Sender::new(()),
        }
    }
}

impl Applying {
    /// To be called before nodes are read.
    pub(super) fn now(&self) -> Moment {
        self.lock().now
    }

    /// Holds the set still while something read is put in line.
    pub(super) fn still(&self) -> Still<'_> {
        Still(self.lock())
    }

    /// To be called before deliveries are applied.
    pub(super) fn begin(&self, keys: &[Key]) {
        let mut state = self.lock();
        for key in keys {
            state.entries.entry(key.clone()).or_default().active += 1;
        }
    }

    /// To be called when the outcomes are durable.
    pub(super) fn end(&self, keys: &[Key]) {
        self.lock().end(keys);
        self.ended.send_replace(());
    }

    /// Tells whenever deliveries came to their end.
    pub(super) fn ends(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, keys: &[Key]) {
        self.now.0 += 1;
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.active = entry.active.saturating_sub(1);
                entry.ended = self.now;
                self.ended += 1;
            }
        }
        if self.ended > ENDED_MAX {
            self.entries.retain(|_, entry| entry.active > 0);
            self.forgotten = self.now;
            self.ended = 0;
        }
    }

    fn holds(&self, key: &Key, since: Moment) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| entry.active > 0 || entry.ended > since)
    }
}

// === impl Still ===

impl Still<'_> {
    /// True when a delivery touched the node after that moment, or is about to.
    pub(super) fn touched(&self, observation: &Observation, since: Moment) -> bool {
        since < self.0.forgotten
            || self.0.holds(&Key::Node(observation.node_id.clone()), since)
            || (!observation.member_mark.is_empty()
                && self
                    .0
                    .holds(&Key::Member(observation.member_mark.clone()), since))
    }
}

/// By what observations of a delivery's node are recognised: a new node has no id yet, but its mark.
pub(super) fn keys_of(delivery: &Delivery) -> Vec<Key> {
    let node_id = match &delivery.action {
        Some(Action::Update(update)) => Some(&update.node_id),
        Some(Action::Delete(delete)) => Some(&delete.node_id),
        Some(Action::Release(release)) => Some(&release.node_id),
        Some(Action::Create(_)) | None => None,
    };
    let member_id = delivery
        .id
        .iter()
        .map(|id| Key::Member(id.member_id.clone()));
    node_id
        .into_iter()
        .cloned()
        .map(Key::Node)
        .chain(member_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Observation {
        Observation {
            node_id: name.to_owned(),
            ..Observation::default()
        }
    }

    fn touched(applying: &Applying, seen: &Observation, since: Moment) -> bool {
        applying.still().touched(seen, since)
    }

    #[test]
    fn r_agt_6_what_was_read_before_an_outcome_is_read_again() {
        let applying = Applying::default();
        let keys = [
            Key::Node("a".to_owned()),
            Key::Member(Bytes::from_static(b"m")),
        ];
        let before = applying.now();
        assert!(!applying.still().touched(&node("a"), before));
        applying.begin(&keys);
        assert!(touched(&applying, &node("a"), applying.now()));
        applying.end(&keys);
        assert!(applying.still().touched(&node("a"), before));
        assert!(!touched(&applying, &node("a"), applying.now()));
        assert!(!applying.still().touched(&node("b"), before));
        let marked = Observation {
            member_mark: Bytes::from_static(b"m"),
            ..node("new")
        };
        assert!(applying.still().touched(&marked, before));
    }

    #[test]
    fn r_agt_7_the_set_is_bounded_and_forgets_on_the_safe_side() {
        let applying = Applying::default();
        let before = applying.now();
        for index in 0..=ENDED_MAX {
            let keys = [Key::Node(index.to_string())];
            applying.begin(&keys);
            applying.end(&keys);
        }
        assert!(applying.lock().entries.is_empty());
        assert!(applying.still().touched(&node("never"), before));
        assert!(!touched(&applying, &node("never"), applying.now()));
    }
}
