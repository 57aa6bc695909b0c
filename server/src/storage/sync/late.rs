//! Sets that are gone, but one of whose cloud copies was on its way to be made when they went, and is to go too (R-UNS-1).

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, QueryResult};

use super::super::{Error, sql};
use super::rows::json;
use crate::domain::engine::{REMOVED, set_node};
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::projection::Sides;
use crate::domain::sync_set::{Counters, Guard, Options, Removal, SetKind, SyncSet};

/// Remembers a set that is about to go, where an ended membership of it says that its cloud copy is removed.
///
/// # Errors
/// Whatever the database answers.
pub async fn remember_in<C: ConnectionTrait>(tx: &C, set: &SyncSet) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO late_set (id, network, on_premise_repository, cloud_repository, \
                root, target, owner, removal, kind) \
                SELECT id, network, on_premise_repository, cloud_repository, root, target, owner, removal, \
                kind FROM sync_set WHERE id = ? AND EXISTS (SELECT 1 FROM copy INDEXED BY copy_place \
                WHERE repository = ? AND parent = ? AND name_key = '' AND revision = ?)";
    let values = [
        set.id.to_bytes().into(),
        set.repositories.cloud.0.into(),
        set_node(set.id).0.into(),
        REMOVED.into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// Forgets a set: it is about to be there again.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget_in<C: ConnectionTrait>(tx: &C, set: SyncSetId) -> Result<(), Error> {
    let text = "DELETE FROM late_set WHERE id = ?";
    sql::execute(tx, text, [set.to_bytes().into()]).await?;
    Ok(())
}

/// What is remembered of these sets.
///
/// # Errors
/// Whatever the database answers.
pub async fn late_in<C: ConnectionTrait>(
    connection: &C,
    ids: &BTreeSet<SyncSetId>,
) -> Result<Vec<SyncSet>, Error> {
    let text = "SELECT l.id, l.network, l.on_premise_repository, l.cloud_repository, l.root, l.target, \
                l.owner, l.removal, l.kind, COALESCE((SELECT a.account FROM account_link a \
                WHERE a.repository = l.cloud_repository AND a.owner = l.owner), '') \
                FROM json_each(?) j CROSS JOIN late_set l ON l.id = unhex(j.value)";
    let list: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
    let rows = sql::all(connection, text, [json(&list)]).await?;
    rows.iter().map(late).collect()
}

/// The options are not remembered: nothing that is left to do depends on them.
fn late(row: &QueryResult) -> Result<SyncSet, Error> {
    let id: Vec<u8> = row.try_get_by_index(0)?;
    let root: Vec<u8> = row.try_get_by_index(4)?;
    let corrupt = || Error::Corrupt {
        what: "a set that is gone",
    };
    Ok(SyncSet {
        id: SyncSetId::from_bytes(&id).ok_or_else(corrupt)?,
        network: NetworkId(row.try_get_by_index(1)?),
        repositories: Sides {
            on_premise: RepositoryId(row.try_get_by_index(2)?),
            cloud: RepositoryId(row.try_get_by_index(3)?),
        },
        kind: SetKind::from_number(row.try_get_by_index(8)?),
        root: MemberId::from_bytes(&root).ok_or_else(corrupt)?,
        target: NodeId(row.try_get_by_index(5)?),
        source_folder: NodeId::default(),
        options: Options::default(),
        owner: row.try_get_by_index(6)?,
        account: row.try_get_by_index(9)?,
        ending: true,
        outside: Sides::default(),
        removal: Removal::from_number(row.try_get_by_index(7)?),
        paused: false,
        repository_paused: false,
        counters: Counters::default(),
        guard: Guard::default(),
    })
}
