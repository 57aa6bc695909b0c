//! How the connections to a file are made, and with which pragmas.

use std::path::Path;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DatabaseBackend, DatabaseConnection, DatabaseTransaction,
    IsolationLevel, TransactionTrait,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::{Error, Place};
use crate::domain::limits::{
    CHECKPOINT_WAIT_MILLISECONDS, STORE_BUSY_SECONDS_MAX, STORE_CACHE_KIB,
};

/// Where the database is and how many may read it at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub place: Place,
    /// Connections that read; at least one.
    pub readers: u32,
}

impl Options {
    /// A database, read by as many connections as there are cores.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            place,
            readers: u32::try_from(cores).unwrap_or(2).clamp(2, 16),
        }
    }
}

/// Makes the file if it is missing; must be opened first, because it sets the journal mode.
pub(crate) async fn writer(path: &Path) -> Result<DatabaseConnection, Error> {
    connect(path, 1, false, BUSY).await
}

/// Refuses every write.
pub(crate) async fn readers(path: &Path, connections: u32) -> Result<DatabaseConnection, Error> {
    connect(path, connections.max(1), true, BUSY).await
}

/// A connection of its own for checkpoints (ARCHITECTURE, invariant 13).
///
/// It waits for no long reader, such as a backup: writers would wait with it.
pub(crate) async fn checkpointer(path: &Path) -> Result<DatabaseConnection, Error> {
    let wait = Duration::from_millis(CHECKPOINT_WAIT_MILLISECONDS);
    connect(path, 1, false, wait).await
}

/// A transaction that reads one state of the database, whatever is written meanwhile.
pub(crate) async fn snapshot(readers: &DatabaseConnection) -> Result<DatabaseTransaction, Error> {
    // On SQLite every transaction is one; it knows no levels.
    let level = match readers.get_database_backend() {
        DatabaseBackend::Sqlite => None,
        _ => Some(IsolationLevel::RepeatableRead),
    };
    Ok(readers.begin_with_config(level, None).await?)
}

/// For how long a statement waits for another connection.
const BUSY: Duration = Duration::from_secs(STORE_BUSY_SECONDS_MAX);

async fn connect(
    path: &Path,
    connections: u32,
    read_only: bool,
    busy: Duration,
) -> Result<DatabaseConnection, Error> {
    let path = path.to_owned();
    // The address only chooses the driver; the path is set below, so that no character of it needs escaping.
    let mut connect = ConnectOptions::new("sqlite::memory:");
    connect
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(BUSY)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |_| pragmas(&path, read_only, busy));
    Ok(Database::connect(connect).await?)
}

fn pragmas(path: &Path, read_only: bool, busy: Duration) -> SqliteConnectOptions {
    use sqlx::ConnectOptions;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(!read_only)
        .read_only(read_only)
        .foreign_keys(true)
        .busy_timeout(busy)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", format!("-{STORE_CACHE_KIB}"))
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    if read_only {
        options
    } else {
        options.journal_mode(SqliteJournalMode::Wal)
    }
}
