//! Copies that step aside under a name of ours, so that others can take theirs (R-REC-10): nobody else is to know of that
//! name, and it is given back.

use std::sync::Arc;

use super::super::copy::{Copy, CopyState};
use super::super::free_name::{Renaming, is_aside_name};
use super::super::member::{Lane, Member};
use super::super::planted::planted;
use super::super::projection::{NodeKind, Projection, Side, State};
use super::super::reconcile::Decision;
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;
use super::gate::Gate;

/// Numbered names that are tried for a copy whose own name was taken while it stepped aside.
const NUMBERS_MAX: u32 = 20;

impl Engine<'_> {
    /// R-REC-10: what steps aside keeps its name as far as anybody else is concerned, and agrees on nothing.
    pub(super) fn note_aside(
        &mut self,
        set: &SyncSet,
        member: &mut Member,
        side: Side,
    ) -> Result<(), Miss> {
        let next = member.version + 1;
        let from = match (member.due, member.name_only) {
            (Some(due), Some((from, _))) if due.lane == Lane::Aside => from,
            _ => next,
        };
        member.name_only = Some((from, next));
        if member.renaming.is_some() && side == Side::OnPremise {
            return Ok(());
        }
        let own = self.copy_of(set, member, side)?;
        let name = own.map(|own| own.projection.name.clone());
        if let Some(name) = name.filter(|name| !member.is_given(name)) {
            member.true_name = Some(name);
        }
        Ok(())
    }

    /// A copy that stepped aside gets its name back before it rests, fails or is unlinked, if that is free (R-REC-10).
    /// Nothing but the name is agreed on by that: its content may have changed, which nobody else has yet.
    pub(super) fn named_first(
        &mut self,
        set: &SyncSet,
        member: &mut Member,
        decision: Decision,
    ) -> Result<Decision, Miss> {
        let rests = matches!(
            decision,
            Decision::CloudCopyDeleted | Decision::Fail(_) | Decision::End
        );
        if rests
            && let Some(side) = self.side_aside(set, member)?
            && let Gate::Open(Lane::Change) = self.gate_change(set, member, side)?
            && self.has_another_name_to_take(set, member, side)?
        {
            if !planted("name-given-back-agrees-on-all") {
                self.note_aside(set, member, side)?;
            }
            return Ok(Decision::Deliver(side));
        }
        Ok(decision)
    }

    /// The side whose copy has the name under which it stepped aside (R-REC-10).
    pub(super) fn side_aside(
        &mut self,
        set: &SyncSet,
        member: &Member,
    ) -> Result<Option<Side>, Miss> {
        if member.true_name.is_none() || planted("aside-name-stays") {
            return Ok(None);
        }
        for side in Side::BOTH {
            let copy = self.copy_of(set, member, side)?;
            let copy = copy.filter(|copy| copy.state == CopyState::Live);
            if copy.is_some_and(|copy| member.is_given(&copy.projection.name)) {
                return Ok(Some(side));
            }
        }
        Ok(None)
    }

    /// Whether a copy still has the name that is only for a moment.
    pub(super) fn is_aside(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<bool, Miss> {
        let own = self.copy_of(set, member, side)?.filter(Copy::is_there);
        Ok(own.is_some_and(|own| is_aside_name(member.id, &own.projection.name)))
    }

    fn has_another_name_to_take(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<bool, Miss> {
        let own = self.copy_of(set, member, side)?;
        let desired = self.desired(set, member, side)?;
        let names = own.zip(desired);
        Ok(names.is_some_and(|(own, desired)| own.projection.name != desired.projection.name))
    }

    /// How a copy that stepped aside is to look when it cannot go on, or nothing is delivered to it any more: it gets the
    /// name that it was to have, if that is free, else the one that it had, else one beside that.
    pub(super) fn renamed_back(
        &mut self,
        set: &SyncSet,
        member: &Member,
        (side, own): (Side, &Copy),
        was_to_be: &State,
    ) -> Result<State, Miss> {
        let mut state = self.state_of(member, own)?;
        let had = state.projection.name.clone();
        let wanted = was_to_be.projection.name.clone();
        let names = [wanted, had.clone()].into_iter();
        for name in names.chain(beside(member.kind, had)) {
            let key = self.name_rule(set, side).key(&name);
            let place = (own.repository, own.parent.clone(), key);
            let holders = self.view.holders(&place)?;
            if !is_aside_name(member.id, &name) && holders.iter().all(|node| *node == own.node) {
                Arc::make_mut(&mut state.projection).name = name;
                break;
            }
        }
        Ok(state)
    }
}

/// Names beside one that is taken.
fn beside(kind: NodeKind, from: String) -> impl Iterator<Item = String> {
    let renaming = Renaming { from, number: 1 };
    (1..=NUMBERS_MAX).map(move |number| renaming.name(kind, number))
}

/// Remembers the name that a copy was just given, unless it is its own.
pub(super) fn note_given(member: &mut Member, name: &str) {
    let Some(own) = member.true_name.clone() else {
        return;
    };
    let ours = is_aside_name(member.id, name) || beside(member.kind, own).any(|one| one == name);
    member.given_name = ours.then(|| name.to_owned());
}

/// The name that a copy was to have was free when it was renamed back: it is that of both sides now.
pub(super) fn note_wanted(member: &mut Member, name: &str) {
    let own = member.true_name.as_deref() == Some(name);
    if member.true_name.is_none() || own || member.is_given(name) || member.renaming.is_some() {
        return;
    }
    if let Some(base) = &mut member.base {
        name.clone_into(&mut Arc::make_mut(&mut base.projection).name);
    }
}

/// A copy that stepped aside is called what it was called before (R-REC-10).
pub(super) fn in_truth(member: &Member, mut projection: Arc<Projection>) -> Arc<Projection> {
    if let Some(name) = &member.true_name
        && member.is_given(&projection.name)
    {
        name.clone_into(&mut Arc::make_mut(&mut projection).name);
    }
    projection
}
