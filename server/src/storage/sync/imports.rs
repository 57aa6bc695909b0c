//! Sets that are being imported: their members come first and the set itself last, so that nobody sees half of one
//! (R-ADM-1). What is left of one that broke off is removed in steps.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, Value};

use super::super::{Error, Store, sql};
use super::rows::json;
use super::scans::{self, ScanKind};
use super::{generations, late, read};
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::member::Member;
use crate::domain::projection::{NodeKind, Side, Sides};
use crate::domain::sync_set::SyncSet;
use crate::domain::view::CopyKey;

/// The set that is being imported into a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Importing {
    /// The set.
    pub set: SyncSetId,
    /// The repositories that it pairs.
    pub repositories: Sides<RepositoryId>,
}

/// Notes which set is being imported into a network.
///
/// # Errors
/// Whatever the database answers.
pub async fn note_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    importing: &Importing,
) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO import \
                (network, set_id, on_premise_repository, cloud_repository) VALUES (?, ?, ?, ?)";
    let values = [
        network.0.into(),
        importing.set.to_bytes().into(),
        importing.repositories.on_premise.0.into(),
        importing.repositories.cloud.0.into(),
    ];
    sql::execute(tx, text, values).await?;
    late::forget_in(tx, importing.set).await
}

/// Nothing is being imported into the network any more.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget_note_in<C: ConnectionTrait>(tx: &C, network: NetworkId) -> Result<(), Error> {
    sql::execute(
        tx,
        "DELETE FROM import WHERE network = ?",
        [network.0.into()],
    )
    .await?;
    Ok(())
}

/// The set that is being imported into a network.
///
/// # Errors
/// Whatever the database answers.
pub async fn importing_in<C: ConnectionTrait>(
    connection: &C,
    network: NetworkId,
) -> Result<Option<Importing>, Error> {
    let text =
        "SELECT set_id, on_premise_repository, cloud_repository FROM import WHERE network = ?";
    let Some(row) = sql::one(connection, text, [network.0.into()]).await? else {
        return Ok(None);
    };
    let set: Vec<u8> = row.try_get_by_index(0)?;
    Ok(Some(Importing {
        set: SyncSetId::from_bytes(&set).ok_or(Error::Corrupt {
            what: "the id of a set that is being imported",
        })?,
        repositories: Sides {
            on_premise: RepositoryId(row.try_get_by_index(1)?),
            cloud: RepositoryId(row.try_get_by_index(2)?),
        },
    }))
}

/// Removes at most `limit` members of a set that was not imported to its end, with their nodes; says whether more may
/// be left.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget_step_in<C: ConnectionTrait>(
    tx: &C,
    importing: &Importing,
    limit: usize,
) -> Result<bool, Error> {
    let set = importing.set.to_bytes();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    for side in Side::BOTH {
        let repository = importing.repositories.get(side).0;
        let text = format!(
            "DELETE FROM copy WHERE repository = ?1 AND node IN (SELECT {node} FROM member \
             WHERE set_id = ?2 ORDER BY id LIMIT ?3) \
             AND member IN (SELECT id FROM member WHERE set_id = ?2 ORDER BY id LIMIT ?3)",
            node = node_of(side)
        );
        let values = [repository.into(), set.clone().into(), limit.into()];
        sql::execute(tx, &text, values).await?;
        let text = format!("DELETE FROM copy WHERE repository = ?1 AND node IN ({LEFT})");
        let values = [repository.into(), set.clone().into(), limit.into()];
        sql::execute(tx, &text, values).await?;
    }
    for text in [
        "DELETE FROM version WHERE member IN \
         (SELECT id FROM member WHERE set_id = ?1 ORDER BY id LIMIT ?2)",
        "DELETE FROM member WHERE id IN \
         (SELECT id FROM member WHERE set_id = ?1 ORDER BY id LIMIT ?2)",
    ] {
        sql::execute(tx, text, [set.clone().into(), limit.into()]).await?;
    }
    let text = "SELECT 1 FROM member WHERE set_id = ? LIMIT 1";
    let members = sql::one(tx, text, [set.into()]).await?.is_some();
    Ok(members || some_left_in(tx, importing).await?)
}

/// Added to the state of what is gone and held as a set's: it is read as left, and found as such.
const HELD: i64 = 1_000;

