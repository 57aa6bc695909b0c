//! The coordinator's rows in memory: answers what the engine needs, and takes what it changed, atomically.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tandem_server::domain::conflict::Conflict;
use tandem_server::domain::copy::{Copy, CopyState};
use tandem_server::domain::delivery::Delivery;
use tandem_server::domain::engine::{self, Context, Effects, Input, Note, Walk};
use tandem_server::domain::ids::{
    BatchId, Digest, MemberId, NodeId, RepositoryId, ScanId, SyncSetId,
};
use tandem_server::domain::journal::Entry;
use tandem_server::domain::member::Member;
use tandem_server::domain::projection::Side;
use tandem_server::domain::repository::Repository;
use tandem_server::domain::session::Remembered;
use tandem_server::domain::stay::Stay;
use tandem_server::domain::sync_set::SyncSet;
use tandem_server::domain::view::{CopyKey, Loaded, Need};

use super::random::Random;

/// Loading and running again more often than this would be a loop of the engine.
const RUNS_MAX: usize = 200;

/// A scan of a synced root that is under way or done.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The repository.
    pub repository: RepositoryId,
    /// The folder that is listed.
    pub root: NodeId,
    /// It came to its end.
    pub done: bool,
    /// A new generation asked for it: absence is no deletion (R-AGT-4).
    pub anew: bool,
    /// Held, but not listed so far.
    pub suspects: BTreeSet<NodeId>,
}

/// All rows.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Repositories.
    pub repositories: BTreeMap<RepositoryId, Repository>,
    /// What is remembered of their sessions.
    pub remembered: BTreeMap<RepositoryId, Remembered>,
    /// Answers to batches.
    pub answers: BTreeMap<(RepositoryId, i64), (BatchId, Vec<Note>)>,
    /// Nodes.
    pub copies: BTreeMap<CopyKey, Copy>,
    /// Members.
    pub members: BTreeMap<MemberId, Member>,
    /// Sets.
    pub sets: BTreeMap<SyncSetId, SyncSet>,
    /// Sets that are gone, for what was still on its way when they went (R-UNS-1).
    pub late: BTreeMap<SyncSetId, SyncSet>,
    /// Since when members are due.
    pub due: BTreeMap<MemberId, u64>,
    /// Walks that are not finished, each with the last node it has seen.
    pub walks: VecDeque<(Walk, NodeId)>,
    /// Scans.
    pub scans: BTreeMap<ScanId, Scan>,
    /// Repositories with a new generation: the last member that was settled; none while they are still listed.
    pub generations: BTreeMap<RepositoryId, Option<MemberId>>,
    /// Nodes that a new generation asks for by id before all counts as listed.
    pub doubted: BTreeSet<CopyKey>,
    /// Nodes that are made again when all is listed, unless they are seen before.
    pub lost: BTreeSet<CopyKey>,
    /// Synced folders that are to be listed again.
    pub list_again: BTreeSet<CopyKey>,
    /// Nodes to be observed afresh.
    pub observe: BTreeSet<CopyKey>,
    /// Conflicts in the order of their finding.
    pub conflicts: Vec<Conflict>,
    /// Content that copies of members have now.
    pub versions: BTreeMap<(MemberId, Side), Digest>,
    /// Content that lost a conflict; whatever else no copy has any more is collected at once.
    pub losers: BTreeSet<(MemberId, Side, Digest)>,
    /// What stays on the cloud of sets that ended.
    pub stays: Vec<Stay>,
    /// The journal.
    pub journal: Vec<Entry>,
    clock: u64,
}

impl Store {
    /// Runs inputs to their end and takes what follows.
    ///
    /// # Errors
    /// The engine asks again and again, or refuses an input.
    pub fn execute(
        &mut self,
        context: &Context,
        inputs: &[Input],
        random: &mut Random,
    ) -> Result<Effects, String> {
        let mut loaded = self.empty();
        for _ in 0..RUNS_MAX {
            let effects = engine::run(&loaded, context, inputs, &mut || random.id());
            if effects.changes.needs.is_empty() {
                if let Some((_, refusal)) = effects.refused.first() {
                    return Err(format!("refused: {refusal}"));
                }
                self.take(&effects);
                return Ok(effects);
            }
            for need in &effects.changes.needs {
                self.load(&mut loaded, need);
            }
        }
        Err("the engine never has enough rows".to_owned())
    }

    /// What is due for members on a side.
    ///
    /// # Errors
    /// The engine asks again and again.
    pub fn deliveries(&self, side: Side, members: &[MemberId]) -> Result<Vec<Delivery>, String> {
        let mut loaded = self.empty();
        for _ in 0..RUNS_MAX {
            let (deliveries, needs) = engine::deliveries(&loaded, side, members);
            if needs.is_empty() {
                return Ok(deliveries);
            }
            for need in &needs {
                self.load(&mut loaded, need);
            }
        }
        Err("putting deliveries together never has enough rows".to_owned())
    }

    fn empty(&self) -> Loaded {
        Loaded {
            repositories: self.repositories.clone(),
            ..Loaded::default()
        }
    }

