//! Applies what agents report and people ask, and decides what becomes due.
//!
//! First every input changes what is known; then each member that was touched is settled once: decided by the table
//! of [`reconcile`](super::reconcile), and its work gated by names, folders and the guard. Nothing here waits, reads a
//! clock or draws a number.

mod absence;
mod applied;
mod aside;
mod clash;
mod clearing;
mod conflict;
mod deliver;
mod editing;
mod ending;
mod entry;
mod failed;
mod gate;
mod generation;
mod guard;
mod late;
mod leaving;
mod observe;
mod orphan;
mod outcome;
mod request;
mod settle;
mod sibling;
mod situation;
mod unfit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use super::conflict::Conflict;
use super::copy::Absence;
use super::ids::{ConflictId, Digest, MemberId, NodeId, RepositoryId, SyncSetId};
use super::journal::{Entry, JournalKind};
use super::member::PeerChoice;
use super::member::{Member, MemberState};
use super::planted::planted;
use super::projection::{ContentRef, Side};
use super::report::Item;
use super::stay::Stay;
use super::sync_set::{Counters, SetKind, SyncSet};
use super::view::{Changes, CopyKey, Loaded, View};

pub use deliver::deliveries;
pub use ending::{REMOVED, ended_node, set_node};
pub use request::{Ending, Request};

/// What a run depends on beside the rows.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The time of the transaction, in microseconds since 1970; for people and waits, never for order.
    pub now: i64,
    /// Repositories that are scanned because a new generation began: absence is no deletion there, equal unpaired
    /// nodes are paired, and nothing is decided yet (R-AGT-4).
    pub rescanning: BTreeSet<RepositoryId>,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A batch of one repository's agent.
    Batch(RepositoryId, Vec<Item>),
    /// A step of a walk over what a gone folder held.
    Walk(Walk, Vec<NodeId>, WalkProgress),
    /// Nodes that were not found when all roots were listed in a new generation.
    MissingInGeneration(RepositoryId, Vec<NodeId>),
    /// Something that a person asked for.
    Request(Request),
}

/// A walk over the content of a folder that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The repository.
    pub repository: RepositoryId,
    /// The folder.
    pub folder: NodeId,
    /// The set whose guard counts.
    pub set: SyncSetId,
    /// What became of the folder, and so of what was in it.
    pub absence: Absence,
    /// The explicit choice that came with it.
    pub choice: Option<PeerChoice>,
}

/// Whether a walk has more steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkProgress {
    /// More children follow.
    More,
    /// These were the last.
    Done,
}

/// A remark on an item of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The item, from 0.
    pub item: usize,
    /// The child of a scan page, from 0.
    pub child: usize,
    /// What it is.
    pub kind: NoteKind,
}

/// What is remarked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// Report the parents first, then this node again (R-REC-7).
    UnknownParent,
    /// It is not synced, for this reason.
    NotSynced(&'static str),
    /// It is a member that fails, for this reason (R-AGT-3).
    NodeFailed(&'static str),
}

/// A batch that is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It leaves a folder inside itself.
    #[error("the batch leaves folder {0} inside itself; report the tree as it is")]
    Cycle(NodeId),
}

/// Content that a member has, as a version (ARCHITECTURE, table `version`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionChange {
    /// The member.
    pub member: MemberId,
    /// The side of the copy.
    pub side: Side,
    /// The repository of the copy.
    pub repository: RepositoryId,
    /// The content from now on; `None` = none any more.
    pub content: Option<ContentRef>,
}

