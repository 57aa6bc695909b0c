//! Ending sets: both copies stay, or the cloud copy is removed once its last changes are pulled (R-UNS-1).

use std::time::Duration;

use super::nodes::NodeChoice;
use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::engine::{Ending, REMOVED, Request, ended_node};
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::limits::{DOCUMENTS_MAX, LAST_CHANGES_SECONDS_MAX};
use crate::domain::member::{Lane, Leaving, Member};
use crate::domain::planted::planted;
use crate::domain::projection::Side;
use crate::domain::sync_set::{Removal, SetKind, SyncSet};
use crate::storage::sync::members::Filter;

impl UserScope {
    /// Ends a set. Asked again it gives the same answer, also when nothing is left of the set.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::NotAllowed`]; [`Error::WrongState`] when the cloud copy is to be removed and
    /// is checked out, or when the set was ended before with another choice about it.
    pub async fn unsync_set(&self, id: SyncSetId, remove_cloud_copy: bool) -> Result<(), Error> {
        let ended = self.own_set_or_ended(id, &[]).await?;
        let set = match ended {
            Known::Live(set) if !set.ending => *set,
            Known::Live(set) => return same_end(set.removal, remove_cloud_copy),
            Known::Ended(removal) => return same_end(removal, remove_cloud_copy),
        };
        let removal = match remove_cloud_copy {
            false => Removal::None,
            true => {
                let nodes = self.cloud_copies(&set).await?;
                self.before_removal(&set, nodes, None).await?
            }
        };
        let ending = Ending {
            set: id,
            removal,
            actor: self.user.clone(),
            forced: false,
        };
        let ingest = &self.coordinator.ingest;
        ingest.end_set(self.network, ending).await
    }

