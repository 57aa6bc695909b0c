//! Which cloud account each owner linked (R-IDN-1). No credential ever comes this far.

use sea_orm::ConnectionTrait;

use super::super::{Error, Store, sql};
use super::walks::SetJobKind;
use crate::domain::ids::{NetworkId, RepositoryId};

/// The link of an on-premise user to an account of a cloud repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLink {
    /// The cloud repository.
    pub repository: RepositoryId,
    /// The on-premise user.
    pub owner: String,
    /// The account.
    pub account: String,
    /// When it was linked, in microseconds since 1970.
    pub linked_at: i64,
}

impl Store {
    /// The account that a user linked in a cloud repository.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn account_link(
        &self,
        repository: RepositoryId,
        owner: &str,
    ) -> Result<Option<AccountLink>, Error> {
        let text = "SELECT account, linked_at FROM account_link WHERE repository = ? AND owner = ?";
        let values = [repository.0.into(), owner.into()];
        let Some(row) = sql::one(self.reader(), text, values).await? else {
            return Ok(None);
        };
        Ok(Some(AccountLink {
            repository,
            owner: owner.to_owned(),
            account: row.try_get_by_index(0)?,
            linked_at: row.try_get_by_index(1)?,
        }))
    }
}

/// Notes a link; an older one of the same user is replaced.
///
/// # Errors
/// Whatever the database answers.
pub async fn link_in<C: ConnectionTrait>(tx: &C, link: &AccountLink) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO account_link (repository, owner, account, linked_at) \
                VALUES (?, ?, ?, ?)";
    let values = [
        link.repository.0.into(),
        link.owner.as_str().into(),
        link.account.as_str().into(),
        link.linked_at.into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// Begins to try again what failed in the sets of a user because of the old account (R-ERR-1).
///
/// # Errors
/// Whatever the database answers.
pub async fn retry_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    link: &AccountLink,
    actor: &str,
) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO set_job (set_id, network, kind, after, actor) \
                SELECT id, network, ?, x'', ? FROM sync_set \
                WHERE network = ? AND cloud_repository = ? AND owner = ? AND ending = 0";
    let values = [
        (SetJobKind::RetryOwner as i32).into(),
        actor.into(),
        network.0.into(),
        link.repository.0.into(),
        link.owner.as_str().into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}
