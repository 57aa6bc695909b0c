//! Members that fail and go nowhere until they are ordinary again: records (R-MEM-1), DIRECT members outside every
//! site library (R-MOV-1) or that became links or the like, and what is larger than the limits (R-AGT-3).

use super::super::copy::{Copy, CopyState, Unfit};
use super::super::failure::Reason;
use super::super::member::{Member, MemberState};
use super::super::projection::Side;
use super::super::report::{NodeTrait, Presence};
use super::super::sync_set::SyncSet;
use super::super::view::{CopyKey, Miss};
use super::{Engine, NoteKind};

/// What keeps a node of this trait from being synced though it is a member.
pub(super) fn unfit(node_trait: NodeTrait) -> Option<Unfit> {
    match node_trait {
        NodeTrait::Record => Some(Unfit::Record),
        NodeTrait::OutsideLibrary => Some(Unfit::OutsideLibrary),
        NodeTrait::TooLarge => Some(Unfit::TooLarge),
        NodeTrait::WorkingCopy
        | NodeTrait::SmartFolder
        | NodeTrait::Link
        | NodeTrait::Special
        | NodeTrait::IllegalName => Some(Unfit::NotOrdinary),
        NodeTrait::Ordinary => None,
    }
}

/// The trait of a member's copy, from its row.
pub(super) fn trait_of(unfit: Option<Unfit>) -> NodeTrait {
    match unfit {
        None => NodeTrait::Ordinary,
        Some(Unfit::Record) => NodeTrait::Record,
        Some(Unfit::OutsideLibrary) => NodeTrait::OutsideLibrary,
        Some(Unfit::TooLarge) => NodeTrait::TooLarge,
        // Which of them it is, is not kept.
        Some(Unfit::NotOrdinary) => NodeTrait::Special,
    }
}

/// What people read in the journal when it begins or ends.
pub(super) fn describe_unfit(before: Option<Unfit>, now: Option<Unfit>) -> Option<String> {
    let text = match (before, now) {
        (before, now) if before == now => return None,
        (_, Some(Unfit::Record)) => "became a record",
        (_, Some(Unfit::OutsideLibrary)) => "lies outside every site library",
        (_, Some(Unfit::TooLarge)) => "is larger than the limits",
        (_, Some(Unfit::NotOrdinary)) => "became a link, a working copy or the like",
        (Some(Unfit::Record), None) => "is no record any more",
        (Some(Unfit::NotOrdinary), None) => "is an ordinary node again",
        (Some(Unfit::TooLarge), None) => "is within the limits again",
        (_, None) => "is back in a site library",
    };
    Some(text.to_owned())
}

fn reason(unfit: Unfit) -> Reason {
    match unfit {
        Unfit::Record | Unfit::OutsideLibrary | Unfit::NotOrdinary => Reason::UnsupportedNode,
        Unfit::TooLarge => Reason::ContentLimitViolation,
    }
}

fn message(unfit: Unfit) -> &'static str {
    match unfit {
        Unfit::TooLarge => {
            "its content or properties are larger than Tandem takes; make them smaller"
        }
        Unfit::Record => "records are never synced",
        Unfit::NotOrdinary => "it is no ordinary document or folder any more",
        Unfit::OutsideLibrary => {
            "only what lies in a site library is synced; move it back into one"
        }
    }
}

/// Which copy it is, and what tells it from whatever else is not supported.
fn detail(unfit: Unfit, side: Side) -> &'static str {
    match (unfit, side) {
        (Unfit::Record, Side::OnPremise) => "the on-premise copy is a record (R-MEM-1)",
        (Unfit::Record, Side::Cloud) => "the cloud copy is a record (R-MEM-1)",
        (Unfit::OutsideLibrary, Side::OnPremise) => {
            "the on-premise copy lies outside every site library (R-MOV-1)"
        }
        (Unfit::OutsideLibrary, Side::Cloud) => {
            "the cloud copy lies outside every site library (R-MOV-1)"
        }
        (Unfit::NotOrdinary, Side::OnPremise) => {
            "the on-premise copy became a link, a working copy or the like"
        }
        (Unfit::NotOrdinary, Side::Cloud) => {
            "the cloud copy became a link, a working copy or the like"
        }
        (Unfit::TooLarge, Side::OnPremise) => {
            "the on-premise copy exceeds 64 GiB of content, 64 KiB or 1000 texts of one property, or 256 KiB of all"
        }
        (Unfit::TooLarge, Side::Cloud) => {
            "the cloud copy exceeds 64 GiB of content, 64 KiB or 1000 texts of one property, or 256 KiB of all"
        }
    }
}

impl Engine<'_> {
    /// An unfit copy that is there stays as it is, and so does its peer; one that is gone is as any other node.
    pub(super) fn rests_unfit(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        let mut found = None;
        for side in Side::BOTH.into_iter().rev() {
            let Some(copy) = self.copy_of(set, member, side)? else {
                continue;
            };
            if matches!(copy.state, CopyState::Gone(_)) {
                return Ok(false);
            }
            if let Some(unfit) = holds_back(member, &copy) {
                found = Some((unfit, side, copy.projection.name.clone()));
            }
        }
        let Some((unfit, side, name)) = found else {
            return Ok(false);
        };
        if !fails_with(member, reason(unfit), detail(unfit, side)) {
            self.fail_unfit(set, member.clone(), (unfit, side), name);
        }
        Ok(true)
    }

    fn fail_unfit(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        (unfit, side): (Unfit, Side),
        name: String,
    ) {
        self.uncount_removal(set, &member);
        let detail = detail(unfit, side);
        let failure = self.failure(&member, reason(unfit), message(unfit), detail);
        self.journal_failure(set, &member, &failure, name);
        member.state = MemberState::Failed(failure);
        member.due = None;
        // What is on its way names the older version; its failure changes nothing.
        self.put_settled(set, member);
    }

    /// Tells the agent that what it reports makes a member fail.
    pub(super) fn note_unfit(
        &mut self,
        key: &CopyKey,
        presence: &Presence,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        let Some(unfit) = unfit(presence.node_trait) else {
            return Ok(());
        };
        let copy = self.view.copy(key)?;
        if copy.is_some_and(|copy| copy.member.is_some() && copy.unfit == Some(unfit)) {
            self.note(at, NoteKind::NodeFailed(message(unfit)));
        }
        Ok(())
    }

    /// R-MOV-1: while the synced folder lies outside every library, nothing below it is delivered either.
    pub(super) fn note_outside(&mut self, now: &Copy, set: &SyncSet) {
        if now.member != Some(set.root) {
            return;
        }
        let outside = now.is_there() && now.unfit == Some(Unfit::OutsideLibrary);
        let side = self.view.side(now.repository).unwrap_or(Side::OnPremise);
        if let Ok(Some(mut set)) = self.view.set(set.id)
            && *set.outside.get(side) != outside
        {
            *set.outside.get_mut(side) = outside;
            self.view.put_set(set);
        }
    }
}

/// Of INDIRECT members the place says nothing: they lie where their synced folder does. What is no ordinary node is no
/// INDIRECT member (R-MEM-1).
fn holds_back(member: &Member, copy: &Copy) -> Option<Unfit> {
    let of_chosen = |unfit: &Unfit| matches!(unfit, Unfit::OutsideLibrary | Unfit::NotOrdinary);
    copy.unfit
        .filter(|unfit| member.direct || !of_chosen(unfit))
}

fn fails_with(member: &Member, reason: Reason, detail: &str) -> bool {
    matches!(&member.state, MemberState::Failed(failure)
        if failure.reason == reason && failure.detail == detail)
}
