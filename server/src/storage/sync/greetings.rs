//! What a repository's sessions left behind, and what the present one declared (R-AGT-1, R-AGT-2).

use sea_orm::ConnectionTrait;

use super::super::{Error, sql};
use super::load::Declared;
use crate::domain::ids::{BatchId, Epoch, Generation, RepositoryId};
use crate::domain::session::{Greeting, Remembered, ResumeKey};

/// The last batch that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastBatch {
    /// Its number; 0 = none.
    pub number: i64,
    /// Its id; empty = none.
    pub id: Vec<u8>,
    /// Its cursor.
    pub cursor: Vec<u8>,
}

/// A session that was admitted.
#[derive(Debug)]
pub struct Bound<'a> {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its generation.
    pub generation: Generation,
    /// The key that it is given.
    pub key: ResumeKey,
    /// What its agent showed.
    pub greeting: &'a Greeting,
    /// What its agent declared.
    pub declared: &'a Declared,
}

/// What is remembered of earlier sessions.
///
/// # Errors
/// Whatever the database answers.
pub async fn remembered_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<Remembered, Error> {
    let text = "SELECT installation, index_id, generation, epoch, resume_key, \
                pending_resume_key, batch_number, batch_id, rebind, restored FROM repository WHERE id = ?";
    let row = sql::one(tx, text, [repository.0.into()]).await?;
    let row = row.ok_or(Error::Corrupt {
        what: "the row of a repository",
    })?;
    let key = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| ResumeKey::from_bytes(&bytes));
    let batch_id: Option<Vec<u8>> = row.try_get_by_index(7)?;
    Ok(Remembered {
        installation: row.try_get_by_index(0)?,
        index: row.try_get_by_index(1)?,
        generation: Generation(row.try_get_by_index(2)?),
        epoch: Epoch(row.try_get_by_index(3)?),
        key: key(row.try_get_by_index(4)?),
        unconfirmed_key: key(row.try_get_by_index(5)?),
        batch_number: row.try_get_by_index(6)?,
        batch_id: batch_id.and_then(|bytes| BatchId::from_bytes(&bytes)),
        rebind: row.try_get_by_index(8)?,
        restored: row.try_get_by_index(9)?,
    })
}

/// Binds the repository to a session; what waited for the agent only is due at once (R-ERR-1).
///
/// # Errors
/// Whatever the database answers.
pub async fn bind_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    bound: &Bound<'_>,
) -> Result<(), Error> {
    let text = "UPDATE repository SET installation = ?, index_id = ?, generation = ?, epoch = ?, \
                resume_key = ?, pending_resume_key = ?, capabilities = ?, cloned = 0, rebind = 0, restored = 0 \
                WHERE id = ?";
    let shown = bound.greeting.key.map(ResumeKey::to_bytes);
    let values = [
        bound.greeting.installation.clone().into(),
        bound.greeting.index.clone().into(),
        bound.generation.0.into(),
        bound.epoch.0.into(),
        shown.into(),
        bound.key.to_bytes().into(),
        serde_json::to_vec(bound.declared)
            .unwrap_or_default()
            .into(),
        repository.0.into(),
    ];
    sql::execute(tx, text, values).await?;
    let text = "UPDATE due SET not_before = 0 WHERE repository = ? AND not_before > 0 \
                AND lane IN (1, 2, 3, 4, 5)";
    sql::execute(tx, text, [repository.0.into()]).await?;
    Ok(())
}

/// The key of the last welcome counts from now on.
///
/// # Errors
/// Whatever the database answers.
pub async fn confirm_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    key: ResumeKey,
) -> Result<(), Error> {
    let text = "UPDATE repository SET resume_key = pending_resume_key, pending_resume_key = NULL \
                WHERE id = ? AND pending_resume_key = ?";
    sql::execute(tx, text, [repository.0.into(), key.to_bytes().into()]).await?;
    Ok(())
}

/// Shows administrators that a clone was refused.
///
/// # Errors
/// Whatever the database answers.
pub async fn note_clone_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<(), Error> {
    sql::execute(
        tx,
        "UPDATE repository SET cloned = 1 WHERE id = ?",
        [repository.0.into()],
    )
    .await?;
    Ok(())
}

/// The last batch that was accepted of a repository.
///
/// # Errors
/// Whatever the database answers.
pub async fn last_batch_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<LastBatch, Error> {
    let text = "SELECT batch_number, batch_id, cursor FROM repository WHERE id = ?";
    let row = sql::one(tx, text, [repository.0.into()]).await?;
    let row = row.ok_or(Error::Corrupt {
        what: "the row of a repository",
    })?;
    let id: Option<Vec<u8>> = row.try_get_by_index(1)?;
    let cursor: Option<Vec<u8>> = row.try_get_by_index(2)?;
    Ok(LastBatch {
        number: row.try_get_by_index(0)?,
        id: id.unwrap_or_default(),
        cursor: cursor.unwrap_or_default(),
    })
}
