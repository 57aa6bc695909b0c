//! The tables of the outbox.

use std::{cell::RefCell, collections::HashMap};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Error, Identity, ScanState, new_id, said};
#[cfg(test)]
use crate::agent::trace;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS identity (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        generation INTEGER NOT NULL,
        resume_key BLOB NOT NULL,
        last_number INTEGER NOT NULL,
        last_id BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS batch (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS scan (
        scan_id BLOB PRIMARY KEY,
        position BLOB NOT NULL,
        done INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS root (
        node_id TEXT PRIMARY KEY,
        heard INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO identity VALUES (1, 0, x'', 0, x'');
";

/// Statements that stay prepared.
const STATEMENTS_CACHED: usize = 32;

pub(super) struct Rows {
    connection: Connection,
    /// Why SQLite gave the present transaction up by itself, as it does on a full disk.
    given_up: RefCell<Option<String>>,
}

// === impl Rows ===

impl Rows {
    pub(super) fn new(connection: Connection) -> Result<Self, Error> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.execute_batch(SCHEMA)?;
        let given_up = RefCell::default();
        Ok(Self {
            connection,
            given_up,
        })
    }

    /// Runs the work inside one transaction.
    pub(super) fn transaction(&self, flushed: bool, work: impl FnOnce()) -> Result<(), Error> {
        let synchronous = if flushed { "FULL" } else { "NORMAL" };
        self.connection
            .pragma_update(None, "synchronous", synchronous)?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        work();
        if let Some(cause) = self.given_up.take() {
            return Err(Error::Commit(cause));
        }
        let committed = self.connection.execute_batch("COMMIT");
        if committed.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        committed?;
        #[cfg(test)]
        trace::committed(&self.connection);
        Ok(())
    }

    /// Runs one request so that its failure leaves the others of the transaction alone.
    pub(super) fn nested<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(cause) = &*self.given_up.borrow() {
            return Err(Error::Commit(cause.clone()));
        }
        self.connection.execute_batch("SAVEPOINT request")?;
        let result = work(self);
        if self.connection.is_autocommit() {
            let cause = match &result {
                Err(Error::Sqlite(error)) => said(error),
                Err(error) => error.to_string(),
                Ok(_) => String::new(),
            };
            self.given_up.replace(Some(cause));
            return result;
        }
        if result.is_err() {
            self.connection.execute_batch("ROLLBACK TO request")?;
        }
        self.connection.execute_batch("RELEASE request")?;
        result
    }

    pub(super) fn identity(&self) -> Result<Identity, Error> {
        let sql = "SELECT generation, resume_key, last_number, last_id FROM identity";
        Ok(self.connection.query_row(sql, [], |row| {
            Ok(Identity {
                generation: row.get(0)?,
                resume_key: Bytes::from(row.get::<_, Vec<u8>>(1)?),
                last_number: row.get(2)?,
                last_id: Bytes::from(row.get::<_, Vec<u8>>(3)?),
            })
        })?)
    }

    pub(super) fn store_resume_key(&self, key: &[u8]) -> Result<(), Error> {
        self.execute("UPDATE identity SET resume_key = ?", params![key])
    }

    pub(super) fn pending(&self) -> Result<Vec<(i64, Bytes, Vec<u8>)>, Error> {
        let sql = "SELECT number, id, payload FROM batch ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get(0)?,
                Bytes::from(row.get::<_, Vec<u8>>(1)?),
                row.get(2)?,
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The number that the batch got.
    pub(super) fn append(&self, id: &[u8], payload: &[u8]) -> Result<i64, Error> {
        let sql = "INSERT INTO batch (number, id, payload) VALUES (
            1 + coalesce((SELECT max(number) FROM batch), (SELECT last_number FROM identity)), ?, ?
        ) RETURNING number";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![id, payload], |row| row.get(0))?)
    }

    pub(super) fn accept(&self, number: i64, id: &[u8]) -> Result<(), Error> {
        self.execute("DELETE FROM batch WHERE number <= ?", params![number])?;
        self.execute(
            "UPDATE identity SET last_number = ?, last_id = ?",
            params![number, id],
        )
    }

    pub(super) fn rewrite(&self, number: i64, id: &[u8], payload: &[u8]) -> Result<(), Error> {
        let sql = "UPDATE batch SET id = ?, payload = ? WHERE number = ?";
        self.execute(sql, params![id, payload, number])
    }

    /// The new ids of the later batches, in order.
    pub(super) fn take_out(&self, number: i64) -> Result<Vec<Bytes>, Error> {
        self.execute("DELETE FROM batch WHERE number = ?", params![number])?;
        let sql = "SELECT number FROM batch WHERE number > ? ORDER BY number";
        let later: Vec<i64> = self
            .connection
            .prepare_cached(sql)?
            .query_map([number], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut ids = Vec::with_capacity(later.len());
        for number in later {
            let id = new_id();
            let sql = "UPDATE batch SET number = number - 1, id = ? WHERE number = ?";
            self.execute(sql, params![&id[..], number])?;
            ids.push(id);
        }
        Ok(ids)
    }

    pub(super) fn replace(&self, identity: &Identity) -> Result<(), Error> {
        self.execute("DELETE FROM batch", [])?;
        self.execute("DELETE FROM scan", [])?;
        let sql =
            "UPDATE identity SET generation = ?, resume_key = ?, last_number = ?, last_id = ?";
        let Identity {
            generation,
            resume_key,
            last_number,
            last_id,
        } = identity;
        self.execute(
            sql,
            params![generation, &resume_key[..], last_number, &last_id[..]],
        )
    }

    pub(super) fn store_scan(&self, scan: &ScanState) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO scan (scan_id, position, done) VALUES (?, ?, ?)";
        self.execute(sql, params![&scan.scan_id[..], scan.position, scan.done])
    }

    pub(super) fn scan(&self, scan_id: &Bytes) -> Result<Option<ScanState>, Error> {
        let sql = "SELECT position, done FROM scan WHERE scan_id = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let state = statement.query_row([&scan_id[..]], |row| {
            Ok(ScanState {
                scan_id: scan_id.clone(),
                position: row.get(0)?,
                done: row.get(1)?,
            })
        });
        Ok(state.optional()?)
    }

    pub(super) fn keep_scans(&self, scan_ids: &[Bytes]) -> Result<(), Error> {
        let known: Vec<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT scan_id FROM scan")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for scan_id in known
            .iter()
            .filter(|known| !scan_ids.iter().any(|id| id == *known))
        {
            self.execute("DELETE FROM scan WHERE scan_id = ?", params![scan_id])?;
        }
        Ok(())
    }

    /// The roots that were named last, and whether the coordinator heard of each since.
    pub(super) fn roots(&self) -> Result<HashMap<String, bool>, Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT node_id, heard FROM root")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn store_root(&self, node_id: &str, heard: bool) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO root (node_id, heard) VALUES (?, ?)";
        self.execute(sql, params![node_id, heard])
    }

    pub(super) fn forget_root(&self, node_id: &str) -> Result<(), Error> {
        self.execute("DELETE FROM root WHERE node_id = ?", params![node_id])
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}