/// These copies, which are held as a set's, are going to be gone.
///
/// # Errors
/// Whatever the database answers.
pub async fn hold_gone_in<C: ConnectionTrait>(tx: &C, gone: &[&Copy]) -> Result<(), Error> {
    let gone: Vec<(i64, &str, i64)> = gone
        .iter()
        .map(|copy| {
            let state = i64::from(read::state_number(copy.state));
            (copy.repository.0, copy.node.0.as_str(), HELD + state)
        })
        .collect();
    let text = "UPDATE copy SET state = CAST(j.value->>2 AS INT) FROM json_each(?) j \
                WHERE copy.repository = CAST(j.value->>0 AS BIGINT) AND copy.node = j.value->>1";
    sql::execute(tx, text, [json(&gone)]).await?;
    Ok(())
}

/// At most so many of what is held as the set's, of one side.
const LEFT: &str = "SELECT node FROM copy INDEXED BY copy_skipped WHERE repository = ?1 \
                    AND (state = 3 OR state >= 10) AND member = ?2 ORDER BY node LIMIT ?3";

async fn some_left_in<C: ConnectionTrait>(tx: &C, importing: &Importing) -> Result<bool, Error> {
    for side in Side::BOTH {
        let values = [
            importing.repositories.get(side).0.into(),
            importing.set.to_bytes().into(),
            1.into(),
        ];
        if sql::one(tx, LEFT, values).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is left comes to be so when the set is there, at most `limit` nodes of each side at a time: until then it is held
/// as the set's, so that it can be found. Says whether more is held.
///
/// # Errors
/// Whatever the database answers.
pub async fn leave_some_in<C: ConnectionTrait>(
    tx: &C,
    importing: &Importing,
    limit: usize,
) -> Result<bool, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    for side in Side::BOTH {
        let text = format!(
            "UPDATE copy SET member = NULL, \
             state = CASE WHEN state > {HELD} THEN state - {HELD} ELSE state END \
             WHERE repository = ?1 AND node IN ({LEFT})"
        );
        let repository = importing.repositories.get(side).0;
        let values = [
            repository.into(),
            importing.set.to_bytes().into(),
            limit.into(),
        ];
        sql::execute(tx, &text, values).await?;
    }
    some_left_in(tx, importing).await
}

/// Whether the set is there: what is held as its own is all that its import has left to do.
///
/// # Errors
/// Whatever the database answers.
pub async fn is_imported_in<C: ConnectionTrait>(
    tx: &C,
    importing: &Importing,
) -> Result<bool, Error> {
    let text = "SELECT 1 FROM sync_set WHERE id = ?";
    let found = sql::one(tx, text, [importing.set.to_bytes().into()]).await?;
    Ok(found.is_some())
}

fn node_of(side: Side) -> &'static str {
    match side {
        Side::OnPremise => "on_premise_node",
        Side::Cloud => "cloud_node",
    }
}

/// Those of these nodes that are in a set, or in what is being imported, already (R-SET-5).
///
/// # Errors
/// Whatever the database answers.
pub async fn taken_in<C: ConnectionTrait>(
    tx: &C,
    nodes: &[CopyKey],
) -> Result<BTreeSet<CopyKey>, Error> {
    let text = "SELECT c.repository, c.node FROM json_each(?) j CROSS JOIN copy c \
                ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.node = j.value->>1 WHERE c.member IS NOT NULL";
    let rows = sql::all(tx, text, [keys(nodes)]).await?;
    rows.iter()
        .map(|row| {
            let repository = RepositoryId(row.try_get_by_index(0)?);
            Ok((repository, NodeId(row.try_get_by_index(1)?)))
        })
        .collect()
}

/// Those of these ids that members have already.
///
/// # Errors
/// Whatever the database answers.
pub async fn known_members_in<C: ConnectionTrait>(
    tx: &C,
    ids: &[MemberId],
) -> Result<BTreeSet<MemberId>, Error> {
    let text = "SELECT m.id FROM json_each(?) j CROSS JOIN member m ON m.id = unhex(j.value)";
    let ids: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
    let mut known = BTreeSet::new();
    for row in sql::all(tx, text, [json(&ids)]).await? {
        let id: Vec<u8> = row.try_get_by_index(0)?;
        known.extend(MemberId::from_bytes(&id));
    }
    Ok(known)
}