    fn load(&self, loaded: &mut Loaded, need: &Need) {
        match need {
            Need::Copy(key) => {
                loaded
                    .copies
                    .insert(key.clone(), self.copies.get(key).cloned());
            }
            Need::Member(id) => {
                loaded.members.insert(*id, self.members.get(id).cloned());
            }
            Need::Set(id) => {
                let set = self.sets.get(id).or_else(|| self.late.get(id));
                loaded.sets.insert(*id, set.cloned());
            }
            Need::Holders(key) => {
                let (repository, folder, name) = key;
                let nodes = self.in_folder(*repository, folder);
                let nodes = nodes.filter(|copy| copy.name_key == *name);
                loaded
                    .holders
                    .insert(key.clone(), nodes.map(|copy| copy.node.clone()).collect());
            }
            Need::Children(key) => {
                let nodes = self.in_folder(key.0, &key.1);
                loaded
                    .children
                    .insert(key.clone(), nodes.map(|copy| copy.node.clone()).collect());
            }
            Need::Waiting(key) => {
                let waiting = self.members.values().filter(|member| {
                    member.blocked.as_ref().is_some_and(|(side, obstacle)| {
                        let set = self.sets.get(&member.set);
                        *obstacle == key.1
                            && set.is_some_and(|set| *set.repositories.get(*side) == key.0)
                    })
                });
                loaded
                    .waiting
                    .insert(key.clone(), waiting.map(|member| member.id).collect());
            }
            Need::Ancestors(key) => self.load_ancestors(loaded, key),
        }
    }

    fn load_ancestors(&self, loaded: &mut Loaded, key: &CopyKey) {
        let mut at = key.clone();
        loop {
            let copy = self.copies.get(&at).cloned();
            let next = copy.as_ref().map(|copy| (key.0, copy.parent.clone()));
            if loaded.copies.insert(at, copy).is_some() {
                return;
            }
            let Some(next) = next else { return };
            at = next;
        }
    }

    /// Nodes that are held in a folder.
    pub fn in_folder<'a>(
        &'a self,
        repository: RepositoryId,
        folder: &'a NodeId,
    ) -> impl Iterator<Item = &'a Copy> {
        let all = self
            .copies
            .range((repository, NodeId::default())..)
            .take_while(move |(key, _)| key.0 == repository)
            .map(|(_, copy)| copy);
        all.filter(move |copy| copy.parent == *folder && copy.is_there())
    }

    fn take(&mut self, effects: &Effects) {
        for (key, copy) in &effects.changes.copies {
            match copy {
                Some(copy) => self.copies.insert(key.clone(), copy.clone()),
                None => self.copies.remove(key),
            };
        }
        for (id, set) in &effects.changes.sets {
            self.sets.insert(*id, set.clone());
        }
        for (id, member) in &effects.changes.members {
            self.take_member(*id, member.as_ref());
        }
        for version in &effects.versions {
            let key = (version.member, version.side);
            match version.content {
                Some(content) => self.versions.insert(key, content.digest),
                None => self.versions.remove(&key),
            };
        }
        self.losers.extend(effects.losers.iter().copied());
        let walks = effects.walks.iter().cloned();
        self.walks
            .extend(walks.map(|walk| (walk, NodeId::default())));
        self.observe.extend(effects.observe.iter().cloned());
        self.list_again.extend(effects.scans.iter().cloned());
        self.take_lost(effects);
        self.take_conflicts(effects);
        self.journal.extend(effects.journal.iter().cloned());
        self.stays.extend(effects.stays.iter().cloned());
    }

    fn take_conflicts(&mut self, effects: &Effects) {
        for found in &effects.conflicts {
            match self.conflicts.iter_mut().find(|known| known.id == found.id) {
                Some(known) => {
                    let at = known.at;
                    *known = found.clone();
                    known.at = at;
                }
                None => self.conflicts.push(found.clone()),
            }
        }
        for (id, winner) in &effects.closed {
            if let Some(known) = self.conflicts.iter_mut().find(|known| known.id == *id) {
                (known.open, known.winner) = (false, *winner);
            }
        }
    }

    fn take_lost(&mut self, effects: &Effects) {
        self.lost.extend(effects.lost.iter().cloned());
        for folder in &effects.emptied {
            self.lost.extend(self.held_below(folder));
        }
        for folder in &effects.doubted {
            let held = self.held_below(folder);
            self.observe.extend(held.iter().cloned());
            self.doubted.extend(held);
        }
        for key in &effects.found {
            self.lost.remove(key);
            self.doubted.remove(key);
            self.observe.remove(key);
            for scan in self
                .scans
                .values_mut()
                .filter(|scan| scan.repository == key.0)
            {
                scan.suspects.remove(&key.1);
            }
        }
        // A root that is known to be absent cannot be listed.
        for scan in self.scans.values_mut().filter(|scan| scan.anew) {
            scan.done |= effects.lost.contains(&(scan.repository, scan.root.clone()));
        }
    }

    fn held_below(&self, folder: &CopyKey) -> Vec<CopyKey> {
        let held = self.in_folder(folder.0, &folder.1);
        let held = held.filter(|copy| matches!(copy.state, CopyState::Live | CopyState::Left));
        held.map(|copy| (folder.0, copy.node.clone())).collect()
    }

    fn take_member(&mut self, id: MemberId, member: Option<&Member>) {
        let Some(member) = member else {
            self.members.remove(&id);
            self.due.remove(&id);
            return;
        };
        let before = self.members.insert(id, member.clone());
        let side = |due: tandem_server::domain::member::Due| due.side;
        let before = before.and_then(|member| member.due).map(side);
        let now = member.due.map(side);
        if now.is_none() {
            self.due.remove(&id);
        } else if now != before {
            self.clock += 1;
            self.due.insert(id, self.clock);
        }
    }
}
