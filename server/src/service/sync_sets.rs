//! Sync sets: who may make, see, steer and end them (SPEC §2).

use uuid::Uuid;

use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::engine::Request;
use crate::domain::ids::{NodeId, RepositoryId, SyncSetId};
use crate::domain::projection::Sides;
use crate::domain::sync_set::{Gate, SyncSet};
use crate::storage::sync::walks::SetJobKind;

/// A set with what is shown beside its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetView {
    /// The set.
    pub set: SyncSet,
    /// The last parts of the names of its repositories.
    pub repositories: Sides<String>,
    /// The on-premise nodes that were chosen.
    pub nodes: Vec<NodeId>,
    /// A scan of either side is not complete.
    pub scanning: bool,
}

/// What a set is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetState {
    /// Something is under way or due.
    Pending,
    /// Every member is synced.
    Synced,
    /// At least one member failed.
    Failed,
    /// It was ended; what is left of it is being worked off.
    Ending,
}

/// What is to become of deletions that the guard holds (R-DEL-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// Delete as the options say.
    Confirm,
    /// Restore what was deleted.
    Refuse,
}

impl SetView {
    /// What the set is doing.
    #[must_use]
    pub fn state(&self) -> SetState {
        let counters = &self.set.counters;
        if self.set.ending {
            SetState::Ending
        } else if counters.failed > 0 {
            SetState::Failed
        } else if counters.pending > 0 || self.scanning {
            SetState::Pending
        } else {
            SetState::Synced
        }
    }

    /// Deletions that the guard holds back.
    #[must_use]
    pub fn held_deletions(&self) -> i64 {
        match self.set.guard.gate {
            Gate::Held => self.set.guard.due,
            Gate::Open | Gate::Counting => 0,
        }
    }
}

impl UserScope {
    /// Shows a set.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`].
    pub async fn sync_set(&self, id: SyncSetId) -> Result<SetView, Error> {
        let set = self.set_row(id).await?;
        let mut views = self.set_views(vec![set]).await?;
        views.pop().ok_or_else(|| self.no_set(id))
    }

    /// Lists sets by creation, beginning after one.
    ///
    /// # Errors
    /// The database's.
    pub async fn sync_sets(
        &self,
        after: Option<SyncSetId>,
        limit: usize,
    ) -> Result<Vec<SetView>, Error> {
        let store = &self.coordinator.store;
        let sets = store.sync_sets(self.network, after, limit).await?;
        self.set_views(sets).await
    }

    /// Decides about deletions that the guard holds back (R-DEL-3); tells how many they were.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::NotAllowed`], [`Error::NothingHeld`].
    pub async fn resolve_hold(
        &self,
        id: SyncSetId,
        decision: HoldDecision,
    ) -> Result<(SetView, i64), Error> {
        let set = self.own_set(id).await?;
        if set.guard.gate != Gate::Held {
            return Err(Error::NothingHeld {
                sync_set: self.set_name(id),
            });
        }
        let ingest = &self.coordinator.ingest;
        match decision {
            HoldDecision::Confirm => {
                let confirm = Request::ConfirmHold(id, self.user.clone());
                ingest.request(self.network, confirm).await?;
            }
            HoldDecision::Refuse => {
                let kind = SetJobKind::RefuseHold;
                ingest.set_job(self.network, id, kind, &self.user).await?;
            }
        }
        Ok((self.sync_set(id).await?, set.guard.due))
    }

    /// A set as it is stored.
    pub(super) async fn set_row(&self, id: SyncSetId) -> Result<SyncSet, Error> {
        let found = self.coordinator.store.sync_set(self.network, id).await?;
        found.ok_or_else(|| self.no_set(id))
    }

    /// A set that the user may steer: their own, or any for admins.
    pub(super) async fn own_set(&self, id: SyncSetId) -> Result<SyncSet, Error> {
        self.require(Role::User)?;
        let set = self.set_row(id).await?;
        if set.owner != self.user {
            self.require(Role::Admin)?;
        }
        Ok(set)
    }

    /// The name of a set of the network.
    #[must_use]
    pub fn set_name(&self, id: SyncSetId) -> String {
        format!("networks/{}/syncSets/{id}", self.network_name)
    }

    /// The name of a repository of the network.
    #[must_use]
    pub fn repository_name(&self, repository: &str) -> String {
        format!("networks/{}/repositories/{repository}", self.network_name)
    }

    pub(super) fn no_set(&self, id: SyncSetId) -> Error {
        Error::SyncSetNotFound {
            sync_set: self.set_name(id),
        }
    }

    async fn set_views(&self, sets: Vec<SyncSet>) -> Result<Vec<SetView>, Error> {
        let store = &self.coordinator.store;
        let ids: Vec<SyncSetId> = sets.iter().map(|set| set.id).collect();
        let mut facts = store.set_facts(&ids).await?;
        let repositories: Vec<RepositoryId> = sets
            .iter()
            .flat_map(|set| [set.repositories.on_premise, set.repositories.cloud])
            .collect();
        let names = store.repository_names(&repositories).await?;
        let name = |id: RepositoryId| names.get(&id).cloned().unwrap_or_default();
        Ok(sets
            .into_iter()
            .map(|set| {
                let shown = facts.remove(&set.id).unwrap_or_default();
                SetView {
                    repositories: Sides {
                        on_premise: name(set.repositories.on_premise),
                        cloud: name(set.repositories.cloud),
                    },
                    nodes: shown.nodes,
                    scanning: shown.scanning,
                    set,
                }
            })
            .collect())
    }
}

/// When a set was made, in microseconds since 1970: its id tells.
#[must_use]
pub fn created_at(id: Uuid) -> Option<i64> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    let seconds = i64::try_from(seconds).ok()?;
    Some(seconds * 1_000_000 + i64::from(nanoseconds) / 1_000)
}
