//! The journal: append-only, in order, one head for each network (R-JRN-1).

use sea_orm::{ConnectionTrait, DatabaseBackend, QueryResult, Value};
use uuid::Uuid;

use super::super::{Error, Store, sql};
use super::rows::Insert;
use crate::domain::ids::{MemberId, NetworkId, SyncSetId};
use crate::domain::journal::Entry;

const INSERT: Insert = Insert {
    head: "INSERT INTO journal (network, position, mark, set_id, member, kind, side, at, actor, \
           node_name, message) VALUES",
    columns: 11,
    tail: "",
};

/// A place in the journal and what tells it from the same place in another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The position of the last entry.
    pub position: i64,
    /// Random, the same for all entries of a transaction.
    pub mark: i64,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place.
    pub at: Mark,
    /// The set it concerns.
    pub set: Option<SyncSetId>,
    /// The member it concerns.
    pub member: Option<MemberId>,
    /// What it tells of, as a number of the wire.
    pub kind: i32,
    /// The side, by its short name.
    pub side: Option<String>,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// Who caused it.
    pub actor: String,
    /// The name of the node.
    pub node_name: String,
    /// Readable text.
    pub message: String,
}

/// Locks the network's head; the first statement of every transaction that writes in it (ARCHITECTURE, one writer).
///
/// # Errors
/// Whatever the database answers.
pub async fn lock_in<C: ConnectionTrait>(tx: &C, network: NetworkId) -> Result<Mark, Error> {
    // SQLite locks everything at once; PostgreSQL would write a row for nothing.
    let text = match tx.get_database_backend() {
        DatabaseBackend::Postgres => {
            "SELECT position, mark FROM journal_head WHERE network = ? FOR UPDATE"
        }
        _ => "UPDATE journal_head SET mark = mark WHERE network = ? RETURNING position, mark",
    };
    let row = sql::one(tx, text, [network.0.into()]).await?;
    let row = row.ok_or(Error::Corrupt {
        what: "the journal head of a network",
    })?;
    Ok(Mark {
        position: row.try_get_by_index(0)?,
        mark: row.try_get_by_index(1)?,
    })
}

/// Appends entries; returns the head behind them.
///
/// # Errors
/// Whatever the database answers.
pub async fn append_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    entries: &[Entry],
    now: i64,
) -> Result<Mark, Error> {
    let head = lock_in(tx, network).await?;
    if entries.is_empty() {
        return Ok(head);
    }
    let (high, _) = Uuid::new_v4().as_u64_pair();
    let mark = high.cast_signed();
    let mut position = head.position;
    let rows = entries
        .iter()
        .map(|entry| {
            position += 1;
            row(network, Mark { position, mark }, entry, now)
        })
        .collect();
    INSERT.rows(tx, rows).await?;
    let text = "UPDATE journal_head SET position = ?, mark = ? WHERE network = ?";
    sql::execute(tx, text, [position.into(), mark.into(), network.0.into()]).await?;
    Ok(Mark { position, mark })
}

fn row(network: NetworkId, at: Mark, entry: &Entry, now: i64) -> Vec<Value> {
    vec![
        network.0.into(),
        at.position.into(),
        at.mark.into(),
        entry.set.map(SyncSetId::to_bytes).into(),
        entry.member.map(MemberId::to_bytes).into(),
        (entry.kind as i32).into(),
        entry.side.map(|side| side.name().to_owned()).into(),
        now.into(),
        entry.actor.clone().into(),
        entry.node_name.clone().into(),
        entry.message.clone().into(),
    ]
}

fn read(row: &QueryResult) -> Result<Row, Error> {
    let set: Option<Vec<u8>> = row.try_get_by_index(2)?;
    let member: Option<Vec<u8>> = row.try_get_by_index(3)?;
    Ok(Row {
        at: Mark {
            position: row.try_get_by_index(0)?,
            mark: row.try_get_by_index(1)?,
        },
        set: set.and_then(|bytes| SyncSetId::from_bytes(&bytes)),
        member: member.and_then(|bytes| MemberId::from_bytes(&bytes)),
        kind: row.try_get_by_index(4)?,
        side: row.try_get_by_index(5)?,
        time: row.try_get_by_index(6)?,
        actor: row.try_get_by_index(7)?,
        node_name: row.try_get_by_index(8)?,
        message: row.try_get_by_index(9)?,
    })
}

