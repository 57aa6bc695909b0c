//! Nodes that become members, and those that move between sets (R-MEM-1, R-MEM-2, R-MOV-4).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::copy::{Absence, Copy, CopyState, SkipReason};
use super::super::ids::{MemberId, NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::Member;
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side, State};
use super::super::report::Presence;
use super::super::sync_set::SyncSet;
use super::super::view::{CopyKey, Miss};
use super::observe::Place;
use super::{Engine, NoteKind, VersionChange};

impl Engine<'_> {
    /// A node that is no member was seen.
    pub(super) fn seen_new(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        presence: &Presence,
        at: (usize, usize),
    ) -> Result<bool, Miss> {
        let (parent, set) = match self.place(key.0, &presence.parent)? {
            Place::Inside(parent, set) => (*parent, *set),
            Place::Outside => {
                self.note(at, NoteKind::NotSynced("its folder is not synced"));
                if known.is_none()
                    && let Some(set) = self.clearing_set(key.0, &presence.parent)?
                {
                    return self
                        .list_newcomer(&set, key.0, &key.1, presence)
                        .map(|()| false);
                }
                return self.remember_outside(key, known, presence).map(|()| false);
            }
            Place::Unknown => {
                self.note(at, NoteKind::UnknownParent);
                return Ok(false);
            }
        };
        if self.stays_left(known.as_ref(), presence, key.0) {
            self.note(
                at,
                NoteKind::NotSynced("it was unlinked in this folder; request a sync"),
            );
            return self
                .remember_left(key, known, presence, &set)
                .map(|()| false);
        }
        let kind = presence.projection.kind;
        if let Some(reason) = Self::skip_reason(&set, kind, presence.node_trait) {
            self.note(at, NoteKind::NotSynced(reason.text()));
            return self
                .skip(key, known, presence, &set, reason)
                .map(|()| false);
        }
        if let Some((marked, own)) = self.marked_member(presence.mark, &set, key.0)? {
            return self.link(key, marked, presence, &own);
        }
        if let Some(found) = self
            .by_place(key, &parent, presence, &set)?
            .filter(|_| known.is_none())
        {
            return self.stand_in(key, found, presence, &set);
        }
        if let Some(peer) = self.adoptable(key.0, &parent, presence, &set)? {
            return self.link(key, peer, presence, &set);
        }
        self.enter(key, known, presence, &set)
    }

    /// R-MEM-4, R-DEL-4: what was unlinked where it lies stays so; what a restored repository lists again too.
    fn stays_left(
        &self,
        known: Option<&Copy>,
        presence: &Presence,
        repository: RepositoryId,
    ) -> bool {
        known.is_some_and(|copy| match copy.state {
            CopyState::Left => copy.parent == presence.parent && !planted("left-node-enters"),
            CopyState::Gone(_) => {
                self.context.rescanning.contains(&repository) && !planted("gone-node-enters")
            }
            CopyState::Live | CopyState::Skipped(_) => false,
        })
    }

    fn remember_left(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<(), Miss> {
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        let mut row = self.row(key.0, &key.1, set, side, presence);
        row.state = CopyState::Left;
        self.put_copy_and_wake(known.as_ref(), row, set)
    }

    /// A folder below an unlinked or skipped one is remembered as such, so that what lies in it is known to be
    /// outside too, however deep. What was remembered and went to where nothing is, is so no more.
    fn remember_outside(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        presence: &Presence,
    ) -> Result<(), Miss> {
        let folder = self.view.copy(&(key.0, presence.parent.clone()))?;
        let state = folder.map(|folder| folder.state);
        let Some(state @ (CopyState::Left | CopyState::Skipped(_))) = state else {
            let went = |known: &Copy| known.is_there() && known.parent != presence.parent;
            return match known.filter(went) {
                Some(known) => self.forget(key, known).map(|_| ()),
                None => Ok(()),
            };
        };
        let Some(repository) = self.view.repository(key.0) else {
            return Ok(());
        };
        if presence.projection.kind == NodeKind::Folder {
            self.view.put_copy(Copy {
                repository: key.0,
                node: key.1.clone(),
                member: None,
                state,
                parent: presence.parent.clone(),
                name_key: repository.name_rule.key(&presence.projection.name),
                revision: presence.revision.clone(),
                projection: presence.projection.clone(),
                locked: presence.locked,
                edited: presence.edited,
                actor: presence.actor.clone(),
                unfit: None,
                past: Vec::new(),
            });
        }
        Ok(())
    }

    /// A folder enters, with all that it holds: what was unlinked inside it before is so no more (R-MEM-4). Says whether
    /// anything was that is there: nobody reports it by itself.
    pub(super) fn forget_left_below(&mut self, folder: &CopyKey) -> Result<bool, Miss> {
        let mut any = false;
        for child in self.view.children(folder)? {
            let key = (folder.0, child);
            let copy = self.view.copy(&key)?;
            if let Some(copy) = copy.filter(|copy| copy.member.is_none()) {
                any |= copy.is_there();
                self.view.remove_copy(&key);
            }
        }
        Ok(any)
    }

    fn skip(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        presence: &Presence,
        set: &SyncSet,
        reason: SkipReason,
    ) -> Result<(), Miss> {
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        let mut row = self.row(key.0, &key.1, set, side, presence);
        row.state = CopyState::Skipped(reason);
        self.put_copy_and_wake(known.as_ref(), row, set)
    }

    /// R-AGT-6: the member for which the agent made the node, and its set; a mark that does not fit any more does not
    /// count. R-MOV-4: a chosen node keeps its own set, also where it was moved into this one.
    /// R-CPY-1: a mark that a copy of a synced node took along does not count either; a copy is a new node.
    fn marked_member(
        &mut self,
        mark: Option<MemberId>,
        set: &SyncSet,
        repository: RepositoryId,
    ) -> Result<Option<(Member, SyncSet)>, Miss> {
        let Some(mark) = mark.filter(|_| !planted("mark-ignored")) else {
            return Ok(None);
        };
        let Some(member) = self.view.member(mark)? else {
            return Ok(None);
        };
        let own = match member.set == set.id || !member.direct {
            true => Some(set.clone()),
            false => self.view.set(member.set)?,
        };
        let side = self.view.side(repository).unwrap_or(Side::OnPremise);
        let own = own.filter(|own| {
            member.set == own.id
                && member.nodes.get(side).is_none()
                && *own.repositories.get(side) == repository
        });
        Ok(own.map(|own| (member, own)))
    }

    /// R-AGT-4: in a new generation an equal unpaired node at the same place on the other side is its peer.
    fn adoptable(
        &mut self,
        repository: RepositoryId,
        parent: &Member,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<Option<Member>, Miss> {
        match self.waits_for_listing(set) {
            true => self.equal_peer(repository, parent, presence, set),
            false => Ok(None),
        }
    }

    /// The member of an equal node at the same place on the other side, which has no copy here.
    pub(super) fn equal_peer(
        &mut self,
        repository: RepositoryId,
        parent: &Member,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<Option<Member>, Miss> {
        let side = self.view.side(repository).unwrap_or(Side::OnPremise);
        let Some(folder) = parent.nodes.get(side.other()).clone() else {
            return Ok(None);
        };
        let other = *set.repositories.get(side.other());
        let name = self
            .name_rule(set, side.other())
            .key(&presence.projection.name);
        for node in self.view.holders(&(other, folder, name))? {
            let Some(copy) = self.view.copy(&(other, node))? else {
                continue;
            };
            let Some(member) = copy.member else { continue };
            let Some(member) = self.view.member(member)? else {
                continue;
            };
            let (theirs, ours) = (&copy.projection, &presence.projection);
            let equal = theirs.kind == ours.kind && theirs.content == ours.content;
            if equal && member.nodes.get(side).is_none() && !planted("nothing-adopted") {
                return Ok(Some(member));
            }
        }
        Ok(None)
    }

    /// The node is the missing copy of this member.
    pub(super) fn link(
        &mut self,
        key: &CopyKey,
        mut member: Member,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<bool, Miss> {
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        *member.nodes.get_mut(side) = Some(key.1.clone());
        member.sibling = None;
        let mut row = self.row(key.0, &key.1, set, side, presence);
        row.member = Some(member.id);
        if presence.mark == Some(member.id) {
            member.base = self.base_of_made(set, &member, &row, side)?;
            self.keep_forgotten(set, &member, &row, side)?;
        }
        self.new_version(&row, member.id, side);
        self.put_copy_and_wake(None, row, set)?;
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(true)
    }

    /// A node that the agent made was seen before the outcome that tells what was delivered (R-AGT-6). What the
    /// receiver made of it is never a side of a conflict: properties that only it has were added by a rule there and
    /// flow back (R-PRJ-5); for anything else the source has moved on, and its state holds.
    fn base_of_made(
        &mut self,
        set: &SyncSet,
        member: &Member,
        made: &Copy,
        side: Side,
    ) -> Result<Option<State>, Miss> {
        let Some(source) = self.copy_of(set, member, side.other())? else {
            return Ok(None);
        };
        let result = self.state_of(member, made)?;
        let source = self.state_of(member, &source)?;
        let mut stripped = (*result.projection).clone();
        let given = &source.projection.properties;
        stripped
            .properties
            .retain(|name, _| given.contains_key(name));
        let stripped = State {
            projection: Arc::new(stripped),
            parent: result.parent,
        };
        let only_added = self.comparison(set).equal(&stripped, &source);
        Ok(Some(if only_added { source } else { result }))
    }

    /// R-AGT-4: a restored coordinator does not know what it delivered once. A node that is found with other content than
    /// its peer was perhaps edited since: what its peer is going to replace is kept like the loser of a conflict.
    fn keep_forgotten(
        &mut self,
        set: &SyncSet,
        member: &Member,
        made: &Copy,
        side: Side,
    ) -> Result<(), Miss> {
        let source = self.copy_of(set, member, side.other())?;
        let newer = source.and_then(|source| source.projection.content);
        if let Some(content) = made.projection.content
            && newer != Some(content)
            && self.rescans(made.repository)
            && !planted("forgotten-content-unkept")
        {
            self.effects.losers.push((member.id, side, content.digest));
        }
        Ok(())
    }

    /// R-MEM-2: the node becomes an INDIRECT member.
    fn enter(
        &mut self,
        key: &CopyKey,
        known: Option<Copy>,
        presence: &Presence,
        set: &SyncSet,
    ) -> Result<bool, Miss> {
        self.note_filled(set, key.0, &presence.parent)?;
        let side = self.view.side(key.0).unwrap_or(Side::OnPremise);
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut member = Member::new(id, set.id, presence.projection.kind, false);
        *member.nodes.get_mut(side) = Some(key.1.clone());
        if presence.projection.kind == NodeKind::Folder {
            let forgotten = self.forget_left_below(key)?;
            let hidden = |copy: &Copy| copy.state != CopyState::Gone(Absence::Deleted);
            if forgotten || known.as_ref().is_some_and(hidden) {
                self.list_again(set, side, &presence.parent)?;
            }
        }
        let mut row = self.row(key.0, &key.1, set, side, presence);
        row.member = Some(id);
        self.new_version(&row, id, side);
        self.journal(Entry {
            kind: JournalKind::Entered,
            set: Some(set.id),
            member: Some(id),
            side: Some(side),
            actor: presence.actor.clone(),
            node_name: row.projection.name.clone(),
            message: match row.projection.kind {
                NodeKind::Folder => "new folder".to_owned(),
                NodeKind::Document => "new document".to_owned(),
            },
        });
        self.put_copy_and_wake(known.as_ref(), row, set)?;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(true)
    }

    /// What lies in a folder that was not synced where it was is not reported by itself when the folder enters: nothing
    /// in it changed. So the synced folder around it is listed again: that is one of another set where a folder above was
    /// moved between sets on the other side, and still lies where it was on this one.
    pub(super) fn list_again(
        &mut self,
        set: &SyncSet,
        side: Side,
        folder: &NodeId,
    ) -> Result<(), Miss> {
        let repository = *set.repositories.get(side);
        let node = match self.chosen_around(repository, folder)? {
            Some(node) => Some(node),
            None => {
                let root = self.view.member(set.root)?;
                root.and_then(|root| root.nodes.get(side).clone())
            }
        };
        let keys = node.map(|node| (repository, node));
        self.effects.scans.extend(keys);
        Ok(())
    }

    /// The synced folder in which a folder lies, or which it is.
    fn chosen_around(
        &mut self,
        repository: RepositoryId,
        folder: &NodeId,
    ) -> Result<Option<NodeId>, Miss> {
        let mut at = folder.clone();
        let mut passed = BTreeSet::new();
        while passed.insert(at.clone()) {
            let Some(copy) = self.view.copy(&(repository, at))? else {
                break;
            };
            let member = match copy.member {
                Some(member) => self.view.member(member)?,
                None => None,
            };
            if member.is_some_and(|member| member.direct) {
                return Ok(Some(copy.node));
            }
            at = copy.parent;
        }
        Ok(None)
    }

    pub(super) fn new_version(&mut self, row: &Copy, member: MemberId, side: Side) {
        if row.projection.content.is_some() {
            self.effects.versions.push(VersionChange {
                member,
                side,
                repository: row.repository,
                content: row.projection.content,
            });
        }
    }

    /// R-MOV-4: moved into a folder of another set. With the same repositories its peer follows as a move; else it
    /// leaves here and enters there.
    pub(super) fn moved_between(
        &mut self,
        copy: Copy,
        member: &Member,
        presence: &Presence,
        target: &SyncSet,
        at: (usize, usize),
    ) -> Result<bool, Miss> {
        let Some(source) = self.view.set(member.set)? else {
            return Ok(false);
        };
        let skipped = Self::skip_reason(target, member.kind, presence.node_trait).is_some();
        if source.repositories != target.repositories || skipped {
            let key = (copy.repository, copy.node.clone());
            self.moved_out(copy, member)?;
            let known = self.view.copy(&key)?;
            return self.seen_new(&key, known, presence, at);
        }
        self.uncount_removal(&source, member);
        let mut member = member.clone();
        self.unblock(&mut member);
        self.view.remove_member(&source, member.id);
        member.set = target.id;
        self.view.put_member(target, member.clone());
        self.touch(member.id);
        if Self::is_folder(&member) {
            self.walk_below(&copy, target, copy_absence(&copy), None)?;
        }
        let target = self.view.set(target.id)?.unwrap_or_else(|| target.clone());
        self.update(copy, member, &target, presence)
    }
}

/// What a walk below a folder says of its content if the folder is not there any more.
fn copy_absence(copy: &Copy) -> Absence {
    match copy.state {
        CopyState::Gone(absence) => absence,
        CopyState::Live | CopyState::Left | CopyState::Skipped(_) => Absence::MovedOut,
    }
}
