//! What all parts of the connector share: the disk, the index, the tree under its lock, and the versions.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rusqlite::Transaction;
use tandem_proto::v1::{NameRule, Observation};
use uuid::Uuid;

use super::{
    disk::Disk,
    faults::Faults,
    index::{self, Index},
    look::{self, Eyes},
    node::Node,
    options::Options,
    os::{self, FileKind},
    pending::{Pending, Place, Todo},
    reading::{self, Reading},
    tree::Tree,
    versions::Versions,
    watch::Watcher,
};
use crate::agent::{
    manifests::Manifests,
    repository::{Error, INLINE_BYTES_MAX},
};

/// A file that cannot be read is tried again after this time, or when something happens to it.
const UNREADABLE_REST: Duration = Duration::from_secs(60);

/// What the lock guards. Nothing is read or hashed under it but what an apply has to be sure of.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tree: Tree,
    /// Nodes that are due but may not be looked at before this time.
    pub(super) resting: HashMap<Uuid, Instant>,
    /// Nodes that a walk did not find, in a synced folder that it found gone or empty (R-DEL-3).
    pub(super) emptied: HashSet<Uuid>,
}

impl State {
    /// After a walk: whoever is missing from a synced folder that is gone or empty was not seen to go. A document that was
    /// chosen alone is no such folder.
    pub(super) fn note_emptied(&mut self) {
        let tree = &self.tree;
        let roots = tree.watched().keys();
        let emptied: Vec<Uuid> = roots
            .filter(|root| {
                let document = tree
                    .get(root)
                    .is_some_and(|node| node.kind == FileKind::File);
                let empty = tree.live(root).is_none() || tree.children(root).next().is_none();
                empty && !document
            })
            .copied()
            .collect();
        if emptied.is_empty() {
            return;
        }
        let missing = tree.due().filter(|id| {
            let gone = tree.get(id).is_some_and(|node| node.gone);
            let above = tree.ancestors(id);
            gone && emptied
                .iter()
                .any(|root| root == id || above.contains(root))
        });
        self.emptied.extend(missing);
    }
}

/// The connector.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) installation_id: String,
    pub(super) index_id: String,
    pub(super) name_rule: NameRule,
    pub(super) disk: Disk,
    pub(super) pending: Arc<Pending>,
    pub(super) watcher: Watcher,
    pub(super) versions: Versions,
    pub(super) faults: Faults,
    /// What large files that were read are made of.
    pub(super) manifests: Manifests,
    /// The root was away; what is remembered of it has to be checked when it is back.
    pub(super) lost: AtomicBool,
    /// Nothing that changed waits to be offered, but for files that cannot be read.
    pub(super) at_rest: AtomicBool,
    pub(super) state: Mutex<State>,
    // Last, so that everything else is done with it when its thread is joined.
    pub(super) index: Index,
}

/// What came of looking at a node afresh.
#[derive(Debug)]
pub(super) enum Fresh {
    /// It is as the tree says now; with its bytes if they are wanted and few.
    Known(Option<Bytes>),
    /// Somebody is writing it.
    Unsettled,
    /// It is not where it was; its place will be looked at.
    Elsewhere,
    /// It is there, but cannot be read.
    Unreadable(String),
}

/// Which content is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What may have changed, and what is small and not yet reported.
    Needed,
    /// Everything.
    All,
}

struct Job {
    node: Node,
    path: String,
    with_content: bool,
}

/// An error of the operating system, as the runtime sees it.
pub(super) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}

