//! Sets that were ended: remembered, so that whoever asks again gets the same answer (R-UNS-1).

use sea_orm::ConnectionTrait;

use super::super::{Error, Store, sql};
use crate::domain::ids::{MemberId, NetworkId, SyncSetId};
use crate::domain::sync_set::Removal;

/// What is remembered of a set that was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSet {
    /// Who owned it.
    pub owner: String,
    /// The member of its synced folder.
    pub root: MemberId,
    /// What became of its cloud copy.
    pub removal: Removal,
}

/// Remembers a set that was just ended.
///
/// # Errors
/// Whatever the database answers.
pub async fn remember_in<C: ConnectionTrait>(tx: &C, set: SyncSetId) -> Result<(), Error> {
    let text = "INSERT OR IGNORE INTO ended_set (id, network, owner, root, removal) \
                SELECT id, network, owner, root, removal FROM sync_set WHERE id = ? AND ending = 1";
    sql::execute(tx, text, [set.to_bytes().into()]).await?;
    Ok(())
}

impl Store {
    /// What is remembered of a set of a network that was ended.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn ended_set(
        &self,
        network: NetworkId,
        id: SyncSetId,
    ) -> Result<Option<EndedSet>, Error> {
        let text = "SELECT owner, root, removal FROM ended_set WHERE id = ? AND network = ?";
        let values = [id.to_bytes().into(), network.0.into()];
        let Some(row) = sql::one(self.reader(), text, values).await? else {
            return Ok(None);
        };
        let root: Vec<u8> = row.try_get_by_index(1)?;
        Ok(Some(EndedSet {
            owner: row.try_get_by_index(0)?,
            root: MemberId::from_bytes(&root).ok_or(Error::Corrupt {
                what: "the root of a set that was ended",
            })?,
            removal: Removal::from_number(row.try_get_by_index(2)?),
        }))
    }
}
