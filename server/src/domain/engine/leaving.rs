//! One document leaves a set of several (R-SET-1, R-UNS-1): it ends as it would with its set, which goes on.

use super::super::ids::MemberId;
use super::super::member::{Lane, Leaving, Member};
use super::super::planted::planted;
use super::super::projection::Side;
use super::super::sync_set::{Removal, SetKind, SyncSet};
use super::super::view::Miss;
use super::Engine;
use super::ending::REMOVED;

impl Engine<'_> {
    /// Twice is once: the first call says what becomes of the cloud copy.
    pub(super) fn unsync(&mut self, id: MemberId, leaving: &Leaving) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        if set.kind != SetKind::Documents || is_over(&set, &member) {
            return Ok(());
        }
        self.uncount_removal(&set, &member);
        self.remember_leaving(&set, &member, leaving.removal)?;
        member.leaving = Some(leaving.clone());
        self.end_or_release(&set, member)
    }

    /// Before a document leaves a paused set, what the cloud changed of it goes on-premise, and nothing else does. That
    /// holds for what is due now: what changes after this call waits again.
    pub(super) fn last_pull(&mut self, id: MemberId) {
        self.last_pulls.insert(id);
        self.touch(id);
    }

    /// The lane of what a side owes a member.
    pub(super) fn lane_of(
        &self,
        set: &SyncSet,
        member: &Member,
        (side, lane): (Side, Lane),
    ) -> Lane {
        let leaves = set.paused && set.kind == SetKind::Documents;
        let pulls = side == Side::OnPremise && lane == Lane::Change;
        let pulls = pulls && !planted("pause-keeps-last-changes");
        match leaves && pulls && self.last_pulls.contains(&member.id) {
            true => Lane::LastPull,
            false => lane,
        }
    }

    /// A repeat of the call is answered from these rows when the member is gone, but its set is not.
    fn remember_leaving(
        &mut self,
        set: &SyncSet,
        member: &Member,
        removal: Removal,
    ) -> Result<(), Miss> {
        let mark = match removal {
            Removal::None => "",
            Removal::Members | Removal::Everything | Removal::Made => REMOVED,
        };
        let on_premise = self.copy_of(set, member, Side::OnPremise)?;
        let known = match on_premise {
            Some(copy) => Some(copy),
            None => self.copy_of(set, member, Side::Cloud)?,
        };
        if let Some(known) = known {
            for side in Side::BOTH {
                self.remember_ended(set, (side, member.id), &known, mark);
            }
        }
        Ok(())
    }
}

/// Whether a membership is over, and only its copies are still taken care of.
pub(super) fn is_over(set: &SyncSet, member: &Member) -> bool {
    set.ending || member.leaving.is_some()
}

/// What becomes of the cloud copy of a membership that ends; what was said of the member alone was said first.
pub(super) fn removal_of(set: &SyncSet, member: &Member) -> Removal {
    match &member.leaving {
        Some(leaving) => leaving.removal,
        None if set.ending => set.removal,
        None => Removal::None,
    }
}
