//! The bytes themselves: one row for a whole network, however many repositories have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use super::objects::object_path;
use super::possession::digest_of_row;
use super::{digest_list, hex_list, record_list};
use crate::domain::ids::{BlobId, Digest, NetworkId, RepositoryId};
use crate::storage::{Error, sql};

/// Content that a repository sent: verified, and durable where it lies in a file.
#[derive(Debug, Clone)]
pub struct NewContent {
    /// The digest of the bytes, verified.
    pub digest: Digest,
    /// The number of bytes, verified.
    pub size: i64,
    /// Where the bytes are.
    pub place: Place,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Here; kept in the database.
    Database(Bytes),
    /// In the object of this blob.
    Object(BlobId),
}

/// A blob to be read.
#[derive(Debug, Clone)]
pub struct BlobPlace {
    /// Which.
    pub id: BlobId,
    /// The digest its bytes must have.
    pub digest: Digest,
    /// The number of bytes it must have.
    pub size: i64,
    /// Where they are.
    pub place: Place,
}

/// Notes that the repository sent these contents, and keeps the bytes unless the network has them already (R-CNT-1).
///
/// Answers the objects that no row names any more, to be deleted after the commit.
///
/// # Errors
/// When the database fails.
pub async fn put_in<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    repository: RepositoryId,
    contents: &[NewContent],
    now: i64,
) -> Result<Vec<BlobId>, Error> {
    let contents: BTreeMap<Digest, &NewContent> = contents
        .iter()
        .map(|content| (content.digest, content))
        .collect();
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    let known = known_blobs(transaction, network, contents.keys()).await?;
    let plan = Plan::new(&contents, &known);
    insert_bytes(transaction, network, &plan.bytes, now).await?;
    insert_objects(transaction, network, &plan.objects, now).await?;
    insert_content(transaction, repository, &plan.rows, now).await?;
    let replaced = replace_damaged(transaction, network, &plan, &known).await?;
    Ok(plan.unused.into_iter().chain(replaced).collect())
}

/// As [`put_in`], for content that came inline: verified small bytes.
///
/// # Errors
/// When the database fails.
pub async fn put_small_in<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    repository: RepositoryId,
    contents: &[(Digest, Bytes)],
    now: i64,
) -> Result<(), Error> {
    let contents: Vec<NewContent> = contents
        .iter()
        .map(|(digest, bytes)| NewContent {
            digest: *digest,
            size: byte_count(bytes),
            place: Place::Database(bytes.clone()),
        })
        .collect();
    put_in(transaction, network, repository, &contents, now).await?;
    Ok(())
}

/// The number of bytes in memory; always fits.
fn byte_count(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// What a network has of some digests.
#[derive(Debug, Default)]
struct Known {
    whole: BTreeMap<Digest, BlobId>,
    damaged: BTreeMap<Digest, BTreeSet<BlobId>>,
}

const KNOWN: &str = "SELECT b.digest, b.id, b.state FROM json_each(?2) AS wanted \
    CROSS JOIN blob AS b ON b.network = ?1 AND b.digest = unhex(wanted.value)";

async fn known_blobs<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    digests: impl Iterator<Item = &Digest>,
) -> Result<Known, Error> {
    let values = [network.0.into(), digest_list(digests).into()];
    let mut known = Known::default();
    for row in sql::all(transaction, KNOWN, values).await? {
        let digest = digest_of_row(&row, 0)?;
        let blob = blob_of_row(&row, 1)?;
        let state: String = row.try_get_by_index(2)?;
        if state == "D" {
            known.damaged.entry(digest).or_default().insert(blob);
        } else {
            known.whole.insert(digest, blob);
        }
    }
    Ok(known)
}

/// Reads a blob id column.
pub(super) fn blob_of_row(row: &QueryResult, index: usize) -> Result<BlobId, Error> {
    let bytes: Vec<u8> = row.try_get_by_index(index)?;
    BlobId::from_bytes(&bytes).ok_or_else(|| Error::UnknownValue {
        table: "content",
        column: "blob",
        value: hex::encode(bytes),
    })
}

/// What a group of contents needs.
#[derive(Debug, Default)]
struct Plan {
    bytes: Vec<(BlobId, Digest, Bytes)>,
    objects: Vec<(BlobId, Digest, i64)>,
    rows: Vec<(Digest, BlobId, i64)>,
    unused: Vec<BlobId>,
}

impl Plan {
    fn new(contents: &BTreeMap<Digest, &NewContent>, known: &Known) -> Self {
        let mut plan = Self::default();
        for (digest, content) in contents {
            let blob = plan.place(*digest, content, known.whole.get(digest).copied());
            plan.rows.push((*digest, blob, content.size));
        }
        plan
    }

