//! Scans that agents are asked for, and nodes that they did not list (R-AGT-5).

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::super::{Error, Store, sql};
use super::rows::json;
use crate::domain::ids::{NodeId, RepositoryId, ScanId};
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
    /// The node.
    pub node: NodeId,
    /// A single document: it is looked at, never scanned.
    pub document: bool,
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
    // What the older scan did not find counts no more.
    let text = "DELETE FROM suspect WHERE scan IN \
                (SELECT id FROM scan WHERE repository = ? AND root = ?)";
    sql::execute(tx, text, [repository.0.into(), root.0.as_str().into()]).await?;
    // A scan that a generation waits for stays one.
    let text = "INSERT INTO scan (id, repository, root, kind, read_content) \
                VALUES (?, ?, ?, ?, ?) ON CONFLICT (repository, root) DO UPDATE SET \
                id = excluded.id, \
                kind = CASE WHEN excluded.kind > scan.kind THEN excluded.kind ELSE scan.kind END, \
                read_content = (scan.read_content OR excluded.read_content)";
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

/// Asks for scans of every watched folder of a repository, and for a look at every watched document; says whether there
/// is one. In a new generation all counts as listed only when the documents are answered, too (R-AGT-4).
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_all_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    kind: ScanKind,
    read_content: bool,
) -> Result<bool, Error> {
    let roots = roots_in(tx, repository).await?;
    let (documents, folders): (Vec<&Root>, Vec<&Root>) =
        roots.iter().partition(|root| root.document);
    for root in folders {
        ask_in(tx, repository, &root.node, kind, read_content).await?;
    }
    let documents: Vec<NodeId> = documents.iter().map(|root| root.node.clone()).collect();
    if kind == ScanKind::Generation {
        doubt_in(tx, repository, &documents).await?;
    }
    ask_to_observe_in(tx, repository, &documents).await?;
    if read_content {
        read_too_in(tx, repository, &documents).await?;
    }
    Ok(!roots.is_empty())
}

/// Of nodes that are to be looked at, these are to be read, too.
async fn read_too_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    nodes: &[NodeId],
) -> Result<(), Error> {
    let text = "UPDATE observe SET read_content = 1 \
                WHERE repository = ? AND node IN (SELECT value FROM json_each(?))";
    sql::execute(tx, text, [repository.0.into(), json(&texts(nodes))]).await?;
    Ok(())
}

/// A generation is not listed before these nodes were seen, or answered to be absent (R-AGT-4).
///
/// # Errors
/// Whatever the database answers.
pub async fn doubt_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    nodes: &[NodeId],
) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let text = "INSERT OR REPLACE INTO suspect (repository, scan, node) \
                SELECT ?, x'', value FROM json_each(?)";
    sql::execute(tx, text, [repository.0.into(), json(&texts(nodes))]).await?;
    Ok(())
}

/// Each once: no statement of PostgreSQL changes one row twice.
fn texts(nodes: &[NodeId]) -> BTreeSet<&str> {
    nodes.iter().map(|node| node.0.as_str()).collect()
}

