//! A delivery was answered (R-REC-6, R-PRJ-5, R-AGT-6), and how the base moves (ARCHITECTURE, "How base moves").

use std::sync::Arc;

use super::super::copy::{Absence, Copy, CopyState};
use super::super::failure::{Failure, Reason, RetryClass};
use super::super::fields::AppliedMerge;
use super::super::ids::{MemberId, NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Due, Hold, Lane, Member, MemberState, Obstacle, PeerChoice};
use super::super::projection::{Projection, Side, State};
use super::super::report::{Answer, Observation, Presence, Seen};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;
use super::observe::Place;
use super::situation::merges;

/// *Stale* answers in a row, and flips in a minute, that are taken for a loop (R-PRJ-5).
const RESTLESS_MAX: i32 = 10;
const FLIP_WINDOW: i64 = 60_000_000;

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
    pub(super) fn outcome(
        &mut self,
        repository: RepositoryId,
        (id, version): (MemberId, i64),
        answer: &Answer,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return self.orphan(repository, id, answer, at);
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        let Some(side) = self.view.side(repository) else {
            return Ok(());
        };
        if *set.repositories.get(side) != repository {
            return Ok(());
        }
        match answer {
            _ if member.clearing && side == Side::OnPremise => Ok(()),
            Answer::Applied { result, .. } if member.clearing => {
                self.cleared(member, &set, version, result, false)
            }
            Answer::Stale(seen) if member.clearing => {
                self.cleared(member, &set, version, seen, true)
            }
            Answer::Applied { result, .. } if Self::is_repeat(&member, side, version, result) => {
                self.observe(repository, result, at).map(|_| ())
            }
            Answer::Applied { result, delivered } => {
                // A coordinator that was restored may hear of versions that it has not given out yet.
                *member.answered.get_mut(side) = version.min(member.version);
                let current = version == member.version;
                self.applied(member, &set, side, current, result, delivered.as_ref())
            }
            Answer::Stale(seen) => self.stale(member, &set, side, seen, at),
            Answer::Failed { .. } if version != member.version => Ok(()),
            Answer::Failed {
                reason: Reason::TargetFolderNameClash,
                ..
            } if member.sibling.is_some() || member.renaming.is_some() => {
                self.try_next_number(&set, member)
            }
            Answer::Failed {
                reason,
                message,
                detail,
                retry_delay,
            } => {
                let obstacle = self.obstacle(&set, &member, side, *reason)?;
                let failure = self.failure(&member, *reason, message, detail);
                match obstacle {
                    Met::Gone => self.look_again(&set, member),
                    Met::Stands(obstacle) => {
                        self.look_at_holder(&set, &member, side, obstacle.as_ref())?;
                        self.fail(&set, (member, side, obstacle), failure, *retry_delay)
                    }
                }
            }
        }
    }

    /// R-AGT-6: a delivery that came twice is answered twice, and had its effect with the first answer; since then both
    /// copies may have moved on, so that the second one tells no more than how the node looks.
    fn is_repeat(member: &Member, side: Side, version: i64, result: &Observation) -> bool {
        version <= *member.answered.get(side)
            && matches!(result.seen, Seen::Present(_))
            && member.nodes.get(side).as_ref() == Some(&result.node)
    }

    /// The membership ended while the delivery was on its way: what was made for it is removed again, where the set
    /// removes cloud copies at all; else it stays, unlinked.
    fn orphan(
        &mut self,
        repository: RepositoryId,
        member: MemberId,
        answer: &Answer,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        let Answer::Applied {
            result:
                Observation {
                    node,
                    seen: Seen::Present(presence),
                },
            delivered,
        } = answer
        else {
            return Ok(());
        };
        let Some(side) = self.view.side(repository) else {
            return Ok(());
        };
        let key = (repository, node.clone());
        let known = self.view.copy(&key)?;
        if known.as_ref().is_some_and(Copy::is_there) {
            return Ok(());
        }
        let content = delivered.as_ref().map(|delivered| delivered.content);
        let written = content.is_some_and(|content| content != presence.projection.content);
        if let Some(set) = self.clearing_set(repository, &presence.parent)? {
            return self.clear_orphan(&set, (repository, node), presence, written);
        }
        if known.is_none() && !self.has_ended(repository, member)? {
            // R-AGT-4: a coordinator that was restored does not know what it asked for after its backup.
            return self.seen_new(&key, None, presence, at).map(|_| ());
        }
        let Place::Inside(_, set) = self.place(repository, &presence.parent)? else {
            return Ok(());
        };
        let mut row = self.row(repository, node, &set, side, presence);
        let removes = match side {
            Side::OnPremise => set.options.delete_on_premise,
            Side::Cloud => set.options.allow_delete_on_cloud,
        };
        // Somebody wrote into it already: it stays.
        let removes = removes && !written;
        let locked = row.locked && side == Side::OnPremise;
        if !removes && !locked {
            row.state = CopyState::Left;
            return self.put_copy_and_wake(None, row, &set);
        }
        // A new id: the old one names deliveries that were answered already.
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut member = Member::new(id, set.id, presence.projection.kind, false);
        *member.nodes.get_mut(side) = Some(node.clone());
        member.deleting = removes.then_some((side, PeerChoice::Remove));
        row.member = Some(id);
        self.new_version(&row, id, side);
        self.put_copy_and_wake(None, row, &set)?;
        if !removes {
            // R-LCK-1: it stays, but for nobody any more, so it is unlocked.
            return self.end_or_release(&set, member);
        }
        self.view.put_member(&set, member);
        self.touch(id);
        Ok(())
    }

    fn applied(
        &mut self,
        member: Member,
        set: &SyncSet,
        side: Side,
        current: bool,
        result: &Observation,
        delivered: Option<&Arc<Projection>>,
    ) -> Result<(), Miss> {
        let lane = member
            .due
            .filter(|due| due.side == side && current)
            .map(|due| due.lane);
        let releases = member.due.is_some_and(|due| due.lane == Lane::Release);
        let lane = match releases {
            true => Some(Lane::Release),
            false => lane,
        };
        match (&result.seen, lane) {
            (_, Some(Lane::Release)) => self.end_or_clear(set, member),
            (Seen::Absent { .. }, _) => self.removed(member, set, side),
            (Seen::Present(_), Some(Lane::Removal | Lane::ChosenRemoval)) => self.kept(member, set),
            (Seen::Present(presence), _) => {
                let result = (&result.node, presence);
                self.changed(member, set, side, result, delivered)
            }
        }
    }

    fn removed(&mut self, mut member: Member, set: &SyncSet, side: Side) -> Result<(), Miss> {
        let Some(copy) = self.copy_of(set, &member, side)? else {
            return Ok(());
        };
        let mut gone = copy.clone();
        gone.state = CopyState::Gone(Absence::Deleted);
        self.journal_applied(set, &member, side, &copy.projection.name, "removed");
        self.put_copy_and_wake(Some(&copy), gone, set)?;
        if Self::is_folder(&member) {
            // What came into it meanwhile, and went with it, is held no longer.
            self.walk_below(&copy, set, Absence::Deleted, None)?;
        }
        let other = self.copy_of(set, &member, side.other())?;
        if let Some((_, choice)) = member.deleting.take_if(|(on, _)| *on == side) {
            member.choice = Some(choice);
        } else if other.is_some_and(|copy| copy.state == CopyState::Live) {
            // What was to follow a deletion, which is void by now: nobody deleted this copy, so it is made again.
            self.revive(&mut member, side);
        }
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// R-DEL-2: the folder holds something that is not synced, so it stays, unlinked.
    fn kept(&mut self, member: Member, set: &SyncSet) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        self.end_or_release(set, member)
    }

    /// (c) and (d) of "How base moves".
    fn changed(
        &mut self,
        mut member: Member,
        set: &SyncSet,
        side: Side,
        (node, presence): (&NodeId, &Presence),
        delivered: Option<&Arc<Projection>>,
    ) -> Result<(), Miss> {
        let before = self.replaced(set, &member, side, node)?;
        let mut row = self.row(*set.repositories.get(side), node, set, side, presence);
        row.member = Some(member.id);
        if member.direct && side == Side::OnPremise {
            member.home = Some(row.parent.clone());
        }
        if self.comes_too_late(&member, before.as_ref(), &row)? {
            return self.enter_anew(&member, set, side, before.as_ref(), row);
        }
        let result = self.state_of(&member, &row)?;
        let projection = delivered.unwrap_or(&presence.projection).clone();
        let delivered = State {
            projection,
            parent: result.parent,
        };
        let restored = member.restoring.is_some_and(|content| {
            delivered.projection.content.map(|content| content.digest) == Some(content.digest)
        });
        if restored {
            member.restoring = None;
            member.made = None;
        } else {
            self.note_agreed(
                &mut member,
                set,
                (side, before.as_ref()),
                (result, delivered),
            )?;
        }
        let before_node = member.nodes.get_mut(side).replace(node.clone());
        if member.direct && before_node.as_ref() != Some(node) {
            self.begin_watching(&member, &row);
        }
        member.restlessness.stale = 0;
        member.transient = None;
        member.sibling = None;
        self.note_received(set, side, &member, before.as_ref(), &row);
        self.journal_applied(set, &member, side, &row.projection.name, "synced");
        let moved = before
            .as_ref()
            .is_none_or(|before| before.parent != row.parent);
        if moved && Self::is_folder(&member) {
            self.moved_folders.push((row.repository, row.node.clone()));
        }
        let folder = self.view.copy(&(row.repository, row.parent.clone()))?;
        self.put_copy_and_wake(before.as_ref(), row, set)?;
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        match folder {
            // Its folder went while it was made: it shares its fate.
            Some(
                folder @ Copy {
                    state: CopyState::Gone(absence),
                    ..
                },
            ) => self.walk_below(&folder, set, absence, None),
            _ => Ok(()),
        }
    }

    /// A chosen node has a new copy: something may happen to it, or in it, before its agent watches it.
    fn begin_watching(&mut self, member: &Member, row: &Copy) {
        let key = (row.repository, row.node.clone());
        if Self::is_folder(member) {
            self.effects.new_roots.push(key);
        } else {
            self.effects.observe.push(key);
        }
    }

    /// (c) and (d) of "How base moves": what was delivered is agreed on. PER_FIELD the receiver may have changes of its
    /// own that the delivery left as they were.
    fn note_agreed(
        &mut self,
        member: &mut Member,
        set: &SyncSet,
        (side, before): (Side, Option<&Copy>),
        (result, delivered): (State, State),
    ) -> Result<(), Miss> {
        let source = self.copy_of(set, member, side.other())?;
        let source = match source.filter(Copy::is_there) {
            Some(copy) => Some(self.state_of(member, &copy)?),
            None => None,
        };
        let known = match before.filter(|before| before.is_there() && merges(set)) {
            Some(before) => Some(self.state_of(member, before)?),
            None => None,
        };
        let (Some(base), Some(before), Some(source)) = (&member.base, &known, &source) else {
            self.move_base(member, (delivered, result), source.as_ref(), side);
            return Ok(());
        };
        let merge = AppliedMerge {
            base,
            before,
            delivered: &delivered,
            result: &result,
            source,
        };
        let moved = merge.moved(&self.comparison(set));
        self.note_flip(member, moved.moved_on || result == delivered);
        member.made = moved.made.then_some(side);
        member.base = Some(moved.base);
        Ok(())
    }

    fn move_base(
        &self,
        member: &mut Member,
        (delivered, result): (State, State),
        source: Option<&State>,
        side: Side,
    ) {
        let moved_on = source.is_none_or(|source| *source != delivered);
        // Rules add to a node; other content somebody wrote, and that is never given up without a record.
        let written = result.projection.content != delivered.projection.content;
        self.note_flip(member, moved_on || result == delivered);
        let keeps = moved_on && !written;
        member.made = (!keeps && !written && result != delivered).then_some(side);
        member.base = Some(if keeps { result } else { delivered });
    }

    /// The row of the node as it was. Another node that the member had there is unlinked: it was given up when a new
    /// one was asked for.
    fn replaced(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        node: &NodeId,
    ) -> Result<Option<Copy>, Miss> {
        if let Some(other) = self.copy_of(set, member, side)?
            && other.node != *node
            && other.member == Some(member.id)
        {
            let mut left = other.clone();
            left.member = None;
            if left.is_there() {
                left.state = CopyState::Left;
            }
            self.put_copy_and_wake(Some(&other), left, set)?;
        }
        self.view.copy(&(*set.repositories.get(side), node.clone()))
    }

    /// The receiver has the content now, and its copy has it as a version.
    fn note_received(
        &mut self,
        set: &SyncSet,
        side: Side,
        member: &Member,
        before: Option<&Copy>,
        row: &Copy,
    ) {
        match before {
            Some(before) => self.version_of(before, row, member.id, side),
            None => self.new_version(row, member.id, side),
        }
        if let Some(content) = row.projection.content {
            let from = *set.repositories.get(side.other());
            self.effects
                .shared
                .push((from, row.repository, content.digest));
        }
    }

    /// R-PRJ-5: what the receiver made of it flows back at once, but not for ever.
    fn note_flip(&self, member: &mut Member, quiet: bool) {
        if quiet {
            return;
        }
        let rest = &mut member.restlessness;
        if self.context.now - rest.flips_since > FLIP_WINDOW {
            rest.flips = 0;
            rest.flips_since = self.context.now;
        }
        rest.flips += 1;
    }

    fn stale(
        &mut self,
        mut member: Member,
        set: &SyncSet,
        side: Side,
        seen: &Observation,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        member.restlessness.stale += 1;
        let (id, count) = (member.id, member.restlessness.stale);
        self.view.put_member(set, member);
        self.observe(*set.repositories.get(side), seen, at)?;
        // Observing resets the count when it is told of a change; a stale answer is no such sign.
        if let Some(mut member) = self.view.member(id)? {
            member.restlessness.stale = count;
            self.view.put_member(set, member);
        }
        self.touch(id);
        Ok(())
    }

    pub(super) fn is_restless(member: &Member) -> bool {
        member.restlessness.stale > RESTLESS_MAX || member.restlessness.flips > RESTLESS_MAX
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

    /// R-ERR-1: what ends a failure depends on its class.
    fn fail(
        &mut self,
        set: &SyncSet,
        (mut member, side, obstacle): (Member, Side, Option<Obstacle>),
        failure: Failure,
        retry_delay: Option<i64>,
    ) -> Result<(), Miss> {
        let wait = failure.reason.retry_after(failure.attempts, member.id);
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

    fn journal_applied(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        name: &str,
        message: &str,
    ) {
        self.journal(Entry {
            kind: JournalKind::Applied,
            set: Some(set.id),
            member: Some(member.id),
            side: Some(side),
            actor: set.owner.clone(),
            node_name: name.to_owned(),
            message: message.to_owned(),
        });
    }
}
