//! What nobody names any more (R-CNT-2). Only `version` is asked who names what; every dose is bounded.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;

use super::blobs::blob_of_row;
use super::possession::digest_of_row;
use super::{digest_list, hex_list};
use crate::domain::ids::{BlobId, Digest, RepositoryId};
use crate::domain::planted::planted;
use crate::storage::{Error, sql};

const EXPIRE: &str = "DELETE FROM version WHERE (member, position, side) IN (SELECT member, position, side \
    FROM version WHERE keep_until IS NOT NULL AND keep_until < ?1 ORDER BY keep_until LIMIT ?2)";

/// Forgets versions whose retention is over; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn expire_versions_in<C: ConnectionTrait>(
    transaction: &C,
    now: i64,
    rows_max: i64,
) -> Result<u64, Error> {
    let values = [now.into(), rows_max.into()];
    sql::execute(transaction, EXPIRE, values).await
}

/// A repository's content, with what decides whether it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Whose.
    pub repository: RepositoryId,
    /// Which.
    pub digest: Digest,
    /// When the repository last sent it or was told that it is there.
    pub touched_at: i64,
    /// Whether a version names it.
    pub named: bool,
}

const CANDIDATES: &str = "SELECT c.repository, c.digest, c.touched_at, EXISTS (SELECT 1 FROM version AS v \
    WHERE v.repository = c.repository AND v.digest = c.digest) FROM content AS c \
    WHERE (c.repository, c.digest) > (?1, ?2) ORDER BY c.repository, c.digest LIMIT ?3";

/// The next contents after a place in the table; the walk over the whole table is the caller's.
///
/// # Errors
/// When the database fails.
pub async fn candidates<C: ConnectionTrait>(
    connection: &C,
    after: Option<(RepositoryId, Digest)>,
    rows_max: i64,
) -> Result<Vec<Candidate>, Error> {
    let (repository, digest) = after.map_or((i64::MIN, Vec::new()), |(repository, digest)| {
        (repository.0, digest.0.to_vec())
    });
    let values = [repository.into(), digest.into(), rows_max.into()];
    let rows = sql::all(connection, CANDIDATES, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Candidate {
                repository: RepositoryId(row.try_get_by_index(0)?),
                digest: digest_of_row(row, 1)?,
                touched_at: row.try_get_by_index(2)?,
                named: row.try_get_by_index(3)?,
            })
        })
        .collect()
}

/// What was collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many contents.
    pub contents: u64,
    /// The blobs that they had.
    pub blobs: BTreeSet<BlobId>,
}

/// The conditions are asked again here: between the look and the deletion a batch may have named the content.
const COLLECT: &str = "DELETE FROM content WHERE repository = ?1 AND touched_at < ?3 \
    AND digest IN (SELECT unhex(value) FROM json_each(?2)) \
    AND NOT EXISTS (SELECT 1 FROM version AS v WHERE v.repository = content.repository AND v.digest = content.digest) \
    RETURNING blob";

/// Forgets those of the repository's contents that nobody names and that were not touched since `before`.
///
/// # Errors
/// When the database fails.
pub async fn collect_in<C: ConnectionTrait>(
    transaction: &C,
    repository: RepositoryId,
    digests: &[Digest],
    before: i64,
) -> Result<Taken, Error> {
    let values = [
        repository.0.into(),
        digest_list(digests).into(),
        before.into(),
    ];
    let mut taken = Taken::default();
    let text = match planted("named-content-collected") {
        true => &COLLECT.replace("v.digest = content.digest", "FALSE"),
        false => COLLECT,
    };
    for row in sql::all(transaction, text, values).await? {
        taken.contents += 1;
        taken.blobs.insert(blob_of_row(&row, 0)?);
    }
    Ok(taken)
}

const FORGET: &str = "DELETE FROM blob WHERE id IN (SELECT unhex(value) FROM json_each(?1)) \
    AND NOT EXISTS (SELECT 1 FROM content WHERE content.blob = blob.id) RETURNING id, object IS NOT NULL";

/// Forgets those of the blobs that no repository has any more; answers the objects to be deleted after the commit.
///
/// # Errors
/// When the database fails.
pub async fn forget_blobs_in<C: ConnectionTrait>(
    transaction: &C,
    blobs: &BTreeSet<BlobId>,
) -> Result<Vec<BlobId>, Error> {
    if blobs.is_empty() {
        return Ok(Vec::new());
    }
    let list = hex_list(blobs.iter().map(|blob| blob.to_bytes()));
    let rows = sql::all(transaction, FORGET, [list.into()]).await?;
    let mut objects = Vec::new();
    for row in rows {
        if row.try_get_by_index(1)? {
            objects.push(blob_of_row(&row, 0)?);
        }
    }
    Ok(objects)
}

const KNOWN: &str = "SELECT id FROM blob WHERE id IN (SELECT unhex(value) FROM json_each(?1)) \
    UNION SELECT id FROM upload WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

/// Those of the objects that a blob or an upload names, seen in one moment: an upload becomes a blob in one transaction.
///
/// # Errors
/// When the database fails.
pub async fn known_objects<C: ConnectionTrait>(
    connection: &C,
    ids: &[BlobId],
) -> Result<BTreeSet<BlobId>, Error> {
    let list = hex_list(ids.iter().map(|id| id.to_bytes()));
    let rows = sql::all(connection, KNOWN, [list.into()]).await?;
    rows.iter().map(|row| blob_of_row(row, 0)).collect()
}
