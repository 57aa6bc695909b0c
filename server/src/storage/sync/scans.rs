//! Scans that agents are asked for, and nodes that they did not list (R-AGT-5).

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::super::{Error, Store, sql};
use super::rows::json;
use crate::domain::ids::{NetworkId, NodeId, RepositoryId, ScanId};
use crate::domain::report::ScanPage;

/// Why a root is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ScanKind {
    /// It was not scanned before.
    First = 0,
    /// Somebody asked for it.
    Demand = 1,
    /// A new generation began: absence is no deletion (R-AGT-4).
    Generation = 2,
}

/// A root that an agent watches, and the scan that is due for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder.
    pub node: NodeId,
    /// Subfolders are synced.
    pub include_subfolders: bool,
    /// The scan that is not complete yet.
    pub scan: Option<ScanId>,
    /// Content is to be read too.
    pub read_content: bool,
}

/// Asks for a scan of a root, in place of one that is under way.
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    root: &NodeId,
    kind: ScanKind,
    read_content: bool,
) -> Result<(), Error> {
    let text = "INSERT OR REPLACE INTO scan (id, repository, root, kind, read_content) \
                VALUES (?, ?, ?, ?, ?)";
    let values = [
        ScanId(Uuid::now_v7()).to_bytes().into(),
        repository.0.into(),
        root.0.as_str().into(),
        (kind as i32).into(),
        read_content.into(),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// Asks for scans of every watched root of a repository.
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_all_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    kind: ScanKind,
    read_content: bool,
) -> Result<(), Error> {
    for root in roots_in(tx, repository).await? {
        ask_in(tx, repository, &root.node, kind, read_content).await?;
    }
    Ok(())
}

/// The roots that a repository's agent watches: the copies of the synced folders.
///
/// # Errors
/// Whatever the database answers.
pub async fn roots_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
) -> Result<Vec<Root>, Error> {
    let text = "SELECT r.node, r.include_subfolders, x.id, coalesce(x.read_content, 0) FROM (\
         SELECT m.on_premise_node AS node, s.include_subfolders FROM sync_set s \
         JOIN member m ON m.id = s.root WHERE s.on_premise_repository = ?1 AND s.ending = 0 \
         UNION ALL \
         SELECT m.cloud_node, s.include_subfolders FROM sync_set s \
         JOIN member m ON m.id = s.root WHERE s.cloud_repository = ?1 AND s.ending = 0) r \
         LEFT JOIN scan x ON x.repository = ?1 AND x.root = r.node WHERE r.node IS NOT NULL";
    let mut roots = Vec::new();
    for row in sql::all(connection, text, [repository.0.into()]).await? {
        let scan: Option<Vec<u8>> = row.try_get_by_index(2)?;
        roots.push(Root {
            node: NodeId(row.try_get_by_index(0)?),
            include_subfolders: row.try_get_by_index(1)?,
            scan: scan.and_then(|bytes| ScanId::from_bytes(&bytes)),
            read_content: row.try_get_by_index(3)?,
        });
    }
    Ok(roots)
}

/// The kind of a scan that is under way; `None` for one that is over or was never asked for.
///
/// # Errors
/// Whatever the database answers.
pub async fn kind_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    scan: ScanId,
) -> Result<Option<ScanKind>, Error> {
    let text = "SELECT kind FROM scan WHERE id = ? AND repository = ?";
    let row = sql::one(
        connection,
        text,
        [scan.to_bytes().into(), repository.0.into()],
    )
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match row.try_get_by_index::<i32>(0)? {
        2 => ScanKind::Generation,
        1 => ScanKind::Demand,
        _ => ScanKind::First,
    }))
}

/// Repositories of a network that are scanned because a new generation began.
///
/// # Errors
/// Whatever the database answers.
pub async fn rescanning_in<C: ConnectionTrait>(
    connection: &C,
    network: NetworkId,
) -> Result<Vec<RepositoryId>, Error> {
    let text = "SELECT DISTINCT x.repository FROM scan x JOIN repository r ON r.id = x.repository \
                WHERE r.network = ? AND x.kind = 2";
    let rows = sql::all(connection, text, [network.0.into()]).await?;
    rows.iter()
        .map(|row| Ok(RepositoryId(row.try_get_by_index(0)?)))
        .collect()
}

/// Notes the nodes that a page should have listed and did not; before the page takes effect.
///
/// # Errors
/// Whatever the database answers.
pub async fn note_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    page: &ScanPage,
) -> Result<(), Error> {
    if !page.readable {
        return Ok(());
    }
    let text = "INSERT OR IGNORE INTO suspect (repository, scan, node) SELECT ?2, ?1, node \
                FROM copy WHERE repository = ?2 AND parent = ?3 AND node > ?4 \
                AND (?5 = '' OR node <= ?5) AND state IN (0, 3) \
                AND node NOT IN (SELECT value FROM json_each(?6))";
    let listed: Vec<&str> = page
        .children
        .iter()
        .map(|child| child.node.0.as_str())
        .collect();
    let values = [
        page.scan.to_bytes().into(),
        repository.0.into(),
        page.folder.0.as_str().into(),
        page.after.0.as_str().into(),
        page.through.0.as_str().into(),
        json(&listed),
    ];
    sql::execute(tx, text, values).await?;
    Ok(())
}

