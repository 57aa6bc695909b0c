//! The guard against mass deletion: what it counts, and what a scan tells of a synced root (R-DEL-3).

use super::super::copy::Copy;
use super::super::ids::{NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Lane, Member, Obstacle};
use super::super::projection::Side;
use super::super::report::ScanPage;
use super::super::sync_set::{Gate, SyncSet};
use super::super::view::{CopyKey, Miss};
use super::Engine;

impl Engine<'_> {
    pub(super) fn count_removal(&mut self, set: &SyncSet, deletions: i64) {
        if let Ok(Some(mut set)) = self.view.set(set.id) {
            set.guard.count(deletions, self.context.now);
            self.touched_sets.insert(set.id);
            self.view.put_set(set);
        }
    }

    /// What is seen again is released by itself.
    pub(super) fn uncount_removal(&mut self, set: &SyncSet, member: &Member) {
        if removes(member) {
            self.count_removal(set, -1);
        }
    }

    /// A page tells that a synced root in which nodes are held is empty. In a new generation that proves nothing, and
    /// nothing is deleted for it either (R-AGT-4).
    pub(super) fn listed_empty(
        &mut self,
        repository: RepositoryId,
        page: &ScanPage,
    ) -> Result<(), Miss> {
        let whole = page.after.0.is_empty() && page.through.0.is_empty();
        let empty = page.readable && whole && page.children.is_empty();
        if !empty || self.context.rescanning.contains(&repository) {
            return Ok(());
        }
        let key = (repository, page.folder.clone());
        let Some(set) = self.set_of_root(&key)? else {
            return Ok(());
        };
        // What came together with the page is no suspect: nobody looks at it again, and it may be younger than the page.
        if !self.view.old_children(&key)?.is_empty() {
            self.note_emptied(set, repository);
        }
        Ok(())
    }

    /// An agent tells that a copy is missing, and that its own scan found the synced root gone or empty.
    pub(super) fn missed_by_scan(
        &mut self,
        repository: RepositoryId,
        known: Option<&Copy>,
    ) -> Result<(), Miss> {
        let Some(member) = known.and_then(|copy| copy.member) else {
            return Ok(());
        };
        let Some(member) = self.view.member(member)? else {
            return Ok(());
        };
        if let Some(set) = self.view.set(member.set)? {
            self.note_emptied(set, repository);
        }
        Ok(())
    }

    /// From now on what is removed because of what is missing on this side is held, however little it is.
    fn note_emptied(&mut self, mut set: SyncSet, repository: RepositoryId) {
        set.guard.emptied = self.view.side(repository);
        self.touched_sets.insert(set.id);
        self.view.put_set(set);
    }

    /// Something was seen in a folder: if that is a root which a scan had found empty, it is so no more. What is held
    /// already stays held, for a root may come back piece by piece.
    pub(super) fn note_filled(
        &mut self,
        set: &SyncSet,
        repository: RepositoryId,
        folder: &NodeId,
    ) -> Result<(), Miss> {
        let emptied = set.guard.emptied.is_some();
        let emptied = emptied && set.guard.emptied == self.view.side(repository);
        if !emptied || set.guard.gate == Gate::Held {
            return Ok(());
        }
        let root = self.set_of_root(&(repository, folder.clone()))?;
        if let Some(mut root) = root.filter(|root| root.id == set.id) {
            root.guard.emptied = None;
            self.view.put_set(root);
        }
        Ok(())
    }

    /// The set whose synced folder this is.
    fn set_of_root(&mut self, key: &CopyKey) -> Result<Option<SyncSet>, Miss> {
        let Some(member) = self.view.copy(key)?.and_then(|copy| copy.member) else {
            return Ok(None);
        };
        match self.view.member(member)?.filter(|member| member.direct) {
            Some(member) => self.view.set(member.set),
            None => Ok(None),
        }
    }

    /// Decides again whether the removals of a set flow, and tells when they no longer do.
    pub(super) fn decide_gate(&mut self, mut set: SyncSet) {
        let was = set.guard.gate;
        set.guard.decide(set.counters.members, &set.options);
        if set.guard.gate == Gate::Held && was != Gate::Held {
            self.effects.journal.push(Entry {
                kind: JournalKind::Held,
                set: Some(set.id),
                member: None,
                side: set.guard.emptied,
                actor: String::new(),
                node_name: String::new(),
                message: why_held(&set),
            });
        }
        self.view.put_set(set);
    }
}

fn why_held(set: &SyncSet) -> String {
    let why = match set.guard.emptied {
        Some(Side::OnPremise) => "the synced folder was found gone or empty on-premise".to_owned(),
        Some(Side::Cloud) => "the synced folder was found gone or empty on the cloud".to_owned(),
        None => format!("more than {} % of the set", set.options.max_delete_percent),
    };
    format!(
        "{} deletions are held: {why}; confirm or refuse them",
        set.guard.due
    )
}

/// Whether a removal that the guard counts is due or waiting: one that nobody chose.
pub(super) fn removes(member: &Member) -> bool {
    let due = member.due.is_some_and(|due| due.lane == Lane::Removal);
    let waiting = matches!(&member.blocked, Some((_, Obstacle::Folder(on))) if *on == member.id);
    let chosen = member.choice.is_some() || member.deleting.is_some();
    due || waiting && !chosen && !member.clearing
}