    fn place(&mut self, digest: Digest, content: &NewContent, whole: Option<BlobId>) -> BlobId {
        match (&content.place, whole) {
            (Place::Database(_), Some(blob)) => blob,
            (Place::Object(unused), Some(blob)) => {
                self.unused.push(*unused);
                blob
            }
            (Place::Database(bytes), None) => {
                let blob = BlobId(Uuid::now_v7());
                self.bytes.push((blob, digest, bytes.clone()));
                blob
            }
            (Place::Object(blob), None) => {
                self.objects.push((*blob, digest, content.size));
                *blob
            }
        }
    }
}

/// Bytes travel as one value and are cut by the database: one statement for any number of rows, and no hex of bytes.
const INSERT_BYTES: &str = "INSERT INTO blob (id, network, digest, size, state, created_at, object, bytes) \
    SELECT unhex(substr(value, 1, 32)), ?1, unhex(substr(value, 33, 64)), CAST(substr(value, 107, 10) AS INT), \
    'W', ?4, NULL, substr(?3, CAST(substr(value, 97, 10) AS INT), CAST(substr(value, 107, 10) AS INT)) \
    FROM json_each(?2)";

async fn insert_bytes<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    blobs: &[(BlobId, Digest, Bytes)],
    now: i64,
) -> Result<(), Error> {
    if blobs.is_empty() {
        return Ok(());
    }
    let (list, joined) = pack(blobs);
    let values = [network.0.into(), list.into(), joined.into(), now.into()];
    sql::execute(transaction, INSERT_BYTES, values).await?;
    Ok(())
}

/// One fixed-width record for each blob (id, digest, place from 1, length), and all bytes in a row.
///
/// A last byte that belongs to none keeps the value from being empty: SQLite binds an empty one as NULL.
fn pack(blobs: &[(BlobId, Digest, Bytes)]) -> (String, Vec<u8>) {
    let total: usize = blobs.iter().map(|(_, _, bytes)| bytes.len()).sum();
    let mut joined = Vec::with_capacity(total + 1);
    let mut list = String::with_capacity(blobs.len() * 120 + 2);
    list.push('[');
    for (index, (blob, digest, bytes)) in blobs.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let (id, start, length) = (blob.0.simple(), joined.len() + 1, bytes.len());
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}\"{id}{digest}{start:010}{length:010}\"");
        joined.extend_from_slice(bytes);
    }
    list.push(']');
    joined.push(0);
    (list, joined)
}

const INSERT_OBJECTS: &str = "INSERT INTO blob (id, network, digest, size, state, created_at, object, bytes) \
    SELECT unhex(value ->> 0), ?1, unhex(value ->> 1), CAST(value ->> 2 AS BIGINT), 'W', ?3, \
    value ->> 3, NULL FROM json_each(?2)";

async fn insert_objects<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    blobs: &[(BlobId, Digest, i64)],
    now: i64,
) -> Result<(), Error> {
    if blobs.is_empty() {
        return Ok(());
    }
    let records = blobs.iter().map(|(blob, digest, size)| {
        [
            blob.0.simple().to_string(),
            digest.to_string(),
            size.to_string(),
            object_path(*blob).to_string(),
        ]
    });
    let values = [network.0.into(), record_list(records).into(), now.into()];
    sql::execute(transaction, INSERT_OBJECTS, values).await?;
    Ok(())
}

const INSERT_CONTENT: &str = "INSERT INTO content (repository, digest, blob, size, touched_at) \
    SELECT ?1, unhex(substr(value, 33, 64)), unhex(substr(value, 1, 32)), CAST(substr(value, 97) AS BIGINT), ?3 \
    FROM json_each(?2) WHERE TRUE \
    ON CONFLICT (repository, digest) DO UPDATE SET blob = excluded.blob, touched_at = excluded.touched_at";

async fn insert_content<C: ConnectionTrait>(
    transaction: &C,
    repository: RepositoryId,
    rows: &[(Digest, BlobId, i64)],
    now: i64,
) -> Result<(), Error> {
    let mut list = String::with_capacity(rows.len() * 120 + 2);
    list.push('[');
    for (index, (digest, blob, size)) in rows.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}\"{}{digest}{size}\"", blob.0.simple());
    }
    list.push(']');
    let values = [repository.0.into(), list.into(), now.into()];
    sql::execute(transaction, INSERT_CONTENT, values).await?;
    Ok(())
}

const REPOINT: &str = "UPDATE content SET blob = (SELECT b.id FROM blob AS b \
    WHERE b.network = ?1 AND b.digest = content.digest AND b.state = 'W' LIMIT 1) \
    WHERE blob IN (SELECT unhex(value) FROM json_each(?2))";

const FORGET: &str = "DELETE FROM blob WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

