//! The writer of each network: takes what waits, and makes one transaction of it (ARCHITECTURE, one writer).
//!
//! While a group commits, the next one gathers by itself. What has many rows (a folder that is gone, a set that ends)
//! is done in small steps between the groups, so that a live change never waits long.

mod content;
mod group;
mod imports;
mod links;
mod management;
mod steps;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use links::Linking;

use super::error::StorageError;
use super::wakeup::Wakeup;
use super::{Clock, Error};
use crate::domain::engine::{Ending, Note, Request};
use crate::domain::ids::{BatchId, Digest, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::journal::{Entry, JournalKind};
use crate::domain::limits::{
    INGEST_GATHER_ITEMS_MIN, INGEST_GATHER_MILLISECONDS, INGEST_GROUP_ITEMS_MAX, INGEST_QUEUE_MAX,
};
use crate::domain::projection::Side;
use crate::domain::report::Item;
use crate::storage::Store;
use crate::storage::sync::walks::SetJobKind;

pub use imports::{ImportStep, Imported, ImportedMember};

/// A batch of one repository's agent, decoded and checked.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose it is; from the credential.
    pub repository: RepositoryId,
    /// The epoch of its session.
    pub epoch: i64,
    /// Its number.
    pub number: i64,
    /// Its id.
    pub id: BatchId,
    /// The agent's own note.
    pub cursor: Vec<u8>,
    /// What it reports.
    pub items: Vec<Item>,
    /// Content that rode inline, verified.
    pub inline: Vec<(Digest, Bytes)>,
}

/// How a batch was answered; the same for every repeat (R-AGT-3).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Accepted {
    /// Remarks on its items.
    pub notes: Vec<StoredNote>,
}

/// A remark, as it is kept with the answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredNote {
    /// The item, from 0.
    pub item: usize,
    /// The child of a scan page, from 0.
    pub child: usize,
    /// The parents are to be reported first.
    pub unknown_parent: bool,
    /// The node is a member that fails because of what the item says.
    #[serde(default)]
    pub failed: bool,
    /// Why it is not synced.
    pub reason: String,
}

impl From<&Note> for StoredNote {
    fn from(note: &Note) -> Self {
        use crate::domain::engine::NoteKind;
        let reason = match note.kind {
            NoteKind::UnknownParent => "the parent is not known; report the parents first",
            NoteKind::NotSynced(reason) | NoteKind::NodeFailed(reason) => reason,
        };
        Self {
            item: note.item,
            child: note.child,
            unknown_parent: note.kind == NoteKind::UnknownParent,
            failed: matches!(note.kind, NoteKind::NodeFailed(_)),
            reason: reason.to_owned(),
        }
    }
}

/// A request to make a set that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatable {
    /// Names it.
    pub request: Vec<u8>,
    /// What is left out of the set, as it is told again.
    pub skipped: Vec<u8>,
}

/// Something that changes a network.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A batch.
    Batch(Box<Batch>),
    /// What a person asked for.
    Request(Request),
    /// A new set, and the request that made it.
    CreateSet(Option<Repeatable>, Request),
    /// Work on all members of a set.
    SetJob(SyncSetId, SetJobKind, String),
    /// A set ends.
    EndSet(Ending),
    /// A set is given to another owner: set, owner, who asked for it.
    Transfer(SyncSetId, String, String),
    /// Every watched folder of a repository, or this one, is to be listed again.
    Scan(RepositoryId, Option<NodeId>, bool),
    /// A repository is paused or resumed.
    PauseRepository(RepositoryPause),
    /// A step of an import.
    Import(ImportStep),
    /// A user links an account.
    LinkAccount(Linking),
}

/// A pause of a repository that begins or ends (R-SET-7).
#[derive(Debug, Clone)]
pub struct RepositoryPause {
    /// The repository.
    pub repository: RepositoryId,
    /// Its side.
    pub side: Side,
    /// Its name, for the journal.
    pub name: String,
    /// It begins.
    pub paused: bool,
    /// Who asked for it.
    pub actor: String,
}