/// The roots that a repository's agent watches: the copies of the chosen nodes, folders and documents, and on the cloud
/// those that are being removed, so that what comes into them is known.
///
/// # Errors
/// Whatever the database answers.
pub async fn roots_in<C: ConnectionTrait>(
    connection: &C,
    repository: RepositoryId,
) -> Result<Vec<Root>, Error> {
    let text = "SELECT r.node, r.include_subfolders, x.id, coalesce(x.read_content, FALSE), r.kind FROM (\
         SELECT m.on_premise_node AS node, s.include_subfolders, m.kind FROM sync_set s \
         CROSS JOIN member m INDEXED BY member_direct ON m.set_id = s.id AND m.direct = 1 \
         WHERE s.on_premise_repository = ?1 AND s.ending = 0 \
         UNION ALL \
         SELECT m.cloud_node, s.include_subfolders, m.kind FROM sync_set s \
         CROSS JOIN member m INDEXED BY member_direct ON m.set_id = s.id AND m.direct = 1 \
         WHERE s.cloud_repository = ?1 AND (s.ending = 0 OR s.removal <> 0)) r \
         LEFT JOIN scan x ON x.repository = ?1 AND x.root = r.node WHERE r.node IS NOT NULL";
    let mut roots = Vec::new();
    for row in sql::all(connection, text, [repository.0.into()]).await? {
        let scan: Option<Vec<u8>> = row.try_get_by_index(2)?;
        roots.push(Root {
            node: NodeId(row.try_get_by_index(0)?),
            document: row.try_get_by_index::<i32>(4)? == 1,
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

/// Notes the nodes that pages should have listed and did not; before the pages take effect.
///
/// # Errors
/// Whatever the database answers.
pub async fn note_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    pages: &[&ScanPage],
) -> Result<(), Error> {
    let text = "INSERT OR IGNORE INTO suspect (repository, scan, node) \
                SELECT ?1, unhex(p.value->>0), c.node FROM json_each(?2) p \
                CROSS JOIN copy c INDEXED BY copy_place \
                ON c.repository = ?1 AND c.parent = p.value->>1 \
                WHERE c.node > p.value->>2 AND (p.value->>3 = '' OR c.node <= p.value->>3) \
                AND c.state IN (0, 3) AND c.node NOT IN (SELECT value FROM json_each(?3)) \
                AND EXISTS (SELECT 1 FROM scan WHERE id = unhex(p.value->>0) AND repository = ?1)";
    let readable = || pages.iter().filter(|page| page.readable);
    let ranges: Vec<_> = readable()
        .map(|page| {
            let (after, through) = (page.after.0.as_str(), page.through.0.as_str());
            let scan = page.scan.0.simple().to_string();
            (scan, page.folder.0.as_str(), after, through)
        })
        .collect();
    if ranges.is_empty() {
        return Ok(());
    }
    let listed: Vec<&str> = readable()
        .flat_map(|page| &page.children)
        .map(|child| child.node.0.as_str())
        .collect();
    let values = [repository.0.into(), json(&ranges), json(&listed)];
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
    if seen.is_empty() {
        return Ok(());
    }
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
    sql::execute(tx, text, [repository.0.into(), json(&texts(nodes))]).await?;
    Ok(())
}

/// After the last page the remaining suspects are asked for by id: only *absent* proves anything. In a new generation
/// all counts as listed only when they are answered (R-AGT-4).
///
/// # Errors
/// Whatever the database answers.
pub async fn ask_suspects_in<C: ConnectionTrait>(
    tx: &C,
    repository: RepositoryId,
    scan: ScanId,
    kind: ScanKind,
) -> Result<(), Error> {
    let key = || [repository.0.into(), scan.to_bytes().into()];
    let text = "INSERT OR IGNORE INTO observe (repository, node) SELECT repository, node \
                FROM suspect WHERE repository = ? AND scan = ?";
    sql::execute(tx, text, key()).await?;
    let text = match kind {
        ScanKind::Generation => "UPDATE suspect SET scan = x'' WHERE repository = ? AND scan = ?",
        ScanKind::First | ScanKind::Demand => {
            "DELETE FROM suspect WHERE repository = ? AND scan = ?"
        }
    };
    sql::execute(tx, text, key()).await?;
    Ok(())
}

/// A scan that came to nothing is asked for again, under another id; not below a root that is known to be gone.
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
    let text = "DELETE FROM scan WHERE id = ? AND EXISTS (SELECT 1 FROM copy c \
                WHERE c.repository = scan.repository AND c.node = scan.root AND c.state IN (1, 2))";
    sql::execute(tx, text, [scan.to_bytes().into()]).await?;
    let text = "UPDATE scan SET id = ? WHERE id = ?";
    let renewed = ScanId(Uuid::now_v7()).to_bytes();
    sql::execute(tx, text, [renewed.into(), scan.to_bytes().into()]).await?;
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

    /// Nodes that the agent is to look at afresh, at most `limit`, each with whether its content is to be read.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn to_observe(
        &self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<(NodeId, bool)>, Error> {
        let text = "SELECT node, read_content FROM observe WHERE repository = ? LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sql::all(self.reader(), text, [repository.0.into(), limit.into()]).await?;
        rows.iter()
            .map(|row| Ok((NodeId(row.try_get_by_index(0)?), row.try_get_by_index(1)?)))
            .collect()
    }
}
