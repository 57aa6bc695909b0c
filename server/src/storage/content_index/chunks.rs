//! Which parts of which blob are which chunks (R-CNT-1).
//!
//! A chunk is no content of its own: it is a part of a blob, so it goes with the blob and never before it. An upload notes
//! its chunks under the id that becomes the blob's.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;

use super::blobs::blob_of_row;
use super::possession::digest_of_row;
use super::{digest_list, hex_list, record_list};
use crate::domain::ids::{BlobId, Digest, RepositoryId};
use crate::storage::{Error, sql};

/// A verified part of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChunk {
    /// Where it begins.
    pub start: i64,
    /// Its bytes.
    pub size: i64,
    /// Their digest.
    pub digest: Digest,
}

/// Where the bytes of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The blob that it is a part of.
    pub blob: BlobId,
    /// The content whose bytes the blob is; the repository has it.
    pub content: Digest,
    /// Where in the blob it begins.
    pub start: i64,
    /// Its bytes.
    pub size: i64,
}

const INSERT: &str = "INSERT OR REPLACE INTO chunk (blob, start, size, digest) \
    SELECT ?1, CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), unhex(value ->> 2) \
    FROM json_each(?2)";

/// Notes chunks of a blob or of an upload; the caller bounds their number.
///
/// # Errors
/// When the database fails.
pub async fn insert_chunks_in<C: ConnectionTrait>(
    transaction: &C,
    blob: BlobId,
    chunks: &[NewChunk],
) -> Result<(), Error> {
    if chunks.is_empty() {
        return Ok(());
    }
    // No statement of PostgreSQL changes one row twice.
    let chunks: BTreeMap<i64, &NewChunk> = chunks.iter().map(|one| (one.start, one)).collect();
    let records = chunks.values().map(|chunk| {
        [
            chunk.start.to_string(),
            chunk.size.to_string(),
            chunk.digest.to_string(),
        ]
    });
    let values = [blob.to_bytes().into(), record_list(records).into()];
    sql::execute(transaction, INSERT, values).await?;
    Ok(())
}

/// What came in another repository, or in an upload that is not whole, is not found. Of several places the one in the
/// newest blob, which is kept longest.
const FIND: &str = "SELECT digest, blob, content, start, size FROM (\
    SELECT k.digest, k.blob, c.digest AS content, k.start, k.size, \
    row_number() OVER (PARTITION BY k.digest ORDER BY k.blob DESC, k.start) AS place \
    FROM json_each(?2) AS wanted CROSS JOIN chunk AS k ON k.digest = unhex(wanted.value) \
    CROSS JOIN content AS c ON c.blob = k.blob AND c.repository = ?1 \
    WHERE k.blob NOT IN (SELECT id FROM blob WHERE state = 'D')) AS found WHERE place = 1";

/// Those of the chunks that lie in content which the repository sent or received, and where.
///
/// # Errors
/// When the database fails.
pub async fn find_chunks<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    digests: &[Digest],
) -> Result<BTreeMap<Digest, ChunkPlace>, Error> {
    let values = [repository.0.into(), digest_list(digests).into()];
    let mut places = BTreeMap::new();
    for row in sql::all(connection, FIND, values).await? {
        let place = ChunkPlace {
            blob: blob_of_row(&row, 1)?,
            content: digest_of_row(&row, 2)?,
            start: row.try_get_by_index(3)?,
            size: row.try_get_by_index(4)?,
        };
        places.insert(digest_of_row(&row, 0)?, place);
    }
    Ok(places)
}

const OF_BLOB: &str =
    "SELECT start, size, digest FROM chunk WHERE blob = ?1 AND start >= ?2 ORDER BY start LIMIT ?3";

/// The chunks of a blob from a place on, in order.
///
/// # Errors
/// When the database fails.
pub async fn chunks_of<C: ConnectionTrait>(
    connection: &C,
    blob: BlobId,
    from: i64,
    rows_max: i64,
) -> Result<Vec<NewChunk>, Error> {
    let values = [blob.to_bytes().into(), from.into(), rows_max.into()];
    let rows = sql::all(connection, OF_BLOB, values).await?;
    rows.iter()
        .map(|row| {
            Ok(NewChunk {
                start: row.try_get_by_index(0)?,
                size: row.try_get_by_index(1)?,
                digest: digest_of_row(row, 2)?,
            })
        })
        .collect()
}

/// Steps from blob to blob along the primary key, however many chunks each has.
const BLOBS: &str = "WITH RECURSIVE walk (id) AS (SELECT (SELECT blob FROM chunk WHERE blob > ?1 ORDER BY blob LIMIT 1) \
    UNION ALL SELECT (SELECT blob FROM chunk WHERE blob > walk.id ORDER BY blob LIMIT 1) FROM walk WHERE walk.id IS NOT NULL) \
    SELECT id FROM walk WHERE id IS NOT NULL LIMIT ?2";

/// The next blobs that have chunks, by id; the walk over all of them is the caller's.
///
/// # Errors
/// When the database fails.
pub async fn chunked_blobs<C: ConnectionTrait>(
    connection: &C,
    after: Option<BlobId>,
    rows_max: i64,
) -> Result<Vec<BlobId>, Error> {
    // Before all others; an empty value would be NULL.
    let after = after.unwrap_or_default().to_bytes();
    let rows = sql::all(connection, BLOBS, [after.into(), rows_max.into()]).await?;
    rows.iter().map(|row| blob_of_row(row, 0)).collect()
}

/// Asked again here: an upload may have become a blob meanwhile.
const FORGET: &str = "DELETE FROM chunk WHERE (blob, start) IN (SELECT k.blob, k.start \
    FROM json_each(?1) AS gone CROSS JOIN chunk AS k ON k.blob = unhex(gone.value) \
    WHERE NOT EXISTS (SELECT 1 FROM blob AS b WHERE b.id = k.blob) \
    AND NOT EXISTS (SELECT 1 FROM upload AS u WHERE u.id = k.blob) LIMIT ?2)";

/// Forgets some of the chunks of those blobs that are no more (R-CNT-2); answers how many.
///
/// # Errors
/// When the database fails.
pub async fn forget_chunks_in<C: ConnectionTrait>(
    transaction: &C,
    blobs: &BTreeSet<BlobId>,
    rows_max: i64,
) -> Result<u64, Error> {
    let list = hex_list(blobs.iter().map(|blob| blob.to_bytes()));
    sql::execute(transaction, FORGET, [list.into(), rows_max.into()]).await
}
