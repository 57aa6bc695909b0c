//! What lies in synced folders and is no member (R-MEM-1, R-MEM-4).

use super::members::{CopyView, path, skipped};
use super::{Error, UserScope};
use crate::domain::ids::{NodeId, SyncSetId};
use crate::domain::projection::Side;
use crate::domain::view::CopyKey;

/// A node that is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The side it is on.
    pub side: Side,
    /// The node, and where it lies.
    pub node: CopyView,
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
        let set = self.set_row(set).await?;
        let store = &self.coordinator.store;
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
            reason: skipped(copy.state),
            node: CopyView {
                path: path(&copies, &copy),
                copy,
            },
        });
        Ok(shown.collect())
    }
}