impl Core {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn eyes(&self) -> Eyes<'_> {
        Eyes {
            disk: &self.disk,
            pending: &self.pending,
            watcher: &self.watcher,
        }
    }

    /// Writes to the index what differs from it. New ids are flushed, because they are going to be told; the rest a crash
    /// of the machine may undo, then it is found and told again.
    pub(super) fn save(&self, state: &mut State) -> io::Result<()> {
        if state.tree.is_saved() {
            return Ok(());
        }
        self.save_with(state, false, |_| Ok(()))
    }

    /// As [`Core::save`], with more in the same transaction that may be undone too, unless all is to be flushed.
    pub(super) fn save_with(
        &self,
        state: &mut State,
        flush: bool,
        more: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let new = state.tree.take_new();
        let (written, forgotten) = state.tree.take_unsaved();
        let ids = written.iter().map(|node| node.id);
        let ids: Vec<Uuid> = ids.chain(forgotten.iter().copied()).collect();
        let save = move |transaction: &Transaction<'_>| {
            index::save(transaction, &written, &forgotten)?;
            more(transaction)
        };
        let saved = if flush || !new.is_empty() {
            self.index.run(save)
        } else {
            self.index.run_unflushed(save)
        };
        if saved.is_err() {
            state.tree.note_unsaved(ids, new);
        }
        saved
    }

    /// Looks at what happened; true when there was something to look at.
    pub(super) fn catch_up(&self, all: bool) -> Result<Option<Instant>, Error> {
        self.watcher.hear(&self.pending);
        let todo = self.pending.take(self.options.settle(), all);
        let (settled, waiting) = match todo {
            Todo::Wait(next) => return Ok(next),
            Todo::Walk => (None, Vec::new()),
            Todo::Places(settled, waiting) => (Some(settled), waiting),
        };
        let mut state = self.state();
        self.disk.check()?;
        match settled {
            None => {
                look::walk(self.eyes(), &mut state.tree);
                state.note_emptied();
            }
            Some(settled) => {
                self.versions.late_writes(self, &settled);
                look::places(self.eyes(), &mut state.tree, &settled, &waiting);
            }
        }
        Ok(None)
    }

    /// Reads what is not known of some nodes, in parallel and outside the lock.
    pub(super) fn freshen(&self, ids: &[Uuid], depth: Depth) -> HashMap<Uuid, Fresh> {
        let jobs: Vec<Job> = {
            let mut state = self.state();
            ids.iter()
                .filter_map(|id| job(&mut state.tree, id, depth))
                .collect()
        };
        let readings = reading::in_parallel(&jobs, |job| self.read(job));
        let mut state = self.state();
        let jobs = jobs.into_iter().zip(readings);
        jobs.map(|(job, reading)| (job.node.id, self.record(&mut state, &job.node, reading)))
            .collect()
    }

    fn read(&self, job: &Job) -> io::Result<Reading> {
        if matches!(job.node.kind, FileKind::Link | FileKind::Special) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.disk.file_at(&job.path)?;
        if os::stat(&file)?.inode != job.node.print.inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        let attributes = self.disk.attributes;
        let settle = self.options.settle();
        reading::read(&file, &job.node, job.with_content, attributes, settle)
    }

    fn record(&self, state: &mut State, job: &Node, reading: io::Result<Reading>) -> Fresh {
        let id = job.id;
        let Some(node) = state
            .tree
            .live(&id)
            .filter(|node| node.print.inode == job.print.inode)
        else {
            return Fresh::Elsewhere;
        };
        if matches!(job.kind, FileKind::Link | FileKind::Special) {
            return Fresh::Known(None);
        }
        let place = Place {
            folder: node.parent,
            name: node.name.to_string(),
        };
        match reading {
            Ok(reading) if reading.settled => {
                let inline = reading.inline.clone();
                if let (Some(known), Some(manifest)) = (reading.known, reading.manifest) {
                    self.manifests.remember(&known.digest, &manifest);
                }
                state.resting.remove(&id);
                state.tree.change(&id, |node| {
                    node.print = (&reading.stat).into();
                    node.known = reading.known;
                    node.properties = reading.properties;
                    node.tagged = reading.tagged;
                    node.read = true;
                });
                Fresh::Known(inline)
            }
            Ok(_) => {
                let rest = Instant::now() + self.options.settle();
                state.resting.insert(id, rest);
                Fresh::Unsettled
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let rest = Instant::now() + self.options.settle();
                state.resting.insert(id, rest);
                self.pending.add(&place);
                Fresh::Elsewhere
            }
            Err(error) => {
                tracing::warn!(path = ?state.tree.path(&id), %error, "a file cannot be read");
                state.resting.insert(id, Instant::now() + UNREADABLE_REST);
                Fresh::Unreadable(error.to_string())
            }
        }
    }

    /// Looks at one node until nobody writes it any more; `None` when it is gone.
    pub(super) fn observe_one(&self, id: &Uuid) -> Option<(Fresh, Option<Observation>)> {
        self.state().tree.live(id)?;
        let mut fresh = self.freshen(&[*id], Depth::Needed);
        let fresh = fresh.remove(id).unwrap_or(Fresh::Known(None));
        let state = self.state();
        let node = state.tree.live(id)?;
        let seen = match &fresh {
            Fresh::Known(inline) => Some(node.observation(inline.clone())),
            _ => None,
        };
        Some((fresh, seen))
    }
}

/// What has to be read of a node; `None` when nothing has.
fn job(tree: &mut Tree, id: &Uuid, depth: Depth) -> Option<Job> {
    let node = tree.live(id)?;
    let small = node.print.size <= INLINE_BYTES_MAX;
    let unheard = || node.reported != Some(node.revision());
    let with_content =
        node.kind == FileKind::File && (depth == Depth::All || !node.read || (small && unheard()));
    if node.read && !with_content && depth == Depth::Needed {
        return None;
    }
    Some(Job {
        node: node.clone(),
        path: tree.path(id)?,
        with_content,
    })
}
