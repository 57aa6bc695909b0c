//! Sync sets as they are made, listed and shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use sea_orm::ConnectionTrait;

use super::super::{Error, Store, sql};
use super::rows::json;
use super::{late, read};
use crate::domain::ids::{NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::sync_set::SyncSet;

static LIST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM sync_set s WHERE s.network = ? AND s.id > ? ORDER BY s.id LIMIT ?",
        read::SET
    )
});
static ONE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM sync_set s WHERE s.network = ? AND s.id = ?",
        read::SET
    )
});

/// What is shown of a set beside its own row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The on-premise nodes that were chosen.
    pub nodes: Vec<NodeId>,
    /// A scan of either side is not complete, or nodes that one missed are still to be looked at.
    pub scanning: bool,
}

impl Store {
    /// What is shown of sets beside their own rows.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn set_facts(&self, sets: &[SyncSetId]) -> Result<BTreeMap<SyncSetId, Facts>, Error> {
        let text = "SELECT s.id, m.on_premise_node, EXISTS (SELECT 1 FROM scan x \
                    WHERE (x.repository = s.on_premise_repository AND x.root = m.on_premise_node) \
                    OR (x.repository = s.cloud_repository AND x.root = m.cloud_node)) \
                    OR EXISTS (SELECT 1 FROM observe o \
                    WHERE o.repository IN (s.on_premise_repository, s.cloud_repository)) \
                    FROM json_each(?) j CROSS JOIN sync_set s ON s.id = unhex(j.value) \
                    CROSS JOIN member m INDEXED BY member_direct \
                    ON m.set_id = s.id AND m.direct = 1 ORDER BY m.id";
        let ids: Vec<String> = sets.iter().map(|id| id.0.simple().to_string()).collect();
        let mut facts: BTreeMap<SyncSetId, Facts> = BTreeMap::new();
        for row in sql::all(self.reader(), text, [json(&ids)]).await? {
            let id: Vec<u8> = row.try_get_by_index(0)?;
            let Some(id) = SyncSetId::from_bytes(&id) else {
                continue;
            };
            let node: Option<String> = row.try_get_by_index(1)?;
            let scanning: bool = row.try_get_by_index(2)?;
            let shown = facts.entry(id).or_default();
            shown.nodes.extend(node.map(NodeId));
            shown.scanning |= scanning;
        }
        Ok(facts)
    }

    /// True when a node is a copy of a member.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn is_member(&self, repository: RepositoryId, node: &NodeId) -> Result<bool, Error> {
        is_member_in(self.reader(), repository, node).await
    }

    /// Sets of a network, by creation, behind one of them.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn sync_sets(
        &self,
        network: NetworkId,
        after: Option<SyncSetId>,
        limit: usize,
    ) -> Result<Vec<SyncSet>, Error> {
        let after = after.map_or_else(Vec::new, SyncSetId::to_bytes);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [network.0.into(), after.into(), limit.into()];
        let rows = sql::all(self.reader(), LIST.as_str(), values).await?;
        rows.iter().map(read::sync_set).collect()
    }

    /// A set of a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn sync_set(
        &self,
        network: NetworkId,
        id: SyncSetId,
    ) -> Result<Option<SyncSet>, Error> {
        set_in(self.reader(), network, id).await
    }

    /// True while a scan of either side of a set is not complete, or nodes that one missed are still to be looked at.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn is_scanning(&self, set: &SyncSet) -> Result<bool, Error> {
        let text = "SELECT 1 FROM scan x JOIN member m ON m.id = ?1 \
                    AND x.root IN (m.on_premise_node, m.cloud_node) \
                    WHERE x.repository IN (?2, ?3) UNION ALL \
                    SELECT 1 FROM observe WHERE repository IN (?2, ?3) LIMIT 1";
        let values = [
            set.root.to_bytes().into(),
            set.repositories.on_premise.0.into(),
            set.repositories.cloud.0.into(),
        ];
        Ok(sql::one(self.reader(), text, values).await?.is_some())
    }

    /// The set that an earlier request made, and what it left out (R-SET-3).
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn set_of_request(
        &self,
        network: NetworkId,
        request: &[u8],
    ) -> Result<Option<(SyncSetId, Vec<u8>)>, Error> {
        set_of_request_in(self.reader(), network, request).await
    }
}