impl RepositoryPause {
    /// What the journal tells of it.
    fn entry(&self) -> Entry {
        let (kind, message) = match self.paused {
            true => (JournalKind::Paused, "repository paused"),
            false => (JournalKind::Resumed, "repository resumed"),
        };
        Entry {
            kind,
            set: None,
            member: None,
            side: Some(self.side),
            actor: self.actor.clone(),
            node_name: self.name.clone(),
            message: message.to_owned(),
        }
    }
}

impl Change {
    /// The batch that it is, if it is one.
    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Batch(batch) => Some(batch),
            Self::Request(_)
            | Self::CreateSet(..)
            | Self::SetJob(..)
            | Self::EndSet(_)
            | Self::Transfer(..)
            | Self::Scan(..)
            | Self::PauseRepository(_)
            | Self::Import(_)
            | Self::LinkAccount(_) => None,
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// A batch was accepted.
    Accepted(Accepted),
    /// There is nothing to tell.
    Plain,
    /// A set was made, now or by an earlier try.
    Set(SyncSetId),
    /// What became of a step of an import.
    Imported(Imported),
}

/// A batch that the writer has.
#[derive(Debug)]
pub struct Pending {
    done: oneshot::Receiver<Result<Done, Error>>,
}

impl Pending {
    /// Waits for the answer; accepted means durable.
    ///
    /// # Errors
    /// The reason for which the batch is refused whole.
    pub async fn answer(self) -> Result<Accepted, Error> {
        match self.done.await.map_err(|_| Error::Draining)?? {
            Done::Accepted(accepted) => Ok(accepted),
            Done::Plain | Done::Set(_) | Done::Imported(_) => Ok(Accepted { notes: Vec::new() }),
        }
    }
}

/// A change and who waits for it.
#[derive(Debug)]
struct Job {
    change: Arc<Change>,
    reply: oneshot::Sender<Result<Done, Error>>,
}

impl Job {
    fn creates_set(&self) -> bool {
        matches!(*self.change, Change::CreateSet(..))
    }

    fn items(&self) -> usize {
        match &*self.change {
            Change::Batch(batch) => batch
                .items
                .iter()
                .map(|item| 1 + item.observations().count())
                .sum(),
            Change::Import(ImportStep::Members(members)) => members.len(),
            _ => 1,
        }
    }
}

/// The way to the writers of all networks; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Ingest {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Clock,
    wakeup: Wakeup,
    tasks: TaskTracker,
    stop: CancellationToken,
    queues: Mutex<HashMap<NetworkId, mpsc::Sender<Job>>>,
}

impl Ingest {
    /// Writers over a database; each network's begins with its first change, or with [`Ingest::resume`].
    #[must_use]
    pub fn new(store: Store, clock: Clock, wakeup: Wakeup, tasks: TaskTracker) -> Self {
        let stop = CancellationToken::new();
        let queues = Mutex::default();
        Self {
            parts: Arc::new(Parts {
                store,
                clock,
                wakeup,
                tasks,
                stop,
                queues,
            }),
        }
    }

    /// Begins the writers of networks that have steps left from before.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn resume(&self) -> Result<(), Error> {
        for network in self.parts.store.networks_with_steps().await? {
            drop(self.queue(network));
        }
        Ok(())
    }

    /// Ends the writers once what waits is written.
    pub fn stop(&self) {
        self.parts.stop.cancel();
        self.parts
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Hands a batch to the writer, behind those handed over before; waits only while the writer's queue is full.
    ///
    /// # Errors
    /// [`Error::Draining`].
    pub async fn begin(&self, network: NetworkId, batch: Batch) -> Result<Pending, Error> {
        tandem_crash::at("S2");
        let done = self
            .hand_over(network, Change::Batch(Box::new(batch)))
            .await?;
        Ok(Pending { done })
    }

    async fn hand_over(
        &self,
        network: NetworkId,
        change: Change,
    ) -> Result<oneshot::Receiver<Result<Done, Error>>, Error> {
        let (reply, done) = oneshot::channel();
        let job = Job {
            change: Arc::new(change),
            reply,
        };
        self.queue(network)
            .send(job)
            .await
            .map_err(|_| Error::Draining)?;
        Ok(done)
    }

    async fn submit(&self, network: NetworkId, change: Change) -> Result<Done, Error> {
        self.hand_over(network, change)
            .await?
            .await
            .map_err(|_| Error::Draining)?
    }

    fn queue(&self, network: NetworkId) -> mpsc::Sender<Job> {
        let mut queues = self
            .parts
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&network).filter(|queue| !queue.is_closed()) {
            return queue.clone();
        }
        let (queue, jobs) = mpsc::channel(INGEST_QUEUE_MAX);
        if self.parts.stop.is_cancelled() {
            return queue;
        }
        let writer = Writer {
            parts: self.parts.clone(),
            network,
            jobs,
        };
        self.parts.tasks.spawn(writer.run());
        queues.insert(network, queue.clone());
        queue
    }
}

