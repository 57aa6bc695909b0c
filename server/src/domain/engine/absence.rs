//! A node is not there any more, and with a folder all that it held (R-AGT-5, R-MOV-3).

use super::super::copy::{Absence, Copy, CopyState};
use super::super::ids::NodeId;
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Member, PeerChoice};
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side};
use super::super::sync_set::SyncSet;
use super::super::view::{CopyKey, Miss};
use super::{Engine, Walk, WalkProgress};

impl Engine<'_> {
    pub(super) fn absent(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        absence: Absence,
        choice: Option<PeerChoice>,
    ) -> Result<bool, Miss> {
        let Some(copy) = known else { return Ok(false) };
        if copy.state == CopyState::Gone(absence) {
            return Ok(false);
        }
        let Some(member) = copy.member else {
            return self.forget(key, copy);
        };
        let Some(member) = self.view.member(member)? else {
            return self.forget(key, copy);
        };
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        if member.nodes.get(side).as_ref() != Some(&copy.node) {
            return self.forget(key, copy);
        }
        // R-MOV-1: wherever a chosen node is moved, the pairing holds.
        if member.direct && absence == Absence::MovedOut {
            return Ok(false);
        }
        self.vanish(copy, member, absence, choice)
    }

    /// A node that is no member is gone: nothing depends on it but its name.
    pub(super) fn forget(&mut self, key: &CopyKey, copy: Copy) -> Result<bool, Miss> {
        self.view.remove_copy(key);
        let name = super::super::member::Obstacle::Name(copy.parent.clone(), copy.name_key.clone());
        for member in self.view.waiting(&(copy.repository, name))? {
            self.touch(member);
        }
        if let Some(folder) = self.parent_member(&copy)? {
            self.touch(folder);
        }
        if copy.projection.kind == NodeKind::Folder && copy.is_there() {
            self.forget_below(key)?;
        }
        Ok(true)
    }

    /// R-AGT-5: the absence of a folder that is no member stands for what it held, too: folders that are remembered
    /// because of it, and synced folders that somebody had moved there, which have a fate of their own.
    fn forget_below(&mut self, folder: &CopyKey) -> Result<(), Miss> {
        for child in self.view.children(folder)? {
            let key = (folder.0, child);
            match self.view.copy(&key)? {
                Some(copy) if copy.member.is_some() => self.effects.observe.push(key),
                Some(copy) if copy.projection.kind == NodeKind::Folder => {
                    self.forget(&key, copy)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn moved_out(&mut self, copy: Copy, member: &Member) -> Result<bool, Miss> {
        self.vanish(copy, member.clone(), Absence::MovedOut, None)
    }

    fn vanish(
        &mut self,
        copy: Copy,
        mut member: Member,
        absence: Absence,
        choice: Option<PeerChoice>,
    ) -> Result<bool, Miss> {
        let Some(set) = self.view.set(member.set)? else {
            return Ok(false);
        };
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        let was_there = copy.is_there();
        let mut gone = copy.clone();
        gone.state = CopyState::Gone(absence);
        self.put_copy_and_wake(Some(&copy), gone, &set)?;
        if copy.projection.kind == NodeKind::Folder
            && was_there
            && !planted("gone-folder-not-walked")
        {
            self.walk_below(&copy, &set, absence, choice)?;
        }
        self.journal(Entry {
            kind: JournalKind::Observed,
            set: Some(set.id),
            member: Some(member.id),
            side: Some(side),
            actor: copy.actor.clone(),
            node_name: copy.projection.name.clone(),
            message: match absence {
                Absence::Deleted => "deleted".to_owned(),
                Absence::MovedOut => "moved out".to_owned(),
            },
        });
        // What the other side's deletion chose stays in force.
        let chosen = member
            .deleting
            .filter(|(on, _)| *on == side)
            .map(|(_, choice)| choice);
        member.choice = choice.or(chosen).or(member.choice);
        member.deleting = member.deleting.filter(|(on, _)| *on != side);
        let id = member.id;
        self.view.put_member(&set, member);
        self.touch(id);
        Ok(true)
    }

    /// Begins to look at all that a folder holds; until that is done removals are not delivered (R-DEL-3).
    pub(super) fn walk_below(
        &mut self,
        folder: &Copy,
        set: &SyncSet,
        absence: Absence,
        choice: Option<PeerChoice>,
    ) -> Result<(), Miss> {
        let Some(mut set) = self.view.set(set.id)? else {
            return Ok(());
        };
        self.effects.walks.push(Walk {
            repository: folder.repository,
            folder: folder.node.clone(),
            set: set.id,
            absence,
            choice,
        });
        set.guard.counting += 1;
        self.touched_sets.insert(set.id);
        self.view.put_set(set);
        Ok(())
    }

    /// A step over what a folder held that is gone, was unlinked, or changed its set.
    pub(super) fn walk(&mut self, walk: &Walk, nodes: &[NodeId], progress: WalkProgress) {
        for node in nodes {
            // A miss is noted in the view; the run is repeated with the row loaded.
            let _ = self.walk_node(walk, node);
        }
        if progress == WalkProgress::Done
            && let Ok(Some(mut set)) = self.view.set(walk.set)
        {
            set.guard.counting = (set.guard.counting - 1).max(0);
            self.touched_sets.insert(set.id);
            self.view.put_set(set);
        }
    }

    fn walk_node(&mut self, walk: &Walk, node: &NodeId) -> Result<bool, Miss> {
        let key = (walk.repository, node.clone());
        let Some(copy) = self.view.copy(&key)? else {
            return Ok(false);
        };
        if !copy.is_there() || copy.parent != walk.folder {
            return Ok(false);
        }
        let member = match copy.member {
            Some(member) => self.view.member(member)?,
            None => None,
        };
        if member.is_some_and(|member| member.direct) {
            // R-MOV-1: a synced folder inside another one has a fate of its own.
            self.effects.observe.push(key);
            return Ok(false);
        }
        let folder = self.view.copy(&(walk.repository, walk.folder.clone()))?;
        match folder.map(|folder| folder.state) {
            Some(CopyState::Gone(_)) | None => {
                self.absent(&key, Some(copy), walk.absence, walk.choice)
            }
            // It came back meanwhile, or now belongs to another set: what it holds is looked at afresh.
            Some(CopyState::Live) => {
                self.effects.observe.push(key);
                Ok(false)
            }
            // It was unlinked, and with it what it holds.
            Some(CopyState::Left | CopyState::Skipped(_)) => {
                copy.member
                    .into_iter()
                    .for_each(|member| self.touch(member));
                Ok(false)
            }
        }
    }
}
