//! Offering what changed, and hearing that it was noted.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tandem_proto::v1::{AbsenceKind, Observation, WatchRoot, observation::State};
use uuid::Uuid;

use super::{
    core::{self, Core, Depth, Fresh, unavailable},
    index,
    node::{Node, Revision, absence},
    os::FileKind,
    tree::Tree,
};
use crate::agent::repository::{Error, Seen};

/// What waits for longer is not settling any more: it cannot be read, and is tried again.
const SOON: Duration = Duration::from_secs(1);

/// What `changes` does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Something to offer.
    Offer(Vec<Observation>),
    /// Nothing before this time, or until something happens.
    Wait(Option<Instant>),
}

impl Core {
    /// Makes sure that the root is there; when it was away, everything is looked at again.
    pub(super) fn ensure_root(&self) -> Result<(), Error> {
        if let Err(error) = self.disk.check() {
            self.lost.store(true, Ordering::SeqCst);
            return Err(error);
        }
        if self.lost.swap(false, Ordering::SeqCst) {
            self.disk.reopen()?;
            self.pending.walk();
        }
        Ok(())
    }

    /// Looks at what happened, and offers at most `max` of what is due (R-AGT-5).
    pub(super) fn next_changes(&self, max: usize) -> Result<Next, Error> {
        self.at_rest.store(false, Ordering::SeqCst);
        let next = self.look_for_changes(max)?;
        if let Next::Wait(until) = &next {
            let later = until.is_none_or(|until| until > Instant::now() + SOON);
            self.at_rest.store(later, Ordering::SeqCst);
        }
        Ok(next)
    }

    fn look_for_changes(&self, max: usize) -> Result<Next, Error> {
        self.ensure_root()?;
        let quiet_at = self.catch_up(false)?;
        loop {
            let (candidates, rested_at) = candidates(&mut self.state(), max);
            if candidates.is_empty() {
                let next = [quiet_at, rested_at].into_iter().flatten().min();
                if next.is_none() {
                    self.save(&mut self.state()).map_err(unavailable)?;
                }
                return Ok(Next::Wait(next));
            }
            let mut fresh = self.freshen(&candidates, Depth::Needed);
            // What was read may have vanished with the root: then it proves nothing.
            self.disk.check()?;
            let mut state = self.state();
            let mut offers = Vec::new();
            for id in &candidates {
                let offered = offer(&mut state.tree, id, fresh.remove(id));
                offers.extend(offered.map(|seen| marked(seen, state.emptied.contains(id))));
            }
            self.save(&mut state).map_err(unavailable)?;
            if !offers.is_empty() {
                return Ok(Next::Offer(offers));
            }
        }
    }

    /// Replaces the watched folders.
    pub(super) fn watch(&self, roots: &[WatchRoot]) -> Result<(), Error> {
        self.ensure_root()?;
        let parsed = roots.iter().filter_map(|root| {
            let id = Uuid::try_parse(&root.node_id).ok()?;
            // Nothing is below a document: so it is, and its coming leaves all else that is watched alone.
            Some((id, root.include_subfolders || root.document))
        });
        let watched: HashMap<Uuid, bool> = parsed.collect();
        let ids: Vec<Uuid> = watched.keys().copied().collect();
        self.freshen(&ids, Depth::Needed);
        let mut state = self.state();
        if *state.tree.watched() != watched {
            let remembered = watched.clone();
            let remember = self
                .index
                .run(move |transaction| index::set_watched(transaction, &remembered));
            remember.map_err(unavailable)?;
            let fewer = state
                .tree
                .watched()
                .iter()
                .any(|(id, _)| !watched.contains_key(id))
                || watched.values().any(|subfolders| !subfolders);
            state.tree.set_watched(watched);
            if fewer {
                forget_unwatched(&mut state.tree);
            }
        }
        for id in ids {
            // The coordinator knows a root that it asks for; only what happens to it from now on is news.
            let unheard = state.tree.live(&id).filter(|node| node.reported.is_none());
            if let Some(revision) = unheard.map(Node::revision) {
                state
                    .tree
                    .change(&id, |node| node.reported = Some(revision));
            }
        }
        self.save(&mut state).map_err(unavailable)
    }

    /// Notes what the coordinator is going to hear.
    pub(super) fn reported(&self, seen: &[Seen]) -> Result<(), Error> {
        let mut state = self.state();
        for seen in seen {
            let Ok(id) = Uuid::try_parse(&seen.node_id) else {
                continue;
            };
            state.emptied.remove(&id);
            match Revision::parse(&seen.revision) {
                Some(revision) => heard_state(&mut state.tree, id, revision),
                None => heard_absence(&mut state.tree, &id),
            }
        }
        self.save(&mut state).map_err(unavailable)
    }

    /// A new generation: nobody heard anything.
    pub(super) fn forget_reported(&self) -> Result<(), Error> {
        let mut state = self.state();
        for id in state.tree.ids() {
            if state.tree.get(&id).is_some_and(|node| node.gone) {
                state.tree.remove(&id);
            } else {
                let watched = state.tree.watched().contains_key(&id);
                state.tree.change(&id, |node| {
                    node.reported = watched.then(|| node.revision());
                    node.due = false;
                });
            }
        }
        self.save(&mut state).map_err(unavailable)
    }

