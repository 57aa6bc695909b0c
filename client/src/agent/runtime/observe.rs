//! Looks at nodes again that the coordinator asks for, or whose parents it does not know (R-REC-7).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tandem_proto::v1::{Absence, AbsenceKind, Observation, observation};
use tokio::sync::Notify;

use super::conversation::Conversation;
use crate::{
    agent::repository::{Repository, Seen},
    error::Error,
    recover::Backoff,
};

/// Nodes that may wait for another look; beyond that the next scan finds them.
const WAITING_MAX: usize = 100_000;
/// Nodes looked at together.
const NODES_MAX: usize = 500;
/// How often a node is reported together with its parents, before it is given up with an error in the log.
const PARENT_TRIES_MAX: u32 = 5;
/// Folders above a node; more is taken for a ring.
const DEPTH_MAX: usize = 256;

/// The nodes that wait for another look.
#[derive(Debug, Default)]
pub(super) struct Again {
    state: Mutex<State>,
    added: Notify,
}

/// How nodes are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    /// The folders above them are to be reported first.
    parents: bool,
    /// Their content is to be read, whatever the index remembers of it.
    read: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The nodes, and how.
    waiting: HashMap<String, Look>,
    tries: HashMap<String, u32>,
    /// Documents of which the coordinator heard nothing since they are watched.
    unheard: HashSet<String>,
}

// === impl Again ===

impl Again {
    /// Asks for another look at nodes.
    pub(super) fn look(&self, node_ids: impl IntoIterator<Item = String>) {
        let look = Look::default();
        self.add(node_ids.into_iter().map(|node_id| (node_id, look)));
    }

    /// The same, and has their content read.
    pub(super) fn read(&self, node_ids: impl IntoIterator<Item = String>) {
        let look = Look {
            read: true,
            ..Look::default()
        };
        self.add(node_ids.into_iter().map(|node_id| (node_id, look)));
    }

    /// Asks for a look at documents that are watched since now: how they were when they were watched before is forgotten.
    pub(super) fn look_for_the_first_time(&self, node_ids: Vec<String>) {
        self.lock().unheard.extend(node_ids.iter().cloned());
        self.look(node_ids);
    }

    /// Those of the nodes that are such documents, and are none from now on.
    fn heard(&self, seen: &[Seen]) -> Vec<String> {
        let mut state = self.lock();
        let heard = seen
            .iter()
            .filter_map(|seen| state.unheard.take(&seen.node_id));
        heard.collect()
    }

    /// Asks for another look at nodes whose parents the coordinator does not know.
    pub(super) fn look_with_parents(&self, node_ids: impl IntoIterator<Item = String>) {
        let mut wanted = Vec::new();
        {
            let mut state = self.lock();
            if state.tries.len() > WAITING_MAX {
                state.tries.clear();
            }
            for node_id in node_ids {
                let tries = state.tries.entry(node_id.clone()).or_default();
                *tries += 1;
                if *tries > PARENT_TRIES_MAX {
                    tracing::error!(node = %node_id, "the coordinator does not know the folders above the node; scan the root again");
                } else {
                    let look = Look {
                        parents: true,
                        ..Look::default()
                    };
                    wanted.push((node_id, look));
                }
            }
        }
        self.add(wanted);
    }

    fn add(&self, wanted: impl IntoIterator<Item = (String, Look)>) {
        let mut state = self.lock();
        for (node_id, look) in wanted {
            if state.waiting.len() >= WAITING_MAX {
                tracing::error!("too many nodes wait for another look; scan the root again");
                break;
            }
            let waiting = state.waiting.entry(node_id).or_default();
            waiting.parents |= look.parents;
            waiting.read |= look.read;
        }
        drop(state);
        self.added.notify_one();
    }

    /// Takes some of the nodes: all of one kind.
    async fn take(&self) -> (Vec<String>, Look) {
        loop {
            if let Some(taken) = self.take_now() {
                return taken;
            }
            self.added.notified().await;
        }
    }

