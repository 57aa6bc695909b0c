//! The index on disk: SQLite on one thread of its own, which takes messages and gives answers.

use std::{collections::HashMap, io, path::Path, sync::mpsc, thread, time::Duration};

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use rustix::io::Errno;
use tandem_proto::v1::Projection;
use uuid::Uuid;

use super::{
    node::{Known, Node, Print, Revision},
    os::{FileKind, Inode},
};
#[cfg(test)]
use crate::agent::trace;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node(
  id BLOB PRIMARY KEY, parent BLOB NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
  inode INTEGER NOT NULL, born INTEGER NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, changed INTEGER NOT NULL,
  digest BLOB, content_size INTEGER, read INTEGER NOT NULL, properties BLOB NOT NULL,
  member BLOB, locked INTEGER, reported BLOB, due INTEGER NOT NULL, gone INTEGER NOT NULL,
  tagged INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent(
  temp TEXT PRIMARY KEY, version BLOB NOT NULL, node BLOB NOT NULL, inode INTEGER NOT NULL,
  born INTEGER NOT NULL, path TEXT NOT NULL, comment TEXT NOT NULL, actor TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version(
  position INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, node BLOB NOT NULL,
  path TEXT NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL, comment TEXT NOT NULL,
  actor TEXT NOT NULL, archived_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS version_node ON version(node, position);
CREATE TABLE IF NOT EXISTS request(id BLOB PRIMARY KEY, node BLOB NOT NULL) WITHOUT ROWID;
";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The way to the thread that owns the database.
#[derive(Debug)]
pub(super) struct Index {
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Transactions that were flushed.
    #[cfg(test)]
    pub(super) flushed: std::sync::atomic::AtomicUsize,
}

impl Index {
    /// Opens the database, made if missing; another process that has it open is an error.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let connection = connect(path).map_err(io::Error::other)?;
        let (jobs, inbox) = mpsc::sync_channel::<Job>(64);
        let thread = thread::Builder::new()
            .name("tandem-index".to_owned())
            .spawn(move || serve(connection, &inbox))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            #[cfg(test)]
            flushed: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    /// Does something in one transaction and waits until it is durable.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        #[cfg(test)]
        self.flushed
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.run_with("FULL", work)
    }

    /// As [`Index::run`], but flushed only with the next one that is: for what is harmless to be forgotten in a crash
    /// of the machine.
    pub(super) fn run_unflushed<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.run_with("NORMAL", work)
    }

    fn run_with<T: Send + 'static>(
        &self,
        synchronous: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let result = connection
                .pragma_update(None, "synchronous", synchronous)
                .and_then(|()| transact(connection, work));
            // Nobody waits any more when the caller was torn down.
            drop(answer.send(result));
        });
        let stopped = || io::Error::other("the thread of the index has stopped");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())?;
        let result = answered.recv().map_err(|_| stopped())?;
        result.map_err(io_error)
    }
}

/// A database without room is a disk without room; people are told so.
fn io_error(error: rusqlite::Error) -> io::Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => io::Error::from(Errno::NOSPC),
        _ => io::Error::other(error),
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the index has panicked");
        }
    }
}

fn serve(mut connection: Connection, inbox: &mpsc::Receiver<Job>) {
    while let Ok(job) = inbox.recv() {
        job(&mut connection);
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // One process only; then WAL needs no shared memory either.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A mark must be durable before its node is visible, and an id before it is told.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    #[cfg(test)]
    trace::committed(connection);
    Ok(result)
}

/// Reads a remembered fact.
pub(super) fn fact(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = transaction.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

/// Remembers a fact.
pub(super) fn set_fact(
    transaction: &Transaction<'_>,
    key: &str,
    value: &[u8],
) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)")?;
    statement.execute(params![key, value]).map(drop)
}

/// Writes and forgets nodes.
pub(super) fn save(
    transaction: &Transaction<'_>,
    written: &[Node],
    forgotten: &[Uuid],
) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT OR REPLACE INTO node(id, parent, name, kind, inode, born, size, modified, changed, digest,
           content_size, read, properties, member, locked, reported, due, gone, tagged)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?;
    for node in written {
        write.execute(params![
            node.id.as_bytes(),
            node.parent.as_bytes(),
            &*node.name,
            kind_number(node.kind),
            node.print.inode.number.cast_signed(),
            node.print.inode.born,
            node.print.size.cast_signed(),
            node.print.modified,
            node.print.changed,
            node.known.map(|known| known.digest),
            node.known.map(|known| known.size.cast_signed()),
            node.read,
            encode_properties(node),
            node.member,
            node.locked,
            node.reported.map(|revision| revision.0),
            node.due,
            node.gone,
            node.tagged,
        ])?;
    }
    let mut forget = transaction.prepare_cached("DELETE FROM node WHERE id = ?1")?;
    for id in forgotten {
        forget.execute([id.as_bytes()])?;
    }
    Ok(())
}