/// Whole bytes take the place of damaged ones for every repository that had them.
async fn replace_damaged<C: ConnectionTrait>(
    transaction: &C,
    network: NetworkId,
    plan: &Plan,
    known: &Known,
) -> Result<Vec<BlobId>, Error> {
    let damaged: Vec<BlobId> = plan
        .rows
        .iter()
        .filter_map(|(digest, _, _)| known.damaged.get(digest))
        .flatten()
        .copied()
        .collect();
    if damaged.is_empty() {
        return Ok(damaged);
    }
    let list = hex_list(damaged.iter().map(|blob| blob.to_bytes()));
    let values = [network.0.into(), list.clone().into()];
    sql::execute(transaction, REPOINT, values).await?;
    sql::execute(transaction, FORGET, [list.into()]).await?;
    Ok(damaged)
}

const MARK_DAMAGED: &str = "UPDATE blob SET state = 'D' WHERE id = ?1";

/// Notes that a blob does not have the bytes it should have: its content counts as missing until it is sent again.
///
/// The bytes stay where they are: the fault may lie in the reading.
///
/// # Errors
/// When the database fails.
pub async fn mark_damaged_in<C: ConnectionTrait>(
    transaction: &C,
    blob: BlobId,
) -> Result<(), Error> {
    let values = [blob.to_bytes().into()];
    sql::execute(transaction, MARK_DAMAGED, values).await?;
    Ok(())
}

const READ_SMALL: &str = "SELECT c.digest, b.bytes, b.size FROM json_each(?2) AS wanted \
    CROSS JOIN content AS c ON c.repository = ?1 AND c.digest = unhex(wanted.value) \
    CROSS JOIN blob AS b ON b.id = c.blob \
    WHERE b.bytes IS NOT NULL AND b.size <= ?3 AND b.state = 'W'";

/// The bytes of those contents of a repository that have at most `bytes_max` of them and lie in the database.
///
/// The digest is not computed again; whoever assembles the file does that (R-CNT-1).
///
/// # Errors
/// When the database fails.
pub async fn read_small<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    digests: &[Digest],
    bytes_max: i64,
) -> Result<BTreeMap<Digest, Bytes>, Error> {
    if digests.is_empty() {
        return Ok(BTreeMap::new());
    }
    let values = [
        repository.0.into(),
        digest_list(digests).into(),
        bytes_max.into(),
    ];
    let rows = sql::all(connection, READ_SMALL, values).await?;
    let mut contents = BTreeMap::new();
    for row in rows {
        let bytes = Bytes::from(row.try_get_by_index::<Vec<u8>>(1)?);
        let size: i64 = row.try_get_by_index(2)?;
        if byte_count(&bytes) == size {
            contents.insert(digest_of_row(&row, 0)?, bytes);
        }
    }
    Ok(contents)
}

const BY_ID: &str = "SELECT id, digest, size, object IS NOT NULL, bytes FROM blob \
    WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND state = 'W'";

/// Whole blobs, to be read; the caller bounds their number and bytes.
///
/// # Errors
/// When the database fails.
pub async fn blobs_by_id<C: ConnectionTrait>(
    connection: &C,
    ids: &[BlobId],
) -> Result<BTreeMap<BlobId, BlobPlace>, Error> {
    let list = hex_list(ids.iter().map(|id| id.to_bytes()));
    let rows = sql::all(connection, BY_ID, [list.into()]).await?;
    let mut places = BTreeMap::new();
    for row in &rows {
        let place = place_of_row(row)?;
        places.insert(place.id, place);
    }
    Ok(places)
}

fn place_of_row(row: &QueryResult) -> Result<BlobPlace, Error> {
    let id = blob_of_row(row, 0)?;
    let is_object: bool = row.try_get_by_index(3)?;
    let place = if is_object {
        Place::Object(id)
    } else {
        Place::Database(Bytes::from(row.try_get_by_index::<Vec<u8>>(4)?))
    };
    Ok(BlobPlace {
        id,
        digest: digest_of_row(row, 1)?,
        size: row.try_get_by_index(2)?,
        place,
    })
}

/// A blob whose bytes lie in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    /// Which.
    pub id: BlobId,
    /// The digest its bytes must have.
    pub digest: Digest,
    /// The number of bytes it must have.
    pub size: i64,
}

const OBJECTS: &str =
    "SELECT id, digest, size FROM blob WHERE object IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2";

/// The next blobs behind one of them whose bytes lie in objects, those that were found damaged too.
///
/// # Errors
/// When the database fails.
pub async fn objects_behind<C: ConnectionTrait>(
    connection: &C,
    after: Option<BlobId>,
    rows_max: usize,
) -> Result<Vec<StoredObject>, Error> {
    let after = after.map_or_else(Vec::new, BlobId::to_bytes);
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let rows = sql::all(connection, OBJECTS, [after.into(), limit.into()]).await?;
    let read = |row| {
        Ok(StoredObject {
            id: blob_of_row(row, 0)?,
            digest: digest_of_row(row, 1)?,
            size: row.try_get_by_index(2)?,
        })
    };
    rows.iter().map(read).collect()
}
