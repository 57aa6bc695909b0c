//! Batches of a repository: the last number, and the answers that repeats are given (R-AGT-3).

use sea_orm::ConnectionTrait;

use super::super::{Error, sql};
use super::rows::Insert;
use crate::domain::ids::{BatchId, RepositoryId};
use crate::domain::limits::BATCH_ANSWERS_KEPT;

const ANSWERS: Insert = Insert {
    head: "INSERT INTO batch_result (repository, number, batch_id, answer) VALUES",
    columns: 4,
    tail: "",
};

/// How far a repository's batches are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The epoch of its session.
    pub epoch: i64,
    /// The last batch accepted.
    pub number: i64,
}

/// Reads how far a repository is, inside the transaction that decides about its next batch.
///
/// # Errors
/// Whatever the database answers.
pub async fn sequence_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<Sequence, Error> {
    let text = "SELECT epoch, batch_number FROM repository WHERE id = ?";
    let row = sql::one(tx, text, [repository.0.into()]).await?;
    let row = row.ok_or(Error::Corrupt {
        what: "the row of a repository",
    })?;
    Ok(Sequence {
        epoch: row.try_get_by_index(0)?,
        number: row.try_get_by_index(1)?,
    })
}

/// The stored answer to an earlier batch, with its id.
///
/// # Errors
/// Whatever the database answers.
pub async fn answer_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    number: i64,
) -> Result<Option<(BatchId, Vec<u8>)>, Error> {
    let text = "SELECT batch_id, answer FROM batch_result WHERE repository = ? AND number = ?";
    let Some(row) = sql::one(tx, text, [repository.0.into(), number.into()]).await? else {
        return Ok(None);
    };
    let id: Vec<u8> = row.try_get_by_index(0)?;
    let id = BatchId::from_bytes(&id).ok_or(Error::Corrupt {
        what: "the id of a batch",
    })?;
    Ok(Some((id, row.try_get_by_index(1)?)))
}

/// How a batch was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its number.
    pub number: i64,
    /// Its id.
    pub id: BatchId,
    /// The agent's own note.
    pub cursor: Vec<u8>,
    /// The answer, as it is kept.
    pub answer: Vec<u8>,
}

/// Notes batches as accepted, in order; the last one of them is the repository's last.
///
/// # Errors
/// Whatever the database answers.
pub async fn accept_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    answers: Vec<Answer>,
) -> Result<(), Error> {
    let Some(last) = answers.last().cloned() else {
        return Ok(());
    };
    let row = |answer: Answer| {
        vec![
            repository.0.into(),
            answer.number.into(),
            answer.id.to_bytes().into(),
            answer.answer.into(),
        ]
    };
    ANSWERS
        .rows(tx, answers.into_iter().map(row).collect())
        .await?;
    let prune = "DELETE FROM batch_result WHERE repository = ? AND number <= ?";
    let oldest = last.number - BATCH_ANSWERS_KEPT;
    sql::execute(tx, prune, [repository.0.into(), oldest.into()]).await?;
    let update = "UPDATE repository SET batch_number = ?, batch_id = ?, cursor = ? WHERE id = ?";
    let values = [
        last.number.into(),
        last.id.to_bytes().into(),
        last.cursor.into(),
        repository.0.into(),
    ];
    sql::execute(tx, update, values).await?;
    Ok(())
}