/// Nodes that were reported are neither suspects nor still to be observed.
///
/// # Errors
/// Whatever the database answers.
pub async fn clear_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    seen: &[&str],
) -> Result<(), Error> {
    for text in [
        "DELETE FROM suspect WHERE repository = ? AND node IN (SELECT value FROM json_each(?))",
        "DELETE FROM observe WHERE repository = ? AND node IN (SELECT value FROM json_each(?))",
    ] {
        sql::execute(tx, text, [repository.0.into(), json(&seen)]).await?;
    }
    Ok(())
}

/// Nodes that the agent is to look at afresh, whenever it is there.
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_to_observe_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    nodes: &[NodeId],
) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let text = "INSERT OR IGNORE INTO observe (repository, node) \
                SELECT ?, value FROM json_each(?)";
    let nodes: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    sql::execute(tx, text, [repository.0.into(), json(&nodes)]).await?;
    Ok(())
}

/// After the last page the remaining suspects are asked for by id: only *absent* is a delete.
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    scan: ScanId,
) -> Result<(), Error> {
    move_suspects_in(tx, repository, scan, "INSERT OR IGNORE INTO observe").await
}

/// In a new generation the remaining suspects were lost, not deleted; they are made again, step by step (R-AGT-4).
///
/// # Errors
/// Whatever the database answers.
pub async fn finish_generation_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    scan: ScanId,
) -> Result<(), Error> {
    move_suspects_in(tx, repository, scan, "INSERT OR IGNORE INTO lost").await?;
    finish_in(tx, scan).await
}

async fn move_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    scan: ScanId,
    into: &'static str,
) -> Result<(), Error> {
    let copy = format!(
        "{into} (repository, node) SELECT repository, node FROM suspect \
         WHERE repository = ? AND scan = ?"
    );
    let key = || [repository.0.into(), scan.to_bytes().into()];
    sql::execute(tx, &copy, key()).await?;
    sql::execute(
        tx,
        "DELETE FROM suspect WHERE repository = ? AND scan = ?",
        key(),
    )
    .await?;
    Ok(())
}

/// Whether the root of a scan is known to be gone: then nothing is left to be found out.
///
/// # Errors
/// Whatever the database answers.
pub async fn root_is_gone_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
    scan: ScanId,
) -> Result<bool, Error> {
    let text = "SELECT 1 FROM scan x JOIN copy c ON c.repository = x.repository \
                AND c.node = x.root WHERE x.repository = ? AND x.id = ? AND c.state IN (1, 2)";
    let values = [repository.0.into(), scan.to_bytes().into()];
    Ok(sql::one(connection, text, values).await?.is_some())
}

/// A scan that came to nothing is asked for again, under another id.
///
/// # Errors
/// Whatever the database answers.
pub async fn renew_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    scan: ScanId,
) -> Result<(), Error> {
    let key = [repository.0.into(), scan.to_bytes().into()];
    sql::execute(
        tx,
        "DELETE FROM suspect WHERE repository = ? AND scan = ?",
        key,
    )
    .await?;
    let text = "UPDATE scan SET id = ? WHERE id = ?";
    let renewed = ScanId(Uuid::now_v7()).to_bytes();
    sql::execute(tx, text, [renewed.into(), scan.to_bytes().into()]).await?;
    Ok(())
}

/// Nodes of one repository that were lost, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn lost_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    limit: usize,
) -> Result<Option<(RepositoryId, Vec<NodeId>)>, Error> {
    let text = "SELECT l.repository, l.node FROM lost l WHERE l.repository = (\
                SELECT x.repository FROM lost x JOIN repository r ON r.id = x.repository \
                WHERE r.network = ? LIMIT 1) LIMIT ?";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found: Option<(RepositoryId, Vec<NodeId>)> = None;
    for row in sql::all(tx, text, [network.0.into(), limit.into()]).await? {
        let repository = RepositoryId(row.try_get_by_index(0)?);
        let node = NodeId(row.try_get_by_index(1)?);
        found
            .get_or_insert_with(|| (repository, Vec::new()))
            .1
            .push(node);
    }
    Ok(found)
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

/// Forgets a scan that is over.
///
/// # Errors
/// Whatever the database answers.
pub async fn finish_in<C: ConnectionTrait>(tx: &C, scan: ScanId) -> Result<(), Error> {
    sql::execute(
        tx,
        "DELETE FROM scan WHERE id = ?",
        [scan.to_bytes().into()],
    )
    .await?;
    Ok(())
}

impl Store {
    /// The roots that a repository's agent watches.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn roots(&self, repository: RepositoryId) -> Result<Vec<Root>, Error> {
        roots_in(self.reader(), repository).await
    }

    /// Nodes that the agent is to look at afresh, at most `limit`.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn to_observe(
        &self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<NodeId>, Error> {
        let text = "SELECT node FROM observe WHERE repository = ? LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sql::all(self.reader(), text, [repository.0.into(), limit.into()]).await?;
        rows.iter()
            .map(|row| Ok(NodeId(row.try_get_by_index(0)?)))
            .collect()
    }
}
