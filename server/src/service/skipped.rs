//! What lies in synced folders and is no member of their sets (R-MEM-1, R-MEM-4, R-MOV-4), and what stays of a cloud copy
//! that is removed (R-UNS-1).

use super::members::{path, skipped};
use super::{Error, UserScope};
use crate::domain::ids::{NodeId, SyncSetId};
use crate::domain::projection::{NodeKind, Side};
use crate::domain::sync_set::{Removal, SetKind};
use crate::domain::view::CopyKey;

/// A node that is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The side it is on.
    pub side: Side,
    /// The node.
    pub node: NodeId,
    /// Where it lies.
    pub path: String,
    /// Document or folder.
    pub kind: NodeKind,
    /// Why.
    pub reason: &'static str,
}

/// Where a list of skipped nodes goes on.
pub type Place = (Side, NodeId);

impl UserScope {
    /// Lists the skipped nodes of a set, on-premise first, by node id, beginning after one.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`].
    pub async fn skipped_nodes(
        &self,
        set: SyncSetId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Skipped>, Error> {
        let store = &self.coordinator.store;
        let set = match self.set_row(set).await {
            Ok(row) if row.removal == Removal::None && row.kind == SetKind::Folder => row,
            Ok(_) => return self.stays(set, after, limit).await,
            Err(Error::SyncSetNotFound { .. }) => {
                let ended = store.ended_set(self.network, set).await?;
                ended.ok_or_else(|| self.no_set(set))?;
                return self.stays(set, after, limit).await;
            }
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for side in Side::BOTH {
            let from = match &after {
                Some((on, _)) if *on > side => continue,
                Some((on, node)) if *on == side => node.clone(),
                _ => NodeId::default(),
            };
            let left = limit - found.len();
            let repository = *set.repositories.get(side);
            let copies = store.skipped(set.id, repository, &from, left).await?;
            found.extend(copies.into_iter().map(|copy| (side, copy)));
        }
        let keys: Vec<CopyKey> = found
            .iter()
            .map(|(_, copy)| (copy.repository, copy.node.clone()))
            .collect();
        let copies = store.copies_and_folders(&keys).await?;
        let shown = found.into_iter().map(|(side, copy)| Skipped {
            side,
            reason: match copy.member {
                Some(_) => "it is in a sync set of its own",
                None => skipped(copy.state),
            },
            path: path(&copies, &copy),
            kind: copy.projection.kind,
            node: copy.node,
        });
        Ok(shown.collect())
    }

    /// What stays of the cloud copy of a set that was ended, or of its documents that were unsynced.
    async fn stays(
        &self,
        set: SyncSetId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Skipped>, Error> {
        let after = after.map(|(_, node)| node).unwrap_or_default();
        let stays = self.coordinator.store.stays(set, &after, limit).await?;
        let shown = stays.into_iter().map(|stay| Skipped {
            side: Side::Cloud,
            node: stay.node,
            path: stay.path,
            kind: stay.kind,
            reason: stay.reason.text(),
        });
        Ok(shown.collect())
    }
}
