//! An answer for a member that is no more: what was made for it shares the fate of its set.

use super::super::copy::{Copy, CopyState};
use super::super::ids::{MemberId, RepositoryId};
use super::super::member::{Member, PeerChoice};
use super::super::projection::Side;
use super::super::report::{Answer, Observation, Presence, Seen};
use super::super::view::{CopyKey, Miss};
use super::Engine;
use super::observe::Place;

impl Engine<'_> {
    /// The membership ended while the delivery was on its way: what was made for it is removed again, where the set
    /// removes cloud copies at all; else it stays, unlinked.
    pub(super) fn orphan(
        &mut self,
        repository: RepositoryId,
        member: MemberId,
        answer: &Answer,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        let Answer::Applied { result, delivered } = answer else {
            return Ok(());
        };
        let Observation {
            node,
            seen: Seen::Present(presence),
        } = result
        else {
            return Ok(());
        };
        let Some(side) = self.view.side(repository) else {
            return Ok(());
        };
        let key = (repository, node.clone());
        let known = self.view.copy(&key)?;
        let is_known = known.is_some();
        if let Some(known) = known.filter(Copy::is_there) {
            return self.moved_orphan(known, presence);
        }
        let content = delivered.as_ref().map(|delivered| delivered.content);
        let written = content.is_some_and(|content| content != presence.projection.content);
        if let Some(set) = self.clearing_set(repository, &presence.parent)? {
            return self.clear_orphan(&set, member, (repository, node), presence, written);
        }
        if side == Side::Cloud
            && let Some(set) = self.set_that_removes(repository, member)?
        {
            return self.clear_orphan(&set, member, (repository, node), presence, written);
        }
        if !is_known && !self.has_ended(repository, member)? {
            return self.made_for_the_forgotten(&key, presence, at);
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

    /// R-AGT-4: a coordinator that was restored does not know what it asked for after its backup. What was made is the
    /// copy of an equal node at the same place that has none, if there is one; else it is new.
    fn made_for_the_forgotten(
        &mut self,
        key: &CopyKey,
        presence: &Presence,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        if let Place::Inside(parent, set) = self.place(key.0, &presence.parent)?
            && let Some(peer) = self.equal_peer(key.0, &parent, presence, &set)?
        {
            return self.link(key, peer, presence, &set).map(|_| ());
        }
        self.seen_new(key, None, presence, at).map(|_| ())
    }

    /// It was unlinked, and was moved or changed by what was still on its way: it stays unlinked where it lies now, and
    /// if that locked it, it is unlocked (R-LCK-1).
    fn moved_orphan(&mut self, known: Copy, presence: &Presence) -> Result<(), Miss> {
        if known.member.is_some() || known.state != CopyState::Left {
            return Ok(());
        }
        let Place::Inside(_, set) = self.place(known.repository, &presence.parent)? else {
            return Ok(());
        };
        let side = self.view.side(known.repository).unwrap_or(Side::OnPremise);
        let mut row = self.row(known.repository, &known.node, &set, side, presence);
        if !row.locked {
            row.state = CopyState::Left;
        }
        self.leave_unlocked(&set, side, Some(&known), row)
    }
}
