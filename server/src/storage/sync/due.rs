//! What repositories owe.

use super::super::{Error, Store, sql};
use crate::domain::ids::{MemberId, RepositoryId};

/// Where reading goes on: behind this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct After {
    /// Since when it is due.
    pub since: i64,
    /// The member.
    pub member: Option<MemberId>,
}

impl Store {
    /// Members that are due in a repository now, in order, behind one of them.
    ///
    /// Removals that the guard of their set holds are left out (R-DEL-3).
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
                    AND (s.ending = 0 OR d.lane = 5) \
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

    /// When the next work that waits for its time is due, if any.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn next_due_at(
        &self,
        repository: RepositoryId,
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let text = "SELECT min(not_before) FROM due WHERE repository = ? AND not_before > ?";
        let row = sql::one(self.reader(), text, [repository.0.into(), now.into()]).await?;
        Ok(row
            .map(|row| row.try_get_by_index::<Option<i64>>(0))
            .transpose()?
            .flatten())
    }
}
