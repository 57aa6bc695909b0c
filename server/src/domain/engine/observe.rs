//! A node was seen: what is known of its copy changes (R-PRJ-4, R-PRJ-5).

use super::super::copy::{Absence, Copy, CopyState, SkipReason};
use super::super::ids::{MemberId, NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Member, Obstacle};
use super::super::planted::planted;
use super::super::projection::{NodeKind, Side};
use super::super::report::{NodeTrait, Observation, Presence, Seen};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::leaving::is_over;
use super::unfit::{describe_unfit, unfit};
use super::{Engine, NoteKind, VersionChange};

/// Where an observed node lies, seen from the sets.
pub(super) enum Place {
    /// In a folder of this member.
    Inside(Box<Member>, Box<SyncSet>),
    /// In a folder that is no member.
    Outside,
    /// In a folder that is not known, or known to be gone.
    Unknown,
}

impl Engine<'_> {
    /// Takes an observation; says whether it changed anything beside the revision.
    pub(super) fn observe(
        &mut self,
        repository: RepositoryId,
        observation: &Observation,
        at: (usize, usize),
    ) -> Result<bool, Miss> {
        let key = (repository, observation.node.clone());
        let known = self.view.copy(&key)?;
        if self.rescans(repository) && matches!(observation.seen, Seen::Present(_)) {
            self.find(key.clone());
        }
        match &observation.seen {
            // What somebody chose explicitly is a deletion even now.
            Seen::Absent { choice: None, .. }
                if self.rescans(repository) && !planted("absence-in-a-generation-deletes") =>
            {
                self.lose(key, known.as_ref());
                Ok(false)
            }
            Seen::Absent {
                absence,
                choice,
                root_emptied,
            } => {
                if *root_emptied {
                    self.missed_by_scan(repository, known.as_ref())?;
                }
                self.absent(&key, known, *absence, *choice)
            }
            Seen::Present(presence) => {
                let changed = match known {
                    Some(copy) if copy.member.is_some() => self.seen_again(copy, presence, at),
                    other => self.seen_new(&key, other, presence, at),
                }?;
                self.note_unfit(&key, presence, at)?;
                Ok(changed)
            }
        }
    }

    pub(super) fn place(
        &mut self,
        repository: RepositoryId,
        parent: &NodeId,
    ) -> Result<Place, Miss> {
        let Some(folder) = self.view.copy(&(repository, parent.clone()))? else {
            return Ok(Place::Unknown);
        };
        match (folder.state, folder.member) {
            (CopyState::Gone(_), _) => Ok(Place::Unknown),
            (CopyState::Live, Some(member)) => self.place_in(member),
            _ => Ok(Place::Outside),
        }
    }

    fn place_in(&mut self, member: MemberId) -> Result<Place, Miss> {
        let Some(member) = self.view.member(member)? else {
            return Ok(Place::Outside);
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(Place::Outside);
        };
        if set.ending {
            return Ok(Place::Outside);
        }
        Ok(Place::Inside(Box::new(member), Box::new(set)))
    }

    /// R-MEM-1: why a node in a synced folder is no member.
    pub(super) fn skip_reason(
        set: &SyncSet,
        kind: NodeKind,
        node_trait: NodeTrait,
    ) -> Option<SkipReason> {
        match node_trait {
            NodeTrait::WorkingCopy if planted("working-copy-enters") => None,
            NodeTrait::WorkingCopy => Some(SkipReason::WorkingCopy),
            NodeTrait::SmartFolder => Some(SkipReason::SmartFolder),
            NodeTrait::Link => Some(SkipReason::Link),
            NodeTrait::Special => Some(SkipReason::Special),
            NodeTrait::IllegalName => Some(SkipReason::IllegalName),
            NodeTrait::Ordinary
            | NodeTrait::Record
            | NodeTrait::OutsideLibrary
            | NodeTrait::TooLarge => (kind == NodeKind::Folder
                && !set.options.include_subfolders
                && !planted("subfolders-always-enter"))
            .then_some(SkipReason::Subfolder),
        }
    }

    /// A copy of a member was seen.
    fn seen_again(
        &mut self,
        copy: Copy,
        presence: &Presence,
        at: (usize, usize),
    ) -> Result<bool, Miss> {
        let Some(member) = copy.member else {
            return Ok(false);
        };
        let Some(mut member) = self.view.member(member)? else {
            // Its membership ended while it was gone.
            let key = (copy.repository, copy.node.clone());
            let known = Copy {
                member: None,
                ..copy
            };
            return self.seen_new(&key, Some(known), presence, at);
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(false);
        };
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        if is_over(&set, &member) {
            return self.seen_of_ended(copy, member, &set, presence);
        }
        match member.nodes.get(side) {
            Some(node) if *node == copy.node => {}
            // A new one was asked for, and now the old one is there again: the pairing resumes (SPEC §7).
            None => {
                *member.nodes.get_mut(side) = Some(copy.node.clone());
                self.view.put_member(&set, member.clone());
                self.touch(member.id);
            }
            Some(_)
                if self.rescans(copy.repository)
                    && member.former.get(side).contains(&copy.node) =>
            {
                self.take_back(&copy, &mut member, &set, at)?;
            }
            Some(_) => {
                let key = (copy.repository, copy.node.clone());
                return self.seen_new(&key, Some(copy), presence, at);
            }
        }
        self.agree_on_lost_deletion(&mut member, &set, side, &copy)?;
        if !member.direct {
            match self.place(copy.repository, &presence.parent)? {
                Place::Inside(_, target) if target.id == set.id => {}
                Place::Inside(..) if self.follows(&copy, &member, presence)? => {}
                Place::Inside(_, target) => {
                    return self.moved_between(copy, &member, presence, &target, at);
                }
                Place::Outside if self.rescans(copy.repository) => {
                    self.lose((copy.repository, copy.node.clone()), Some(&copy));
                    return Ok(false);
                }
                Place::Outside => return self.moved_out(copy, &member),
                Place::Unknown => {
                    self.note(at, NoteKind::UnknownParent);
                    return Ok(false);
                }
            }
        }
        let skipped = Self::skip_reason(&set, presence.projection.kind, presence.node_trait);
        if let Some(reason) = skipped.filter(|_| !member.direct) {
            self.note(at, NoteKind::NotSynced(reason.text()));
            return self.moved_out(copy, &member);
        }
        self.update(copy, member, &set, presence)
    }

    /// R-MOV-4: it lies where it lay, and its peer was moved into the set that its member has now: it will follow.
    fn follows(&mut self, copy: &Copy, member: &Member, presence: &Presence) -> Result<bool, Miss> {
        if copy.state != CopyState::Live
            || copy.parent != presence.parent
            || planted("peer-moves-back")
        {
            return Ok(false);
        }
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        let Some(set) = self.view.set(member.set)? else {
            return Ok(false);
        };
        match self.copy_of(&set, member, side.other())? {
            Some(peer) if peer.state == CopyState::Live => {
                Ok(self.set_around(member, &peer)?.is_none())
            }
            _ => Ok(false),
        }
    }

    /// A deletion that lost against a change was agreed on as absence. Its node is there again, so nothing was deleted:
    /// what it was when it went is agreed on, and the change goes on to it as any other.
    fn agree_on_lost_deletion(
        &mut self,
        member: &mut Member,
        set: &SyncSet,
        side: Side,
        copy: &Copy,
    ) -> Result<(), Miss> {
        let went = matches!(copy.state, CopyState::Gone(_)) && member.base.is_none();
        if !went || planted("returned-node-has-no-base") {
            return Ok(());
        }
        let other = self.copy_of(set, member, side.other())?;
        if other.is_some_and(|other| other.state == CopyState::Live) {
            member.base = Some(self.state_of(member, copy)?);
        }
        Ok(())
    }

    /// Takes the observed state into the row; an echo changes the revision only (R-PRJ-5).
    pub(super) fn update(
        &mut self,
        copy: Copy,
        member: Member,
        set: &SyncSet,
        presence: &Presence,
    ) -> Result<bool, Miss> {
        self.note_filled(set, copy.repository, &presence.parent)?;
        let side = self.view.side(copy.repository).unwrap_or(Side::OnPremise);
        let same = copy.state == CopyState::Live
            && copy.parent == presence.parent
            && copy.projection == presence.projection
            && copy.unfit == unfit(presence.node_trait);
        let mut now = self.row(copy.repository, &copy.node, set, side, presence);
        now.member = copy.member;
        let echo = copy.revision == now.revision || planted("echo-keeps-old-revision");
        let as_before = copy.locked == now.locked && copy.edited == now.edited;
        if same && as_before && echo {
            return Ok(false);
        }
        self.put_copy_and_wake(Some(&copy), now.clone(), set)?;
        if same {
            self.decide_anew(&copy, &now, member.id);
            return Ok(false);
        }
        if now.projection.kind == NodeKind::Folder
            && copy.state == CopyState::Gone(Absence::MovedOut)
        {
            self.list_again(set, side, &now.parent)?;
        }
        if copy.parent != now.parent && now.projection.kind == NodeKind::Folder {
            self.moved_folders.push((now.repository, now.node.clone()));
        }
        self.version_of(&copy, &now, member.id, side);
        self.keep_unseen(&copy, &now, set, &member)?;
        self.journal(Entry {
            kind: JournalKind::Observed,
            set: Some(set.id),
            member: Some(member.id),
            side: Some(side),
            actor: presence.actor.clone(),
            node_name: now.projection.name.clone(),
            message: describe_change(&copy, &now),
        });
        let id = member.id;
        let mut member = member;
        self.forgive_former_state(&mut member, &copy, &now)?;
        self.note_answer(&mut member, side);
        self.forget_choice(member, set, (side, now.parent));
        self.touch(id);
        Ok(true)
    }

    /// A seen node is not deleted any more: what was chosen about it is void. What its repository once made of a delivery
    /// is somebody's change from now on. One that was only to be cleared away,
    /// because its membership ended before it was made, stays when somebody changes it.
    fn forget_choice(&mut self, mut member: Member, set: &SyncSet, (side, home): (Side, NodeId)) {
        let cleared = member.base.is_none() && member.nodes.get(side.other()).is_none();
        if cleared {
            member.deleting = None;
        }
        member.made.take_if(|on| *on == side);
        if member.direct && side == Side::OnPremise {
            member.home = Some(home);
        }
        member.choice = None;
        member.restlessness.stale = 0;
        self.view.put_member(set, member);
    }

    /// Work that names the older revision is decided anew, so that it does not stay stale for ever; so is what waits for
    /// an online edit, or has to wait for one from now on.
    fn decide_anew(&mut self, before: &Copy, now: &Copy, member: MemberId) {
        let edited = before.edited != now.edited && !planted("edit-wakes-nobody");
        if before.revision != now.revision || before.locked != now.locked || edited {
            self.touch(member);
        }
    }

    /// The row of a node that was seen.
    pub(super) fn row(
        &self,
        repository: RepositoryId,
        node: &NodeId,
        set: &SyncSet,
        side: Side,
        presence: &Presence,
    ) -> Copy {
        Copy {
            repository,
            node: node.clone(),
            member: None,
            state: CopyState::Live,
            parent: presence.parent.clone(),
            name_key: self.name_rule(set, side).key(&presence.projection.name),
            revision: presence.revision.clone(),
            projection: presence.projection.clone(),
            locked: presence.locked,
            edited: presence.edited,
            actor: presence.actor.clone(),
            unfit: unfit(presence.node_trait),
            past: Vec::new(),
        }
    }

    /// Notes the content of a copy when it is another than before.
    pub(super) fn version_of(&mut self, before: &Copy, now: &Copy, member: MemberId, side: Side) {
        let content = |copy: &Copy| copy.projection.content.map(|content| content.digest);
        if content(before) != content(now) && !planted("version-unnoted") {
            self.effects.versions.push(VersionChange {
                member,
                side,
                repository: now.repository,
                content: now.projection.content,
            });
        }
    }

    /// R-CON-4: bytes that a conflict is about are kept, also when an edit, a delivery or a deletion replaces them, or
    /// their node is lost, before it is decided.
    fn keep_disputed(&mut self, before: &Copy, now: &Copy, side: Side) -> Result<(), Miss> {
        let (Some(member), Some(content)) = (before.member, before.projection.content) else {
            return Ok(());
        };
        let goes_on = now.is_there()
            && now.member == before.member
            && now.projection.content == Some(content);
        if goes_on || planted("disputed-content-expires") {
            return Ok(());
        }
        let member = self.view.member(member)?;
        if let Some(member) = member.filter(|member| member.open.is_some()) {
            self.effects.losers.push((member.id, side, content.digest));
        }
        Ok(())
    }

    /// R-AGT-4: a change that is found while all is listed anew may have been made on an older state, by somebody who never
    /// saw what it is going to replace on the other side: that is kept like the loser of a conflict.
    pub(super) fn keep_unseen(
        &mut self,
        before: &Copy,
        now: &Copy,
        set: &SyncSet,
        member: &Member,
    ) -> Result<(), Miss> {
        let changed = before.projection.content != now.projection.content;
        if !changed || !self.rescans(now.repository) {
            return Ok(());
        }
        let side = self.view.side(now.repository).unwrap_or(Side::OnPremise);
        let other = self
            .copy_of(set, member, side.other())?
            .filter(Copy::is_there);
        let content = other.and_then(|other| other.projection.content);
        if let Some(content) = content.filter(|content| Some(*content) != now.projection.content) {
            let replaced = (member.id, side.other(), content.digest);
            self.effects.losers.push(replaced);
        }
        Ok(())
    }

    /// Changes a row, and looks again at whoever waited for the name or folder that it leaves.
    pub(super) fn put_copy_and_wake(
        &mut self,
        before: Option<&Copy>,
        mut now: Copy,
        set: &SyncSet,
    ) -> Result<(), Miss> {
        let side = self.view.side(now.repository).unwrap_or(Side::OnPremise);
        if let Some(before) = before {
            now.follows(before);
            self.keep_disputed(before, &now, side)?;
        }
        self.note_outside(&now, set);
        let left = before.filter(|before| {
            before.is_there()
                && (!now.is_there()
                    || before.parent != now.parent
                    || before.name_key != now.name_key)
        });
        let arrived = now.is_there()
            && before.is_none_or(|before| !before.is_there() || before.parent != now.parent);
        let folder = now
            .member
            .filter(|_| now.projection.kind == NodeKind::Folder);
        self.view.put_copy(now);
        if let Some(before) = left {
            self.wake(
                set,
                side,
                Obstacle::Name(before.parent.clone(), before.name_key.clone()),
            )?;
            if let Some(old_parent) = self.parent_member(before)? {
                self.wake(set, side, Obstacle::Folder(old_parent))?;
                self.touch_if_removing(old_parent)?;
            }
        }
        let arrived = arrived && !planted("made-folder-wakes-nobody");
        if let Some(folder) = folder.filter(|_| arrived || left.is_some()) {
            self.wake(set, side, Obstacle::Folder(folder))?;
        }
        Ok(())
    }

    /// A folder whose removal waited until it is empty is looked at again.
    pub(super) fn touch_if_removing(&mut self, folder: MemberId) -> Result<(), Miss> {
        let waits = self.view.member(folder)?.is_some_and(
            |member| matches!(&member.blocked, Some((_, Obstacle::Folder(on))) if *on == folder),
        );
        if waits {
            self.touch(folder);
        }
        Ok(())
    }

    /// Settles again whoever waits for this.
    pub(super) fn wake(
        &mut self,
        set: &SyncSet,
        side: Side,
        obstacle: Obstacle,
    ) -> Result<(), Miss> {
        let sleeps = planted("freed-name-wakes-nobody") && matches!(obstacle, Obstacle::Name(..));
        for member in self
            .view
            .waiting(&(*set.repositories.get(side), obstacle))?
        {
            if sleeps {
                continue;
            }
            self.touch(member);
        }
        Ok(())
    }
}

/// What people read in the journal.
fn describe_change(before: &Copy, now: &Copy) -> String {
    let (old, new) = (&before.projection, &now.projection);
    let mut parts = Vec::new();
    if !matches!(before.state, CopyState::Live) {
        parts.push("is there again".to_owned());
    }
    if old.name != new.name {
        parts.push(format!("renamed from {}", old.name));
    }
    if before.parent != now.parent {
        parts.push("moved".to_owned());
    }
    if old.content != new.content {
        parts.push("content changed".to_owned());
    }
    if old.properties != new.properties {
        parts.push("properties changed".to_owned());
    }
    parts.extend(describe_unfit(before.unfit, now.unfit));
    parts.join(", ")
}
