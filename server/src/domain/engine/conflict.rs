//! Conflicts: found, left to a person, decided, closed (SPEC §6).

use super::super::conflict::{Conflict, ConflictKind};
use super::super::ids::{ConflictId, MemberId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Member, MemberState, Obstacle};
use super::super::planted::planted;
use super::super::projection::{Side, Sides, State};
use super::super::reconcile::{Decision, Sight, given_up};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;
use super::leaving::is_over;
use super::situation::situation;

impl Engine<'_> {
    /// R-CON-1, R-CON-4 and (a) of "How base moves": recorded once, then an ordinary one-sided change. One that was
    /// left to a person is the same record.
    pub(super) fn conflict(
        &mut self,
        set: &SyncSet,
        member: &mut Member,
        (kind, winner): (ConflictKind, Side),
        actor: &str,
    ) -> Result<(), Miss> {
        let winner = match planted("loser-wins") {
            true => winner.other(),
            false => winner,
        };
        let loser = winner.other();
        let sights = self.sights(set, member)?;
        let found = self.record_conflict(set, member, (kind, Some(winner)), &sights)?;
        let lost = found.states.get(loser).clone();
        if let Some(content) = lost.as_ref().and_then(|state| state.projection.content)
            && !planted("loser-not-kept")
        {
            self.effects.losers.push((member.id, loser, content.digest));
        }
        let holds = match winner {
            Side::OnPremise => "the on-premise state holds; the loser is kept",
            Side::Cloud => "the cloud's state holds; the loser is kept",
        };
        self.journal_conflict(set, member, (kind, holds), actor)?;
        if member.open.take().is_some() {
            self.wake_waiting_for(set, member.id)?;
        }
        member.conflict = Some(found.id);
        member.made = None;
        match lost {
            Some(_) if planted("conflict-moves-no-base") => {}
            Some(state) => {
                if let (Side::OnPremise, Some(won)) = (loser, found.states.get(winner)) {
                    self.keep_both(set, member, found.base.as_ref(), (&state, won))?;
                }
                let comparison = self.comparison(set);
                let won = found.states.get(winner).as_ref();
                let situation = situation(set, member, &sights, &comparison);
                member.base = Some(given_up(&situation, kind, (&state, won)));
            }
            None => self.revive(member, loser),
        }
        Ok(())
    }

    /// R-CON-3: both copies stay as they are. What happens to them meanwhile is noted in the same record, so that the
    /// decision is about what is there.
    pub(super) fn await_decision(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        kind: ConflictKind,
    ) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        let sights = self.sights(set, &member)?;
        let found = self.record_conflict(set, &member, (kind, None), &sights)?;
        if member.open.is_none() {
            self.journal_conflict(set, &member, (kind, "it waits for a decision"), "")?;
        }
        member.open = Some(found.id);
        member.state = MemberState::Pending;
        member.transient = None;
        member.cloud_copy_deleted = false;
        member.due = None;
        self.put_settled(set, member);
        Ok(())
    }

    /// Somebody decides about a conflict that waits.
    pub(super) fn resolve(
        &mut self,
        id: MemberId,
        conflict: ConflictId,
        winner: Side,
        actor: &str,
    ) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        if member.open != Some(conflict) || is_over(&set, &member) {
            return Ok(());
        }
        if let Decision::Conflict { kind, winner: None } = self.decision(&set, &member)? {
            self.conflict(&set, &mut member, (kind, winner), actor)?;
            self.view.put_member(&set, member);
        }
        self.touch(id);
        Ok(())
    }

    /// What waited for a person is no conflict any more: the copies are equal, or only one side differs from what was
    /// agreed on. Its record says so; what did not hold is kept.
    pub(super) fn close_conflict(
        &mut self,
        set: &SyncSet,
        member: &mut Member,
        winner: Option<Side>,
    ) -> Result<(), Miss> {
        let Some(id) = member.open.take() else {
            return Ok(());
        };
        if !planted("closed-conflict-stays-open") {
            self.effects.closed.push((id, winner));
        }
        if let Some(loser) = winner.map(Side::other)
            && let Some(copy) = self.copy_of(set, member, loser)?
            && let Some(content) = copy.projection.content
        {
            self.effects.losers.push((member.id, loser, content.digest));
        }
        let node_name = self.name_of(set, member)?;
        self.journal(Entry {
            kind: JournalKind::Conflict,
            set: Some(set.id),
            member: Some(member.id),
            side: None,
            actor: String::new(),
            node_name,
            message: "it is no conflict any more".to_owned(),
        });
        self.wake_waiting_for(set, member.id)
    }

    fn wake_waiting_for(&mut self, set: &SyncSet, member: MemberId) -> Result<(), Miss> {
        for side in Side::BOTH {
            self.wake(set, side, Obstacle::Folder(member))?;
        }
        Ok(())
    }

    fn record_conflict(
        &mut self,
        set: &SyncSet,
        member: &Member,
        (kind, winner): (ConflictKind, Option<Side>),
        sights: &Sides<Sight>,
    ) -> Result<Conflict, Miss> {
        let mut states = Sides::<Option<State>>::default();
        let mut actors = Sides::<String>::default();
        for side in Side::BOTH {
            if let Sight::Live(state) = sights.get(side) {
                *states.get_mut(side) = Some(state.clone());
            }
            let copy = self.copy_of(set, member, side)?;
            *actors.get_mut(side) = copy.map(|copy| copy.actor).unwrap_or_default();
        }
        let id = member.open.unwrap_or_else(|| ConflictId((self.new_id)()));
        let found = Conflict {
            id,
            set: set.id,
            member: member.id,
            kind,
            base: member.base.clone(),
            states,
            actors,
            policy: set.options.conflict_policy,
            winner,
            open: winner.is_none(),
            at: self.context.now,
        };
        self.effects.conflicts.retain(|known| known.id != id);
        if planted("conflict-unrecorded") {
            return Ok(found);
        }
        self.effects.conflicts.push(found.clone());
        Ok(found)
    }

    fn journal_conflict(
        &mut self,
        set: &SyncSet,
        member: &Member,
        (kind, what): (ConflictKind, &str),
        actor: &str,
    ) -> Result<(), Miss> {
        let node_name = self.name_of(set, member)?;
        self.journal(Entry {
            kind: JournalKind::Conflict,
            set: Some(set.id),
            member: Some(member.id),
            side: None,
            actor: actor.to_owned(),
            node_name,
            message: format!("{kind:?}: {what}"),
        });
        Ok(())
    }
}

/// The side whose state holds by a decision that is none about a conflict.
pub(super) fn holder(decision: &Decision) -> Option<Side> {
    match decision {
        Decision::Deliver(side) | Decision::Remove { side, .. } => Some(side.other()),
        Decision::CloudCopyDeleted | Decision::Fail(_) => Some(Side::OnPremise),
        _ => None,
    }
}