    /// Looks at nodes; the second of the pair tells that some are being written, or seemed to be gone at the first look.
    pub(super) fn observe(
        &self,
        ids: &[String],
        depth: Depth,
        (first, last): (bool, bool),
    ) -> Result<(Vec<Observation>, bool), Error> {
        self.ensure_root()?;
        let parsed: Vec<Uuid> = ids
            .iter()
            .filter_map(|id| Uuid::try_parse(id).ok())
            .collect();
        self.visit(&parsed);
        self.catch_up(true)?;
        let mut fresh = self.freshen(&parsed, depth);
        self.disk.check()?;
        let mut state = self.state();
        let mut doubtful = false;
        let mut seen = Vec::with_capacity(ids.len());
        for text in ids {
            let id = Uuid::try_parse(text).unwrap_or_default();
            let Some(node) = state.tree.live(&id) else {
                // An editor may just be about to put another file in its place.
                doubtful |= first && state.tree.get(&id).is_some();
                let gone = absence(text.clone(), AbsenceKind::Deleted);
                seen.push(marked(gone, state.emptied.contains(&id)));
                continue;
            };
            match fresh.remove(&id).unwrap_or(Fresh::Known(None)) {
                Fresh::Known(inline) => seen.push(node.observation(inline)),
                _ if last && node.is_complete() => seen.push(node.observation(None)),
                Fresh::Unreadable(error) if last => return Err(Error::Unavailable(error)),
                _ if last => {
                    let path = state.tree.path(&id).unwrap_or_default();
                    let text = format!("{path} is still being written");
                    return Err(Error::Unavailable(text));
                }
                _ => doubtful = true,
            }
        }
        self.save(&mut state).map_err(unavailable)?;
        Ok((seen, doubtful))
    }

    /// Has the places of nodes looked at, whether something happened there or not.
    fn visit(&self, ids: &[Uuid]) {
        let state = self.state();
        for id in ids {
            if let Some(node) = state.tree.live(id).filter(|node| !node.parent.is_nil()) {
                self.pending.add(&super::pending::Place {
                    folder: node.parent,
                    name: node.name.to_string(),
                });
            }
        }
    }
}

/// What is due and may be looked at, parents before children, and when more may be.
fn candidates(state: &mut core::State, max: usize) -> (Vec<Uuid>, Option<Instant>) {
    let now = Instant::now();
    let mut rested_at: Option<Instant> = None;
    let mut chosen = Vec::new();
    let mut known = HashSet::new();
    let tree = &state.tree;
    for id in tree.due() {
        if let Some(rest) = state.resting.get(&id).filter(|rest| **rest > now) {
            rested_at = Some(rested_at.map_or(*rest, |earlier| earlier.min(*rest)));
            continue;
        }
        for parent in tree.ancestors(&id).into_iter().rev() {
            let unheard = tree
                .live(&parent)
                .is_some_and(|node| node.reported.is_none());
            if unheard && tree.is_watched(&parent) && known.insert(parent) {
                chosen.push(parent);
            }
        }
        if known.insert(id) {
            chosen.push(id);
        }
        if chosen.len() >= max {
            break;
        }
    }
    chosen.truncate(max.max(1));
    (chosen, rested_at)
}

/// What the coordinator is told of a node, if that is news.
fn offer(tree: &mut Tree, id: &Uuid, fresh: Option<Fresh>) -> Option<Observation> {
    let node = tree.get(id)?;
    if node.gone {
        return Some(absence(id.to_string(), AbsenceKind::Deleted));
    }
    if !tree.is_watched(id) {
        // Whatever moved has another revision; a copy that lies where it was made waits for its root to be watched.
        if node.reported.is_some_and(|heard| heard != node.revision()) {
            return Some(absence(id.to_string(), AbsenceKind::MovedOut));
        }
        tree.set_due(id, false);
        return None;
    }
    let Fresh::Known(inline) = fresh.unwrap_or(Fresh::Known(None)) else {
        return None;
    };
    if node.reported == Some(node.revision()) {
        tree.set_due(id, false);
        return None;
    }
    Some(node.observation(inline))
}

/// An absence says if a walk found its synced folder gone or empty (R-DEL-3).
fn marked(mut seen: Observation, emptied: bool) -> Observation {
    if let Some(State::Absent(absence)) = &mut seen.state {
        absence.root_emptied = emptied;
    }
    seen
}

fn heard_state(tree: &mut Tree, id: Uuid, revision: Revision) {
    let Some(node) = tree.get(&id) else {
        // It vanished while the report was under way: now its end has to be told too.
        let mut node = Node::tombstone(id);
        node.reported = Some(revision);
        node.parent = tree.root();
        tree.insert(node);
        return;
    };
    let unread = node.kind == FileKind::File && !node.read;
    // A copy that was just made may lie outside the roots watched so far: its root is only about to be watched.
    // One that moved out meanwhile has another revision than the one that was heard.
    let due = node.gone || unread || node.revision() != revision;
    tree.change(&id, |node| {
        node.reported = Some(revision);
        node.due = due;
    });
}

fn heard_absence(tree: &mut Tree, id: &Uuid) {
    let Some(node) = tree.get(id) else {
        return;
    };
    if node.gone {
        tree.remove(id);
        return;
    }
    // It moved out, or came back after all.
    for id in tree.below(id).into_iter().chain([*id]) {
        let watched = tree.is_watched(&id);
        tree.change(&id, |node| {
            node.reported = None;
            node.due = watched;
        });
    }
}

/// Nodes that are no longer below a watched folder need no report.
fn forget_unwatched(tree: &mut Tree) {
    for id in tree.ids() {
        let heard = tree
            .get(&id)
            .filter(|node| node.reported.is_some() || node.due);
        let Some(gone) = heard.map(|node| node.gone) else {
            continue;
        };
        if tree.is_watched(&id) {
            continue;
        }
        if gone {
            tree.remove(&id);
        } else {
            tree.change(&id, |node| {
                node.reported = None;
                node.due = false;
            });
        }
    }
}
