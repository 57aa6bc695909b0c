//! A delivery failed: what it met, and what ends the failure (R-ERR-1).

use super::super::copy::Copy;
use super::super::failure::{FIX_RETRY, Failure, Reason, RetryClass};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Due, Hold, Lane, Member, MemberState, Obstacle};
use super::super::projection::Side;
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;

/// What a delivery met that failed.
enum Met {
    /// It is not as the coordinator thought any more: decide again.
    Gone,
    /// It stands in the way.
    Stands(Option<Obstacle>),
}

fn hold_of(obstacle: &Obstacle) -> Hold {
    match obstacle {
        Obstacle::Name(..) => Hold::Name,
        Obstacle::Folder(_) => Hold::Parent,
    }
}

impl Engine<'_> {
    /// The current delivery of the member failed.
    pub(super) fn failed(
        &mut self,
        set: &SyncSet,
        member: Member,
        side: Side,
        (reason, message, detail): (Reason, &str, &str),
        retry_delay: Option<i64>,
    ) -> Result<(), Miss> {
        let numbered = member.sibling.is_some() || member.renaming.is_some();
        if reason == Reason::TargetFolderNameClash && numbered {
            return self.try_next_number(set, member);
        }
        if reason == Reason::TargetFolderNameClash && self.renames_chosen(set, &member, side)? {
            return Ok(());
        }
        let obstacle = match self.obstacle(set, &member, side, reason)? {
            Met::Stands(Some(name)) if self.goes_on(&member, set, side, &name)? => Met::Gone,
            met => met,
        };
        let failure = self.failure(&member, reason, message, detail);
        match obstacle {
            Met::Gone => self.look_again(set, member),
            Met::Stands(obstacle) => {
                self.look_at_holder(set, &member, side, obstacle.as_ref())?;
                self.fail(set, (member, side, obstacle), failure, retry_delay)
            }
        }
    }

    pub(super) fn failure(
        &self,
        member: &Member,
        reason: Reason,
        message: &str,
        detail: &str,
    ) -> Failure {
        let earlier = match &member.state {
            MemberState::Failed(failure) => Some(failure),
            _ => member.transient.as_ref(),
        };
        let same = earlier.filter(|earlier| earlier.reason == reason);
        Failure {
            reason,
            message: message.to_owned(),
            detail: detail.to_owned(),
            since: same.map_or(self.context.now, |earlier| earlier.since),
            attempts: same.map_or(0, |earlier| earlier.attempts).saturating_add(1),
        }
    }

    /// R-ERR-1: what ends a failure depends on its class. R-REC-8: it stands on the member alone, and delays no other.
    fn fail(
        &mut self,
        set: &SyncSet,
        (mut member, side, obstacle): (Member, Side, Option<Obstacle>),
        failure: Failure,
        retry_delay: Option<i64>,
    ) -> Result<(), Miss> {
        let wait = failure.reason.retry_after(failure.attempts, member.id);
        // Nobody may ask for it any more, and a copy that is not released stays locked for nobody.
        let ends = |due: Due| matches!(due.lane, Lane::Release | Lane::Clearing);
        let wait = wait.or_else(|| member.due.is_some_and(ends).then_some(FIX_RETRY));
        let not_before = wait.map(|wait| self.context.now + wait.max(retry_delay.unwrap_or(0)));
        member.due = match (member.due, not_before) {
            (Some(due), Some(not_before)) => Some(Due { not_before, ..due }),
            _ => None,
        };
        member.version += 1;
        member.hold = obstacle.as_ref().map(hold_of);
        member.blocked = obstacle.map(|obstacle| (side, obstacle));
        if failure.reason.class() == RetryClass::Retry {
            member.transient = Some(failure);
            member.state = MemberState::Pending;
            self.view.put_member(set, member);
            return Ok(());
        }
        let name = self.name_of(set, &member)?;
        self.journal_failure(set, &member, &failure, name);
        member.state = MemberState::Failed(failure);
        self.touch_children(set, &member, side)?;
        self.view.put_member(set, member);
        Ok(())
    }

    /// What the agent met: a folder that is known to be gone, or may be made yet, is no failure (R-REC-7); a folder
    /// or name that stands in the way is waited for.
    fn obstacle(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        reason: Reason,
    ) -> Result<Met, Miss> {
        if !matches!(
            reason,
            Reason::TargetFolderNotFound | Reason::TargetFolderNameClash
        ) || member.direct
        {
            return Ok(Met::Stands(None));
        }
        let Some(desired) = self.desired(set, member, side)? else {
            return Ok(Met::Stands(None));
        };
        let parent = match desired.parent {
            Some(parent) => self.view.member(parent)?,
            None => None,
        };
        let Some(parent) = parent else {
            return Ok(Met::Gone);
        };
        let folder = self.copy_of(set, &parent, side)?.filter(Copy::is_there);
        Ok(match (folder, reason) {
            (None, _) => Met::Gone,
            (Some(_), Reason::TargetFolderNotFound) => {
                Met::Stands(Some(Obstacle::Folder(parent.id)))
            }
            (Some(folder), _) => {
                let key = self.name_rule(set, side).key(&desired.projection.name);
                Met::Stands(Some(Obstacle::Name(folder.node, key)))
            }
        })
    }

    /// Whether what stepped back, and found that name taken, can have by now the one that it waits for (R-REC-10).
    fn goes_on(
        &mut self,
        member: &Member,
        set: &SyncSet,
        side: Side,
        obstacle: &Obstacle,
    ) -> Result<bool, Miss> {
        let steps = member.due.is_some_and(|due| due.lane == Lane::Aside);
        let Obstacle::Name(folder, name) = obstacle else {
            return Ok(false);
        };
        let place = (*set.repositories.get(side), folder.clone(), name.clone());
        Ok(steps && self.view.holders(&place)?.is_empty())
    }

    /// Somebody took the name meanwhile, and it is not known yet who.
    fn try_next_number(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        if let Some(sibling) = &mut member.sibling {
            sibling.number += 1;
        }
        if let Some(renaming) = &mut member.renaming {
            renaming.number += 1;
        }
        self.look_again(set, member)
    }

    fn look_again(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        member.version += 1;
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    pub(super) fn journal_failure(
        &mut self,
        set: &SyncSet,
        member: &Member,
        failure: &Failure,
        name: String,
    ) {
        self.journal(Entry {
            kind: JournalKind::Failed,
            set: Some(set.id),
            member: Some(member.id),
            side: member.due.map(|due| due.side),
            actor: String::new(),
            node_name: name,
            message: format!("{:?}: {}", failure.reason, failure.message),
        });
    }
}
