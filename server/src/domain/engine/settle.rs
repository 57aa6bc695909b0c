//! Decides one member and notes what becomes due.

use super::super::conflict::ConflictKind;
use super::super::copy::Copy;
use super::super::failure::Reason;
use super::super::ids::MemberId;
use super::super::member::{Due, Hold, Lane, Member, MemberState, Obstacle};
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side};
use super::super::reconcile::Decision;
use super::super::sync_set::SyncSet;
use super::super::view::{CopyKey, Miss};
use super::Engine;
use super::conflict::holder;
use super::gate::Gate;
use super::guard::removes;
use super::leaving::is_over;
use super::situation::is_locked_for_nobody;

/// A decision that only moves the base is followed by another one; three such steps are the most there can be.
const STEPS_MAX: usize = 5;

/// Children of a folder that show at once that they wait for it; the others wait as well.
const CHILDREN_TOLD: usize = 200;

/// Children of a folder whose rows are asked for in one run.
const CHILDREN_ASKED: usize = 32;

impl Engine<'_> {
    pub(super) fn settle(&mut self, id: MemberId) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        let releasing = member.due.is_some_and(|due| due.lane == Lane::Release);
        if releasing {
            return self.end_or_release(&set, member);
        }
        if is_over(&set, &member) {
            // What was imported, or may have changed, is known when all is listed: also whether it is locked (R-AGT-4).
            if !set.ending && self.waits_for_listing(&set) {
                self.put_off(&set, member);
                return Ok(());
            }
            return match (member.clearing, set.ending) {
                (true, _) => self.clear(&set, member),
                (false, true) => Ok(()),
                (false, false) => self.end_or_release(&set, member),
            };
        }
        if self.waits_for_listing(&set) {
            self.put_off(&set, member);
            return Ok(());
        }
        if self.is_stranded(&set, &member)? {
            self.uncount_removal(&set, &member);
            return self.end_or_release(&set, member);
        }
        if self.rests_unfit(&set, &member)? || self.awaits_first_look(&set, &member)? {
            return Ok(());
        }
        if Self::is_restless(&member) {
            return self.stop_restless(&set, member);
        }
        if self.puts_off_work_of_its_own(&set, &member)? {
            return self.await_edit(&set, member);
        }
        if self.has_work_of_its_own(&set, &mut member)? {
            return Ok(());
        }
        self.settle_by_table(&set, member)
    }

    /// What the table of SPEC §5 says of a member is done, or waits.
    fn settle_by_table(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        for _ in 0..STEPS_MAX {
            let decision = self.decision(set, &member)?;
            let decision = self.named_first(set, &mut member, decision)?;
            if self.is_put_off_by_edit(set, &member, &decision)? {
                return self.await_edit(set, member);
            }
            match decision {
                Decision::Conflict { kind, winner: None } => {
                    return self.await_decision(set, member, kind);
                }
                Decision::Conflict {
                    kind,
                    winner: Some(winner),
                } => self.conflict(set, &mut member, (kind, winner), "")?,
                Decision::Rebase(state) => {
                    member.base = Some(state);
                    member.made = None;
                }
                Decision::Revive(side) => self.revive(&mut member, side),
                Decision::Deliver(side) => match self.gate_change(set, &member, side)? {
                    Gate::Undo => {
                        // The move that is undone was to be delivered to the winner.
                        self.conflict(set, &mut member, (ConflictKind::MoveMove, side), "")?;
                    }
                    Gate::Clash(..) if self.is_aside(set, &member, side)? => {
                        return self.owe(set, member, side, Gate::Open(Lane::Aside));
                    }
                    Gate::Clash(obstacle, ..)
                        if self.settles_clash(set, &member, (side, &obstacle))? =>
                    {
                        return Ok(());
                    }
                    gate => {
                        self.close_conflict(set, &mut member, Some(side.other()))?;
                        return self.owe(set, member, side, gate);
                    }
                },
                other => {
                    self.close_conflict(set, &mut member, holder(&other))?;
                    return self.carry_out(set, member, other);
                }
            }
        }
        Ok(())
    }

    /// R-SET-3: a document that was just chosen is known by name only; its content comes with its first observation.
    fn awaits_first_look(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        if !member.direct || member.kind == NodeKind::Folder || member.base.is_some() {
            return Ok(false);
        }
        let chosen = self.copy_of(set, member, Side::OnPremise)?;
        Ok(chosen.is_some_and(|copy| copy.is_there() && copy.projection.content.is_none()))
    }

    /// Work that follows from no comparison: kept content, a sibling to be made, a newcomer to be renamed.
    fn has_work_of_its_own(&mut self, set: &SyncSet, member: &mut Member) -> Result<bool, Miss> {
        if self.restores(set, member)? {
            return Ok(true);
        }
        if let Some(sibling) = member.sibling.clone() {
            self.settle_sibling(set, member.clone(), sibling)?;
            return Ok(true);
        }
        self.renames(set, member)
    }

    /// What is decided when all is listed shows as under way until then (R-AGT-4).
    fn put_off(&mut self, set: &SyncSet, mut member: Member) {
        if member.state == MemberState::Synced {
            member.state = MemberState::Pending;
            self.view.put_member(set, member);
        }
    }

    /// R-CON-5: kept content is delivered to one side as an ordinary change, and flows on from there.
    fn restores(&mut self, set: &SyncSet, member: &mut Member) -> Result<bool, Miss> {
        let Some(content) = member.restoring.filter(|_| member.open.is_none()) else {
            return Ok(false);
        };
        let side = restoring_side(set);
        let copy = self.copy_of(set, member, side)?.filter(Copy::is_there);
        let differs = copy.is_some_and(|copy| {
            copy.projection.content.map(|content| content.digest) != Some(content.digest)
        });
        if !differs {
            member.restoring = None;
            return Ok(false);
        }
        self.owe(set, member.clone(), side, Gate::Open(Lane::Change))?;
        Ok(true)
    }

    fn stop_restless(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        let name = self.name_of(set, &member)?;
        let message = "the copies kept changing each other, or kept being stale";
        let failure = self.failure(&member, Reason::LoopDetected, message, "R-PRJ-5");
        self.journal_failure(set, &member, &failure, name);
        member.state = MemberState::Failed(failure);
        member.due = None;
        self.put_settled(set, member);
        Ok(())
    }

    /// The copy on this side is to be made anew; what was agreed on does not count any more.
    pub(super) fn revive(&mut self, member: &mut Member, side: Side) {
        *member.nodes.get_mut(side) = None;
        member.base = None;
        member.made = None;
        member.choice = None;
    }

    fn carry_out(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        decision: Decision,
    ) -> Result<(), Miss> {
        match decision {
            Decision::Remove { side, chosen } => self.remove(set, member, side, chosen),
            Decision::End => self.end_or_release(set, member),
            Decision::Fail(reason) => {
                self.uncount_removal(set, &member);
                let name = self.name_of(set, &member)?;
                let failure = self.failure(&member, reason, reason.remedy(), "");
                self.journal_failure(set, &member, &failure, name);
                member.state = MemberState::Failed(failure);
                member.due = None;
                self.put_settled(set, member);
                Ok(())
            }
            Decision::CloudCopyDeleted => {
                self.uncount_removal(set, &member);
                let own = self.copy_of(set, &member, Side::OnPremise)?;
                if own.is_some_and(|own| is_locked_for_nobody(set, &own, Side::OnPremise)) {
                    return self.owe(set, member, Side::OnPremise, Gate::Open(Lane::Change));
                }
                member.cloud_copy_deleted = true;
                self.rest(set, member)
            }
            _ => self.agree(set, member),
        }
    }

    /// Both copies are equal: a new base, and nothing due but a lock, or the end of one that another set asked for before
    /// the node was moved here (R-LCK-1).
    fn agree(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        let Some(copy) = self.copy_of(set, &member, Side::OnPremise)? else {
            return Ok(());
        };
        member.base = Some(self.state_of(&member, &copy)?);
        member.made = None;
        member.cloud_copy_deleted = false;
        member.last_synced_at = Some(self.context.now);
        let locks = self
            .view
            .repository(copy.repository)
            .is_some_and(|repository| repository.locks);
        if locks && copy.locked != set.options.lock_on_premise_copy {
            if self.is_edited(set, &member)? {
                return self.await_edit(set, member);
            }
            return self.owe(set, member, Side::OnPremise, Gate::Open(Lane::Change));
        }
        self.rest(set, member)
    }

    fn rest(&mut self, set: &SyncSet, mut member: Member) -> Result<(), Miss> {
        member.state = MemberState::Synced;
        member.transient = None;
        member.conflict = None;
        member.due = None;
        self.put_settled(set, member);
        Ok(())
    }

    /// Notes what a side owes, or why it has to wait.
    pub(super) fn owe(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        side: Side,
        gate: Gate,
    ) -> Result<(), Miss> {
        self.uncount_removal(set, &member);
        member.cloud_copy_deleted = false;
        let (lane, wait) = match gate {
            Gate::Open(lane) => (Some(lane), None),
            Gate::Wait(hold, obstacle) => (None, Some((hold, obstacle))),
            Gate::Clash(obstacle, reason, detail) => {
                return self.clash(set, member, (side, obstacle), reason, &detail);
            }
            Gate::FolderDeleted(folder) => return self.fail_without(set, member, side, folder),
            Gate::NoFolder | Gate::Undo => {
                return self.carry_out(set, member, Decision::Fail(Reason::TargetFolderNotFound));
            }
        };
        if lane == Some(Lane::Aside) {
            self.note_aside(set, &mut member, side)?;
        }
        member.state = MemberState::Pending;
        member.due = lane.map(|lane| Due {
            side,
            lane: self.lane_of(set, &member, (side, lane)),
            not_before: 0,
        });
        self.put_waiting(set, member, side, wait);
        Ok(())
    }

    /// The receiving folder was deleted and is not made again by itself; Request Sync on it heals what is inside.
    fn fail_without(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        side: Side,
        folder: MemberId,
    ) -> Result<(), Miss> {
        let reason = match side {
            Side::Cloud => Reason::DeletedOnCloud,
            Side::OnPremise => Reason::TargetFolderNotFound,
        };
        let name = self.name_of(set, &member)?;
        let failure = self.failure(&member, reason, "the receiving folder was deleted", "");
        self.journal_failure(set, &member, &failure, name);
        member.state = MemberState::Failed(failure);
        member.due = None;
        let wait = (Hold::Parent, Obstacle::Folder(folder));
        self.put_waiting(set, member, side, Some(wait));
        Ok(())
    }

    /// R-REC-9: nothing is overwritten; either rename heals it.
    fn clash(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        (side, obstacle): (Side, Obstacle),
        reason: Reason,
        detail: &str,
    ) -> Result<(), Miss> {
        let name = self.name_of(set, &member)?;
        let message = match reason {
            Reason::TargetNodeAlreadySynced => "a member of another set has that name there",
            _ => "another node has that name in the receiving folder",
        };
        let failure = self.failure(&member, reason, message, detail);
        self.journal_failure(set, &member, &failure, name);
        member.state = MemberState::Failed(failure);
        member.due = None;
        self.touch_children(set, &member, side)?;
        self.put_waiting(set, member, side, Some((Hold::Name, obstacle)));
        Ok(())
    }

    /// R-REC-7: what lies in a folder that cannot be made waits for it, and says so; it was due before, since the folder
    /// was to come.
    pub(super) fn touch_children(
        &mut self,
        set: &SyncSet,
        folder: &Member,
        side: Side,
    ) -> Result<(), Miss> {
        let made = folder.nodes.get(side).is_some();
        let Some(source) = folder.nodes.get(side.other()).clone().filter(|_| !made) else {
            return Ok(());
        };
        let source = (*set.repositories.get(side.other()), source);
        for child in self.view.children(&source)?.into_iter().take(CHILDREN_TOLD) {
            let child = self.view.copy(&(source.0, child))?;
            let member = match child.and_then(|child| child.member) {
                Some(member) => self.view.member(member)?,
                None => None,
            };
            let due = |member: &Member| member.due.is_some_and(|due| due.side == side);
            member
                .filter(due)
                .into_iter()
                .for_each(|member| self.touch(member.id));
        }
        Ok(())
    }

    /// §7: children before parents; the guard counts before anything is delivered (R-DEL-3).
    fn remove(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        side: Side,
        chosen: bool,
    ) -> Result<(), Miss> {
        let waits = Self::is_folder(&member) && self.holds_members(set, &member, side)?;
        let waits = waits && !planted("folder-removed-before-its-content");
        if waits
            && let Some(own) = self.copy_of(set, &member, side)?
            && self.is_emptied_by_name(set, &own, side)?
        {
            return self.owe(set, member, side, Gate::Open(Lane::Aside));
        }
        if !chosen && !removes(&member) && !planted("removals-uncounted") {
            self.count_removal(set, 1);
        }
        member.state = MemberState::Pending;
        let lane = if chosen {
            Lane::ChosenRemoval
        } else {
            Lane::Removal
        };
        member.due = (!waits).then_some(Due {
            side,
            lane,
            not_before: 0,
        });
        let wait = waits.then_some((Hold::Parent, Obstacle::Folder(member.id)));
        self.put_waiting(set, member, side, wait);
        Ok(())
    }

    pub(super) fn holds_members(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<bool, Miss> {
        let Some(node) = member.nodes.get(side).clone() else {
            return Ok(false);
        };
        let repository = *set.repositories.get(side);
        let mut missed = 0;
        for child in self.view.children(&(repository, node))? {
            match self.is_member_of(set, (repository, child)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // Several rows are asked for at once, so that a large folder takes few runs.
                Err(Miss) => missed += 1,
            }
            if missed >= CHILDREN_ASKED {
                break;
            }
        }
        if missed > 0 { Err(Miss) } else { Ok(false) }
    }

    /// A synced folder of another set is none of this one's members, wherever it lies.
    fn is_member_of(&mut self, set: &SyncSet, key: CopyKey) -> Result<bool, Miss> {
        let Some(member) = self.view.copy(&key)?.and_then(|copy| copy.member) else {
            return Ok(false);
        };
        let member = self.view.member(member)?;
        Ok(member.is_some_and(|member| member.set == set.id))
    }

    fn put_waiting(
        &mut self,
        set: &SyncSet,
        member: Member,
        side: Side,
        wait: Option<(Hold, Obstacle)>,
    ) {
        let (hold, blocked) = match wait {
            Some((hold, obstacle)) => (Some(hold), Some((side, obstacle))),
            None => (member.open.map(|_| Hold::ManualConflict), None),
        };
        self.put_held(set, member, hold, blocked);
    }

    /// Notes why a settled member waits, if it does.
    pub(super) fn put_held(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        hold: Option<Hold>,
        blocked: Option<(Side, Obstacle)>,
    ) {
        member.hold = hold;
        member.blocked = blocked;
        member.version += 1;
        // A miss is noted in the view; the run is repeated with the row loaded.
        let _ = self.wake_for_names(set, &member);
        self.view.put_member(set, member);
    }

    /// R-REC-10: who waits for a name looks again when its holder is going to do something else than before.
    fn wake_for_names(&mut self, set: &SyncSet, now: &Member) -> Result<(), Miss> {
        let before = self.view.member(now.id)?;
        let same = before.is_some_and(|before| {
            before.due.map(|due| (due.side, due.lane)) == now.due.map(|due| (due.side, due.lane))
                && before.blocked == now.blocked
                && std::mem::discriminant(&before.state) == std::mem::discriminant(&now.state)
        });
        if same {
            return Ok(());
        }
        if let Some((_, Obstacle::Folder(on))) = now.blocked {
            self.touch_if_name_bound(on)?;
        }
        for side in Side::BOTH {
            if let Some(copy) = self.copy_of(set, now, side)?.filter(Copy::is_there) {
                self.wake(set, side, Obstacle::Name(copy.parent, copy.name_key))?;
            }
        }
        Ok(())
    }

    /// A folder that is waited for and itself waits for a name: whoever holds that may have to step aside.
    fn touch_if_name_bound(&mut self, folder: MemberId) -> Result<(), Miss> {
        let folder = self.view.member(folder)?;
        let bound = folder.filter(|folder| matches!(folder.blocked, Some((_, Obstacle::Name(..)))));
        bound.into_iter().for_each(|folder| self.touch(folder.id));
        Ok(())
    }

    pub(super) fn put_settled(&mut self, set: &SyncSet, member: Member) {
        self.put_waiting(set, member, Side::OnPremise, None);
    }
}

/// The side that gets kept content back first: the one where a change counts (R-LCK-1).
pub(super) fn restoring_side(set: &SyncSet) -> Side {
    if set.options.lock_on_premise_copy {
        Side::Cloud
    } else {
        Side::OnPremise
    }
}
