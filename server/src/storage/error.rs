//! What can go wrong with the database.

use std::io;
use std::path::PathBuf;

use sea_orm::{DbErr, RuntimeErr, SqlErr};
use sqlx::postgres::PgDatabaseError;

use super::place::WrongUrl;
use super::tx::Busy;

/// A failure of the database, with the facts of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the database.
    #[error(
        "another coordinator serves {database}; stop it, or choose another database or data directory"
    )]
    InUse {
        /// Where the database is, without its password.
        database: String,
    },
    /// The url of the database cannot be used.
    #[error(transparent)]
    WrongUrl(#[from] WrongUrl),
    /// The server cannot be reached, or lets nobody in.
    #[error(
        "the database server cannot be used; check database.url, the server, and the rights of its role"
    )]
    Unreachable(#[source] sqlx::Error),
    /// Text is not kept as the program relies on.
    #[error(
        "the database does not keep text as UTF-8 in the order of its bytes; make one with \
         CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    )]
    Unfit,
    /// A file beside the database cannot be reached.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Migrations are missing.
    #[error(
        "the database is older than this program ({} migrations missing, first {}); run `tandemd migrate` or `tandemd serve --migrate`",
        pending.len(),
        pending.first().map_or("none", String::as_str)
    )]
    SchemaOlder {
        /// Their names.
        pending: Vec<String>,
    },
    /// A newer program wrote the database.
    #[error(
        "the database was written by a newer program (migration {} is unknown here); use that program",
        unknown.first().map_or("none", String::as_str)
    )]
    SchemaNewer {
        /// The migrations that this program does not know.
        unknown: Vec<String>,
    },
    /// A value that must be unique exists already.
    #[error("a row with this key exists already")]
    AlreadyExists,
    /// Other writers were in the way, more often than is tried again.
    #[error("the database is busy")]
    Busy,
    /// A closure kept its transaction, so that it could not be committed.
    #[error("a transaction was kept beyond its closure")]
    TransactionKept,
    /// A row holds what no version of this program writes.
    #[error("{table}.{column} holds a value that is not known: {value}")]
    UnknownValue {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
    },
    /// A row cannot be read as what it should be.
    #[error("{what} cannot be read; restore the database from a backup")]
    Corrupt {
        /// What it should be.
        what: &'static str,
    },
    /// The disk of the database is full.
    #[error("the disk of the data directory is full; make room on it")]
    Full(#[source] DbErr),
    /// The database is away: unreadable, or all its connections are taken.
    #[error("the database cannot be used now")]
    Unavailable(#[source] DbErr),
    /// Anything else that the database answers: a fault of this program.
    #[error("the database refused a statement")]
    Statement(#[source] DbErr),
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::AlreadyExists;
        }
        if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
            return Self::Unavailable(error);
        }
        match refusal(&error) {
            Refusal::Busy => Self::Busy,
            Refusal::Full => Self::Full(error),
            Refusal::Away => Self::Unavailable(error),
            Refusal::Statement => Self::Statement(error),
        }
    }
}

/// What a database means by what it answers.
enum Refusal {
    Busy,
    Full,
    Away,
    Statement,
}

fn refusal(error: &DbErr) -> Refusal {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return Refusal::Statement;
    };
    match &**cause {
        sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
            Some(answer) => of_postgres(answer.code()),
            None => of_sqlite(answer.code().and_then(|code| code.parse().ok())),
        },
        // The connection broke: whether the server did what it was told is not known.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Refusal::Away,
        _ => Refusal::Statement,
    }
}

/// Result codes of SQLite.
fn of_sqlite(code: Option<u32>) -> Refusal {
    match code {
        // BUSY and BUSY_SNAPSHOT.
        Some(5 | 517) => Refusal::Busy,
        Some(13) => Refusal::Full,
        // LOCKED, READONLY, IOERR, CORRUPT, CANTOPEN: the primary code is the low byte.
        Some(code) if matches!(code & 0xff, 5 | 6 | 8 | 10 | 11 | 14) => Refusal::Away,
        _ => Refusal::Statement,
    }
}

/// Codes of PostgreSQL (its manual, appendix A).
fn of_postgres(code: &str) -> Refusal {
    match code {
        // A serialization failure, a deadlock, a lock that was waited for too long.
        "40001" | "40P01" | "55P03" => Refusal::Busy,
        "53100" => Refusal::Full,
        // Connections, resources, operators who intervene, the system below, a server that became a standby.
        "25006" => Refusal::Away,
        code if ["08", "53", "57", "58"].contains(&code.get(..2).unwrap_or_default()) => {
            Refusal::Away
        }
        _ => Refusal::Statement,
    }
}

impl Busy for Error {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

impl Error {
    /// True when waiting may help; false when it is a fault of this program or of its setup.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::Full(_) | Self::Unavailable(_))
    }
}
