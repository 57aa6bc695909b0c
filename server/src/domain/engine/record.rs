//! Records: members that fail and go nowhere until they are ordinary again (R-MEM-1).

use super::super::copy::CopyState;
use super::super::failure::Reason;
use super::super::member::{Member, MemberState};
use super::super::projection::Side;
use super::super::report::{NodeTrait, Presence};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;

/// What tells a record from whatever else is not supported, and which copy is one.
fn detail(side: Side) -> &'static str {
    match side {
        Side::OnPremise => "the on-premise copy is a record (R-MEM-1)",
        Side::Cloud => "the cloud copy is a record (R-MEM-1)",
    }
}

/// Whether the copy of a member on a side is known to be a record.
pub(super) fn is_record(member: &Member, side: Side) -> bool {
    match &member.state {
        MemberState::Failed(failure) => {
            failure.reason == Reason::UnsupportedNode && failure.detail == detail(side)
        }
        MemberState::Pending | MemberState::Synced => false,
    }
}

impl Engine<'_> {
    /// Takes in whether the copy on a side is a record now; the answer is the member as it is then.
    pub(super) fn note_record(
        &mut self,
        mut member: Member,
        set: &SyncSet,
        side: Side,
        presence: &Presence,
    ) -> Member {
        let record = presence.node_trait == NodeTrait::Record;
        if record == is_record(&member, side) {
            return member;
        }
        if record {
            self.uncount_removal(set, &member);
            let name = presence.projection.name.clone();
            let message = "records are never synced";
            let failure = self.failure(&member, Reason::UnsupportedNode, message, detail(side));
            self.journal_failure(set, &member, &failure, name);
            member.state = MemberState::Failed(failure);
            member.due = None;
            member.blocked = None;
            member.hold = None;
        } else {
            member.state = MemberState::Pending;
            self.touch(member.id);
        }
        // What is on its way names the older version; its failure changes nothing.
        member.version += 1;
        self.view.put_member(set, member.clone());
        member
    }

    /// A record that is there stays as it is, and so does its peer; one that is gone is as any other node.
    pub(super) fn rests_as_record(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        for side in Side::BOTH {
            if !is_record(member, side) {
                continue;
            }
            let copies = [
                self.copy_of(set, member, side)?,
                self.copy_of(set, member, side.other())?,
            ];
            let gone = |copy: &super::super::copy::Copy| matches!(copy.state, CopyState::Gone(_));
            return Ok(!copies.iter().flatten().any(gone));
        }
        Ok(false)
    }
}
