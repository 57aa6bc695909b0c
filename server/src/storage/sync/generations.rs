//! New generations of repositories: how far they are, and the nodes that are lost until they are seen (R-AGT-4).

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, Value};

use super::super::{Error, sql};
use super::rows::json;
use crate::domain::engine::Effects;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::view::CopyKey;

/// True of a repository `r` one of whose watched roots a generation's scan has not listed yet, or of which nodes are
/// asked for by id.
const LISTING: &str = "(EXISTS (SELECT 1 FROM suspect d WHERE d.repository = r.id AND d.scan = x'') \
     OR EXISTS (SELECT 1 FROM scan x WHERE x.repository = r.id AND x.kind = 2 \
     AND x.root IN (\
     SELECT m.on_premise_node FROM sync_set s JOIN member m ON m.id = s.root \
     WHERE s.on_premise_repository = r.id AND s.ending = 0 \
     UNION ALL SELECT m.cloud_node FROM sync_set s JOIN member m ON m.id = s.root \
     WHERE s.cloud_repository = r.id AND s.ending = 0)))";

/// A place among the members of a repository's sets, in the order of sets and members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// The set.
    pub set: SyncSetId,
    /// Members of it up to this one are settled.
    pub member: MemberId,
}

/// Begins to list a repository anew.
///
/// # Errors
/// Whatever the database answers.
pub async fn begin_in<C: ConnectionTrait>(tx: &C, repository: RepositoryId) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO generation (repository, settled) VALUES (?, NULL)";
    sql::execute(tx, text, [repository.0.into()]).await?;
    Ok(())
}

/// Repositories of a network whose roots are listed anew.
///
/// # Errors
/// Whatever the database answers.
pub async fn rescanning_in<C: ConnectionTrait>(
    connection: &C,
    network: NetworkId,
) -> Result<BTreeSet<RepositoryId>, Error> {
    let text = "SELECT g.repository FROM generation g JOIN repository r ON r.id = g.repository \
                WHERE r.network = ? AND g.settled IS NULL";
    let rows = sql::all(connection, text, [network.0.into()]).await?;
    rows.iter()
        .map(|row| Ok(RepositoryId(row.try_get_by_index(0)?)))
        .collect()
}

/// Notes what a run found to be lost, and what was found again.
///
/// # Errors
/// Whatever the database answers.
pub async fn take_in<C: ConnectionTrait>(tx: &C, effects: &Effects) -> Result<(), Error> {
    if !effects.lost.is_empty() {
        let text = "INSERT OR IGNORE INTO lost (repository, node) \
                    SELECT CAST(value->>0 AS BIGINT), value->>1 FROM json_each(?)";
        sql::execute(tx, text, [list(&effects.lost)]).await?;
        // A root that is known to be absent cannot be listed.
        let text = "DELETE FROM scan WHERE kind = 2 AND (repository, root) IN \
                    (SELECT CAST(value->>0 AS BIGINT), value->>1 FROM json_each(?))";
        sql::execute(tx, text, [list(&effects.lost)]).await?;
    }
    if !effects.emptied.is_empty() {
        let text = "INSERT OR IGNORE INTO lost (repository, node) \
                    SELECT c.repository, c.node FROM json_each(?) j CROSS JOIN copy c \
                    ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.parent = j.value->>1 \
                    WHERE c.state IN (0, 3)";
        sql::execute(tx, text, [list(&effects.emptied)]).await?;
    }
    if !effects.doubted.is_empty() {
        let folders = list(&effects.doubted);
        for text in [
            "INSERT OR REPLACE INTO suspect (repository, scan, node) \
             SELECT c.repository, x'', c.node FROM json_each(?) j CROSS JOIN copy c \
             ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.parent = j.value->>1 WHERE c.state IN (0, 3)",
            "INSERT OR IGNORE INTO observe (repository, node) \
             SELECT c.repository, c.node FROM json_each(?) j CROSS JOIN copy c \
             ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.parent = j.value->>1 WHERE c.state IN (0, 3)",
        ] {
            sql::execute(tx, text, [folders.clone()]).await?;
        }
    }
    if !effects.found.is_empty() {
        for text in [
            "DELETE FROM lost WHERE (repository, node) IN \
             (SELECT CAST(value->>0 AS BIGINT), value->>1 FROM json_each(?))",
            "DELETE FROM suspect WHERE (repository, node) IN \
             (SELECT CAST(value->>0 AS BIGINT), value->>1 FROM json_each(?))",
            "DELETE FROM observe WHERE (repository, node) IN \
             (SELECT CAST(value->>0 AS BIGINT), value->>1 FROM json_each(?))",
        ] {
            sql::execute(tx, text, [list(&effects.found)]).await?;
        }
    }
    Ok(())
}

