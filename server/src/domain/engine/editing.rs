//! Online editing: while somebody has one of the copies open, what is due for the member waits (R-LCK-2).
//!
//! The agent of that side says so in its observations. Nothing is decided that would touch a copy; what both sides are
//! seen to be goes on being noted, so that the end of the edit decides about what is there by then.

use super::super::copy::CopyState;
use super::super::member::{Hold, Member, MemberState};
use super::super::planted::planted;
use super::super::projection::Side;
use super::super::reconcile::Decision;
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;

impl Engine<'_> {
    /// Whether somebody edits one of the copies online.
    pub(super) fn is_edited(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        if Self::is_folder(member) || planted("online-edit-ignored") {
            return Ok(false);
        }
        for side in Side::BOTH {
            let copy = self.copy_of(set, member, side)?;
            if copy.is_some_and(|copy| copy.state == CopyState::Live && copy.edited) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// R-LCK-2: whether a decision would change a copy while somebody edits one. A conflict is none before the edit has
    /// ended; one that is open already may go on waiting for its person.
    pub(super) fn is_put_off_by_edit(
        &mut self,
        set: &SyncSet,
        member: &Member,
        decision: &Decision,
    ) -> Result<bool, Miss> {
        let changes = match decision {
            Decision::Deliver(_) | Decision::Remove { .. } => true,
            Decision::Conflict { winner, .. } => winner.is_some() || member.open.is_none(),
            _ => false,
        };
        Ok(changes && self.is_edited(set, member)?)
    }

    /// The same for work that follows from no comparison.
    pub(super) fn puts_off_work_of_its_own(
        &mut self,
        set: &SyncSet,
        member: &Member,
    ) -> Result<bool, Miss> {
        let has_work = member.restoring.is_some() || member.renaming.is_some();
        Ok(has_work && member.open.is_none() && self.is_edited(set, member)?)
    }

    /// Nothing is due until the edit ends. A delivery that met it before it was told of is no fault.
    pub(super) fn await_edit(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        member.state = MemberState::Pending;
        member.transient = None;
        member.cloud_copy_deleted = false;
        member.due = None;
        self.put_held(set, member, Some(Hold::Editing), None);
        Ok(())
    }
}
