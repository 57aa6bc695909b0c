//! Which content members have and had; the only thing that collection asks (R-CNT-2).

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::super::{Error, Store, sql};
use super::rows::{Insert, json};
use crate::domain::engine::VersionChange;
use crate::domain::ids::{Digest, MemberId, RepositoryId};
use crate::domain::limits::SUPERSEDED_KEPT_MICROSECONDS;
use crate::domain::planted::planted;
use crate::domain::projection::Side;

/// `CURRENT`, `SUPERSEDED` or `LOSER`.
const INSERT: Insert = Insert {
    head: "INSERT OR REPLACE INTO version (member, position, side, repository, digest, size, \
           reason, keep_until, created_at) VALUES",
    columns: 9,
    tail: "",
};
const SUPERSEDE: &str = "UPDATE version SET reason = 'SUPERSEDED', keep_until = ? \
     WHERE reason = 'CURRENT' AND (member, side) IN \
     (SELECT unhex(value->>0), value->>1 FROM json_each(?))";
const LOSE: &str = "UPDATE version SET reason = 'LOSER', keep_until = NULL \
     WHERE (member, side, digest) IN \
     (SELECT unhex(value->>0), value->>1, unhex(value->>2) FROM json_each(?))";

const COLUMNS: &str = "SELECT position, side, repository, digest, size, reason, keep_until, \
                       created_at FROM version";

/// Content that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The place in the journal at which it was accepted; with member and side its name.
    pub position: i64,
    /// The side it was on.
    pub side: Side,
    /// The repository it was in.
    pub repository: RepositoryId,
    /// The content.
    pub digest: Digest,
    /// Bytes.
    pub size: i64,
    /// Why it is kept: `CURRENT`, `SUPERSEDED`, `LOSER`.
    pub reason: String,
    /// Until when at least; `None` = for ever or as long as it is current.
    pub keep_until: Option<i64>,
    /// When it was accepted.
    pub created_at: i64,
}

/// Notes which content is current, superseded, or lost a conflict.
///
/// # Errors
/// Whatever the database answers.
pub async fn change_in<C: ConnectionTrait>(
    tx: &C,
    changes: &[VersionChange],
    losers: &[(MemberId, Side, Digest)],
    position: i64,
    now: i64,
) -> Result<(), Error> {
    if !changes.is_empty() {
        let keys: Vec<(String, &str)> = changes
            .iter()
            .map(|change| (change.member.0.simple().to_string(), change.side.name()))
            .collect();
        let until = now + SUPERSEDED_KEPT_MICROSECONDS;
        sql::execute(tx, SUPERSEDE, [until.into(), json(&keys)]).await?;
        INSERT.rows(tx, rows(changes, position, now)).await?;
    }
    if !losers.is_empty() && !planted("losers-expire") {
        let keys: Vec<(String, &str, String)> = losers
            .iter()
            .map(|(member, side, digest)| {
                (
                    member.0.simple().to_string(),
                    side.name(),
                    digest.to_string(),
                )
            })
            .collect();
        sql::execute(tx, LOSE, [json(&keys)]).await?;
    }
    Ok(())
}

/// The last content of each copy in this transaction; what it had in between was never accepted by itself.
fn rows(changes: &[VersionChange], position: i64, now: i64) -> Vec<Vec<Value>> {
    let last: BTreeMap<(MemberId, Side), &VersionChange> = changes
        .iter()
        .filter(|change| change.content.is_some())
        .map(|change| ((change.member, change.side), change))
        .collect();
    let mut rows = Vec::new();
    for change in last.into_values() {
        let Some(content) = change.content else {
            continue;
        };
        rows.push(vec![
            change.member.to_bytes().into(),
            position.into(),
            change.side.name().into(),
            change.repository.0.into(),
            content.digest.0.to_vec().into(),
            content.size.into(),
            "CURRENT".into(),
            Value::BigInt(None),
            now.into(),
        ]);
    }
    rows
}

fn read(row: &QueryResult) -> Result<Kept, Error> {
    let side: String = row.try_get_by_index(1)?;
    let digest: Vec<u8> = row.try_get_by_index(3)?;
    Ok(Kept {
        position: row.try_get_by_index(0)?,
        side: Side::from_name(&side).unwrap_or(Side::OnPremise),
        repository: RepositoryId(row.try_get_by_index(2)?),
        digest: Digest::from_bytes(&digest).ok_or(Error::Corrupt {
            what: "the digest of a version",
        })?,
        size: row.try_get_by_index(4)?,
        reason: row.try_get_by_index(5)?,
        keep_until: row.try_get_by_index(6)?,
        created_at: row.try_get_by_index(7)?,
    })
}

impl Store {
    /// The kept content of a member, newest first, below a position.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn versions(
        &self,
        member: MemberId,
        below: Option<(i64, Side)>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        let text = format!(
            "{COLUMNS} WHERE member = ? AND (position, side) < (?, ?) \
             ORDER BY position DESC, side DESC LIMIT ?"
        );
        let (position, side) = below.map_or((i64::MAX, "~"), |(at, side)| (at, side.name()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [
            member.to_bytes().into(),
            position.into(),
            side.into(),
            limit.into(),
        ];
        let rows = sql::all(self.reader(), &text, values).await?;
        rows.iter().map(read).collect()
    }

    /// Kept content by its name: member, place in the journal, side.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn version(
        &self,
        member: MemberId,
        position: i64,
        side: Side,
    ) -> Result<Option<Kept>, Error> {
        let text = format!("{COLUMNS} WHERE member = ? AND position = ? AND side = ?");
        let values = [
            member.to_bytes().into(),
            position.into(),
            side.name().into(),
        ];
        let row = sql::one(self.reader(), &text, values).await?;
        row.as_ref().map(read).transpose()
    }
}
