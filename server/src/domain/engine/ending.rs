//! Memberships that end (R-MEM-4, R-UNS-1).

use super::super::copy::{Copy, CopyState};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Due, Lane, Member, MemberState};
use super::super::projection::Side;
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::{Engine, VersionChange};

impl Engine<'_> {
    /// Ends a membership; a locked on-premise copy is unlocked first (R-LCK-1).
    pub(super) fn end_or_release(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        let copy = self.copy_of(set, &member, Side::OnPremise)?;
        if !copy.is_some_and(|copy| copy.is_there() && copy.locked) {
            return self.end(set, member);
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
        let node_name = self.name_of(set, &member)?;
        for side in Side::BOTH {
            if let Some(copy) = self.copy_of(set, &member, side)? {
                self.unlink(set, &member, copy, side)?;
            }
        }
        self.journal(Entry {
            kind: JournalKind::Left,
            set: Some(set.id),
            member: Some(member.id),
            side: None,
            actor: String::new(),
            node_name,
            message: "the membership ended".to_owned(),
        });
        self.view.remove_member(set, member.id);
        if member.direct && !set.ending {
            let mut set = set.clone();
            set.ending = true;
            self.view.put_set(set);
        }
        Ok(())
    }

    fn unlink(
        &mut self,
        set: &SyncSet,
        member: &Member,
        copy: Copy,
        side: Side,
    ) -> Result<(), Miss> {
        if copy.projection.content.is_some() {
            self.effects.versions.push(VersionChange {
                member: member.id,
                side,
                repository: copy.repository,
                content: None,
            });
        }
        if set.ending || member.direct {
            self.view.remove_copy(&(copy.repository, copy.node));
            return Ok(());
        }
        let mut unlinked = copy.clone();
        unlinked.member = None;
        if copy.is_there() {
            unlinked.state = CopyState::Left;
        }
        unlinked.locked = false;
        self.put_copy_and_wake(Some(&copy), unlinked, set)
    }

    /// Forgets what the member waits for, before it changes its set.
    pub(super) fn unblock(&mut self, member: &mut Member) {
        member.blocked = None;
        member.hold = None;
    }
}