/// Nodes as a JSON list of pairs; each once: no statement of PostgreSQL changes one row twice.
fn list<'a>(keys: impl IntoIterator<Item = &'a CopyKey>) -> Value {
    let keys = keys.into_iter();
    let pairs: BTreeSet<(i64, &str)> = keys.map(|(of, node)| (of.0, node.0.as_str())).collect();
    json(&pairs)
}

/// Nodes of one repository that were lost, at most `limit`; none while its roots are listed.
///
/// # Errors
/// Whatever the database answers.
pub async fn lost_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    limit: usize,
) -> Result<Option<(RepositoryId, Vec<NodeId>)>, Error> {
    let text = format!(
        "SELECT r.id FROM repository r WHERE r.network = ? \
         AND EXISTS (SELECT 1 FROM lost l WHERE l.repository = r.id) AND NOT {LISTING} LIMIT 1"
    );
    let Some(row) = sql::one(tx, &text, [network.0.into()]).await? else {
        return Ok(None);
    };
    let repository = RepositoryId(row.try_get_by_index(0)?);
    let text = "SELECT node FROM lost WHERE repository = ? ORDER BY node LIMIT ?";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sql::all(tx, text, [repository.0.into(), limit.into()]).await?;
    let nodes: Result<Vec<NodeId>, Error> = rows
        .iter()
        .map(|row| Ok(NodeId(row.try_get_by_index(0)?)))
        .collect();
    Ok(Some((repository, nodes?)))
}

/// Forgets nodes that are being made again.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget_lost_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    nodes: &[NodeId],
) -> Result<(), Error> {
    let text = "DELETE FROM lost WHERE repository = ? AND node IN (SELECT value FROM json_each(?))";
    let nodes: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    sql::execute(tx, text, [repository.0.into(), json(&nodes)]).await?;
    Ok(())
}

/// A repository that is listed, with nothing left that is lost, and how far its members are settled.
///
/// # Errors
/// Whatever the database answers.
pub async fn next_to_settle_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
) -> Result<Option<(RepositoryId, Settled)>, Error> {
    let text = format!(
        "SELECT r.id, g.settled FROM generation g JOIN repository r ON r.id = g.repository \
         WHERE r.network = ? AND NOT {LISTING} LIMIT 1"
    );
    let Some(row) = sql::one(tx, &text, [network.0.into()]).await? else {
        return Ok(None);
    };
    let bytes: Option<Vec<u8>> = row.try_get_by_index(1)?;
    let settled = bytes.and_then(|bytes| {
        let (set, member) = bytes.split_at_checked(16)?;
        Some(Settled {
            set: SyncSetId::from_bytes(set)?,
            member: MemberId::from_bytes(member)?,
        })
    });
    let repository = RepositoryId(row.try_get_by_index(0)?);
    Ok(Some((repository, settled.unwrap_or_default())))
}

/// Notes how far a repository's members are settled.
///
/// # Errors
/// Whatever the database answers.
pub async fn advance_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    settled: Settled,
) -> Result<(), Error> {
    let bytes = [settled.set.to_bytes(), settled.member.to_bytes()].concat();
    let text = "UPDATE generation SET settled = ? WHERE repository = ?";
    sql::execute(tx, text, [bytes.into(), repository.0.into()]).await?;
    Ok(())
}

/// The first set of a repository behind this one.
///
/// # Errors
/// Whatever the database answers.
pub async fn set_behind_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    set: SyncSetId,
) -> Result<Option<SyncSetId>, Error> {
    let text = "SELECT id FROM sync_set WHERE (on_premise_repository = ?1 OR cloud_repository = ?1) \
                AND id > ?2 ORDER BY id LIMIT 1";
    let row = sql::one(tx, text, [repository.0.into(), set.to_bytes().into()]).await?;
    let id: Option<Vec<u8>> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(id.and_then(|bytes| SyncSetId::from_bytes(&bytes)))
}

/// The repository is listed anew and settled; answers the repositories that may get deliveries again.
///
/// # Errors
/// Whatever the database answers.
pub async fn finish_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
) -> Result<BTreeSet<RepositoryId>, Error> {
    for text in [
        "DELETE FROM generation WHERE repository = ?",
        "UPDATE scan SET kind = 1 WHERE repository = ? AND kind = 2",
    ] {
        sql::execute(tx, text, [repository.0.into()]).await?;
    }
    let text = "SELECT on_premise_repository, cloud_repository FROM sync_set \
                WHERE on_premise_repository = ?1 OR cloud_repository = ?1";
    let mut woken = BTreeSet::new();
    for row in sql::all(tx, text, [repository.0.into()]).await? {
        woken.insert(RepositoryId(row.try_get_by_index(0)?));
        woken.insert(RepositoryId(row.try_get_by_index(1)?));
    }
    Ok(woken)
}
