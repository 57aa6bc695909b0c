//! Members: who may see, sync and delete them (SPEC §7, §9).

use std::collections::{BTreeMap, BTreeSet};

use futures::{TryStreamExt, stream};

use super::nodes::check_node_id;
use super::places::soon;
use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::copy::{Copy, CopyState};
use crate::domain::engine::Request;
use crate::domain::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::{PAGE_SIZE_MAX, SYNC_NAMES_MAX, SYNCS_AT_ONCE_MAX};
use crate::domain::member::{Hold, Lane, Member, MemberState, PeerChoice};
use crate::domain::projection::{NodeKind, Side, Sides};
use crate::domain::sync_set::{Gate, SyncSet};
use crate::domain::view::CopyKey;

pub use crate::storage::sync::members::Filter;

/// The numbers of states in [`Filter`].
pub const STATE_PENDING: i32 = 0;
/// See [`STATE_PENDING`].
pub const STATE_SYNCED: i32 = 1;
/// See [`STATE_PENDING`].
pub const STATE_FAILED: i32 = 2;

/// A folder of more levels has a path that begins with its deepest ones.
const PATH_NAMES_MAX: usize = 1_000;

/// A copy that is there, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyView {
    /// The copy.
    pub copy: Copy,
    /// The names of the folders that are known, and its own, joined by `/`.
    pub path: String,
}

/// A member with its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The member.
    pub member: Member,
    /// The copies that are there.
    pub copies: Sides<Option<CopyView>>,
    /// Why it waits.
    pub hold: Option<ShownHold>,
}

/// Why a pending member waits, its set's reasons too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownHold {
    /// A reason of its own.
    Own(Hold),
    /// Too many deletions at once (R-DEL-3).
    MassDelete,
    /// The set or a repository is paused (R-SET-7).
    Paused,
}

/// How a node is synced (R-STA-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSyncInfo {
    /// Its member and the owner of the set, if it is synced.
    pub member: Option<(MemberView, String)>,
    /// Why a node inside a synced folder is not synced.
    pub skipped: &'static str,
}

/// Where a list of the members of a whole network goes on.
pub type Place = (SyncSetId, MemberId);

impl UserScope {
    /// Shows a member of a set.
    ///
    /// # Errors
    /// [`Error::MemberNotFound`].
    pub async fn member(&self, set: SyncSetId, id: MemberId) -> Result<MemberView, Error> {
        let (set, member) = self.member_row(set, id).await?;
        let views = self.member_views(&set, vec![member]).await?;
        let mut views = self.placed(&set, views, soon()).await?;
        views.pop().ok_or_else(|| self.no_member(set.id, id))
    }