    /// Ends the membership of one chosen node; that of a synced folder, or of the last document, is its whole set (R-UNS-1).
    ///
    /// # Errors
    /// As [`UserScope::unsync_set`]; [`Error::MemberNotFound`]; [`Error::WrongState`] for a node inside a synced folder
    /// (R-MEM-2).
    pub async fn unsync_member(
        &self,
        set: SyncSetId,
        id: MemberId,
        remove_cloud_copy: bool,
    ) -> Result<(), Error> {
        match self.member_row(set, id).await {
            Ok((set, member)) if !member.direct => {
                self.own_set(set.id).await?;
                return Err(Error::WrongState { state: "INDIRECT" });
            }
            Ok((set, member)) if is_one_of_several(&set, &member) => {
                return self
                    .unsync_document(set.id, member, remove_cloud_copy)
                    .await;
            }
            Ok(_) => {}
            Err(error @ Error::MemberNotFound { .. }) => {
                if let Some(removed) = self.has_left(set, id).await? {
                    return same_end(removed, remove_cloud_copy);
                }
                let ended = self.coordinator.store.ended_set(self.network, set).await?;
                if ended.is_none_or(|ended| ended.root != id) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        self.unsync_set(set, remove_cloud_copy).await
    }

    /// R-SET-1: one document leaves, and the others stay. What a pause of the set holds back of it is pulled; what it
    /// holds back of the others is not.
    async fn unsync_document(
        &self,
        set: SyncSetId,
        member: Member,
        remove_cloud_copy: bool,
    ) -> Result<(), Error> {
        let set = match self.own_set_or_ended(set, &[member.id]).await? {
            Known::Live(set) => set,
            Known::Ended(removal) => return same_end(removal, remove_cloud_copy),
        };
        if let Some(leaving) = &member.leaving {
            return same_end(leaving.removal, remove_cloud_copy);
        }
        if set.ending {
            return same_end(set.removal, remove_cloud_copy);
        }
        let removal = match remove_cloud_copy {
            false => Removal::None,
            true => {
                let nodes = member.nodes.cloud.into_iter().collect();
                self.before_removal(&set, nodes, Some(member.id)).await?
            }
        };
        let actor = self.user.clone();
        let unsync = Request::Unsync(member.id, Leaving { removal, actor });
        self.coordinator.ingest.request(self.network, unsync).await
    }

    /// How a document left its set, which goes on.
    async fn has_left(&self, set: SyncSetId, id: MemberId) -> Result<Option<Removal>, Error> {
        let set = match self.set_to_unsync(set, &[]).await {
            Ok(set) if set.kind == SetKind::Documents => set,
            Ok(_) | Err(Error::SyncSetNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let repository = *set.repositories.get(Side::OnPremise);
        let store = &self.coordinator.store;
        let row = store.copy(repository, &ended_node(id)).await?;
        let row = row.filter(|_| !planted("left-document-forgotten"));
        Ok(row.map(|row| match row.revision == REMOVED {
            true => Removal::Everything,
            false => Removal::None,
        }))
    }

    /// A set that the user may steer, or the memory of one that they might have.
    async fn own_set_or_ended(&self, id: SyncSetId, members: &[MemberId]) -> Result<Known, Error> {
        match self.set_to_unsync(id, members).await {
            Err(Error::SyncSetNotFound { .. }) => {}
            found => return found.map(|set| Known::Live(Box::new(set))),
        }
        let ended = self.coordinator.store.ended_set(self.network, id).await?;
        let ended = ended.ok_or_else(|| self.no_set(id))?;
        if ended.owner != self.user {
            self.require(Role::Admin)?;
        }
        Ok(Known::Ended(ended.removal))
    }

    /// What is done before cloud copies are removed, all of a set or that of one document: the cloud's last changes are
    /// pulled. Whoever is away, or takes longer than a caller should wait, does not hold it up; what was not pulled stays
    /// where it is.
    async fn before_removal(
        &self,
        set: &SyncSet,
        nodes: Vec<NodeId>,
        alone: Option<MemberId>,
    ) -> Result<Removal, Error> {
        let presence = &self.coordinator.presence;
        let cloud = set.repositories.cloud;
        let connected = presence.is_connected(cloud);
        if !nodes.is_empty() {
            self.check_not_checked_out(set, &nodes).await?;
        }
        if !nodes.is_empty() && !set.repository_paused {
            self.pull(set, nodes, connected, alone).await?;
        }
        Ok(match connected {
            true => Removal::Everything,
            false => Removal::Members,
        })
    }

    /// Lets changes flow, those too that a pause held back, and waits for them.
    async fn pull(
        &self,
        set: &SyncSet,
        nodes: Vec<NodeId>,
        connected: bool,
        alone: Option<MemberId>,
    ) -> Result<(), Error> {
        let ingest = &self.coordinator.ingest;
        if set.paused && alone.is_none() {
            let resume = Request::Pause(set.id, false, self.user.clone());
            ingest.request(self.network, resume).await?;
        }
        if connected {
            self.look(set, nodes).await?;
        }
        let within = Duration::from_secs(LAST_CHANGES_SECONDS_MAX);
        match tokio::time::timeout(within, self.until_pulled(set, connected, alone)).await {
            Ok(pulled) => pulled,
            Err(_) => Ok(()),
        }
    }

    /// A folder is listed again; documents are looked at, by their ids.
    async fn look(&self, set: &SyncSet, nodes: Vec<NodeId>) -> Result<(), Error> {
        let (ingest, cloud) = (&self.coordinator.ingest, set.repositories.cloud);
        if set.kind == SetKind::Documents {
            let look = nodes.into_iter().map(|node| (cloud, node)).collect();
            return ingest.request(self.network, Request::Look(look)).await;
        }
        for node in nodes {
            let scan = ingest.ask_scan(self.network, cloud, Some(node), false);
            scan.await?;
        }
        Ok(())
    }

    /// The cloud copies of what was chosen.
    async fn cloud_copies(&self, set: &SyncSet) -> Result<Vec<NodeId>, Error> {
        let store = &self.coordinator.store;
        let chosen = match set.kind {
            SetKind::Folder => store
                .member(self.network, set.root)
                .await?
                .into_iter()
                .collect(),
            SetKind::Documents => {
                let all = Filter::default();
                store.members(set.id, None, all, DOCUMENTS_MAX).await?
            }
        };
        let chosen = chosen.into_iter();
        Ok(chosen.filter_map(|member| member.nodes.cloud).collect())
    }

    /// Agents that are away or cannot tell check-outs never refuse.
    async fn check_not_checked_out(&self, set: &SyncSet, nodes: &[NodeId]) -> Result<(), Error> {
        let store = &self.coordinator.store;
        let cloud = store
            .repository(self.network, set.repositories.cloud)
            .await?;
        let Some(cloud) = cloud else { return Ok(()) };
        let choices: Vec<NodeChoice> = nodes.iter().cloned().map(NodeChoice::Id).collect();
        match self.resolve_all(&cloud, &choices, "name").await {
            Ok(found)
                if found.iter().any(|node| node.checked_out)
                    && !planted("checked-out-copy-removed") =>
            {
                Err(Error::WrongState {
                    state: "CHECKED_OUT",
                })
            }
            _ => Ok(()),
        }
    }

    /// Waits until the cloud copy is listed, and nothing of the set, or of the document that leaves a paused one, can be
    /// delivered on-premise any more.
    async fn until_pulled(
        &self,
        set: &SyncSet,
        listed: bool,
        alone: Option<MemberId>,
    ) -> Result<(), Error> {
        let (store, on_premise) = (&self.coordinator.store, set.repositories.on_premise);
        let mut bell = self.coordinator.wakeup.network(self.network);
        loop {
            bell.mark_unchanged();
            let away = !self.coordinator.presence.is_connected(on_premise);
            // Asked first: what a scan finds in the end makes deliveries due before the scan is over.
            let scanning = listed && store.is_scanning(set).await?;
            let delivered = match alone.filter(|_| set.paused) {
                _ if away => true,
                Some(document) => self.is_pulled_alone(set.id, document).await?,
                None => store.is_delivered(on_premise, set.id).await?,
            };
            if delivered && !scanning {
                return Ok(());
            }
            if bell.changed().await.is_err() {
                bell = self.coordinator.wakeup.network(self.network);
            }
        }
    }

    /// Whether nothing of this document can be delivered on-premise; what the pause of its set holds back is let go.
    async fn is_pulled_alone(&self, set: SyncSetId, document: MemberId) -> Result<bool, Error> {
        let (set, member) = match self.member_row(set, document).await {
            Err(Error::MemberNotFound { .. }) => return Ok(true),
            found => found?,
        };
        let due = member
            .due
            .filter(|due| due.side == Side::OnPremise && due.not_before == 0);
        match due.map(|due| due.lane) {
            Some(Lane::Change) if set.paused => {
                let pull = Request::LastPull(document);
                self.coordinator.ingest.request(self.network, pull).await?;
                Ok(false)
            }
            Some(Lane::Change | Lane::LastPull) => Ok(false),
            _ => Ok(true),
        }
    }
}

/// A set that is there, or what became of the cloud copy of one that was ended.
enum Known {
    Live(Box<SyncSet>),
    Ended(Removal),
}

/// A document that leaves alone; also while the others have left already.
fn is_one_of_several(set: &SyncSet, member: &Member) -> bool {
    let several = set.counters.members > 1 || member.leaving.is_some();
    set.kind == SetKind::Documents && several && !planted("one-document-ends-its-set")
}

/// The same call gives the same answer; another one comes too late.
fn same_end(removal: Removal, remove_cloud_copy: bool) -> Result<(), Error> {
    if (removal != Removal::None) == remove_cloud_copy {
        return Ok(());
    }
    Err(Error::WrongState { state: "ENDED" })
}
