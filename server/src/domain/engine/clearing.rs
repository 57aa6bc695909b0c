//! The cloud copy of a set that ended is removed (R-UNS-1): children before parents, each only if it still is as it was
//! when the set ended. What was not pulled, or changed since, stays and is listed.

use super::super::copy::{Absence, Copy, CopyState, Unfit};
use super::super::ids::{MemberId, NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Due, Hold, Lane, Leaving, Member, MemberState, Obstacle};
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side};
use super::super::report::{Observation, Presence, Seen};
use super::super::stay::{Stay, StayReason};
use super::super::sync_set::{Removal, SetKind, SyncSet};
use super::super::view::{CopyKey, Miss};
use super::leaving::removal_of;
use super::unfit::unfit;
use super::{Engine, VersionChange};

/// *Stale* answers in a row with nothing but another revision, after which somebody is taken to be at work on it.
const STALE_MAX: i32 = 10;

impl Engine<'_> {
    /// Ends a membership; where the set removes its cloud copy, that is all that is left of the member.
    pub(super) fn end_or_clear(&mut self, set: &SyncSet, member: Member) -> Result<(), Miss> {
        if member.clearing {
            return self.clear(set, member);
        }
        if removal_of(set, &member) == Removal::None {
            return self.end(set, member);
        }
        let Some(copy) = self.cleared_copy(set, &member)? else {
            return self.end(set, member);
        };
        if Self::is_folder(&member) {
            self.take_others(set, &copy)?;
        }
        if !self.may_go(set, &member, &copy)? {
            return self.stay(set, member, &copy, StayReason::NotPulled);
        }
        let member = self.release_apart(set, member)?;
        let member = self.only_on_cloud(set, member)?;
        self.clear(set, member)
    }

    /// What is too large to be taken was not pulled, whatever is known of it.
    fn may_go(&mut self, set: &SyncSet, member: &Member, cloud: &Copy) -> Result<bool, Miss> {
        Ok(cloud.unfit != Some(Unfit::TooLarge) && self.is_pulled(set, member)?)
    }

    /// Whether the cloud copy is removed without waiting for the on-premise agent: nothing is due that would change
    /// the locked copy there.
    pub(super) fn goes_at_once(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        let removes = removal_of(set, member) != Removal::None && !member.clearing;
        if !removes || member.due.is_some() || planted("removal-waits-for-locks") {
            return Ok(false);
        }
        match self.cleared_copy(set, member)? {
            Some(copy) => self.may_go(set, member, &copy),
            None => Ok(false),
        }
    }

    /// R-LCK-1, R-UNS-1: a locked on-premise copy gets a member of its own, which ends when its agent has unlocked it; the
    /// removal of the cloud copy, which is another agent's, does not wait for that.
    fn release_apart(&mut self, set: &SyncSet, mut member: Member) -> Result<Member, Miss> {
        let copy = self.copy_of(set, &member, Side::OnPremise)?;
        let deleted = CopyState::Gone(Absence::Deleted);
        let locked = copy
            .filter(|copy| copy.locked && copy.state != deleted && copy.member == Some(member.id));
        let Some(copy) = locked else {
            return Ok(member);
        };
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut lock = Member::new(id, set.id, member.kind, member.direct);
        lock.nodes.on_premise = member.nodes.on_premise.take();
        lock.leaving = Some(Leaving {
            removal: Removal::None,
            actor: member
                .leaving
                .as_ref()
                .map_or_else(|| set.owner.clone(), |leaving| leaving.actor.clone()),
        });
        let mut row = copy.clone();
        row.member = Some(id);
        if row.projection.content.is_some() {
            self.effects.versions.push(VersionChange {
                member: member.id,
                side: Side::OnPremise,
                repository: row.repository,
                content: None,
            });
        }
        self.new_version(&row, id, Side::OnPremise);
        self.put_copy_and_wake(Some(&copy), row, set)?;
        self.view.put_member(set, lock.clone());
        self.end_or_release(set, lock)?;
        Ok(member)
    }

    /// The cloud copy that is to go, if it is there.
    fn cleared_copy(&mut self, set: &SyncSet, member: &Member) -> Result<Option<Copy>, Miss> {
        let copy = self.copy_of(set, member, Side::Cloud)?;
        Ok(copy.filter(|copy| copy.is_there() && copy.member == Some(member.id)))
    }

    /// The on-premise copy is unlinked at once; nothing else that was asked of the member counts any more.
    fn only_on_cloud(&mut self, set: &SyncSet, mut member: Member) -> Result<Member, Miss> {
        if let Some(copy) = self.copy_of(set, &member, Side::OnPremise)? {
            self.unlink(set, &member, copy, Side::OnPremise)?;
        }
        for side in Side::BOTH {
            self.wake(set, side, Obstacle::Folder(member.id))?;
        }
        member.nodes.on_premise = None;
        member.base = None;
        member.made = None;
        member.deleting = None;
        member.restoring = None;
        member.choice = None;
        member.conflict = None;
        member.transient = None;
        member.cloud_copy_deleted = false;
        member.restlessness.stale = 0;
        member.clearing = true;
        Ok(member)
    }

    /// A folder waits until none of the set is left in it.
    pub(super) fn clear(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        if self.cleared_copy(set, &member)?.is_none() {
            return self.end_absent(set, member);
        }
        let waits = Self::is_folder(&member) && self.holds_members(set, &member, Side::Cloud)?;
        member.state = MemberState::Pending;
        member.due = (!waits).then_some(Due {
            side: Side::Cloud,
            lane: Lane::Clearing,
            not_before: 0,
        });
        member.hold = waits.then_some(Hold::Parent);
        member.blocked = waits.then_some((Side::Cloud, Obstacle::Folder(member.id)));
        member.version += 1;
        self.view.put_member(set, member);
        Ok(())
    }

    /// The cloud copy is not there any more; one that was moved out stays where it is now.
    fn end_absent(&mut self, set: &SyncSet, member: Member) -> Result<(), Miss> {
        let copy = self.copy_of(set, &member, Side::Cloud)?;
        let moved = copy.filter(|copy| {
            copy.state == CopyState::Gone(Absence::MovedOut) && copy.member == Some(member.id)
        });
        match moved {
            Some(copy) => self.stay(set, member, &copy, StayReason::Changed),
            None => self.end(set, member),
        }
    }

    /// What lies in a folder and is no member goes too, as if it were one; answers whether there is such a node.
    fn take_others(&mut self, set: &SyncSet, folder: &Copy) -> Result<bool, Miss> {
        let mut any = false;
        for child in self
            .view
            .children(&(folder.repository, folder.node.clone()))?
        {
            let key = (folder.repository, child);
            let Some(mut copy) = self.view.copy(&key)?.filter(|copy| copy.member.is_none()) else {
                continue;
            };
            if set.removal == Removal::Made {
                self.list_stay(set, &copy, StayReason::Came)?;
                continue;
            }
            if copy.projection.kind == NodeKind::Folder && set.removal == Removal::Members {
                self.list_stay(set, &copy, StayReason::NotSeen)?;
                continue;
            }
            let id = MemberId((self.new_id)());
            self.view.enter(id);
            let mut member = Member::new(id, set.id, copy.projection.kind, false);
            member.nodes.cloud = Some(copy.node.clone());
            member.clearing = true;
            copy.member = Some(id);
            self.view.put_copy(copy);
            self.view.put_member(set, member);
            self.touch(id);
            any = true;
        }
        Ok(any)
    }

    /// The member ends, and its cloud copy stays where it is, unlinked.
    fn stay(
        &mut self,
        set: &SyncSet,
        member: Member,
        copy: &Copy,
        reason: StayReason,
    ) -> Result<(), Miss> {
        self.list_stay(set, copy, reason)?;
        self.end_saying(set, member, reason.text())
    }

    fn list_stay(&mut self, set: &SyncSet, copy: &Copy, reason: StayReason) -> Result<(), Miss> {
        let path = self.path_of(copy)?;
        self.effects.stays.push(Stay {
            set: set.id,
            node: copy.node.clone(),
            kind: copy.projection.kind,
            path,
            reason,
        });
        Ok(())
    }

    /// The names of the folders that are known, and its own.
    fn path_of(&mut self, copy: &Copy) -> Result<String, Miss> {
        let mut names = vec![copy.projection.name.clone()];
        let folder = (copy.repository, copy.parent.clone());
        if let Some(above) = self.view.copy(&folder)? {
            names.push(above.projection.name.clone());
            for above in self.view.ancestors(&folder)? {
                names.push(above.projection.name.clone());
            }
        }
        names.reverse();
        Ok(names.join("/"))
    }

    /// What an agent made of a removal, or of something that was still on its way when the set ended.
    pub(super) fn cleared(
        &mut self,
        member: Member,
        set: &SyncSet,
        version: i64,
        result: &Observation,
        stale: bool,
    ) -> Result<(), Miss> {
        let Some(copy) = self.cleared_copy(set, &member)? else {
            return self.end(set, member);
        };
        let presence = match &result.seen {
            Seen::Absent { .. } => return self.is_cleared(set, member, copy),
            Seen::Present(_) if result.node != copy.node => return Ok(()),
            Seen::Present(presence) => presence,
        };
        let current = version == member.version;
        if !stale && current && Self::is_folder(&member) {
            return self.is_not_empty(set, member, &copy);
        }
        if stale {
            return self
                .seen_while_clearing(copy, member, set, presence, true)
                .map(|_| ());
        }
        // Our own work that was still on its way: it is no change of anybody's.
        self.take_state(set, member, copy, presence)
    }

    fn is_cleared(&mut self, set: &SyncSet, member: Member, copy: Copy) -> Result<(), Miss> {
        self.journal(Entry {
            kind: JournalKind::Applied,
            set: Some(set.id),
            member: Some(member.id),
            side: Some(Side::Cloud),
            actor: set.owner.clone(),
            node_name: copy.projection.name.clone(),
            message: match member.leaving {
                None => "removed, because the set ended",
                Some(_) => "removed, because the membership ended",
            }
            .to_owned(),
        });
        let key = (copy.repository, copy.node.clone());
        self.end_saying(
            set,
            member,
            "the membership ended, and the cloud copy was removed",
        )?;
        if copy.projection.kind == NodeKind::Folder && copy.state != CopyState::Live {
            self.forget_content(&key)?;
        }
        Ok(())
    }

    /// What was remembered of nodes below a folder that went with all it held.
    fn forget_content(&mut self, folder: &CopyKey) -> Result<(), Miss> {
        for child in self.view.children(folder)? {
            let key = (folder.0, child);
            let copy = self.view.copy(&key)?.filter(|copy| copy.member.is_none());
            if let Some(copy) = copy {
                self.view.remove_copy(&key);
                if copy.projection.kind == NodeKind::Folder {
                    self.forget_content(&key)?;
                }
            }
        }
        Ok(())
    }

    /// The agent found something in it: what was unlinked in it meanwhile goes too; else it stays.
    fn is_not_empty(&mut self, set: &SyncSet, member: Member, copy: &Copy) -> Result<(), Miss> {
        let more = copy.state == CopyState::Live && self.take_others(set, copy)?;
        if more || self.holds_members(set, &member, Side::Cloud)? {
            return self.clear(set, member);
        }
        self.stay(set, member, copy, StayReason::Holds)
    }

    /// A copy was seen whose set has ended.
    pub(super) fn seen_of_ended(
        &mut self,
        copy: Copy,
        member: Member,
        set: &SyncSet,
        presence: &Presence,
    ) -> Result<bool, Miss> {
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        if member.nodes.get(side).as_ref() != Some(&copy.node) {
            return Ok(false);
        }
        if member.clearing {
            return self.seen_while_clearing(copy, member, set, presence, false);
        }
        // It only waits for its end: where it lies counts no more, but what it holds does.
        self.update(copy, member, set, presence)
    }

    /// A node was seen whose set has ended: while it is as it was, it goes; what somebody changed since then stays.
    pub(super) fn seen_while_clearing(
        &mut self,
        copy: Copy,
        mut member: Member,
        set: &SyncSet,
        presence: &Presence,
        stale: bool,
    ) -> Result<bool, Miss> {
        let same = copy.parent == presence.parent
            && copy.projection == presence.projection
            && copy.unfit == unfit(presence.node_trait);
        if same && !stale && copy.revision == presence.revision {
            return Ok(false);
        }
        member.restlessness.stale += i32::from(stale);
        if same && member.restlessness.stale <= STALE_MAX {
            self.take_state(set, member, copy, presence)?;
            return Ok(false);
        }
        let mut now = self.row(copy.repository, &copy.node, set, Side::Cloud, presence);
        now.member = copy.member;
        // It may lie in a folder of another set by now, and is known as left there (R-MEM-4).
        self.put_copy_and_wake(Some(&copy), now.clone(), set)?;
        self.stay(set, member, &now, StayReason::Changed)?;
        Ok(true)
    }

    fn take_state(
        &mut self,
        set: &SyncSet,
        member: Member,
        copy: Copy,
        presence: &Presence,
    ) -> Result<(), Miss> {
        let mut now = self.row(copy.repository, &copy.node, set, Side::Cloud, presence);
        now.member = copy.member;
        now.state = copy.state;
        if now.state == CopyState::Live {
            self.version_of(&copy, &now, member.id, Side::Cloud);
        }
        self.put_copy_and_wake(Some(&copy), now, set)?;
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// The set whose cloud copy is being removed, if this is a folder of it.
    pub(super) fn clearing_set(
        &mut self,
        repository: RepositoryId,
        folder: &NodeId,
    ) -> Result<Option<SyncSet>, Miss> {
        if self.view.side(repository) != Some(Side::Cloud) {
            return Ok(None);
        }
        let copy = self.view.copy(&(repository, folder.clone()))?;
        let Some(member) = copy.and_then(|copy| copy.member) else {
            return Ok(None);
        };
        let Some(member) = self.view.member(member)? else {
            return Ok(None);
        };
        let set = self.view.set(member.set)?;
        Ok(set.filter(|set| set.ending && set.removal != Removal::None))
    }

    /// Something came into a folder that is being removed.
    pub(super) fn list_newcomer(
        &mut self,
        set: &SyncSet,
        repository: RepositoryId,
        node: &NodeId,
        presence: &Presence,
    ) -> Result<(), Miss> {
        let row = self.row(repository, node, set, Side::Cloud, presence);
        self.list_stay(set, &row, StayReason::Came)
    }

    /// What was just made for a member that ended, with its set or alone, goes too, unless somebody wrote into it already.
    pub(super) fn clear_orphan(
        &mut self,
        set: &SyncSet,
        old: MemberId,
        (repository, node): (RepositoryId, &NodeId),
        presence: &Presence,
        written: bool,
    ) -> Result<(), Miss> {
        if written {
            return self.list_newcomer(set, repository, node, presence);
        }
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut row = self.row(repository, node, set, Side::Cloud, presence);
        row.member = Some(id);
        // What was chosen is watched until it is gone.
        let direct = set.kind == SetKind::Documents || set.root == old;
        let set = &self.removing_again(set, (old, id));
        let mut member = Member::new(id, set.id, presence.projection.kind, direct);
        member.nodes.cloud = Some(node.clone());
        member.clearing = true;
        member.leaving = (!set.ending).then(|| Leaving {
            removal: Removal::Everything,
            actor: set.owner.clone(),
        });
        self.new_version(&row, id, Side::Cloud);
        self.put_copy_and_wake(None, row, set)?;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// The set as it takes a late copy back. One that went with what was chosen was never told what becomes of cloud
    /// copies: only what was made for it goes, and nothing that somebody put beside it.
    fn removing_again(&mut self, set: &SyncSet, (old, id): (MemberId, MemberId)) -> SyncSet {
        let mut set = set.clone();
        if set.root == old {
            set.root = id;
        }
        if set.ending && set.removal == Removal::None && set.counters.members == 0 {
            set.removal = Removal::Made;
        }
        self.view.put_set(set.clone());
        set
    }
}