/// Everything that a run leads to.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows that change.
    pub changes: Changes,
    /// Entries of the journal, in order.
    pub journal: Vec<Entry>,
    /// Conflicts that were found; of one that is open, how it is now.
    pub conflicts: Vec<Conflict>,
    /// Open conflicts that are over, with the side whose state holds.
    pub closed: Vec<(ConflictId, Option<Side>)>,
    /// Content of copies that changed.
    pub versions: Vec<VersionChange>,
    /// Content that lost a conflict, and is kept.
    pub losers: Vec<(MemberId, Side, Digest)>,
    /// Content that a repository received: from, to, digest.
    pub shared: Vec<(RepositoryId, RepositoryId, Digest)>,
    /// Walks to be begun.
    pub walks: Vec<Walk>,
    /// Nodes that are to be observed afresh.
    pub observe: Vec<CopyKey>,
    /// Synced folders that are to be listed again.
    pub scans: Vec<CopyKey>,
    /// Nodes that are made again unless they are seen until all is listed (R-AGT-4).
    pub lost: BTreeSet<CopyKey>,
    /// Folders whose content, as far as it is held, is lost in the same way.
    pub emptied: Vec<CopyKey>,
    /// Folders whose content, as far as it is still held there, is to be asked for by id before all counts as listed.
    pub doubted: Vec<CopyKey>,
    /// Nodes that are not lost: they were seen, or another node stands in for them.
    pub found: BTreeSet<CopyKey>,
    /// Synced folders that were just made, to be scanned: something may lie in them before their agent watches them.
    pub new_roots: Vec<CopyKey>,
    /// Sets that ended with their synced folder: what members they still have end one by one.
    pub ended: BTreeSet<SyncSetId>,
    /// What stays on the cloud although its set removes the cloud copy.
    pub stays: Vec<Stay>,
    /// Remarks on the items of each input.
    pub notes: Vec<Vec<Note>>,
    /// Inputs that are refused whole; then nothing of this run may be used.
    pub refused: Vec<(usize, Refusal)>,
}

impl Effects {
    /// Whether something follows that is done in steps.
    #[must_use]
    pub fn leave_steps(&self) -> bool {
        let empty = self.walks.is_empty() && self.lost.is_empty() && self.emptied.is_empty();
        !empty || !self.ended.is_empty()
    }
}

/// Runs inputs on loaded rows.
///
/// When the answer's `changes.needs` is not empty, load those and run again. When `refused` is not empty, run again
/// without those inputs. `new_id` must give a different random id with every call.
pub fn run(
    loaded: &Loaded,
    context: &Context,
    inputs: &[Input],
    new_id: &mut dyn FnMut() -> Uuid,
) -> Effects {
    let mut engine = Engine::new(loaded, context, new_id);
    for (index, input) in inputs.iter().enumerate() {
        engine.take(index, input);
    }
    engine.settle_all();
    engine.finish()
}

struct Engine<'a> {
    view: View<'a>,
    context: &'a Context,
    new_id: &'a mut dyn FnMut() -> Uuid,
    pending: VecDeque<MemberId>,
    touched: BTreeSet<MemberId>,
    rounds: BTreeMap<MemberId, u32>,
    moved_folders: Vec<CopyKey>,
    /// Documents that are about to leave a paused set.
    last_pulls: BTreeSet<MemberId>,
    touched_sets: BTreeSet<SyncSetId>,
    entries: BTreeMap<MemberId, usize>,
    effects: Effects,
}

/// A member is settled at most so often in one run; more would be a loop of ours.
const SETTLE_ROUNDS_MAX: u32 = 64;

impl<'a> Engine<'a> {
    fn new(loaded: &'a Loaded, context: &'a Context, new_id: &'a mut dyn FnMut() -> Uuid) -> Self {
        Self {
            view: View::new(loaded),
            context,
            new_id,
            pending: VecDeque::new(),
            touched: BTreeSet::new(),
            rounds: BTreeMap::new(),
            moved_folders: Vec::new(),
            last_pulls: BTreeSet::new(),
            touched_sets: BTreeSet::new(),
            entries: BTreeMap::new(),
            effects: Effects::default(),
        }
    }

    fn take(&mut self, index: usize, input: &Input) {
        self.effects.notes.push(Vec::new());
        match input {
            Input::Batch(repository, items) => {
                for (item_index, item) in items.iter().enumerate() {
                    self.take_item(*repository, item_index, item);
                }
                self.refuse_cycles(index);
            }
            Input::Walk(walk, nodes, progress) => self.walk(walk, nodes, *progress),
            Input::MissingInGeneration(repository, nodes) => {
                for node in nodes {
                    // A miss is noted in the view; the run is repeated with the row loaded.
                    let _ = self.make_again(*repository, node);
                }
            }
            Input::Request(request) => {
                let _ = self.request(request);
            }
        }
    }

    fn take_item(&mut self, repository: RepositoryId, index: usize, item: &Item) {
        // A miss is noted in the view; the run is repeated with the row loaded.
        let _ = match item {
            Item::Observed(observation) => self
                .observe(repository, observation, (index, 0))
                .map(|_| ()),
            Item::Outcome {
                member,
                version,
                answer,
            } => self.outcome(repository, (*member, *version), answer, (index, 0)),
            Item::ScanPage(page) => {
                for (child, observation) in page.children.iter().enumerate() {
                    let _ = self.observe(repository, observation, (index, child));
                }
                self.listed_empty(repository, page)
            }
            Item::ScanEnd(..) => Ok(()),
            Item::CauseChanged(member) => self.retry(*member),
        };
    }

