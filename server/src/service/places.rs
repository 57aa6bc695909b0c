//! Where chosen documents lie (R-MOV-1): folders that are not synced are known to their agents only.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::members::{CopyView, MemberView};
use super::nodes::NodeChoice;
use super::{Error, UserScope};
use crate::domain::ids::{NodeId, RepositoryId};
use crate::domain::limits::{PATH_BYTES_MAX, PLACES_SECONDS_MAX};
use crate::domain::planted::planted;
use crate::domain::projection::{NodeKind, Side};
use crate::domain::sync_set::SyncSet;

/// Until when a list that is asked for now waits for agents.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PLACES_SECONDS_MAX)
}

impl UserScope {
    /// Puts the folders before the names of chosen documents that lie in no synced folder. Where an agent is away, or takes
    /// too long, the name is all that is shown.
    pub(super) async fn placed(
        &self,
        set: &SyncSet,
        mut views: Vec<MemberView>,
        until: Instant,
    ) -> Result<Vec<MemberView>, Error> {
        for side in Side::BOTH {
            let asked = views.iter().filter_map(|view| unplaced(view, side));
            let asked: Vec<NodeChoice> = asked
                .map(|copy| NodeChoice::Id(copy.copy.node.clone()))
                .collect();
            if asked.is_empty() || planted("places-unasked") {
                continue;
            }
            let folders = self.folders(*set.repositories.get(side), &asked, until);
            let folders = folders.await?;
            let copies = views
                .iter_mut()
                .filter_map(|view| view.copies.get_mut(side).as_mut());
            for copy in copies {
                if let Some(folder) = folders.get(&copy.copy.node) {
                    copy.path = format!("{folder}/{}", copy.copy.projection.name);
                }
            }
        }
        Ok(views)
    }

    /// The folders of those nodes that the agent told of in time, as paths.
    async fn folders(
        &self,
        repository: RepositoryId,
        asked: &[NodeChoice],
        until: Instant,
    ) -> Result<BTreeMap<NodeId, String>, Error> {
        let store = &self.coordinator.store;
        let Some(repository) = store.repository(self.network, repository).await? else {
            return Ok(BTreeMap::new());
        };
        let answer = timeout_at(until, self.resolve_all(&repository, asked, "name")).await;
        let Ok(Ok(found)) = answer else {
            return Ok(BTreeMap::new());
        };
        let there = found
            .into_iter()
            .filter(|info| !info.missing && info.path.len() <= PATH_BYTES_MAX);
        let folders = there.filter_map(|info| {
            let (folder, _) = info.path.rsplit_once('/')?;
            Some((info.node, folder.to_owned()))
        });
        Ok(folders.collect())
    }
}

/// The copy of a chosen document on a side, where nothing is known of the folder that it lies in.
fn unplaced(view: &MemberView, side: Side) -> Option<&CopyView> {
    let chosen = view.member.direct && view.member.kind == NodeKind::Document;
    let copy = view.copies.get(side).as_ref().filter(|_| chosen)?;
    let known = copy.path.contains('/') || copy.copy.parent.0.is_empty();
    (!known).then_some(copy)
}