/// The set that an earlier request made, and what it left out, as [`note_request_in`] was told.
///
/// # Errors
/// Whatever the database answers.
pub async fn set_of_request_in<C: ConnectionTrait>(
    connection: &C,
    network: NetworkId,
    request: &[u8],
) -> Result<Option<(SyncSetId, Vec<u8>)>, Error> {
    let text = "SELECT set_id, skipped FROM sync_set_request WHERE network = ? AND request = ?";
    let row = sql::one(
        connection,
        text,
        [network.0.into(), request.to_vec().into()],
    )
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id: Vec<u8> = row.try_get_by_index(0)?;
    let skipped: Vec<u8> = row.try_get_by_index(1)?;
    Ok(SyncSetId::from_bytes(&id).map(|id| (id, skipped)))
}

/// Notes which set a request made, and what it left out.
///
/// # Errors
/// Whatever the database answers.
pub async fn note_request_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    request: &[u8],
    (set, skipped): (SyncSetId, &[u8]),
) -> Result<(), Error> {
    let text = "INSERT INTO sync_set_request (network, request, set_id, skipped) \
                VALUES (?, ?, ?, ?)";
    let values = [
        network.0.into(),
        request.to_vec().into(),
        set.to_bytes().into(),
        skipped.to_vec().into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// Removes a set whose last member has ended, once the work on its members is done; answers who watched it.
///
/// # Errors
/// Whatever the database answers.
pub async fn remove_if_empty_in<C: ConnectionTrait>(
    tx: &C,
    set: &SyncSet,
) -> Result<Vec<RepositoryId>, Error> {
    late::remember_in(tx, set).await?;
    let text = "DELETE FROM sync_set WHERE id = ?1 AND ending = 1 \
                AND NOT EXISTS (SELECT 1 FROM member WHERE set_id = ?1) \
                AND NOT EXISTS (SELECT 1 FROM set_job WHERE set_id = ?1)";
    let removed = sql::execute(tx, text, [set.id.to_bytes().into()]).await?;
    let both = vec![set.repositories.on_premise, set.repositories.cloud];
    Ok(if removed > 0 { both } else { Vec::new() })
}

/// A set as it is stored, in a transaction.
///
/// # Errors
/// Whatever the database answers.
pub async fn set_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    id: SyncSetId,
) -> Result<Option<SyncSet>, Error> {
    let values = [network.0.into(), id.to_bytes().into()];
    let row = sql::one(tx, ONE.as_str(), values).await?;
    row.as_ref().map(read::sync_set).transpose()
}

impl Store {
    /// Those of these nodes that are members of sets (R-SET-5).
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn members_among(
        &self,
        repository: RepositoryId,
        nodes: &[NodeId],
    ) -> Result<BTreeSet<NodeId>, Error> {
        let text = "SELECT c.node FROM json_each(?) j CROSS JOIN copy c \
                    ON c.repository = ? AND c.node = j.value \
                    WHERE c.member IS NOT NULL AND c.state < 3";
        let nodes: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
        let rows = sql::all(self.reader(), text, [json(&nodes), repository.0.into()]).await?;
        rows.iter()
            .map(|row| Ok(NodeId(row.try_get_by_index(0)?)))
            .collect()
    }
}

/// Whether a node is a member of a set (R-SET-5).
///
/// # Errors
/// Whatever the database answers.
pub async fn is_member_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    node: &NodeId,
) -> Result<bool, Error> {
    let text = "SELECT 1 FROM copy WHERE repository = ? AND node = ? AND member IS NOT NULL \
                AND state < 3";
    let values = [repository.0.into(), node.0.as_str().into()];
    Ok(sql::one(connection, text, values).await?.is_some())
}
