//! What an agent must not forget: its place in the numbered sequence, what it has not got across yet, and how far
//! scans are (R-AGT-3).
//!
//! One SQLite database, one thread. Everything asked for while a transaction runs shares the next one, so a thousand
//! reports cost one flush. Inline bytes stay in memory only: after a restart they are read from the repository again.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tandem_proto::v1::{ChangeItem, Welcome};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{roots::Named, strip::for_each_content};
use self::{
    rows::Rows,
    writer::{Durability, Job},
};

mod roots;
mod rows;
mod strip;
#[cfg(test)]
mod tests;
mod writer;

/// Batches that may wait for their acceptance.
pub const PENDING_BATCHES_MAX: usize = 256;
/// Bytes of waiting batches, inline content included; also what they may hold in memory.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests that wait for the writer.
const REQUESTS_MAX: usize = 64;

/// What the outbox could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refused.
    #[error("the agent's outbox cannot be written: {}", said(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// The folder of the database cannot be used.
    #[error("the agent's outbox cannot be opened: {0}")]
    Io(#[from] std::io::Error),
    /// A row does not decode.
    #[error("the agent's outbox holds a batch that cannot be read: {0}")]
    Corrupt(#[from] prost::DecodeError),
    /// The writer is gone: the process is about to end.
    #[error("the agent's outbox is closed")]
    Closed,
    /// The whole transaction failed; the message is the cause.
    #[error("the agent's outbox cannot commit: {0}")]
    Commit(String),
}

/// What SQLite says, with the remedy where people have one.
fn said(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => format!("{error}: make room on its disk"),
        _ => error.to_string(),
    }
}

/// Who the agent is to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The generation that the state belongs to; 0 before the first session.
    pub generation: i64,
    /// The key to be shown in the next `hello`.
    pub resume_key: Bytes,
    /// The last batch whose answer is stored; 0 before the first.
    pub last_number: i64,
    /// Its id.
    pub last_id: Bytes,
}

/// A batch that is numbered, has its id, and is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Its number.
    pub number: i64,
    /// Its id, 16 random bytes.
    pub id: Bytes,
    /// Its items; with inline bytes as long as the process lives.
    pub items: Arc<Vec<ChangeItem>>,
    bytes: usize,
}

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanState {
    /// The scan, 16 bytes.
    pub scan_id: Bytes,
    /// Where it goes on; opaque.
    pub position: Vec<u8>,
    /// True when its end was reported.
    pub done: bool,
}

/// What the handshake says about the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What is still pending is sent again.
    Continues,
    /// Another generation: outbox and reported state are void (R-AGT-4).
    NewGeneration,
    /// Both remember different batches; the next `hello` says so.
    RollbackSuspected,
}

/// The durable outbox of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

/// The right to append one batch now, in the order of the calls.
#[derive(Debug)]
pub struct Slot<'a> {
    permit: mpsc::Permit<'a, Job>,
    shared: Arc<Shared>,
}

/// Resolves when what was appended is durable.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), Error>>);

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    changed: watch::Sender<u64>,
}

/// What the rows say, for those who only look.
#[derive(Debug, Default)]
struct Memory {
    identity: Identity,
    pending: BTreeMap<i64, Pending>,
    bytes: usize,
}

// === impl Shared ===

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let result = change(&mut self.memory());
        self.changed.send_modify(|version| *version += 1);
        result
    }
}

impl Memory {
    fn insert(&mut self, pending: Pending) {
        self.bytes += pending.bytes;
        if let Some(old) = self.pending.insert(pending.number, pending) {
            self.bytes -= old.bytes;
        }
    }

    fn accept_through(&mut self, number: i64) {
        let rest = self.pending.split_off(&(number + 1));
        let accepted = std::mem::replace(&mut self.pending, rest);
        self.bytes -= accepted.values().map(|batch| batch.bytes).sum::<usize>();
        if let Some((_, last)) = accepted.into_iter().next_back() {
            self.identity.last_number = last.number;
            self.identity.last_id = last.id;
        }
    }

    fn take_out(&mut self, number: i64, ids: Vec<Bytes>) {
        let gone = self.pending.split_off(&number);
        self.bytes -= gone.values().map(|batch| batch.bytes).sum::<usize>();
        let later = gone.into_values().filter(|batch| batch.number > number);
        for (batch, id) in later.zip(ids) {
            self.insert(Pending {
                number: batch.number - 1,
                id,
                ..batch
            });
        }
    }

    fn restart(&mut self, identity: Identity) {
        self.pending.clear();
        self.bytes = 0;
        self.identity = identity;
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_BATCHES_MAX || self.bytes >= PENDING_BYTES_MAX
    }
}

// === impl Outbox ===

