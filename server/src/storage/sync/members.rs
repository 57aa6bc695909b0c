//! Members as they are listed and shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use sea_orm::Value;

use super::super::{Error, Store, sql};
use super::read;
use super::rows::json;
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::member::Member;
use crate::domain::sync_set::{Gate, SyncSet};
use crate::domain::view::CopyKey;

/// Which members are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// 0 pending, 1 synced, 2 failed; `None` = all.
    pub state: Option<i32>,
    /// The number of the reason of a failure; `None` = all.
    pub reason: Option<i32>,
}

/// What tells whether a member changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Raised with every change of its row.
    pub version: i64,
    /// The guard of its set holds its removal.
    pub held: bool,
}

/// The page is found in the index alone, of which a filter leaves a part; only its rows are read.
static OF_SET: LazyLock<[String; 3]> = LazyLock::new(|| {
    [
        "?3 IS NULL AND ?4 IS NULL",
        "state = ?3 AND ?4 IS NULL",
        "(?3 IS NULL OR state = ?3) AND state = 2 AND reason = ?4",
    ]
    .map(|filter| {
        format!(
            "SELECT {} FROM (SELECT id FROM member INDEXED BY member_set \
             WHERE set_id = ?1 AND id > ?2 AND {filter} ORDER BY id LIMIT ?5) p \
             CROSS JOIN member m ON m.id = p.id ORDER BY m.id",
            read::MEMBER
        )
    })
});
static COPIES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE above(repository, node) AS (\
         SELECT CAST(j.value->>0 AS BIGINT), j.value->>1 FROM json_each(?) j \
         UNION SELECT c.repository, c.parent FROM above a JOIN copy c \
         ON c.repository = a.repository AND c.node = a.node) \
         SELECT {} FROM above a CROSS JOIN copy c \
         ON c.repository = a.repository AND c.node = a.node",
        read::COPY
    )
});
static COPY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM copy c WHERE c.repository = ? AND c.node = ?",
        read::COPY
    )
});
static NAMED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN member m ON m.id = unhex(j.value) \
         WHERE m.set_id = ?",
        read::MEMBER
    )
});
static ONE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM member m JOIN sync_set s ON s.id = m.set_id \
         WHERE m.id = ? AND s.network = ?",
        read::MEMBER
    )
});
/// What is skipped, and the chosen nodes of other sets: these are the few rows to look through (R-MEM-1, R-MOV-4).
static SKIPPED: LazyLock<String> = LazyLock::new(|| {
    let inside = "EXISTS (SELECT 1 FROM copy p JOIN member m ON m.id = p.member \
                  WHERE p.repository = c.repository AND p.node = c.parent AND m.set_id = ?3)";
    format!(
        "SELECT {columns} FROM copy c INDEXED BY copy_skipped WHERE c.repository = ?1 \
         AND c.node > ?2 AND (c.state = 3 OR c.state >= 10) AND {inside} \
         UNION ALL SELECT {columns} FROM (\
         SELECT o.on_premise_node AS node FROM sync_set s CROSS JOIN member o \
         INDEXED BY member_direct ON o.set_id = s.id AND o.direct = 1 \
         WHERE s.on_premise_repository = ?1 AND s.id <> ?3 \
         UNION ALL SELECT o.cloud_node FROM sync_set s CROSS JOIN member o \
         INDEXED BY member_direct ON o.set_id = s.id AND o.direct = 1 \
         WHERE s.cloud_repository = ?1 AND s.id <> ?3) d \
         CROSS JOIN copy c ON c.repository = ?1 AND c.node = d.node \
         WHERE c.node > ?2 AND c.state = 0 AND {inside} ORDER BY 2 LIMIT ?4",
        columns = read::COPY
    )
});
static PATH: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE above(node, depth) AS (SELECT ?2, 0 UNION \
         SELECT c.parent, depth + 1 FROM above a JOIN copy c \
         ON c.repository = ?1 AND c.node = a.node WHERE depth < 1000) \
         SELECT {} FROM above a CROSS JOIN copy c \
         ON c.repository = ?1 AND c.node = a.node ORDER BY a.depth",
        read::COPY
    )
});

impl Store {
    /// Members of a set, by id, behind one of them.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn members(
        &self,
        set: SyncSetId,
        after: Option<MemberId>,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<Member>, Error> {
        let values: [Value; 5] = [
            set.to_bytes().into(),
            after.map_or_else(Vec::new, MemberId::to_bytes).into(),
            filter.state.into(),
            filter.reason.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let text = match (filter.state, filter.reason) {
            (None, None) => &OF_SET[0],
            (Some(_), None) => &OF_SET[1],
            (_, Some(_)) => &OF_SET[2],
        };
        let rows = sql::all(self.reader(), text, values).await?;
        rows.iter().map(read::member).collect()
    }

    /// A member of a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn member(&self, network: NetworkId, id: MemberId) -> Result<Option<Member>, Error> {
        let values = [id.to_bytes().into(), network.0.into()];
        let row = sql::one(self.reader(), ONE.as_str(), values).await?;
        row.as_ref().map(read::member).transpose()
    }

