//! What stays on the cloud although its set removes the cloud copy (R-UNS-1).

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::super::{Error, Store, sql};
use super::rows::Insert;
use crate::domain::ids::{NodeId, SyncSetId};
use crate::domain::projection::NodeKind;
use crate::domain::stay::{Stay, StayReason};

const STAYS: Insert = Insert {
    head: "INSERT OR REPLACE INTO stay (set_id, node, folder, path, reason) VALUES",
    columns: 5,
    tail: "",
};

/// Notes what stays.
///
/// # Errors
/// Whatever the database answers.
pub async fn insert_in<C: ConnectionTrait>(tx: &C, stays: &[Stay]) -> Result<(), Error> {
    // No statement of PostgreSQL changes one row twice.
    let last: BTreeMap<_, &Stay> = stays
        .iter()
        .map(|stay| ((stay.set, &stay.node), stay))
        .collect();
    STAYS.rows(tx, last.into_values().map(row).collect()).await
}

fn row(stay: &Stay) -> Vec<Value> {
    vec![
        stay.set.to_bytes().into(),
        stay.node.0.clone().into(),
        (stay.kind == NodeKind::Folder).into(),
        stay.path.clone().into(),
        (stay.reason as i32).into(),
    ]
}

impl Store {
    /// What stays of the cloud copy of a set, by node id, behind one of them.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn stays(
        &self,
        set: SyncSetId,
        after: &NodeId,
        limit: usize,
    ) -> Result<Vec<Stay>, Error> {
        let text = "SELECT node, folder, path, reason FROM stay WHERE set_id = ? AND node > ? \
                    ORDER BY node LIMIT ?";
        let values: [Value; 3] = [
            set.to_bytes().into(),
            after.0.as_str().into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = sql::all(self.reader(), text, values).await?;
        rows.iter().map(|row| stay(set, row)).collect()
    }
}

fn stay(set: SyncSetId, row: &QueryResult) -> Result<Stay, Error> {
    let folder: bool = row.try_get_by_index(1)?;
    let reason = StayReason::from_number(row.try_get_by_index(3)?);
    Ok(Stay {
        set,
        node: NodeId(row.try_get_by_index(0)?),
        kind: match folder {
            true => NodeKind::Folder,
            false => NodeKind::Document,
        },
        path: row.try_get_by_index(2)?,
        reason: reason.ok_or(Error::Corrupt {
            what: "why a node stays",
        })?,
    })
}