/// Reads all nodes.
pub(super) fn nodes(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Node>> {
    let mut statement = transaction.prepare(
        "SELECT id, parent, name, kind, inode, born, size, modified, changed, digest,
           content_size, read, properties, member, locked, reported, due, gone, tagged FROM node",
    )?;
    statement.query_map([], node)?.collect()
}

fn node(row: &Row<'_>) -> rusqlite::Result<Node> {
    let digest: Option<[u8; 32]> = row.get(9)?;
    let size: Option<i64> = row.get(10)?;
    let properties: Vec<u8> = row.get(12)?;
    let reported: Option<[u8; 16]> = row.get(15)?;
    Ok(Node {
        id: Uuid::from_bytes(row.get(0)?),
        parent: Uuid::from_bytes(row.get(1)?),
        name: row.get::<_, String>(2)?.into(),
        kind: kind_of(row.get(3)?),
        print: Print {
            inode: Inode {
                number: row.get::<_, i64>(4)?.cast_unsigned(),
                born: row.get(5)?,
            },
            size: row.get::<_, i64>(6)?.cast_unsigned(),
            modified: row.get(7)?,
            changed: row.get(8)?,
        },
        known: digest.zip(size).map(|(digest, size)| Known {
            digest,
            size: size.cast_unsigned(),
        }),
        read: row.get(11)?,
        properties: Projection::decode(properties.as_slice())
            .map(|projection| projection.properties)
            .unwrap_or_default(),
        member: row.get(13)?,
        locked: row.get(14)?,
        reported: reported.map(Revision),
        due: row.get(16)?,
        gone: row.get(17)?,
        tagged: row.get(18)?,
    })
}

fn encode_properties(node: &Node) -> Vec<u8> {
    if node.properties.is_empty() {
        return Vec::new();
    }
    let holder = Projection {
        properties: node.properties.clone(),
        ..Projection::default()
    };
    holder.encode_to_vec()
}

fn kind_number(kind: FileKind) -> i64 {
    match kind {
        FileKind::File => 1,
        FileKind::Folder => 2,
        FileKind::Link => 3,
        FileKind::Special => 4,
    }
}

fn kind_of(number: i64) -> FileKind {
    match number {
        1 => FileKind::File,
        2 => FileKind::Folder,
        3 => FileKind::Link,
        _ => FileKind::Special,
    }
}

/// The watched folders as remembered.
pub(super) fn watched(transaction: &Transaction<'_>) -> rusqlite::Result<HashMap<Uuid, bool>> {
    let bytes = fact(transaction, "watched")?.unwrap_or_default();
    let watched = bytes.as_chunks::<17>().0.iter().map(|entry| {
        let mut id = [0; 16];
        id.copy_from_slice(&entry[..16]);
        (Uuid::from_bytes(id), entry[16] == 1)
    });
    Ok(watched.collect())
}

/// Remembers the watched folders.
pub(super) fn set_watched(
    transaction: &Transaction<'_>,
    watched: &HashMap<Uuid, bool>,
) -> rusqlite::Result<()> {
    let mut bytes = Vec::with_capacity(watched.len() * 17);
    for (id, subfolders) in watched {
        bytes.extend_from_slice(id.as_bytes());
        bytes.push(u8::from(*subfolders));
    }
    set_fact(transaction, "watched", &bytes)
}

/// The folder that was made for a request.
pub(super) fn requested(
    transaction: &Transaction<'_>,
    request: &[u8],
) -> rusqlite::Result<Option<[u8; 16]>> {
    let mut statement = transaction.prepare_cached("SELECT node FROM request WHERE id = ?1")?;
    statement.query_row([request], |row| row.get(0)).optional()
}

/// Notes which folder a request makes.
pub(super) fn set_requested(
    transaction: &Transaction<'_>,
    request: &[u8],
    node: Uuid,
) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare_cached("INSERT OR REPLACE INTO request(id, node) VALUES(?1, ?2)")?;
    statement
        .execute(params![request, node.as_bytes()])
        .map(drop)
}
