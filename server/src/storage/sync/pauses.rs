//! Repositories that are paused; a set's own pause stands in its row (R-SET-7).

use sea_orm::ConnectionTrait;

use super::super::{Error, sql};
use crate::domain::ids::{NetworkId, RepositoryId};

/// Notes that a repository of the network is paused, or no more; false when it was so already.
///
/// # Errors
/// Whatever the database answers.
pub async fn pause_repository_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    repository: RepositoryId,
    paused: bool,
) -> Result<bool, Error> {
    let text = "UPDATE repository SET paused = ?1 WHERE id = ?2 AND network = ?3 AND paused <> ?1";
    let values = [paused.into(), repository.0.into(), network.0.into()];
    Ok(sql::execute(tx, text, values).await? > 0)
}

/// The repositories that share a set with one of them, itself among them: whoever may have work when a pause ends.
///
/// # Errors
/// Whatever the database answers.
pub async fn partners_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<Vec<RepositoryId>, Error> {
    let text = "SELECT on_premise_repository FROM sync_set WHERE cloud_repository = ?1 \
                UNION SELECT cloud_repository FROM sync_set WHERE on_premise_repository = ?1 \
                UNION SELECT ?1";
    let rows = sql::all(tx, text, [repository.0.into()]).await?;
    rows.iter()
        .map(|row| Ok(RepositoryId(row.try_get_by_index(0)?)))
        .collect()
}