    fn take_now(&self) -> Option<(Vec<String>, Look)> {
        let mut state = self.lock();
        let look = *state.waiting.values().next()?;
        let node_ids: Vec<String> = state
            .waiting
            .iter()
            .filter(|(_, wanted)| **wanted == look)
            .take(NODES_MAX)
            .map(|(node_id, _)| node_id.clone())
            .collect();
        for node_id in &node_ids {
            state.waiting.remove(node_id);
        }
        Some((node_ids, look))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the session stops.
pub(super) async fn run<R: Repository>(conversation: Arc<Conversation<R>>) -> Result<(), Error> {
    while let Some((node_ids, how)) = conversation.unless_stopped(conversation.again.take()).await {
        let looking = look(&conversation, node_ids, how);
        if let Some(looked) = conversation.unless_stopped(looking).await {
            looked?;
        }
    }
    Ok(())
}

/// Reports the nodes; what a delivery touches meanwhile is read again after its outcome.
async fn look<R: Repository>(
    conversation: &Conversation<R>,
    mut node_ids: Vec<String>,
    how: Look,
) -> Result<(), Error> {
    let core = &conversation.core;
    let mut backoff = Backoff::new();
    while !node_ids.is_empty() {
        core.outbox.room().await;
        let mut ends = core.applying.ends();
        let since = core.applying.now();
        let observed = match observe(conversation, &node_ids, how).await {
            Ok(observed) => observed,
            Err(error) => {
                conversation.note_trouble(&error);
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
        };
        let all: Vec<String> = observed.iter().map(|seen| seen.node_id.clone()).collect();
        let ready = conversation.with_content(observed).await?;
        let having: HashSet<&String> = ready.iter().map(|seen| &seen.node_id).collect();
        let changed: Vec<String> = all
            .iter()
            .filter(|node_id| !having.contains(node_id))
            .cloned()
            .collect();
        let reported = core.report(ready, since, &conversation.limits).await?;
        let heard = conversation.again.heard(&reported.noted);
        if !heard.is_empty() {
            core.outbox.heard_roots(heard).await?;
        }
        if !reported.touched.is_empty() {
            // The sender cannot be gone: the core holds it.
            let _ = ends.changed().await;
        } else if !changed.is_empty() {
            tokio::time::sleep(backoff.next_delay()).await;
        }
        node_ids = changed;
        node_ids.extend(reported.touched.into_iter().map(|seen| seen.node_id));
    }
    Ok(())
}

async fn observe<R: Repository>(
    conversation: &Conversation<R>,
    node_ids: &[String],
    Look { parents, read }: Look,
) -> Result<Vec<Observation>, crate::agent::repository::Error> {
    let repository = &conversation.core.repository;
    let mut asked = match read {
        true => repository.observe_reading(node_ids).await?,
        false => repository.observe(node_ids).await?,
    };
    if !parents {
        conversation.mark_emptied(&mut asked);
    }
    let mut levels = vec![asked];
    let mut known: HashSet<String> = node_ids.iter().cloned().collect();
    while parents && levels.len() <= DEPTH_MAX {
        let above: Vec<String> = levels
            .last()
            .into_iter()
            .flatten()
            .filter(|seen| !conversation.is_root(&seen.node_id))
            .map(|seen| seen.parent_node_id.clone())
            .filter(|parent| !parent.is_empty() && known.insert(parent.clone()))
            .collect();
        if above.is_empty() {
            break;
        }
        levels.push(repository.observe(&above).await?);
    }
    if parents {
        conversation.take_out(&mut levels);
    }
    Ok(levels.into_iter().rev().flatten().collect())
}

/// The folder of a node that is there; empty for the top of the repository.
fn above(seen: &Observation) -> Option<String> {
    let there = matches!(seen.state, Some(observation::State::Present(_)));
    there.then(|| seen.parent_node_id.clone())
}

impl<R: Repository> Conversation<R> {
    /// A root that is found missing when it is asked for was found so by a scan (R-DEL-3).
    fn mark_emptied(&self, observed: &mut [Observation]) {
        for seen in observed {
            if let Some(observation::State::Absent(absence)) = &mut seen.state {
                absence.root_emptied |= self.is_root(&seen.node_id);
            }
        }
    }

    /// What lies below no root, up to the top of the repository, left it meanwhile: the coordinator would never know the
    /// folders above. All levels are kept, the node before its parents.
    fn take_out(&self, levels: &mut [Vec<Observation>]) {
        let parents: HashMap<String, Option<String>> = levels
            .iter()
            .flatten()
            .map(|seen| (seen.node_id.clone(), above(seen)))
            .collect();
        let kind = match self.core.repository.description().capabilities.move_out {
            true => AbsenceKind::MovedOut,
            false => AbsenceKind::Deleted,
        };
        for seen in levels.iter_mut().flatten() {
            if self.is_outside(&seen.node_id, &parents) {
                *seen = Observation {
                    node_id: std::mem::take(&mut seen.node_id),
                    state: Some(observation::State::Absent(Absence {
                        kind: kind.into(),
                        ..Absence::default()
                    })),
                    ..Observation::default()
                };
            }
        }
    }

    /// Whether all folders above a node are known, and none of them, nor the node, is a root.
    fn is_outside(&self, node_id: &str, parents: &HashMap<String, Option<String>>) -> bool {
        let mut at = node_id;
        for _ in 0..=DEPTH_MAX {
            if self.is_root(at) {
                return false;
            }
            match parents.get(at) {
                Some(Some(parent)) if parent.is_empty() => return true,
                Some(Some(parent)) => at = parent,
                Some(None) | None => return false,
            }
        }
        false
    }

    fn is_root(&self, node_id: &str) -> bool {
        self.roots
            .borrow()
            .iter()
            .flatten()
            .any(|root| root.node_id == node_id)
    }
}
