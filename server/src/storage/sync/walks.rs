//! Walks over what gone folders held, and work on all members of a set: durable jobs, done in steps.

use sea_orm::ConnectionTrait;

use super::super::{Error, Store, sql};
use super::codec;
use crate::domain::copy::Absence;
use crate::domain::engine::Walk;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};

/// A walk and its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkRow {
    /// Its row.
    pub id: i64,
    /// The walk.
    pub walk: Walk,
    /// Nodes up to this one are done.
    pub after: NodeId,
}

/// What is to be done with every member of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum SetJobKind {
    /// End its membership.
    End = 0,
    /// Restore what a held deletion would remove.
    RefuseHold = 1,
    /// Try again what failed because of the owner.
    RetryOwner = 2,
}

impl SetJobKind {
    /// The kind of a stored number.
    fn from_number(number: i32) -> Self {
        [Self::RefuseHold, Self::RetryOwner]
            .into_iter()
            .find(|kind| *kind as i32 == number)
            .unwrap_or(Self::End)
    }
}

/// Work on all members of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetJob {
    /// The set.
    pub set: SyncSetId,
    /// What is to be done.
    pub kind: SetJobKind,
    /// Members up to this one are done.
    pub after: Vec<u8>,
    /// Who asked for it.
    pub actor: String,
}

/// How a copy is gone, as tables keep it.
#[must_use]
pub fn absence_number(absence: Absence) -> i32 {
    match absence {
        Absence::Deleted => 1,
        Absence::MovedOut => 2,
    }
}

/// The oldest walk of a network.
///
/// # Errors
/// Whatever the database answers.
pub async fn next_walk_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
) -> Result<Option<WalkRow>, Error> {
    let text = "SELECT id, repository, folder, set_id, absence, choice, after FROM walk \
                WHERE network = ? ORDER BY id LIMIT 1";
    let Some(row) = sql::one(tx, text, [network.0.into()]).await? else {
        return Ok(None);
    };
    let set: Vec<u8> = row.try_get_by_index(3)?;
    let absence: i32 = row.try_get_by_index(4)?;
    let walk = Walk {
        repository: RepositoryId(row.try_get_by_index(1)?),
        folder: NodeId(row.try_get_by_index(2)?),
        set: SyncSetId::from_bytes(&set).ok_or(Error::Corrupt {
            what: "the set of a walk",
        })?,
        absence: if absence == 2 {
            Absence::MovedOut
        } else {
            Absence::Deleted
        },
        choice: codec::choice(row.try_get_by_index(5)?),
    };
    Ok(Some(WalkRow {
        id: row.try_get_by_index(0)?,
        walk,
        after: NodeId(row.try_get_by_index(6)?),
    }))
}

/// Nodes that are there in a folder behind one of them, in order, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn members_below_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    folder: &NodeId,
    after: &NodeId,
    limit: usize,
) -> Result<Vec<NodeId>, Error> {
    let text = "SELECT node FROM copy INDEXED BY copy_place WHERE repository = ? AND parent = ? \
                AND node > ? AND state NOT IN (1, 2) ORDER BY node LIMIT ?";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [
        repository.0.into(),
        folder.0.as_str().into(),
        after.0.as_str().into(),
        limit.into(),
    ];
    let rows = sql::all(tx, text, values).await?;
    rows.iter()
        .map(|row| Ok(NodeId(row.try_get_by_index(0)?)))
        .collect()
}

/// Notes how far a walk is: what it has seen may still lie there, so it never looks back.
///
/// # Errors
/// Whatever the database answers.
pub async fn advance_walk_in<C: ConnectionTrait>(
    tx: &C,
    id: i64,
    after: &NodeId,
) -> Result<(), Error> {
    let text = "UPDATE walk SET after = ? WHERE id = ?";
    sql::execute(tx, text, [after.0.as_str().into(), id.into()]).await?;
    Ok(())
}

/// Forgets a walk that is done.
///
/// # Errors
/// Whatever the database answers.
pub async fn finish_walk_in<C: ConnectionTrait>(tx: &C, id: i64) -> Result<(), Error> {
    sql::execute(tx, "DELETE FROM walk WHERE id = ?", [id.into()]).await?;
    Ok(())
}

/// Begins work on all members of a set.
///
/// # Errors
/// Whatever the database answers.
pub async fn begin_set_job_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    set: SyncSetId,
    kind: SetJobKind,
    actor: &str,
) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO set_job (set_id, network, kind, after, actor) \
                VALUES (?, ?, ?, x'', ?)";
    let values = [
        set.to_bytes().into(),
        network.0.into(),
        (kind as i32).into(),
        actor.into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// One of the network's jobs on sets.
///
/// # Errors
/// Whatever the database answers.
pub async fn next_set_job_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
) -> Result<Option<SetJob>, Error> {
    let text = "SELECT set_id, kind, after, actor FROM set_job WHERE network = ? LIMIT 1";
    let Some(row) = sql::one(tx, text, [network.0.into()]).await? else {
        return Ok(None);
    };
    let set: Vec<u8> = row.try_get_by_index(0)?;
    let kind: i32 = row.try_get_by_index(1)?;
    Ok(Some(SetJob {
        set: SyncSetId::from_bytes(&set).ok_or(Error::Corrupt {
            what: "the set of a job",
        })?,
        kind: SetJobKind::from_number(kind),
        after: row.try_get_by_index(2)?,
        actor: row.try_get_by_index(3)?,
    }))
}

/// Members of a set behind one of them, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn members_of_set_in<C: ConnectionTrait>(
    tx: &C,
    set: SyncSetId,
    after: &[u8],
    limit: usize,
) -> Result<Vec<MemberId>, Error> {
    let text = "SELECT id FROM member INDEXED BY member_set WHERE set_id = ? AND id > ? \
                ORDER BY id LIMIT ?";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [set.to_bytes().into(), after.to_vec().into(), limit.into()];
    let mut members = Vec::new();
    for row in sql::all(tx, text, values).await? {
        let id: Vec<u8> = row.try_get_by_index(0)?;
        members.extend(MemberId::from_bytes(&id));
    }
    Ok(members)
}

/// Notes how far a job on a set is, or that it is done.
///
/// # Errors
/// Whatever the database answers.
pub async fn advance_set_job_in<C: ConnectionTrait>(
    tx: &C,
    job: &SetJob,
    after: Option<MemberId>,
) -> Result<(), Error> {
    let (id, kind) = (job.set.to_bytes(), job.kind as i32);
    match after {
        Some(after) => {
            let text = "UPDATE set_job SET after = ? WHERE set_id = ? AND kind = ?";
            let values = [after.to_bytes().into(), id.into(), kind.into()];
            sql::execute(tx, text, values).await?;
        }
        None => {
            let text = "DELETE FROM set_job WHERE set_id = ? AND kind = ?";
            sql::execute(tx, text, [id.into(), kind.into()]).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Networks that have steps left from before.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn networks_with_steps(&self) -> Result<Vec<NetworkId>, Error> {
        let text = "SELECT network FROM walk UNION SELECT network FROM set_job \
                    UNION SELECT r.network FROM lost l JOIN repository r ON r.id = l.repository \
                    UNION SELECT r.network FROM generation g JOIN repository r ON r.id = g.repository";
        let rows = sql::all(self.reader(), text, []).await?;
        rows.iter()
            .map(|row| Ok(NetworkId(row.try_get_by_index(0)?)))
            .collect()
    }
}