    /// A node and the folders above it that are known, the node first.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn copy_and_folders(
        &self,
        repository: RepositoryId,
        node: &NodeId,
    ) -> Result<Vec<Copy>, Error> {
        let values = [repository.0.into(), node.0.as_str().into()];
        let rows = sql::all(self.reader(), PATH.as_str(), values).await?;
        rows.iter().map(read::copy).collect()
    }

    /// Nodes and all folders above them that are known, by key; folders that several share are read once.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn copies_and_folders(
        &self,
        nodes: &[CopyKey],
    ) -> Result<BTreeMap<CopyKey, Copy>, Error> {
        let keys: Vec<(i64, &str)> = nodes
            .iter()
            .map(|(repository, node)| (repository.0, node.0.as_str()))
            .collect();
        let rows = sql::all(self.reader(), COPIES.as_str(), [json(&keys)]).await?;
        let copies = rows.iter().map(read::copy);
        copies
            .map(|copy| copy.map(|copy| ((copy.repository, copy.node.clone()), copy)))
            .collect()
    }

    /// A node as it is known.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn copy(
        &self,
        repository: RepositoryId,
        node: &NodeId,
    ) -> Result<Option<Copy>, Error> {
        let values = [repository.0.into(), node.0.as_str().into()];
        let row = sql::one(self.reader(), COPY.as_str(), values).await?;
        row.as_ref().map(read::copy).transpose()
    }

    /// Those of these that are members of the set.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn members_of(&self, set: SyncSetId, ids: &[MemberId]) -> Result<Vec<Member>, Error> {
        let ids: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
        let values = [json(&ids), set.to_bytes().into()];
        let rows = sql::all(self.reader(), NAMED.as_str(), values).await?;
        rows.iter().map(read::member).collect()
    }

    /// All members in these folders and below, on either side; the folders themselves too.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn members_below(
        &self,
        set: SyncSetId,
        folders: &[CopyKey],
    ) -> Result<BTreeSet<MemberId>, Error> {
        let text = "WITH RECURSIVE below(repository, node) AS (\
                    SELECT CAST(j.value->>0 AS BIGINT), j.value->>1 FROM json_each(?) j \
                    UNION SELECT c.repository, c.node FROM below b JOIN copy c \
                    ON c.repository = b.repository AND c.parent = b.node \
                    WHERE c.member IS NOT NULL) \
                    SELECT DISTINCT m.id FROM below b CROSS JOIN copy c \
                    ON c.repository = b.repository AND c.node = b.node \
                    CROSS JOIN member m ON m.id = c.member WHERE m.set_id = ?";
        let keys: Vec<(i64, &str)> = folders
            .iter()
            .map(|(repository, node)| (repository.0, node.0.as_str()))
            .collect();
        let rows = sql::all(self.reader(), text, [json(&keys), set.to_bytes().into()]).await?;
        let mut members = BTreeSet::new();
        for row in rows {
            let id: Vec<u8> = row.try_get_by_index(0)?;
            members.extend(MemberId::from_bytes(&id));
        }
        Ok(members)
    }

    /// Nodes of a repository that lie in folders of a set and are no members of it, by node id, behind one of them.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn skipped(
        &self,
        set: SyncSetId,
        repository: RepositoryId,
        after: &NodeId,
        limit: usize,
    ) -> Result<Vec<Copy>, Error> {
        let values: [Value; 4] = [
            repository.0.into(),
            after.0.as_str().into(),
            set.to_bytes().into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = sql::all(self.reader(), SKIPPED.as_str(), values).await?;
        rows.iter().map(read::copy).collect()
    }

    /// Nodes of a repository that were members in folders of a set and are gone, by node id, behind one of them (R-DEL-4).
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn gone(
        &self,
        set: SyncSetId,
        repository: RepositoryId,
        after: &NodeId,
        limit: usize,
    ) -> Result<Vec<Copy>, Error> {
        let text = format!(
            "SELECT {} FROM copy c WHERE c.repository = ?1 AND c.node > ?2 AND c.state IN (1, 2) \
             AND NOT EXISTS (SELECT 1 FROM member m WHERE m.id = c.member) \
             AND EXISTS (SELECT 1 FROM copy p JOIN member m ON m.id = p.member \
             WHERE p.repository = c.repository AND p.node = c.parent AND m.set_id = ?3) \
             ORDER BY c.node LIMIT ?4",
            read::COPY
        );
        let values: [Value; 4] = [
            repository.0.into(),
            after.0.as_str().into(),
            set.to_bytes().into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = sql::all(self.reader(), &text, values).await?;
        rows.iter().map(read::copy).collect()
    }

    /// The members of a set behind one of them, each with what tells whether it changed: its version, and whether a
    /// removal of it is held.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn member_stamps(
        &self,
        set: &SyncSet,
        after: Option<MemberId>,
        limit: usize,
    ) -> Result<Vec<(MemberId, Stamp)>, Error> {
        let text = "SELECT m.id, m.version, ?3 AND EXISTS (SELECT 1 FROM due d \
                    WHERE d.repository IN (?4, ?5) AND d.member = m.id AND d.lane = 2) \
                    FROM (SELECT id FROM member INDEXED BY member_set \
                    WHERE set_id = ?1 AND id > ?2 ORDER BY id LIMIT ?6) p \
                    CROSS JOIN member m ON m.id = p.id ORDER BY m.id";
        let values: [Value; 6] = [
            set.id.to_bytes().into(),
            after.map_or_else(Vec::new, MemberId::to_bytes).into(),
            (set.guard.gate == Gate::Held).into(),
            set.repositories.on_premise.0.into(),
            set.repositories.cloud.0.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let mut stamps = Vec::new();
        for row in sql::all(self.reader(), text, values).await? {
            let id: Vec<u8> = row.try_get_by_index(0)?;
            let stamp = Stamp {
                version: row.try_get_by_index(1)?,
                held: row.try_get_by_index(2)?,
            };
            stamps.extend(MemberId::from_bytes(&id).map(|id| (id, stamp)));
        }
        Ok(stamps)
    }
}
