//! A delivery that was applied after its folder had gone (R-DEL-2), or whose node has another member by now (R-MOV-4).
//!
//! Whoever deleted or moved out the folder did not know what was made in it afterwards, so that does not share the
//! folder's fate: it stays on the side it came from, and is made again together with its folders.

use super::super::copy::{Absence, Copy, CopyState};
use super::super::ids::MemberId;
use super::super::member::{Member, Obstacle};
use super::super::projection::{NodeKind, Side};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::{Engine, VersionChange};

impl Engine<'_> {
    /// Whether a copy was made in, or moved to, a folder that is known to be gone. `current`: it answers what was asked
    /// last; where its node was known to be gone by then, the agent has found what it once made for this member.
    pub(super) fn comes_too_late(
        &mut self,
        member: &Member,
        current: bool,
        before: Option<&Copy>,
        row: &Copy,
    ) -> Result<bool, Miss> {
        if member.direct {
            return Ok(false);
        }
        if self.is_claimed(member, before)? {
            return Ok(true);
        }
        let stayed = before
            .is_some_and(|before| before.parent == row.parent && (before.is_there() || !current));
        if stayed {
            return Ok(false);
        }
        let folder = self.view.copy(&(row.repository, row.parent.clone()))?;
        Ok(folder.is_some_and(|folder| !folder.is_there()))
    }

    /// Whether the node is the copy of another member by now: moved there before it was known for whom it was made
    /// (R-MOV-4).
    fn is_claimed(&mut self, member: &Member, before: Option<&Copy>) -> Result<bool, Miss> {
        let Some((before, claims)) = before.and_then(|before| Some((before, before.member?)))
        else {
            return Ok(false);
        };
        let claims = match claims == member.id {
            true => None,
            false => self.view.member(claims)?,
        };
        let side = self.view.side(before.repository).unwrap_or(Side::OnPremise);
        Ok(claims.is_some_and(|claims| claims.nodes.get(side).as_ref() == Some(&before.node)))
    }

    /// The membership goes on under a new id, since the agent has a node for the old one. What the agent made lies
    /// where nothing is synced, and stays there.
    pub(super) fn enter_anew(
        &mut self,
        old: &Member,
        set: &SyncSet,
        side: Side,
        before: Option<&Copy>,
        mut row: Copy,
    ) -> Result<(), Miss> {
        if !self.is_claimed(old, before)? {
            row.member = None;
            row.state = CopyState::Gone(Absence::MovedOut);
            if row.projection.kind == NodeKind::Folder && before.is_some_and(Copy::is_there) {
                self.effects
                    .emptied
                    .push((row.repository, row.node.clone()));
            }
            self.leave_unlocked(set, side, before, row)?;
        }
        if let Some(sibling) = &old.sibling {
            self.make_sibling(set, sibling.state.clone(), None);
        }
        let source = self.copy_of(set, old, side.other())?;
        let Some(source) = source.filter(|copy| copy.member == Some(old.id)) else {
            return self.end(set, old.clone());
        };
        self.close_conflict(set, &mut old.clone(), None)?;
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut member = Member::new(id, set.id, old.kind, false);
        *member.nodes.get_mut(side.other()) = Some(source.node.clone());
        let mut renamed = source.clone();
        renamed.member = Some(id);
        self.move_versions(old, &renamed, side.other());
        self.put_copy_and_wake(Some(&source), renamed, set)?;
        self.uncount_removal(set, old);
        for side in Side::BOTH {
            self.wake(set, side, Obstacle::Folder(old.id))?;
        }
        self.view.remove_member(set, old.id);
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// R-LCK-1: what was made or changed locked lies there for nobody, so it is unlocked.
    pub(super) fn leave_unlocked(
        &mut self,
        set: &SyncSet,
        side: Side,
        before: Option<&Copy>,
        mut row: Copy,
    ) -> Result<(), Miss> {
        if !row.locked || side == Side::Cloud {
            return self.put_copy_and_wake(before, row, set);
        }
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut member = Member::new(id, set.id, row.projection.kind, false);
        member.nodes.on_premise = Some(row.node.clone());
        row.member = Some(id);
        self.new_version(&row, id, side);
        self.put_copy_and_wake(before, row, set)?;
        self.view.put_member(set, member.clone());
        self.end_or_release(set, member)
    }

    /// The content that the old id named is named by the new one.
    fn move_versions(&mut self, old: &Member, source: &Copy, side: Side) {
        for of in Side::BOTH {
            self.effects.versions.push(VersionChange {
                member: old.id,
                side: of,
                repository: source.repository,
                content: None,
            });
        }
        if let Some(id) = source.member.filter(|_| source.is_there()) {
            self.new_version(source, id, side);
        }
    }
}