    /// R-AGT-3: a batch that leaves a cycle in that side's tree is refused whole.
    fn refuse_cycles(&mut self, index: usize) {
        for key in std::mem::take(&mut self.moved_folders) {
            let Ok(above) = self.view.ancestors(&key) else {
                continue;
            };
            if above.last().is_some_and(|top| top.parent == key.1) {
                self.effects.refused.push((index, Refusal::Cycle(key.1)));
            }
        }
    }

    fn note(&mut self, at: (usize, usize), kind: NoteKind) {
        if let Some(notes) = self.effects.notes.last_mut() {
            notes.push(Note {
                item: at.0,
                child: at.1,
                kind,
            });
        }
    }

    fn touch(&mut self, member: MemberId) {
        if self.touched.insert(member) {
            self.pending.push_back(member);
        }
    }

    fn settle_all(&mut self) {
        while let Some(member) = self.pending.pop_front() {
            self.touched.remove(&member);
            let rounds = self.rounds.entry(member).or_default();
            *rounds += 1;
            if *rounds <= SETTLE_ROUNDS_MAX {
                // A miss is noted in the view; the run is repeated with the row loaded.
                let _ = self.settle(member);
            }
        }
    }

    /// One entry for each member and run: the weightiest.
    fn journal(&mut self, entry: Entry) {
        let weight = |kind: JournalKind| match kind {
            JournalKind::Failed => 4,
            JournalKind::Left => 3,
            JournalKind::Entered => 2,
            JournalKind::Applied => 1,
            _ => 0,
        };
        let Some(member) = entry.member.filter(|_| entry.kind != JournalKind::Conflict) else {
            self.effects.journal.push(entry);
            return;
        };
        if let Some(at) = self.entries.get(&member) {
            let known = &mut self.effects.journal[*at];
            if weight(entry.kind) >= weight(known.kind) {
                *known = entry;
            }
        } else {
            self.entries.insert(member, self.effects.journal.len());
            self.effects.journal.push(entry);
        }
    }

    fn finish(mut self) -> Effects {
        let deltas = self.count_members();
        let sets: BTreeSet<SyncSetId> = deltas
            .keys()
            .copied()
            .chain(self.touched_sets.iter().copied())
            .collect();
        for id in sets {
            let Ok(Some(mut set)) = self.view.set(id) else {
                continue;
            };
            if let Some(delta) = deltas.get(&id) {
                delta.add_to(&mut set);
                // R-SET-1: it goes with its last member.
                set.ending |= set.kind == SetKind::Documents && set.counters.members == 0;
            }
            self.decide_gate(set);
        }
        self.effects.changes = self.view.finish();
        self.effects
    }

    fn count_members(&self) -> BTreeMap<SyncSetId, Tally> {
        let mut deltas: BTreeMap<SyncSetId, Tally> = BTreeMap::new();
        for (id, now) in self.view.changed_members() {
            if let Some(before) = self.view.member_before(*id) {
                deltas.entry(before.set).or_default().count(before, -1);
            }
            if let Some(now) = now {
                deltas.entry(now.set).or_default().count(now, 1);
            }
        }
        deltas
    }
}

/// By how much the counts of a set change.
#[derive(Debug, Default)]
struct Tally {
    counters: Counters,
    removals: i64,
}

impl Tally {
    fn count(&mut self, member: &Member, sign: i64) {
        let counters = &mut self.counters;
        counters.members += sign;
        counters.pending += sign * i64::from(member.state == MemberState::Pending);
        counters.failed += sign * i64::from(matches!(member.state, MemberState::Failed(_)));
        counters.failed *= i64::from(!planted("failures-uncounted"));
        let base = member.base.as_ref();
        let content = base.and_then(|base| base.projection.content);
        counters.bytes += sign * content.map_or(0, |content| content.size);
        self.removals += sign * i64::from(guard::removes(member));
    }

    fn add_to(&self, set: &mut SyncSet) {
        set.counters.members += self.counters.members;
        set.counters.pending += self.counters.pending;
        set.counters.failed += self.counters.failed;
        set.counters.bytes += self.counters.bytes;
        set.guard.due += self.removals;
    }
}
