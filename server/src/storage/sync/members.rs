//! Members as they are listed and shown.

use std::sync::LazyLock;

use sea_orm::Value;

use super::super::{Error, Store, sql};
use super::read;
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::member::Member;

/// Which members are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// 0 pending, 1 synced, 2 failed; `None` = all.
    pub state: Option<i32>,
    /// The number of the reason of a failure; `None` = all.
    pub reason: Option<i32>,
}

static OF_SET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM member m WHERE m.set_id = ?1 AND m.id > ?2 \
         AND (?3 IS NULL OR m.state = ?3) AND (?4 IS NULL OR m.reason = ?4) \
         ORDER BY m.id LIMIT ?5",
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
        let rows = sql::all(self.reader(), OF_SET.as_str(), values).await?;
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
}