impl Outbox {
    /// Opens or makes the outbox at a path.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Self::start(rusqlite::Connection::open(path)?)
    }

    /// An outbox that forgets everything with the process.
    pub fn in_memory() -> Result<Self, Error> {
        Self::start(rusqlite::Connection::open_in_memory()?)
    }

    fn start(connection: rusqlite::Connection) -> Result<Self, Error> {
        let rows = Rows::new(connection)?;
        let mut memory = Memory {
            identity: rows.identity()?,
            ..Memory::default()
        };
        for (number, id, payload) in rows.pending()? {
            let bytes = payload.len();
            let items = Arc::new(strip::decode(&payload)?);
            memory.insert(Pending {
                number,
                id,
                items,
                bytes,
            });
        }
        let (jobs, queue) = mpsc::channel(REQUESTS_MAX);
        writer::spawn(rows, queue)?;
        let shared = Arc::new(Shared {
            memory: Mutex::new(memory),
            changed: watch::Sender::new(0),
        });
        Ok(Self { jobs, shared })
    }

    /// Who the agent is to the coordinator.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.memory().identity.clone()
    }

    /// The waiting batches, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        self.shared.memory().pending.values().cloned().collect()
    }

    /// The waiting batch with this number.
    #[must_use]
    pub fn get(&self, number: i64) -> Option<Pending> {
        self.shared.memory().pending.get(&number).cloned()
    }

    /// How many batches wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.memory().pending.len()
    }

    /// True when everything reported is accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whenever batches were added, accepted or rewritten.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits until another batch fits. Several may then append; the bound holds up to that many batches.
    pub async fn room(&self) {
        let mut changes = self.changes();
        while self.shared.memory().is_full() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for the right to append; what is appended through it then stands in line at once.
    pub async fn slot(&self) -> Result<Slot<'_>, Error> {
        let permit = self.jobs.reserve().await.map_err(|_| Error::Closed)?;
        Ok(Slot {
            permit,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Numbers a batch and makes it durable, together with how far a scan is.
    pub async fn append(
        &self,
        items: Vec<ChangeItem>,
        scan: Option<ScanState>,
    ) -> Result<(), Error> {
        self.slot().await?.append(items, scan).wait().await
    }

    /// Stores the key to be shown in the next `hello`.
    pub async fn store_resume_key(&self, key: Bytes) -> Result<(), Error> {
        let stored = key.clone();
        let work = move |rows: &Rows| rows.store_resume_key(&key);
        self.run(work, move |memory, ()| memory.identity.resume_key = stored)
            .await
    }

    /// All batches up to this number are accepted. Should the machine forget it in a crash, they are sent again, and the
    /// coordinator's next welcome tells it.
    pub async fn accepted(&self, number: i64) -> Result<(), Error> {
        let Some(batch) = self.get(number) else {
            return Ok(());
        };
        let work = move |rows: &Rows| rows.accept(batch.number, &batch.id);
        let after = move |memory: &mut Memory, ()| memory.accept_through(number);
        self.run_with(Durability::Later, work, after).await
    }

    /// Gives a refused batch other items and a new id under the same number. Without items it is taken out, and the
    /// later ones, which cannot have been accepted either, move up under new ids.
    pub async fn rewrite(&self, number: i64, items: Vec<ChangeItem>) -> Result<(), Error> {
        if items.is_empty() {
            let work = move |rows: &Rows| rows.take_out(number);
            return self
                .run(work, move |memory, ids| memory.take_out(number, ids))
                .await;
        }
        let (payload, bytes) = strip::encode(&items);
        let id = new_id();
        let batch = Pending {
            number,
            id: id.clone(),
            items: Arc::new(items),
            bytes,
        };
        let work = move |rows: &Rows| rows.rewrite(number, &id, &payload);
        self.run(work, move |memory, ()| memory.insert(batch)).await
    }

    /// Compares the outbox with what the coordinator remembers, and drops what that one has accepted (R-AGT-3).
    pub async fn settle(&self, welcome: &Welcome) -> Result<Standing, Error> {
        let identity = self.identity();
        if welcome.generation != identity.generation {
            return Ok(Standing::NewGeneration);
        }
        let same = |number: i64, id: &Bytes| {
            welcome.last_batch_number == number && welcome.last_batch_id == *id
        };
        if same(identity.last_number, &identity.last_id) {
            return Ok(Standing::Continues);
        }
        match self.get(welcome.last_batch_number) {
            Some(batch) if same(batch.number, &batch.id) => {
                self.accepted(batch.number).await?;
                Ok(Standing::Continues)
            }
            _ => Ok(Standing::RollbackSuspected),
        }
    }

    /// Drops everything but the resume key and goes on from the coordinator's last batch (R-AGT-4).
    pub async fn begin_generation(&self, welcome: &Welcome) -> Result<(), Error> {
        let identity = Identity {
            generation: welcome.generation,
            resume_key: self.identity().resume_key,
            last_number: welcome.last_batch_number,
            last_id: welcome.last_batch_id.clone(),
        };
        self.replace(identity).await
    }

    /// Notes that the coordinator remembers other batches: the next `hello` carries no generation, so that a new one
    /// begins (R-AGT-4).
    pub async fn doubt_generation(&self) -> Result<(), Error> {
        self.replace(Identity {
            generation: 0,
            ..self.identity()
        })
        .await
    }

    async fn replace(&self, identity: Identity) -> Result<(), Error> {
        let stored = identity.clone();
        let work = move |rows: &Rows| rows.replace(&stored);
        self.run(work, move |memory, ()| memory.restart(identity))
            .await
    }

    /// How far a scan is; nothing of scans that are not known.
    pub async fn scan(&self, scan_id: Bytes) -> Result<Option<ScanState>, Error> {
        self.run(move |rows| rows.scan(&scan_id), |_, state| state)
            .await
    }

    /// Forgets all scans but these.
    pub async fn keep_scans(&self, scan_ids: Vec<Bytes>) -> Result<(), Error> {
        self.run(move |rows| rows.keep_scans(&scan_ids), |_, ()| ())
            .await
    }

    /// Does the work in the next transaction, and after its commit what follows for those who only look.
    async fn run<T: 'static, U: Send + 'static>(
        &self,
        work: impl FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
        after: impl FnOnce(&mut Memory, T) -> U + Send + 'static,
    ) -> Result<U, Error> {
        self.run_with(Durability::Now, work, after).await
    }

    async fn run_with<T: 'static, U: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
        after: impl FnOnce(&mut Memory, T) -> U + Send + 'static,
    ) -> Result<U, Error> {
        let permit = self.jobs.reserve().await.map_err(|_| Error::Closed)?;
        let (answer, receipt) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        permit.send(writer::job(durability, work, move |result| {
            let result = result.map(|value| shared.update(|memory| after(memory, value)));
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }));
        receipt.await.map_err(|_| Error::Closed)?
    }
}

// === impl Slot ===

impl Slot<'_> {
    /// Puts a batch in line; its number is the next one. Synchronous, so the caller may hold a lock that decides
    /// about order.
    #[must_use]
    pub fn append(self, items: Vec<ChangeItem>, scan: Option<ScanState>) -> Receipt {
        self.append_all(vec![items], scan)
    }

    /// Puts several batches in line, which become durable together; those without items are left out.
    #[must_use]
    pub fn append_all(self, batches: Vec<Vec<ChangeItem>>, scan: Option<ScanState>) -> Receipt {
        let batches = batches.into_iter().filter(|items| !items.is_empty());
        let batches: Vec<Encoded> = batches.map(Encoded::new).collect();
        let shared = self.shared;
        tandem_crash::at("K1");
        let work = move |rows: &Rows| {
            if let Some(scan) = &scan {
                rows.store_scan(scan)?;
            }
            let numbered = batches.into_iter().map(|batch| batch.store(rows));
            numbered.collect::<Result<Vec<Pending>, Error>>()
        };
        let (confirm, receipt) = oneshot::channel();
        let then = move |stored: Result<Vec<Pending>, Error>| {
            let done = stored.map(|pending| {
                if !pending.is_empty() {
                    shared.update(|memory| pending.into_iter().for_each(|one| memory.insert(one)));
                }
            });
            // Whoever asked may have gone.
            let _ = confirm.send(done);
        };
        self.permit.send(writer::job(Durability::Now, work, then));
        Receipt(receipt)
    }
}

/// A batch as it is stored.
struct Encoded {
    id: Bytes,
    items: Vec<ChangeItem>,
    payload: Bytes,
    bytes: usize,
}

impl Encoded {
    fn new(items: Vec<ChangeItem>) -> Self {
        let (payload, bytes) = strip::encode(&items);
        Self {
            id: new_id(),
            items,
            payload,
            bytes,
        }
    }

    fn store(self, rows: &Rows) -> Result<Pending, Error> {
        let number = rows.append(&self.id, &self.payload)?;
        Ok(Pending {
            number,
            id: self.id,
            items: Arc::new(self.items),
            bytes: self.bytes,
        })
    }
}

// === impl Receipt ===

impl Receipt {
    /// Waits until the batch is durable.
    pub async fn wait(self) -> Result<(), Error> {
        self.0.await.map_err(|_| Error::Closed)?
    }
}

fn new_id() -> Bytes {
    Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes())
}
