//! What repositories owe.

use sea_orm::ConnectionTrait;

use super::super::{Error, Store, sql};
use super::rows::json;
use crate::domain::ids::{Digest, MemberId, RepositoryId, SyncSetId};

/// Where reading goes on: behind this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct After {
    /// Since when it is due.
    pub since: i64,
    /// The member.
    pub member: Option<MemberId>,
}

/// Of pairs (member, digest) those that another repository of the member's set has or had, with that repository:
/// what an outcome may name because it was delivered.
///
/// # Errors
/// Whatever the database answers.
pub async fn delivered_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    results: &[(MemberId, Digest)],
) -> Result<Vec<(RepositoryId, Digest)>, Error> {
    if results.is_empty() {
        return Ok(Vec::new());
    }
    let text = "SELECT DISTINCT v.repository, v.digest FROM json_each(?) j CROSS JOIN version v \
                ON v.member = unhex(j.value->>0) AND v.digest = unhex(j.value->>1) \
                WHERE v.repository <> ?";
    let pairs: Vec<(String, String)> = results
        .iter()
        .map(|(member, digest)| (member.0.simple().to_string(), digest.to_string()))
        .collect();
    let mut delivered = Vec::new();
    for row in sql::all(connection, text, [json(&pairs), repository.0.into()]).await? {
        let digest: Vec<u8> = row.try_get_by_index(1)?;
        if let Some(digest) = Digest::from_bytes(&digest) {
            delivered.push((RepositoryId(row.try_get_by_index(0)?), digest));
        }
    }
    Ok(delivered)
}

impl Store {
    /// Members that are due in a repository now, in order, behind one of them.
    ///
    /// Removals that the guard of their set holds are left out (R-DEL-3), all of sets whose synced folder lies outside
    /// every library (R-MOV-1), of those a side of which is listed anew, because it may not be true any more (R-AGT-4),
    /// of those that are paused, but for what ends the membership of one document, and of those a repository of which is
    /// paused (R-SET-7).
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn due(
        &self,
        repository: RepositoryId,
        after: After,
        now: i64,
        limit: usize,
    ) -> Result<Vec<After>, Error> {
        let text = "SELECT d.since, d.member FROM due d JOIN sync_set s ON s.id = d.set_id \
                    WHERE d.repository = ? AND (d.since, d.member) > (?, ?) \
                    AND d.not_before <= ? AND (d.lane <> 2 OR s.gate = 0) \
                    AND (s.ending = 0 AND s.outside = 0 OR d.lane IN (5, 6)) \
                    AND (s.paused = 0 OR s.ending = 1 OR s.kind = 1 AND d.lane IN (5, 6, 7)) \
                    AND NOT EXISTS (SELECT 1 FROM repository p WHERE p.paused = 1 \
                    AND p.id IN (s.on_premise_repository, s.cloud_repository)) \
                    AND NOT EXISTS (SELECT 1 FROM generation g WHERE g.repository IN \
                    (s.on_premise_repository, s.cloud_repository)) \
                    ORDER BY d.since, d.member LIMIT ?";
        let member = after.member.map_or_else(Vec::new, MemberId::to_bytes);
        let values = [
            repository.0.into(),
            after.since.into(),
            member.into(),
            now.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let mut due = Vec::new();
        for row in sql::all(self.reader(), text, values).await? {
            let member: Vec<u8> = row.try_get_by_index(1)?;
            due.push(After {
                since: row.try_get_by_index(0)?,
                member: MemberId::from_bytes(&member),
            });
        }
        Ok(due)
    }

    /// Whether nothing of a set can be delivered to a repository now: what is due failed, and waits for its time.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn is_delivered(
        &self,
        repository: RepositoryId,
        set: SyncSetId,
    ) -> Result<bool, Error> {
        let text =
            "SELECT 1 FROM due WHERE repository = ? AND set_id = ? AND not_before = 0 LIMIT 1";
        let values = [repository.0.into(), set.to_bytes().into()];
        Ok(sql::one(self.reader(), text, values).await?.is_none())
    }

    /// When the next work that waits for its time is due, if any.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn next_due_at(
        &self,
        repository: RepositoryId,
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let text = "SELECT min(not_before) FROM due INDEXED BY due_later \
                    WHERE repository = ? AND not_before > ? AND not_before > 0";
        let row = sql::one(self.reader(), text, [repository.0.into(), now.into()]).await?;
        Ok(row
            .map(|row| row.try_get_by_index::<Option<i64>>(0))
            .transpose()?
            .flatten())
    }
}