/// A node of the set that is there and lies, as far as it was told, in no folder of the set: in none at all, or in a ring.
///
/// # Errors
/// Whatever the database answers.
pub async fn unplaced_in<C: ConnectionTrait>(
    tx: &C,
    importing: &Importing,
    side: Side,
) -> Result<Option<NodeId>, Error> {
    let text = format!(
        "WITH RECURSIVE below(node) AS (\
         SELECT {node} FROM member WHERE set_id = ?2 AND direct = 1 AND {node} IS NOT NULL \
         UNION SELECT c.node FROM below b JOIN copy c ON c.repository = ?1 AND c.parent = b.node \
         JOIN member m ON m.id = c.member AND m.set_id = ?2) \
         SELECT c.node FROM member m INDEXED BY member_set CROSS JOIN copy c \
         ON c.repository = ?1 AND c.node = m.{node} \
         WHERE m.set_id = ?2 AND c.state = 0 AND c.node NOT IN (SELECT node FROM below) LIMIT 1",
        node = node_of(side)
    );
    let repository = importing.repositories.get(side).0;
    let values = [repository.into(), importing.set.to_bytes().into()];
    let row = sql::one(tx, &text, values).await?;
    Ok(row
        .map(|row| row.try_get_by_index(0))
        .transpose()?
        .map(NodeId))
}

/// Both sides of an imported set are listed anew: until then nothing is decided, and absence is no deletion (R-AGT-4).
///
/// # Errors
/// Whatever the database answers.
pub async fn list_anew_in<C: ConnectionTrait>(tx: &C, set: &SyncSet) -> Result<(), Error> {
    for side in Side::BOTH {
        let repository = *set.repositories.get(side);
        let mut documents = Vec::new();
        for (node, kind) in chosen_in(tx, set, side).await? {
            match kind {
                NodeKind::Folder => {
                    scans::ask_in(tx, repository, &node, ScanKind::Generation, false).await?;
                }
                NodeKind::Document => documents.push(node),
            }
        }
        scans::doubt_in(tx, repository, &documents).await?;
        scans::ask_to_observe_in(tx, repository, &documents).await?;
        generations::begin_in(tx, repository).await?;
    }
    Ok(())
}

/// The chosen nodes of a set that are there.
async fn chosen_in<C: ConnectionTrait>(
    tx: &C,
    set: &SyncSet,
    side: Side,
) -> Result<Vec<(NodeId, NodeKind)>, Error> {
    let text = format!(
        "SELECT c.node, m.kind FROM member m INDEXED BY member_direct CROSS JOIN copy c \
         ON c.repository = ?1 AND c.node = m.{} \
         WHERE m.set_id = ?2 AND m.direct = 1 AND c.state = 0",
        node_of(side)
    );
    let repository = set.repositories.get(side).0;
    let values = [repository.into(), set.id.to_bytes().into()];
    let mut chosen = Vec::new();
    for row in sql::all(tx, &text, values).await? {
        let kind: i32 = row.try_get_by_index(1)?;
        let kind = match kind {
            2 => NodeKind::Folder,
            _ => NodeKind::Document,
        };
        chosen.push((NodeId(row.try_get_by_index(0)?), kind));
    }
    Ok(chosen)
}

fn keys(nodes: &[CopyKey]) -> Value {
    let keys: Vec<(i64, &str)> = nodes
        .iter()
        .map(|(repository, node)| (repository.0, node.0.as_str()))
        .collect();
    json(&keys)
}

impl Store {
    /// Networks into which an import broke off.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn networks_with_imports(&self) -> Result<Vec<NetworkId>, Error> {
        let rows = sql::all(self.reader(), "SELECT network FROM import", []).await?;
        rows.iter()
            .map(|row| Ok(NetworkId(row.try_get_by_index(0)?)))
            .collect()
    }

    /// The copies of members, in no order.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn copies_of(&self, set: &SyncSet, members: &[Member]) -> Result<Vec<Copy>, Error> {
        let text = format!(
            "SELECT {} FROM json_each(?) j CROSS JOIN copy c \
             ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.node = j.value->>1 WHERE c.member IS NOT NULL",
            read::COPY
        );
        let nodes: Vec<CopyKey> = members
            .iter()
            .flat_map(|member| {
                Side::BOTH.into_iter().filter_map(|side| {
                    let node = member.nodes.get(side).clone()?;
                    Some((*set.repositories.get(side), node))
                })
            })
            .collect();
        let rows = sql::all(self.reader(), &text, [keys(&nodes)]).await?;
        rows.iter().map(read::copy).collect()
    }
}
