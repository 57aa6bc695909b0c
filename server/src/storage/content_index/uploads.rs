//! What is on its way: large content that can be resumed at its committed offset (R-CNT-1).

use sea_orm::{ConnectionTrait, QueryResult};

use super::blobs::blob_of_row;
use super::possession::digest_of_row;
use crate::domain::ids::{BlobId, Digest, RepositoryId};
use crate::storage::{Error, sql};

/// An upload that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its file, and later its blob.
    pub id: BlobId,
    /// Who sends it.
    pub repository: RepositoryId,
    /// The digest that it is to have.
    pub digest: Digest,
    /// The number of bytes that it is to have.
    pub size: i64,
    /// The bytes that are durable.
    pub committed: i64,
    /// When something was last committed, in microseconds since 1970-01-01 UTC.
    pub updated_at: i64,
}

const OF: &str = "SELECT id, repository, digest, size, committed, updated_at FROM upload WHERE repository = ?1 AND digest = ?2";

const IDLE: &str = "SELECT id, repository, digest, size, committed, updated_at FROM upload \
    WHERE updated_at < ?1 ORDER BY updated_at LIMIT ?2";

fn upload_of_row(row: &QueryResult) -> Result<Upload, Error> {
    Ok(Upload {
        id: blob_of_row(row, 0)?,
        repository: RepositoryId(row.try_get_by_index(1)?),
        digest: digest_of_row(row, 2)?,
        size: row.try_get_by_index(3)?,
        committed: row.try_get_by_index(4)?,
        updated_at: row.try_get_by_index(5)?,
    })
}

/// The repository's upload of this content, if one was begun.
///
/// # Errors
/// When the database fails.
pub async fn upload_of<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    digest: Digest,
) -> Result<Option<Upload>, Error> {
    let values = [repository.0.into(), digest.0.to_vec().into()];
    let row = sql::one(connection, OF, values).await?;
    row.as_ref().map(upload_of_row).transpose()
}

const COUNT: &str = "SELECT count(*) FROM upload WHERE repository = ?1";

/// How many uploads of the repository lie half done.
///
/// # Errors
/// When the database fails.
pub async fn unfinished_uploads<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
) -> Result<i64, Error> {
    let row = sql::one(connection, COUNT, [repository.0.into()]).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get_by_index(0))?)
}

const INSERT: &str = "INSERT INTO upload (id, repository, digest, size, committed, updated_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Notes a new upload, before its file is made.
///
/// # Errors
/// When the database fails, or the repository already has an upload of this content.
pub async fn insert_upload_in<C: ConnectionTrait>(
    transaction: &C,
    upload: &Upload,
) -> Result<(), Error> {
    let values = [
        upload.id.to_bytes().into(),
        upload.repository.0.into(),
        upload.digest.0.to_vec().into(),
        upload.size.into(),
        upload.committed.into(),
        upload.updated_at.into(),
    ];
    sql::execute(transaction, INSERT, values).await?;
    Ok(())
}

const ADVANCE: &str = "UPDATE upload SET committed = ?2, updated_at = ?3 WHERE id = ?1";

/// Notes how many bytes of the upload's file are durable.
///
/// # Errors
/// When the database fails.
pub async fn advance_upload_in<C: ConnectionTrait>(
    transaction: &C,
    id: BlobId,
    committed: i64,
    now: i64,
) -> Result<(), Error> {
    let values = [id.to_bytes().into(), committed.into(), now.into()];
    sql::execute(transaction, ADVANCE, values).await?;
    Ok(())
}

const DELETE: &str = "DELETE FROM upload WHERE id = ?1";

/// Ends an upload: it became a blob, or was given up.
///
/// # Errors
/// When the database fails.
pub async fn delete_upload_in<C: ConnectionTrait>(
    transaction: &C,
    id: BlobId,
) -> Result<(), Error> {
    let values = [id.to_bytes().into()];
    sql::execute(transaction, DELETE, values).await?;
    Ok(())
}

/// Uploads of which nothing was heard since, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn idle_uploads<C: ConnectionTrait>(
    connection: &C,
    before: i64,
    rows_max: i64,
) -> Result<Vec<Upload>, Error> {
    let values = [before.into(), rows_max.into()];
    let rows = sql::all(connection, IDLE, values).await?;
    rows.iter().map(upload_of_row).collect()
}