impl Store {
    /// Entries behind a position, in order, at most `limit`.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn journal_after(
        &self,
        network: NetworkId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let text = "SELECT position, mark, set_id, member, kind, side, at, actor, node_name, \
                    message FROM journal WHERE network = ? AND position > ? \
                    ORDER BY position LIMIT ?";
        let values = [
            network.0.into(),
            after.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = sql::all(self.reader(), text, values).await?;
        rows.iter().map(read).collect()
    }

    /// The mark of the entry at a position, if it is kept.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn journal_mark(
        &self,
        network: NetworkId,
        position: i64,
    ) -> Result<Option<i64>, Error> {
        let text = "SELECT mark FROM journal WHERE network = ? AND position = ?";
        let row = sql::one(self.reader(), text, [network.0.into(), position.into()]).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
    }

    /// The head of the journal, and the generation of the coordinator's state.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn journal_head(&self, network: NetworkId) -> Result<(Mark, i64), Error> {
        let text = "SELECT position, mark, generation FROM journal_head WHERE network = ?";
        let row = sql::one(self.reader(), text, [network.0.into()]).await?;
        let row = row.ok_or(Error::Corrupt {
            what: "the journal head of a network",
        })?;
        let head = Mark {
            position: row.try_get_by_index(0)?,
            mark: row.try_get_by_index(1)?,
        };
        Ok((head, row.try_get_by_index(2)?))
    }

    /// Networks that have a journal.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn networks_with_journals(&self) -> Result<Vec<NetworkId>, Error> {
        let text = "SELECT network FROM journal_head ORDER BY network";
        let rows = sql::all(self.reader(), text, []).await?;
        rows.iter()
            .map(|row| Ok(NetworkId(row.try_get_by_index(0)?)))
            .collect()
    }

    /// Removes the oldest entries, up to the first one that is younger than `before`, at most `rows_max` and never the
    /// last one, by whose mark places are known; answers how many.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn shorten_journal(
        &self,
        network: NetworkId,
        before: i64,
        rows_max: usize,
    ) -> Result<u64, Error> {
        // What is old stays old, and the head only grows: looked at outside, nobody waits for it.
        let text = "SELECT position FROM (SELECT position, at FROM journal WHERE network = ?1 \
                    ORDER BY position LIMIT ?2) oldest WHERE at >= ?3 OR position >= \
                    (SELECT position FROM journal_head WHERE network = ?1) ORDER BY position LIMIT 1";
        let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let values = [network.0.into(), limit.into(), before.into()];
        let stop = sql::one(self.reader(), text, values).await?;
        let floor = self.journal_floor(network).await?;
        let end: i64 = match stop {
            Some(row) => row.try_get_by_index(0)?,
            None => floor.saturating_add(limit),
        };
        if end <= floor {
            return Ok(0);
        }
        self.write(|tx| async move {
            lock_in(&*tx, network).await?;
            let text = "DELETE FROM journal WHERE network = ? AND position < ?";
            let removed = sql::execute(&*tx, text, [network.0.into(), end.into()]).await?;
            tandem_crash::at("S10");
            Ok(removed)
        })
        .await
    }

    /// The position of the oldest entry that is kept; one behind the head when none is.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn journal_floor(&self, network: NetworkId) -> Result<i64, Error> {
        let text = "SELECT coalesce((SELECT min(position) FROM journal WHERE network = ?1), \
                    (SELECT position + 1 FROM journal_head WHERE network = ?1))";
        let row = sql::one(self.reader(), text, [network.0.into()]).await?;
        let row = row.ok_or(Error::Corrupt {
            what: "the journal head of a network",
        })?;
        Ok(row.try_get_by_index(0)?)
    }
}
