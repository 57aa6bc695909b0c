//! Memberships that end (R-MEM-4, R-UNS-1).

use super::super::copy::{Absence, Copy, CopyState};
use super::super::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Due, Lane, Member, MemberState, Obstacle, PeerChoice};
use super::super::planted::planted;
use super::super::projection::{Side, Sides};
use super::super::sync_set::{Removal, SyncSet};
use super::super::view::Miss;
use super::leaving::{is_over, removal_of};
use super::{Engine, VersionChange};

impl Engine<'_> {
    /// Ends a membership; a locked on-premise copy is unlocked first (R-LCK-1), but a cloud copy that is to go does not wait
    /// for that.
    pub(super) fn end_or_release(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        let copy = self.copy_of(set, &member, Side::OnPremise)?;
        // What was moved out is there, too, if not where anything is synced.
        let deleted = CopyState::Gone(Absence::Deleted);
        let locked = copy.is_some_and(|copy| copy.state != deleted && copy.locked);
        if !locked || planted("lock-outlives-membership") || self.goes_at_once(set, &member)? {
            return self.end_or_clear(set, member);
        }
        member.due = Some(Due {
            side: Side::OnPremise,
            lane: Lane::Release,
            not_before: 0,
        });
        member.state = MemberState::Pending;
        member.hold = None;
        member.blocked = None;
        member.version += 1;
        self.view.put_member(set, member);
        Ok(())
    }

    /// Removes the member. What is there and lies in a synced folder is *left*; what is gone is remembered (R-DEL-4).
    pub(super) fn end(&mut self, set: &SyncSet, member: Member) -> Result<(), Miss> {
        self.end_saying(set, member, "the membership ended")
    }

    /// The same, with these words in the journal.
    pub(super) fn end_saying(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        message: &str,
    ) -> Result<(), Miss> {
        self.close_conflict(set, &mut member, None)?;
        let node_name = self.name_of(set, &member)?;
        let removes = self.removes_what_is_made(set, &member)?;
        let mut copies = Sides::default();
        for side in Side::BOTH {
            *copies.get_mut(side) = self.copy_of(set, &member, side)?;
        }
        for side in Side::BOTH {
            if let Some(copy) = copies.get(side) {
                self.unlink(set, &member, copy.clone(), side)?;
            } else if let Some(source) = copies.get(side.other())
                && !member.clearing
                && member.leaving.is_none()
            {
                let removed = removes && side == Side::Cloud;
                let mark = if removed { REMOVED } else { "" };
                self.remember_ended(set, (side, member.id), source, mark);
            }
        }
        if member.sibling.is_some() {
            self.effects.versions.push(VersionChange {
                member: member.id,
                side: Side::OnPremise,
                repository: set.repositories.on_premise,
                content: None,
            });
        }
        let actor = member.leaving.map(|leaving| leaving.actor);
        self.journal(Entry {
            kind: JournalKind::Left,
            set: Some(set.id),
            member: Some(member.id),
            side: None,
            actor: actor.unwrap_or_default(),
            node_name,
            message: message.to_owned(),
        });
        for side in Side::BOTH {
            self.wake(set, side, Obstacle::Folder(member.id))?;
        }
        self.view.remove_member(set, member.id);
        // A set of documents goes with its last member (R-SET-1): see `finish`.
        if member.id == set.root
            && let Some(mut set) = self.view.set(set.id)?
        {
            if !set.ending {
                self.effects.ended.insert(set.id);
            }
            set.ending = true;
            self.view.put_set(set);
        }
        Ok(())
    }

    /// A copy of the member may just be on its way to be made: whoever hears of it then has to know that the membership
    /// ended, and did not begin after the backup of a coordinator that was restored (R-AGT-4).
    /// `mark` is [`REMOVED`] where somebody asked for the removal of the cloud copy.
    pub(super) fn remember_ended(
        &mut self,
        set: &SyncSet,
        (side, member): (Side, MemberId),
        source: &Copy,
        mark: &str,
    ) {
        self.view.put_copy(Copy {
            repository: *set.repositories.get(side),
            node: ended_node(member),
            member: None,
            state: CopyState::Gone(Absence::Deleted),
            parent: set_node(set.id),
            name_key: String::new(),
            revision: mark.to_owned(),
            projection: source.projection.clone(),
            locked: false,
            edited: false,
            actor: String::new(),
            unfit: None,
            past: Vec::new(),
        });
    }

    /// R-UNS-1, SPEC §7: whether a cloud copy that is just being made goes when it is there. What is made inside a synced
    /// folder shares the fate of that.
    fn removes_what_is_made(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        if is_over(set, member) {
            return Ok(removal_of(set, member) != Removal::None);
        }
        let source = self.copy_of(set, member, Side::OnPremise)?;
        let deleted = CopyState::Gone(Absence::Deleted);
        let deleted = source.is_some_and(|source| source.state == deleted);
        Ok(member.direct
            && deleted
            && match member.choice {
                Some(choice) => choice == PeerChoice::Remove,
                None => set.options.allow_delete_on_cloud,
            })
    }

    /// The set, or what is remembered of one that is gone, whose membership ended here before its cloud copy was heard of,
    /// and that removes that copy.
    pub(super) fn set_that_removes(
        &mut self,
        repository: RepositoryId,
        member: MemberId,
    ) -> Result<Option<SyncSet>, Miss> {
        let row = self.view.copy(&(repository, ended_node(member)))?;
        let row = row.filter(|row| row.revision == REMOVED && !planted("made-too-late-stays"));
        match row.and_then(|row| set_of_node(&row.parent)) {
            Some(set) => self.view.set(set),
            None => Ok(None),
        }
    }

    /// Whether a membership ended here before its copy on this side was heard of.
    pub(super) fn has_ended(
        &mut self,
        repository: RepositoryId,
        member: MemberId,
    ) -> Result<bool, Miss> {
        let row = self.view.copy(&(repository, ended_node(member)))?;
        Ok(row.is_some())
    }

    pub(super) fn unlink(
        &mut self,
        set: &SyncSet,
        member: &Member,
        copy: Copy,
        side: Side,
    ) -> Result<(), Miss> {
        if copy.member != Some(member.id) {
            return Ok(());
        }
        if copy.projection.content.is_some() {
            self.effects.versions.push(VersionChange {
                member: member.id,
                side,
                repository: copy.repository,
                content: None,
            });
        }
        if (set.ending || member.direct) && !self.lies_in_another_set(set, &copy)? {
            self.view.remove_copy(&(copy.repository, copy.node.clone()));
            return self.make_way(set, &copy, side);
        }
        let mut unlinked = copy.clone();
        unlinked.member = None;
        if copy.is_there() {
            unlinked.state = CopyState::Left;
        }
        unlinked.locked = false;
        let holds = copy.is_there() && Self::is_folder(member);
        self.put_copy_and_wake(Some(&copy), unlinked, set)?;
        self.make_way(set, &copy, side)?;
        if holds && !set.ending {
            self.walk_below(&copy, set, Absence::MovedOut, None)?;
        }
        Ok(())
    }

    fn lies_in_another_set(&mut self, set: &SyncSet, copy: &Copy) -> Result<bool, Miss> {
        let Some(folder) = self.parent_member(copy)? else {
            return Ok(false);
        };
        let folder = self.view.member(folder)?;
        Ok(folder.is_some_and(|folder| folder.set != set.id))
    }

    /// The copy is no member any more: who waits for its name, or for its folder to be empty, looks again.
    fn make_way(&mut self, set: &SyncSet, copy: &Copy, side: Side) -> Result<(), Miss> {
        let name = Obstacle::Name(copy.parent.clone(), copy.name_key.clone());
        self.wake(set, side, name)?;
        match self.parent_member(copy)? {
            Some(folder) => self.touch_if_removing(folder),
            None => Ok(()),
        }
    }

    /// Forgets what the member waits for, before it changes its set.
    pub(super) fn unblock(&mut self, member: &mut Member) {
        member.blocked = None;
        member.hold = None;
    }
}

/// Stands in the row that remembers an ended membership when its cloud copy is removed.
pub const REMOVED: &str = "removed";

/// The row that remembers an ended membership; no repository has such a node.
#[must_use]
pub fn ended_node(member: MemberId) -> NodeId {
    NodeId(format!("ended member {member}"))
}

/// In the row that remembers an ended membership its set stands in place of a folder.
#[must_use]
pub fn set_node(set: SyncSetId) -> NodeId {
    NodeId(format!("sync set {set}"))
}

/// Reads what [`set_node`] wrote.
fn set_of_node(node: &NodeId) -> Option<SyncSetId> {
    let id = node.0.strip_prefix("sync set ")?;
    id.parse().ok().map(SyncSetId)
}
