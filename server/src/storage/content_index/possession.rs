//! Which repository sent or received which content.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, QueryResult};

use super::digest_list;
use crate::domain::ids::{Digest, RepositoryId};
use crate::storage::{Error, sql};

/// That a repository has a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Its bytes.
    pub size: i64,
    /// When the repository last sent it or was told that it is there, in microseconds since 1970-01-01 UTC.
    pub touched_at: i64,
}

/// Damaged blobs do not count: their content must be sent again.
const PRESENT: &str = "SELECT c.digest, c.size, c.touched_at FROM json_each(?2) AS wanted \
    CROSS JOIN content AS c ON c.repository = ?1 AND c.digest = unhex(wanted.value) \
    WHERE c.blob NOT IN (SELECT id FROM blob WHERE state = 'D')";

/// Those of the digests that the repository sent or received (R-CNT-1).
///
/// # Errors
/// When the database fails.
pub async fn presence<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    digests: &[Digest],
) -> Result<BTreeMap<Digest, Presence>, Error> {
    if digests.is_empty() {
        return Ok(BTreeMap::new());
    }
    let values = [repository.0.into(), digest_list(digests).into()];
    let rows = sql::all(connection, PRESENT, values).await?;
    rows.iter().map(presence_of_row).collect()
}

fn presence_of_row(row: &QueryResult) -> Result<(Digest, Presence), Error> {
    let presence = Presence {
        size: row.try_get_by_index(1)?,
        touched_at: row.try_get_by_index(2)?,
    };
    Ok((digest_of_row(row, 0)?, presence))
}

/// Reads a digest column.
pub(super) fn digest_of_row(row: &QueryResult, index: usize) -> Result<Digest, Error> {
    let bytes: Vec<u8> = row.try_get_by_index(index)?;
    Digest::from_bytes(&bytes).ok_or_else(|| Error::UnknownValue {
        table: "content",
        column: "digest",
        value: hex::encode(bytes),
    })
}

/// Those of the digests whose bytes the repository sent or received; naming one of them in this transaction is safe.
///
/// # Errors
/// When the database fails.
pub async fn present_in<C: ConnectionTrait>(
    transaction: &C,
    repository: RepositoryId,
    digests: &[Digest],
) -> Result<BTreeSet<Digest>, Error> {
    let present = presence(transaction, repository, digests).await?;
    Ok(present.into_keys().collect())
}

/// As [`present_in`], with the true sizes: what a batch claims is checked against them (SPEC §12).
///
/// # Errors
/// When the database fails.
pub async fn present_sizes_in<C: ConnectionTrait>(
    transaction: &C,
    repository: RepositoryId,
    digests: &[Digest],
) -> Result<BTreeMap<Digest, i64>, Error> {
    let present = presence(transaction, repository, digests).await?;
    Ok(present
        .into_iter()
        .map(|(digest, presence)| (digest, presence.size))
        .collect())
}

const TOUCH: &str = "UPDATE content SET touched_at = ?3 WHERE repository = ?1 AND touched_at < ?3 \
    AND digest IN (SELECT unhex(value) FROM json_each(?2))";

/// Notes that the repository was told that these contents are there: they stay for the grace period.
///
/// # Errors
/// When the database fails.
pub async fn touch_in<C: ConnectionTrait>(
    transaction: &C,
    repository: RepositoryId,
    digests: &[Digest],
    now: i64,
) -> Result<(), Error> {
    let values = [repository.0.into(), digest_list(digests).into(), now.into()];
    sql::execute(transaction, TOUCH, values).await?;
    Ok(())
}

const SHARE: &str = "INSERT INTO content (repository, digest, blob, size, touched_at) \
    SELECT ?2, c.digest, c.blob, c.size, ?4 FROM json_each(?3) AS wanted \
    CROSS JOIN content AS c ON c.repository = ?1 AND c.digest = unhex(wanted.value) \
    WHERE c.blob NOT IN (SELECT id FROM blob WHERE state = 'D') \
    ON CONFLICT (repository, digest) DO UPDATE SET blob = excluded.blob, touched_at = excluded.touched_at";

/// Notes that `to` received these contents of `from`: from now on it has them too (R-CNT-1).
///
/// Both belong to one network; the sync set that they share says so.
///
/// # Errors
/// When the database fails.
pub async fn share_in<C: ConnectionTrait>(
    transaction: &C,
    from: RepositoryId,
    to: RepositoryId,
    digests: &[Digest],
    now: i64,
) -> Result<(), Error> {
    if digests.is_empty() {
        return Ok(());
    }
    // No statement of PostgreSQL changes one row twice.
    let digests: BTreeSet<&Digest> = digests.iter().collect();
    let values = [
        from.0.into(),
        to.0.into(),
        digest_list(digests).into(),
        now.into(),
    ];
    sql::execute(transaction, SHARE, values).await?;
    Ok(())
}