/// The writer of one network.
struct Writer {
    parts: Arc<Parts>,
    network: NetworkId,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    async fn run(mut self) {
        let mut steps_left = true;
        loop {
            let group = if steps_left {
                self.waiting()
            } else {
                self.next_group().await
            };
            if group.is_empty() && !steps_left {
                return;
            }
            if !group.is_empty() {
                steps_left |= self.commit(group).await;
            }
            if steps_left && !self.parts.stop.is_cancelled() {
                steps_left = self.step().await;
            } else if self.parts.stop.is_cancelled() && self.jobs.is_empty() {
                return;
            }
        }
    }

    /// Waits for a change, and takes what came with it.
    async fn next_group(&mut self) -> Vec<Job> {
        let first = tokio::select! {
            first = self.jobs.recv() => first,
            () = self.parts.stop.cancelled() => {
                self.jobs.close();
                self.jobs.recv().await
            }
        };
        let Some(first) = first else {
            return Vec::new();
        };
        let mut group = vec![first];
        self.fill(&mut group);
        self.gather(&mut group).await;
        group
    }

    /// Where many items come, more follow soon; together they cost a commit once.
    async fn gather(&mut self, group: &mut Vec<Job>) {
        let items = |group: &[Job]| group.iter().map(Job::items).sum::<usize>();
        let deadline = Instant::now() + Duration::from_millis(INGEST_GATHER_MILLISECONDS);
        while (INGEST_GATHER_ITEMS_MIN..INGEST_GROUP_ITEMS_MAX).contains(&items(group))
            && !group.last().is_some_and(Job::creates_set)
        {
            match timeout_at(deadline, self.jobs.recv()).await {
                Ok(Some(job)) => group.push(job),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// What waits now.
    fn waiting(&mut self) -> Vec<Job> {
        let mut group = Vec::new();
        self.fill(&mut group);
        group
    }

    fn fill(&mut self, group: &mut Vec<Job>) {
        let mut items: usize = group.iter().map(Job::items).sum();
        // R-SET-5: a creation is checked against what is committed, so it is the last of its group.
        while items < INGEST_GROUP_ITEMS_MAX && !group.last().is_some_and(Job::creates_set) {
            let Ok(job) = self.jobs.try_recv() else {
                return;
            };
            items += job.items();
            group.push(job);
        }
    }

    /// Commits a group; one that fails is repeated change by change, so that a poisoned one fails alone.
    async fn commit(&self, group: Vec<Job>) -> bool {
        let changes: Vec<Arc<Change>> = group.iter().map(|job| job.change.clone()).collect();
        match self.write(&changes).await {
            Ok(written) => {
                self.parts.wakeup.ring(self.network, &written.wake);
                for (job, done) in group.into_iter().zip(written.done) {
                    if job.change.batch().is_some() {
                        tandem_crash::at("S5");
                    }
                    let _ = job.reply.send(done);
                }
                written.steps
            }
            Err(_) if group.len() > 1 => {
                let mut steps = false;
                for job in group {
                    steps |= Box::pin(self.commit(vec![job])).await;
                }
                steps
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(network = self.network.0, %error, source, "a change could not be written");
                for job in group {
                    let _ = job.reply.send(Err(unwritten(&error)));
                }
                // It may be committed all the same, when only the answer was lost: a repeat tells nobody of its steps.
                self.parts.wakeup.ring_all();
                true
            }
        }
    }
}

/// What whoever waits for a change that could not be written is told: it is worth another try.
fn unwritten(error: &Error) -> Error {
    match error {
        Error::Storage(StorageError::Full(_)) => Error::StoreFull,
        _ => Error::StoreUnavailable,
    }
}
