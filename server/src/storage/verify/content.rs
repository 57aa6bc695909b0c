//! Blobs, to be read byte by byte, and who needs them.

use bytes::Bytes;
use sea_orm::ConnectionTrait;

use crate::domain::ids::{BlobId, Digest, MemberId};
use crate::storage::{Error, sql};

/// A blob as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// Which.
    pub id: BlobId,
    /// The digest its bytes must have.
    pub digest: Digest,
    /// The number of bytes it must have.
    pub size: i64,
    /// Whether it was found damaged before.
    pub known_damaged: bool,
    /// The bytes, unless they are in an object.
    pub bytes: Option<Bytes>,
}

const BLOBS: &str =
    "SELECT id, digest, size, state, bytes FROM blob WHERE id > ? ORDER BY id LIMIT ?";

/// The next blobs behind one of them.
///
/// # Errors
/// Whatever the database answers.
pub async fn blobs_behind<C: ConnectionTrait>(
    connection: &C,
    after: Option<BlobId>,
    rows_max: usize,
) -> Result<Vec<StoredBlob>, Error> {
    let after = after.map_or_else(Vec::new, BlobId::to_bytes);
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut blobs = Vec::new();
    for row in sql::all(connection, BLOBS, [after.into(), limit.into()]).await? {
        let (id, digest): (Vec<u8>, Vec<u8>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let state: String = row.try_get_by_index(3)?;
        let bytes: Option<Vec<u8>> = row.try_get_by_index(4)?;
        let corrupt = Error::Corrupt {
            what: "the row of a blob",
        };
        let (Some(id), Some(digest)) = (BlobId::from_bytes(&id), Digest::from_bytes(&digest))
        else {
            return Err(corrupt);
        };
        blobs.push(StoredBlob {
            id,
            digest,
            size: row.try_get_by_index(2)?,
            known_damaged: state == "D",
            bytes: bytes.map(Bytes::from),
        });
    }
    Ok(blobs)
}

const NAMED: &str = "SELECT DISTINCT v.member FROM content c \
     JOIN version v ON v.repository = c.repository AND v.digest = c.digest WHERE c.blob = ? \
     ORDER BY v.member LIMIT ?";

/// Members a version of which needs the bytes of a blob, at most so many.
///
/// # Errors
/// Whatever the database answers.
pub async fn named_by<C: ConnectionTrait>(
    connection: &C,
    blob: BlobId,
    rows_max: usize,
) -> Result<Vec<MemberId>, Error> {
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let rows = sql::all(connection, NAMED, [blob.to_bytes().into(), limit.into()]).await?;
    let mut members = Vec::new();
    for row in rows {
        let member: Vec<u8> = row.try_get_by_index(0)?;
        members.extend(MemberId::from_bytes(&member));
    }
    Ok(members)
}