    /// Lists members of a set by id, beginning after one.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`].
    pub async fn members(
        &self,
        set: SyncSetId,
        after: Option<MemberId>,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<MemberView>, Error> {
        let set = self.set_row(set).await?;
        let store = &self.coordinator.store;
        let members = store.members(set.id, after, filter, limit).await?;
        let views = self.member_views(&set, members).await?;
        self.placed(&set, views, soon()).await
    }

    /// Lists members of all sets, by set and id, beginning after one.
    ///
    /// # Errors
    /// The database's.
    pub async fn members_of_all(
        &self,
        after: Option<Place>,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<MemberView>, Error> {
        let store = &self.coordinator.store;
        let (mut views, until) = (Vec::new(), soon());
        if let Some((set, member)) = after
            && let Some(set) = store.sync_set(self.network, set).await?
        {
            let members = store.members(set.id, Some(member), filter, limit).await?;
            let shown = self.member_views(&set, members).await?;
            views.extend(self.placed(&set, shown, until).await?);
        }
        let mut last = after.map(|(set, _)| set);
        while views.len() < limit {
            let sets = store.sync_sets(self.network, last, PAGE_SIZE_MAX).await?;
            let Some(next) = sets.last().map(|set| set.id) else {
                break;
            };
            last = Some(next);
            for set in sets.iter().filter(|set| may_have(set, filter)) {
                let left = limit - views.len();
                let members = store.members(set.id, None, filter, left).await?;
                let shown = self.member_views(set, members).await?;
                views.extend(self.placed(set, shown, until).await?);
                if views.len() >= limit {
                    break;
                }
            }
        }
        Ok(views)
    }

    /// Observes members afresh and syncs them at once, a folder with all below it (R-REQ-1); none named = all of the
    /// set. Tells how many they are. Where the on-premise repository has users, the caller must be able to read them.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::MemberNotFound`], [`Error::InvalidField`], [`Error::NotAllowed`].
    pub async fn request_sync(&self, set: SyncSetId, named: &[MemberId]) -> Result<i64, Error> {
        self.require(Role::User)?;
        if named.len() > SYNC_NAMES_MAX {
            let rule = format!("at most {SYNC_NAMES_MAX}; ask in several calls");
            return Err(Error::invalid("names", rule));
        }
        let set = self.set_row(set).await?;
        self.check_requestable(&set, named).await?;
        let members = if named.is_empty() {
            self.all_members(&set).await?
        } else {
            self.named_members(&set, named).await?
        };
        let count = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let scope = self.clone();
        let work = async move { scope.sync_each(members).await };
        self.coordinator.uncancelled(work).await?;
        Ok(count)
    }

    /// Deletes a member's copy on one side, with a choice about the other (SPEC §7).
    ///
    /// # Errors
    /// [`Error::MemberNotFound`], [`Error::NotAllowed`], [`Error::DeleteNotAllowed`], [`Error::WrongState`].
    pub async fn delete_member(
        &self,
        set: SyncSetId,
        id: MemberId,
        side: Side,
        peer: PeerChoice,
    ) -> Result<(), Error> {
        self.require(Role::User)?;
        let (set, member) = self.member_row(set, id).await?;
        self.own_set(set.id).await?;
        if side == Side::Cloud && !set.options.allow_delete_on_cloud {
            return Err(Error::DeleteNotAllowed {
                sync_set: self.set_name(set.id),
            });
        }
        if set.ending || member.leaving.is_some() {
            return Err(Error::WrongState { state: "ENDING" });
        }
        let views = self.member_views(&set, vec![member]).await?;
        let there = views
            .first()
            .and_then(|view| view.copies.get(side).as_ref());
        if there.is_none() {
            return Err(Error::WrongState { state: "NO_COPY" });
        }
        let delete = Request::Delete(id, side, peer, self.user.clone());
        let ingest = &self.coordinator.ingest;
        ingest.request(self.network, delete).await
    }

    /// Tells how a node is synced (R-STA-2).
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::InvalidField`], [`Error::NodeNotFound`].
    pub async fn node_sync_info(
        &self,
        repository: &str,
        node: &str,
    ) -> Result<NodeSyncInfo, Error> {
        check_node_id("node_id", node)?;
        let repository = self.repository(repository).await?;
        let store = &self.coordinator.store;
        let unknown = || Error::NodeNotFound {
            node: node.to_owned(),
        };
        let found = store.copy(repository.id, &NodeId(node.to_owned())).await?;
        let copy = found.ok_or_else(unknown)?;
        let Some(member) = copy.member else {
            return match copy.state {
                CopyState::Gone(_) => Err(unknown()),
                state => Ok(NodeSyncInfo {
                    member: None,
                    skipped: skipped(state),
                }),
            };
        };
        let member = store.member(self.network, member).await?;
        let member = member.ok_or_else(unknown)?;
        let set = self.set_row(member.set).await?;
        let views = self.member_views(&set, vec![member]).await?;
        let mut views = self.placed(&set, views, soon()).await?;
        Ok(NodeSyncInfo {
            member: views.pop().map(|view| (view, set.owner)),
            skipped: "",
        })
    }

    /// The name of a member of the network.
    #[must_use]
    pub fn member_name(&self, set: SyncSetId, member: MemberId) -> String {
        format!("{}/members/{member}", self.set_name(set))
    }

    pub(super) fn no_member(&self, set: SyncSetId, id: MemberId) -> Error {
        Error::MemberNotFound {
            member: self.member_name(set, id),
        }
    }

    /// A member that is in this set of the network.
    pub(super) async fn member_row(
        &self,
        set: SyncSetId,
        id: MemberId,
    ) -> Result<(SyncSet, Member), Error> {
        let store = &self.coordinator.store;
        let member = store.member(self.network, id).await?;
        let member = member
            .filter(|member| member.set == set)
            .ok_or_else(|| self.no_member(set, id))?;
        let set_row = store.sync_set(self.network, set).await?;
        let set_row = set_row.ok_or_else(|| self.no_member(set, id))?;
        Ok((set_row, member))
    }

    /// Puts the copies beside members of one set; folders that several share are read once.
    pub(super) async fn member_views(
        &self,
        set: &SyncSet,
        members: Vec<Member>,
    ) -> Result<Vec<MemberView>, Error> {
        let keys: Vec<CopyKey> = members
            .iter()
            .flat_map(|member| Side::BOTH.map(|side| copy_key(set, member, side)))
            .flatten()
            .collect();
        if keys.is_empty() {
            return Ok(members
                .into_iter()
                .map(|one| view(set, one, &BTreeMap::new()))
                .collect());
        }
        let copies = self.coordinator.store.copies_and_folders(&keys).await?;
        Ok(members
            .into_iter()
            .map(|member| view(set, member, &copies))
            .collect())
    }

    async fn all_members(&self, set: &SyncSet) -> Result<BTreeSet<MemberId>, Error> {
        let store = &self.coordinator.store;
        let mut all = BTreeSet::new();
        loop {
            let after = all.last().copied();
            let stamps = store.member_stamps(set, after, PAGE_SIZE_MAX).await?;
            if stamps.is_empty() {
                return Ok(all);
            }
            all.extend(stamps.into_iter().map(|(member, _)| member));
        }
    }

    /// All named members must be there; folders bring what is below them.
    async fn named_members(
        &self,
        set: &SyncSet,
        named: &[MemberId],
    ) -> Result<BTreeSet<MemberId>, Error> {
        let store = &self.coordinator.store;
        let found = store.members_of(set.id, named).await?;
        let mut members: BTreeSet<MemberId> = found.iter().map(|member| member.id).collect();
        if let Some(missing) = named.iter().find(|id| !members.contains(id)) {
            return Err(self.no_member(set.id, *missing));
        }
        if members.contains(&set.root) {
            return self.all_members(set).await;
        }
        let folders: Vec<CopyKey> = found
            .iter()
            .filter(|member| member.kind == NodeKind::Folder)
            .flat_map(|member| Side::BOTH.map(|side| copy_key(set, member, side)))
            .flatten()
            .collect();
        if !folders.is_empty() {
            members.extend(store.members_below(set.id, &folders).await?);
        }
        Ok(members)
    }

    async fn sync_each(&self, members: BTreeSet<MemberId>) -> Result<(), Error> {
        let requests = members.into_iter().map(|member| {
            let request = Request::Sync(member, self.user.clone());
            Ok(self.coordinator.ingest.request(self.network, request))
        });
        stream::iter(requests)
            .try_buffer_unordered(SYNCS_AT_ONCE_MAX)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await
    }
}

fn copy_key(set: &SyncSet, member: &Member, side: Side) -> Option<CopyKey> {
    let repository: RepositoryId = *set.repositories.get(side);
    let node = member.nodes.get(side).clone()?;
    Some((repository, node))
}

fn view(set: &SyncSet, member: Member, copies: &BTreeMap<CopyKey, Copy>) -> MemberView {
    let shown = |side: Side| {
        let copy = copies.get(&copy_key(set, &member, side)?)?;
        copy.is_there().then(|| CopyView {
            path: path(copies, copy),
            copy: copy.clone(),
        })
    };
    MemberView {
        copies: Sides {
            on_premise: shown(Side::OnPremise),
            cloud: shown(Side::Cloud),
        },
        hold: hold(set, &member),
        member,
    }
}

pub(super) fn path(copies: &BTreeMap<CopyKey, Copy>, copy: &Copy) -> String {
    let folders = std::iter::successors(Some(copy), |below| {
        copies.get(&(below.repository, below.parent.clone()))
    });
    let mut names: Vec<&str> = folders
        .take(PATH_NAMES_MAX)
        .map(|found| found.projection.name.as_str())
        .collect();
    names.reverse();
    names.join("/")
}

fn hold(set: &SyncSet, member: &Member) -> Option<ShownHold> {
    if member.state != MemberState::Pending {
        return None;
    }
    if set.is_paused() && (set.repository_paused || member.leaving.is_none()) {
        return Some(ShownHold::Paused);
    }
    let removal = member.due.is_some_and(|due| due.lane == Lane::Removal);
    if removal && set.guard.gate == Gate::Held {
        return Some(ShownHold::MassDelete);
    }
    let outside = *set.outside.get(Side::OnPremise) || *set.outside.get(Side::Cloud);
    if outside && member.hold.is_none() {
        return Some(ShownHold::Own(Hold::Parent));
    }
    member.hold.map(ShownHold::Own)
}

/// False when the counters of a set tell that nothing of it fits.
fn may_have(set: &SyncSet, filter: Filter) -> bool {
    match (filter.state, filter.reason) {
        (Some(STATE_PENDING), _) => set.counters.pending > 0,
        (Some(STATE_FAILED), _) | (_, Some(_)) => set.counters.failed > 0,
        (_, None) => set.counters.members > 0,
    }
}

pub(super) fn skipped(state: CopyState) -> &'static str {
    match state {
        CopyState::Skipped(reason) => reason.text(),
        CopyState::Left => "it was unlinked; request a sync, or move it out and in again",
        CopyState::Live | CopyState::Gone(_) => "",
    }
}
