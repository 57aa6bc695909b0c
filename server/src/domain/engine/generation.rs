//! A new generation: repository, agent or coordinator went back in time, or forgot (R-AGT-4, R-AGT-10).
//!
//! While the roots are listed anew nothing is decided, because half of what is held may not be true any more. Nodes
//! that lost their ids are found again by place and kind; if the old id turns up after all, both are put right. What
//! is not there when all is listed and asked for is lost, never deleted, and is made again. Then every member is settled.

use super::super::copy::{Absence, Copy, CopyState};
use super::super::ids::{NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::Member;
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side};
use super::super::report::Presence;
use super::super::sync_set::SyncSet;
use super::super::view::{CopyKey, Miss};
use super::Engine;
use super::unfit::trait_of;

impl Engine<'_> {
    /// Whether the roots of a repository are being listed anew.
    pub(super) fn rescans(&self, repository: RepositoryId) -> bool {
        self.context.rescanning.contains(&repository)
    }

    /// Whether a set has to wait with decisions until a side of it is listed anew.
    pub(super) fn waits_for_listing(&self, set: &SyncSet) -> bool {
        let mut repositories = Side::BOTH.iter().map(|side| set.repositories.get(*side));
        repositories.any(|repository| self.rescans(*repository))
    }

    /// Absence is no deletion: unless it is seen until all is listed, the node is made again. Of a root that is known to
    /// be gone it is noted too, since nothing can be listed below it.
    pub(super) fn lose(&mut self, key: CopyKey, known: Option<&Copy>) {
        if known.is_some() {
            self.effects.found.remove(&key);
            self.effects.lost.insert(key);
        }
    }

    /// It is there: the last word of a run about a node holds.
    pub(super) fn find(&mut self, key: CopyKey) {
        self.effects.lost.remove(&key);
        self.effects.found.insert(key);
    }

    /// R-AGT-10: the member whose copy was held under this name, by an id that the repository may have lost.
    pub(super) fn by_place(
        &mut self,
        key: &CopyKey,
        parent: &Member,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<Option<(Member, Copy)>, Miss> {
        if !self.rescans(key.0) {
            return Ok(None);
        }
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        let name = self.name_rule(set, side).key(&presence.projection.name);
        let former = parent.former.get(side).iter().cloned();
        for folder in former.chain([presence.parent.clone()]) {
            for node in self.view.holders(&(key.0, folder, name.clone()))? {
                let Some(copy) = self.view.copy(&(key.0, node))? else {
                    continue;
                };
                let Some(member) = copy.member.filter(|_| copy.node != key.1) else {
                    continue;
                };
                let Some(member) = self.view.member(member)? else {
                    continue;
                };
                let held = member.nodes.get(side).as_ref() == Some(&copy.node);
                let alike = copy.projection.kind == presence.projection.kind;
                if held && alike && !member.direct && member.set == set.id {
                    return Ok(Some((member, copy)));
                }
            }
        }
        Ok(None)
    }

    /// From now on the node is the copy of this member, in the place of the one whose id was lost.
    pub(super) fn stand_in(
        &mut self,
        key: &CopyKey,
        (mut member, lost): (Member, Copy),
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<bool, Miss> {
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        let mut row = self.row(key.0, &key.1, set, side, presence);
        row.member = Some(member.id);
        row.follows(&lost);
        let mut gone = lost.clone();
        gone.state = CopyState::Gone(Absence::Deleted);
        self.put_copy_and_wake(Some(&lost), gone, set)?;
        self.put_copy_and_wake(None, row.clone(), set)?;
        *member.nodes.get_mut(side) = Some(key.1.clone());
        member.former.get_mut(side).push(lost.node.clone());
        self.forgive_former_state(&mut member, &lost, &row)?;
        self.version_of(&lost, &row, member.id, side);
        self.keep_unseen(&lost, &row, set, &member)?;
        let old = (key.0, lost.node.clone());
        if row.projection.kind == NodeKind::Folder {
            self.moved_folders.push(key.clone());
            self.effects.doubted.push(old.clone());
        }
        self.find(old);
        if lost.projection != row.projection {
            self.journal_found(
                set,
                &member,
                &row,
                side,
                "changed, and found again by place",
            );
        }
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(true)
    }

    /// The old id is there after all, so what stood in for it is a node of its own.
    pub(super) fn take_back(
        &mut self,
        copy: &Copy,
        member: &mut Member,
        set: &SyncSet,
        at: (usize, usize),
    ) -> Result<(), Miss> {
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        let stand_in = member.nodes.get_mut(side).replace(copy.node.clone());
        member
            .former
            .get_mut(side)
            .retain(|node| *node != copy.node);
        self.new_version(copy, member.id, side);
        self.view.put_member(set, member.clone());
        self.touch(member.id);
        let Some(node) = stand_in else { return Ok(()) };
        let key = (copy.repository, node);
        let Some(other) = self.view.copy(&key)?.filter(Copy::is_there) else {
            return Ok(());
        };
        self.view.remove_copy(&key);
        self.seen_new(&key, None, &presence_of(other), at)
            .map(|_| ())
    }

    /// R-AGT-4: a state that the copy had before is no change of its side; what the other one has holds.
    pub(super) fn forgive_former_state(
        &mut self,
        member: &mut Member,
        before: &Copy,
        now: &Copy,
    ) -> Result<(), Miss> {
        if !self.rescans(now.repository) || member.base.is_none() || before.past.is_empty() {
            return Ok(());
        }
        let side = self.view.side(now.repository).unwrap_or(Side::OnPremise);
        let mut folders = vec![now.parent.clone()];
        if let Some(parent) = self.parent_member(now)?
            && let Some(parent) = self.view.member(parent)?
        {
            folders.extend(parent.former.get(side).iter().cloned());
        }
        let known = |folder: &NodeId| before.looked_so(&now.projection, folder);
        if folders.iter().any(known) {
            member.base = Some(self.state_of(member, now)?);
        }
        Ok(())
    }

    /// All is listed and the node was not found: it was lost, with all that it held, and is made again.
    pub(super) fn make_again(
        &mut self,
        repository: RepositoryId,
        node: &NodeId,
    ) -> Result<(), Miss> {
        let key = (repository, node.clone());
        let Some(copy) = self.view.copy(&key)?.filter(Copy::is_there) else {
            return Ok(());
        };
        if planted("lost-node-stays-lost") {
            return Ok(());
        }
        if copy.projection.kind == NodeKind::Folder {
            self.effects.doubted.push(key.clone());
        }
        let Some(mut member) = (match copy.member {
            Some(member) => self.view.member(member)?,
            None => None,
        }) else {
            return self.forget(&key, copy).map(|_| ());
        };
        let side = self.view.side(repository).unwrap_or(Side::OnPremise);
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        if member.nodes.get(side).as_ref() != Some(node) {
            return self.forget(&key, copy).map(|_| ());
        }
        self.journal_found(&set, &member, &copy, side, "lost, so it is made again");
        let mut gone = copy.clone();
        gone.state = CopyState::Gone(Absence::Deleted);
        self.put_copy_and_wake(Some(&copy), gone, &set)?;
        *member.nodes.get_mut(side) = None;
        member.choice = None;
        let id = member.id;
        self.view.put_member(&set, member);
        self.touch(id);
        Ok(())
    }

    fn journal_found(
        &mut self,
        set: &SyncSet,
        member: &Member,
        copy: &Copy,
        side: Side,
        message: &str,
    ) {
        self.journal(Entry {
            kind: JournalKind::Observed,
            set: Some(set.id),
            member: Some(member.id),
            side: Some(side),
            actor: String::new(),
            node_name: copy.projection.name.clone(),
            message: message.to_owned(),
        });
    }
}

/// A node as it was seen, from its row.
fn presence_of(copy: Copy) -> Presence {
    Presence {
        parent: copy.parent,
        revision: copy.revision,
        projection: copy.projection,
        mark: None,
        node_trait: trait_of(copy.unfit),
        locked: copy.locked,
        edited: copy.edited,
        actor: copy.actor,
    }
}
