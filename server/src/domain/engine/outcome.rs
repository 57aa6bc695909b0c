//! A delivery was answered (R-REC-6, R-PRJ-5, R-AGT-6).

use super::super::copy::CopyState;
use super::super::ids::{MemberId, RepositoryId};
use super::super::member::{Lane, Member};
use super::super::planted::planted;
use super::super::projection::Side;
use super::super::report::{Answer, Observation, Seen};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;

/// *Stale* answers in a row, and flips in a minute, that are taken for a loop (R-PRJ-5).
const RESTLESS_MAX: i32 = 10;

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
            Answer::Applied { result, .. } if member.direct && member.sibling.is_some() => {
                self.leave_sibling(repository, &set, member, (result, at))
            }
            Answer::Applied { result, .. }
                if Self::is_repeat(&member, side, version, result)
                    || Self::is_overtaken(&member, side, version)
                    || self.is_known(&member, repository, version, result)? =>
            {
                self.observe(repository, result, at).map(|_| ())
            }
            Answer::Applied { result, delivered } => {
                // A coordinator that was restored may hear of versions that it has not given out yet.
                *member.answered.get_mut(side) = version.min(member.version);
                let named = (version, at);
                self.applied(member, &set, side, named, result, delivered.as_ref())
            }
            Answer::Stale(_) if planted("stale-changes-nothing") => Ok(()),
            Answer::Stale(seen) => self.stale(member, &set, side, seen, at),
            Answer::Failed { .. } if version != member.version => Ok(()),
            Answer::Failed {
                reason,
                message,
                detail,
                retry_delay,
            } => {
                let failure = (*reason, message.as_str(), detail.as_str());
                self.failed(&set, member, side, failure, *retry_delay)
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

    /// An older answer that shows a node as it was seen already. The answer to a change comes before any sight of what it
    /// made, so this one repeats an earlier one under another version: a create whose first answer was thought lost.
    fn is_known(
        &mut self,
        member: &Member,
        repository: RepositoryId,
        version: i64,
        result: &Observation,
    ) -> Result<bool, Miss> {
        let Seen::Present(presence) = &result.seen else {
            return Ok(false);
        };
        if version == member.version || planted("repeated-create-is-agreed-again") {
            return Ok(false);
        }
        let known = self.view.copy(&(repository, result.node.clone()))?;
        Ok(known.is_some_and(|known| {
            known.member == Some(member.id)
                && known.state == CopyState::Live
                && known.revision == presence.revision
        }))
    }

    /// R-LCK-1: the membership ends once the lock is taken off, and not with the answer to something older that was
    /// still on its way: that may just have locked the copy again.
    fn is_overtaken(member: &Member, side: Side, version: i64) -> bool {
        let releases = member.due.filter(|due| due.lane == Lane::Release);
        releases.is_some_and(|due| due.side != side || version != member.version)
            && !planted("older-answer-counts-as-release")
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
}
