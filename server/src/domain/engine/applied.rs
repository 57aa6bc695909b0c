//! A delivery was applied: what the receiver made of it (R-PRJ-5), and how the base moves (ARCHITECTURE, "How base
//! moves").

use std::sync::Arc;

use super::super::copy::{Absence, Copy, CopyState};
use super::super::fields::AppliedMerge;
use super::super::ids::NodeId;
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Lane, Member};
use super::super::planted::planted;
use super::super::projection::{Projection, Side, State};
use super::super::report::{Observation, Presence, Seen};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;
use super::aside::{in_truth, note_given, note_wanted};
use super::situation::merges;

/// A change that comes so soon after a delivery is taken for the answer of a rule (R-PRJ-5), in microseconds.
const ANSWER_WINDOW: i64 = 5_000_000;
/// How long flips are counted together (R-PRJ-5), in microseconds.
const FLIP_WINDOW: i64 = 60_000_000;

impl Engine<'_> {
    pub(super) fn applied(
        &mut self,
        member: Member,
        set: &SyncSet,
        side: Side,
        (version, at): (i64, (usize, usize)),
        result: &Observation,
        delivered: Option<&Arc<Projection>>,
    ) -> Result<(), Miss> {
        let current = version == member.version;
        let lane = member
            .due
            .filter(|due| {
                let older = due.lane == Lane::Release && planted("older-answer-counts-as-release");
                (due.side == side && current) || older
            })
            .map(|due| due.lane);
        match (&result.seen, lane) {
            (_, Some(Lane::Release)) => self.end_or_clear(set, member),
            (Seen::Absent { .. }, _) => self.removed(member, set, side),
            (Seen::Present(_), Some(Lane::Removal | Lane::ChosenRemoval))
                if !planted("refilled-folder-counts-as-removed") =>
            {
                self.kept(member, set, side)
            }
            (_, Some(Lane::Removal | Lane::ChosenRemoval)) => self.removed(member, set, side),
            (Seen::Present(presence), _) => {
                let result = (&result.node, presence, version, at);
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
        } else if other.is_some_and(|copy| copy.state == CopyState::Live)
            && !planted("void-removal-stands")
        {
            // What was to follow a deletion, which is void by now: nobody deleted this copy, so it is made again.
            self.revive(&mut member, side);
        }
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// R-DEL-2: what is new in the folder keeps it. Else it holds something that is not synced, so it stays, unlinked.
    fn kept(&mut self, member: Member, set: &SyncSet, side: Side) -> Result<(), Miss> {
        if self.holds_members(set, &member, side)? && !planted("new-content-unlinked") {
            self.touch(member.id);
            return Ok(());
        }
        self.uncount_removal(set, &member);
        self.end_or_release(set, member)
    }

    /// (c) and (d) of "How base moves".
    fn changed(
        &mut self,
        mut member: Member,
        set: &SyncSet,
        side: Side,
        (node, presence, version, at): (&NodeId, &Presence, i64, (usize, usize)),
        delivered: Option<&Arc<Projection>>,
    ) -> Result<(), Miss> {
        let before = self.replaced(set, &member, side, node)?;
        let mut row = self.row(*set.repositories.get(side), node, set, side, presence);
        row.member = Some(member.id);
        if member.direct && side == Side::OnPremise {
            member.home = Some(row.parent.clone());
        }
        let current = version == member.version;
        if self.comes_too_late(&member, current, before.as_ref(), &row)? {
            return self.enter_anew(&member, set, side, before.as_ref(), row);
        }
        let name_only = member.is_name_only(version);
        let projection = delivered.unwrap_or(&presence.projection).clone();
        if name_only {
            note_given(&mut member, &presence.projection.name);
            note_wanted(&mut member, &projection.name);
        }
        let result = self.state_of(&member, &row)?;
        let delivered = State {
            projection: in_truth(&member, projection),
            parent: result.parent,
        };
        let restored = member.restoring.is_some_and(|content| {
            delivered.projection.content.map(|content| content.digest) == Some(content.digest)
        });
        if restored {
            member.restoring = None;
            member.made = None;
        } else if !name_only {
            let states = (result, delivered);
            self.note_agreed(&mut member, set, (side, before.as_ref()), states)?;
        }
        let before_node = member.nodes.get_mut(side).replace(node.clone());
        if member.direct && before_node.as_ref() != Some(node) {
            self.begin_watching(&member, &row);
        }
        member.restlessness.stale = 0;
        member.restlessness.delivered = Some((side, self.context.now));
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
        let other_set = self.set_around(&member, &row)?;
        self.put_copy_and_wake(before.as_ref(), row.clone(), set)?;
        let id = member.id;
        self.view.put_member(set, member.clone());
        self.touch(id);
        if let Some(other) = other_set {
            // R-MOV-4: it was moved between sets, and this took it back to where it was asked for.
            return self
                .moved_between(row, &member, presence, &other, at)
                .map(|_| ());
        }
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

    /// The set of the folder in which a copy lies, if that is another one than its member's.
    pub(super) fn set_around(
        &mut self,
        member: &Member,
        row: &Copy,
    ) -> Result<Option<SyncSet>, Miss> {
        if member.direct {
            return Ok(None);
        }
        let folder = match self.parent_member(row)? {
            Some(folder) => self.view.member(folder)?,
            None => None,
        };
        match folder.filter(|folder| folder.set != member.set) {
            Some(folder) => self.view.set(folder.set),
            None => Ok(None),
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
        let keeps = (moved_on && !written) || planted("result-is-always-the-base");
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
        match before.filter(|before| before.is_there() && before.member == row.member) {
            Some(before) => self.version_of(before, row, member.id, side),
            // Also where an older state of a restored repository has a node again whose version ended when it went.
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

    /// R-PRJ-5: somebody changed a copy. Soon after a delivery to it that may be the answer of a rule in the background;
    /// where the other side answers in the same way, they would never come to rest. Anything else is another cause.
    pub(super) fn note_answer(&self, member: &mut Member, side: Side) {
        let delivered = member.restlessness.delivered.take();
        let answers = delivered
            .is_some_and(|(on, at)| on == side && self.context.now - at <= ANSWER_WINDOW)
            && !planted("answers-are-no-loop");
        if !answers {
            member.restlessness.flips = 0;
        }
        self.note_flip(member, !answers);
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
