//! An agent: a durable index and outbox beside a repository, and a memory that a crash takes away.

mod handshake;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tandem_server::domain::delivery::{Action, Delivery};
use tandem_server::domain::engine::{Note, NoteKind};
use tandem_server::domain::ids::{BatchId, Epoch, Generation, MemberId, NodeId, ScanId};
use tandem_server::domain::planted::planted;
use tandem_server::domain::projection::NodeKind;
use tandem_server::domain::report::{Answer, Item, Observation, ScanOutcome, ScanPage, Seen};
use tandem_server::domain::session::ResumeKey;

use super::apply::{applied, look};
use super::link::{Batch, Down, Link, Root, Up};
use super::random::Random;
use super::repository::{Repository, Trace};

/// Batches that may be unanswered.
const UNANSWERED_MAX: usize = 3;
/// Children on a page of a scan.
const PAGE_CHILDREN_MAX: usize = 3;

/// What was last reported of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reported {
    parent: NodeId,
    revision: u64,
}

/// A scan that is under way.
#[derive(Debug, Clone)]
struct Listing {
    scan: ScanId,
    root: NodeId,
    folders: VecDeque<NodeId>,
    after: NodeId,
}

/// What survives a crash.
#[derive(Debug, Clone, Default)]
pub struct Durable {
    /// Names the index; another one after it was lost (R-AGT-10).
    index_number: u64,
    key: Option<ResumeKey>,
    generation: Generation,
    answered: (i64, Option<BatchId>),
    roots: BTreeSet<NodeId>,
    /// Documents that are watched, and that it told nothing of since.
    unheard: BTreeSet<NodeId>,
    /// Roots that it made itself, until the coordinator names them.
    made_roots: BTreeSet<NodeId>,
    index: BTreeMap<NodeId, Reported>,
    items: VecDeque<Item>,
    batches: VecDeque<Batch>,
    ended_scans: BTreeSet<ScanId>,
    /// Nodes that deliveries made, so that a repeat never makes what somebody deleted since.
    made: BTreeMap<(MemberId, i64), NodeId>,
}

/// What a crash takes away.
#[derive(Debug, Clone, Default)]
struct Memory {
    epoch: Option<Epoch>,
    sent: usize,
    dirty: BTreeSet<NodeId>,
    asked: BTreeSet<NodeId>,
    deliveries: VecDeque<Delivery>,
    listings: VecDeque<Listing>,
    /// Found missing after a crash, in a synced folder that was found gone or empty.
    emptied: BTreeSet<NodeId>,
}

/// How much of what waits goes into a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BatchSize {
    /// As much as chance says.
    #[default]
    Any,
    /// One item.
    One,
    /// All that can be told, once nothing else can be done.
    All,
}

/// The agent of one repository.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// It tells a move out of the synced folders from a deletion.
    pub tells_move_out: bool,
    /// What goes into a batch.
    pub batches: BatchSize,
    durable: Durable,
    memory: Memory,
}

impl Agent {
    /// The user's change of a node was noticed.
    pub fn notice(&mut self, node: NodeId) {
        self.memory.dirty.insert(node);
    }

    /// Loses its memory, and finds out what happened by comparing the repository with its index.
    pub fn crash(&mut self, repository: &mut Repository, link: &mut Link) {
        link.cut();
        self.memory = Memory::default();
        if planted("agent-outbox-lost-in-a-crash") {
            self.durable.items.clear();
        }
        let unreported: Vec<(NodeId, Trace)> = repository
            .nodes
            .iter()
            .filter_map(|(id, node)| node.unreported.clone().map(|trace| (id.clone(), trace)))
            .collect();
        for (node, trace) in unreported {
            self.conclude(repository, &node, &trace);
        }
        let known = self.durable.index.keys();
        self.memory.dirty = repository.nodes.keys().chain(known).cloned().collect();
        self.memory.emptied = self.missing_from_emptied(repository);
    }

    /// The session is over.
    pub fn disconnect(&mut self) {
        self.memory.epoch = None;
        self.memory.sent = 0;
        self.memory.deliveries.clear();
        self.memory.listings.clear();
    }

    /// Does one thing that can be done now, in an order that chance decides; tells what it was.
    pub fn step(
        &mut self,
        repository: &mut Repository,
        link: &mut Link,
        random: &mut Random,
        crash_percent: usize,
    ) -> Option<String> {
        let first = match self.batches {
            BatchSize::All => 0,
            BatchSize::Any | BatchSize::One => random.below(6),
        };
        (0..6).find_map(|turn| match (first + turn) % 6 {
            0 => self.connect(link, repository),
            1 => self.receive(link, repository),
            2 => self.report_one(repository, random),
            3 => self.apply_one(repository, random, crash_percent, link),
            4 => self.list_page(repository, random),
            _ => self.send(link, random),
        })
    }

    fn connect(&mut self, link: &mut Link, repository: &Repository) -> Option<String> {
        if link.open {
            return None;
        }
        self.disconnect();
        link.open = true;
        link.up
            .push_back(Up::Hello(self.greeting(), repository.name_rule));
        Some("hello".to_owned())
    }

    fn receive(&mut self, link: &mut Link, repository: &Repository) -> Option<String> {
        let frame = link.down.pop_front()?;
        let told = format!("gets {frame:?}");
        match frame {
            Down::Welcome {
                epoch,
                key,
                generation,
                batch_number,
                batch_id,
            } => {
                self.durable.key = Some(key);
                link.up.push_back(Up::KeyStored(key));
                match self.stand(generation, (batch_number, batch_id)) {
                    true => self.memory.epoch = Some(epoch),
                    false => link.open = false,
                }
            }
            Down::Cloned => link.cut(),
            Down::Accepted(number, notes) => self.accepted(number, &notes, repository),
            Down::Deliver(delivery) => self.memory.deliveries.push_back(delivery),
            Down::Watch(roots) => self.watch(roots, repository, link),
            Down::Scan(scan, root) => self.begin_scan(scan, root),
            Down::Observe(nodes) => self.memory.asked.extend(nodes),
        }
        Some(told)
    }

    fn watch(&mut self, roots: Vec<Root>, repository: &Repository, link: &mut Link) {
        let new = |root: &&Root| !self.durable.roots.contains(&root.node);
        let suspected = roots.iter().filter(new).any(|root| root.known);
        let documents = roots.iter().filter(|root| root.document);
        let unheard =
            documents.filter(|root| new(root) || self.durable.unheard.contains(&root.node));
        self.durable.unheard = unheard.map(|root| root.node.clone()).collect();
        self.memory
            .asked
            .extend(self.durable.unheard.iter().cloned());
        self.durable.roots = roots.into_iter().map(|root| root.node).collect();
        if suspected {
            // R-AGT-4: a set that was ended came back with a backup; the next handshake shows no generation.
            self.doubt();
            link.cut();
        }
        let named = &self.durable.roots;
        self.durable.made_roots.retain(|made| !named.contains(made));
        let unwatched = |id: &NodeId| !self.was_watched(id) && !self.watches(repository, id);
        let known = self.durable.index.keys();
        let unwatched: Vec<NodeId> = known.filter(|id| unwatched(id)).cloned().collect();
        for node in unwatched {
            self.durable.index.remove(&node);
        }
    }

    /// Whether a node was below a root when it was last reported; if it is not any more, that is still to be told.
    fn was_watched(&self, node: &NodeId) -> bool {
        let mut at = node;
        for _ in 0..=self.durable.index.len() {
            if self.is_root(at) {
                return true;
            }
            match self.durable.index.get(at) {
                Some(reported) => at = &reported.parent,
                None => return false,
            }
        }
        false
    }

    fn begin_scan(&mut self, scan: ScanId, root: NodeId) {
        let busy = self
            .memory
            .listings
            .iter()
            .any(|listing| listing.scan == scan);
        if !busy && !self.durable.ended_scans.contains(&scan) {
            self.memory.listings.push_back(Listing {
                scan,
                folders: [root.clone()].into(),
                root,
                after: NodeId::default(),
            });
        }
    }

    fn accepted(&mut self, number: i64, notes: &[Note], repository: &Repository) {
        let Some(batch) = self
            .durable
            .batches
            .front()
            .filter(|batch| batch.number == number)
        else {
            return;
        };
        let items = batch.items.clone();
        self.durable.answered = (batch.number, Some(batch.id));
        self.durable.batches.pop_front();
        if planted("agent-purges-unanswered") {
            self.durable.batches.clear();
        }
        self.memory.sent = self.memory.sent.saturating_sub(1);
        for note in notes {
            let Some(node) = items
                .get(note.item)
                .and_then(|item| named(item, note.child))
            else {
                continue;
            };
            // A root that the coordinator does not know (any more) is none; one that only cannot be synced is.
            let fails = matches!(note.kind, NoteKind::NodeFailed(_));
            if !fails && self.durable.made_roots.remove(&node) {
                continue;
            }
            match note.kind {
                // What is not synced where it is now is listed again when that changes.
                NoteKind::NotSynced(_) | NoteKind::NodeFailed(_) => {}
                NoteKind::UnknownParent if !self.watches(repository, &node) => {
                    // Below no root, or gone by now: its absence is told.
                    self.memory.asked.insert(node);
                }
                NoteKind::UnknownParent => {
                    let parent = repository.nodes.get(&node).map(|node| node.parent.clone());
                    for node in parent.into_iter().chain([node]) {
                        self.durable.index.remove(&node);
                        self.memory.dirty.insert(node);
                    }
                }
            }
        }
    }

    pub(super) fn is_root(&self, node: &NodeId) -> bool {
        self.durable.roots.contains(node) || self.durable.made_roots.contains(node)
    }

    fn watches(&self, repository: &Repository, node: &NodeId) -> bool {
        let within = |root: &NodeId| repository.is_within(node, root);
        let mut roots = self.durable.roots.iter().chain(&self.durable.made_roots);
        repository.nodes.contains_key(node) && roots.any(within)
    }

    fn report_one(&mut self, repository: &Repository, random: &mut Random) -> Option<String> {
        let asked: Vec<NodeId> = self.memory.asked.iter().cloned().collect();
        if let Some(node) = random.pick(&asked) {
            self.memory.asked.remove(node);
            self.durable.unheard.remove(node);
            self.durable.index.remove(node);
            self.report_present(repository, node);
            if !self.watches(repository, node) {
                if self.is_root(node) {
                    self.memory.emptied.insert(node.clone());
                }
                let observation = self.absence(repository, node);
                self.durable.items.push_back(Item::Observed(observation));
            }
            return Some(format!("answers about {node}"));
        }
        let dirty: Vec<NodeId> = self.memory.dirty.iter().cloned().collect();
        let node = random.pick(&dirty)?;
        self.memory.dirty.remove(node);
        if self.watches(repository, node) {
            self.report_present(repository, node);
        } else if self.durable.index.remove(node).is_some() {
            self.report_absent(repository, node, random.chance(50));
        }
        Some(format!("looks at {node}"))
    }

    fn apply_one(
        &mut self,
        repository: &mut Repository,
        random: &mut Random,
        crash_percent: usize,
        link: &mut Link,
    ) -> Option<String> {
        self.memory.epoch.filter(|_| link.open)?;
        let delivery = self.memory.deliveries.pop_front()?;
        let name = (delivery.member, delivery.version);
        let answer = match target(&delivery).filter(|node| self.is_out_of_sight(repository, node)) {
            Some(node) => Answer::Stale(self.absence(repository, node)),
            None => match self.gone_since(repository, &delivery) {
                Some(node) => Answer::Applied {
                    result: self.absence(repository, &node),
                    delivered: None,
                },
                None => {
                    repository.watched.clone_from(&self.durable.roots);
                    super::apply::apply(repository, &delivery)
                }
            },
        };
        let told = format!("applies {:?} -> {answer:?}", delivery.action);
        self.tell_of_refilled(repository, &delivery, &answer);
        if random.chance(crash_percent) {
            self.crash(repository, link);
            return Some(format!("{told}, and crashes"));
        }
        self.record(repository, name, answer);
        Some(told)
    }

    /// R-DEL-2: what lies in a folder that could not be removed is told before that.
    fn tell_of_refilled(&mut self, repository: &Repository, delivery: &Delivery, answer: &Answer) {
        let (Action::Delete { node, .. }, Answer::Applied { result, .. }) =
            (&delivery.action, answer)
        else {
            return;
        };
        if !matches!(result.seen, Seen::Present(_)) {
            return;
        }
        let inside = repository.nodes.iter();
        let inside = inside.filter(|(_, found)| found.parent == *node);
        for (child, _) in inside {
            if self.watches(repository, child) {
                self.report_present(repository, child);
            }
        }
    }

    /// What a repeated delivery made, and somebody deleted or moved to where nothing is synced.
    fn gone_since(&self, repository: &Repository, delivery: &Delivery) -> Option<NodeId> {
        let made = self.durable.made.get(&(delivery.member, delivery.version));
        let creates = matches!(delivery.action, Action::Create { .. });
        let gone = |node: &&NodeId| {
            let moved = self.durable.index.contains_key(node) && !self.watches(repository, node);
            !repository.nodes.contains_key(node) || moved
        };
        made.filter(|_| creates).filter(gone).cloned()
    }

    /// It is there, but moved to where nothing is synced.
    fn is_out_of_sight(&self, repository: &Repository, node: &NodeId) -> bool {
        repository.nodes.contains_key(node) && !self.watches(repository, node)
    }

    /// The outcome of a delivery becomes durable, and with it what is now known of the node.
    fn record(&mut self, repository: &mut Repository, name: (MemberId, i64), answer: Answer) {
        let result = match &answer {
            Answer::Applied { result, .. } => Some(result.clone()),
            Answer::Stale(seen) => Some(seen.clone()),
            Answer::Failed { .. } => None,
        };
        if let Some(result) = result {
            self.durable.made.insert(name, result.node.clone());
            self.note_result(repository, &result);
        }
        let (member, version) = name;
        self.durable.items.push_back(Item::Outcome {
            member,
            version,
            answer,
        });
    }

    fn note_result(&mut self, repository: &mut Repository, result: &Observation) {
        let node = &result.node;
        match (repository.nodes.get_mut(node), &result.seen) {
            (Some(found), Seen::Present(_)) => {
                found.unreported = None;
                let reported = Reported {
                    parent: found.parent.clone(),
                    revision: found.revision,
                };
                let parent = found.parent.clone();
                if !self.watches(repository, node) {
                    self.durable.made_roots.insert(node.clone());
                }
                let before = self.durable.index.insert(node.clone(), reported);
                if before.is_some_and(|before| before.parent != parent) {
                    self.look_below(repository, node);
                }
                self.report_gone_folder(repository, &parent);
                if self.watches(repository, &parent) {
                    self.report_present(repository, &parent);
                }
            }
            _ => {
                self.durable.index.remove(node);
                self.forget_below(repository, node);
            }
        }
    }

    /// After a crash: a delivery took effect, but its outcome was not recorded.
    fn conclude(&mut self, repository: &mut Repository, node: &NodeId, trace: &Trace) {
        let answer = applied(repository, node, Some(&trace.delivered));
        self.record(repository, (trace.member, trace.version), answer);
    }

    fn list_page(&mut self, repository: &Repository, random: &mut Random) -> Option<String> {
        let mut listing = self.memory.listings.pop_front()?;
        let Some(folder) = listing.folders.front().cloned() else {
            self.durable.ended_scans.insert(listing.scan);
            let outcome = match repository.nodes.contains_key(&listing.root) {
                true => ScanOutcome::Complete,
                false => ScanOutcome::RootGone,
            };
            let item = Item::ScanEnd(listing.scan, outcome);
            self.durable.items.push_back(item);
            return Some("ends a scan".to_owned());
        };
        self.report_present(repository, &folder);
        let there = repository.is_folder(&folder) && self.watches(repository, &folder);
        let children = repository.children(&folder);
        let mut rest = children.into_iter().filter(|child| *child > listing.after);
        let page: Vec<NodeId> = rest
            .by_ref()
            .take(1 + random.below(PAGE_CHILDREN_MAX))
            .collect();
        let last = rest.next().is_none();
        let through = match (last, page.last()) {
            (false, Some(through)) => through.clone(),
            _ => NodeId::default(),
        };
        for child in page.iter().filter(|_| there) {
            self.note_listed(repository, child, &mut listing);
        }
        let item = Item::ScanPage(ScanPage {
            scan: listing.scan,
            folder: folder.clone(),
            after: listing.after.clone(),
            through: through.clone(),
            readable: there,
            children: page.iter().map(|child| look(repository, child)).collect(),
        });
        if there {
            self.durable.items.push_back(item);
        }
        listing.after = through;
        if last {
            listing.folders.pop_front();
        }
        self.memory.listings.push_front(listing);
        Some(format!("lists {folder}"))
    }

    fn note_listed(&mut self, repository: &Repository, child: &NodeId, listing: &mut Listing) {
        let Some(node) = repository.nodes.get(child) else {
            return;
        };
        let reported = Reported {
            parent: node.parent.clone(),
            revision: node.revision,
        };
        self.durable.index.insert(child.clone(), reported);
        if node.kind == NodeKind::Folder {
            listing.folders.push_back(child.clone());
        }
    }

    fn send(&mut self, link: &mut Link, random: &mut Random) -> Option<String> {
        let epoch = self.memory.epoch.filter(|_| link.open)?;
        if let Some(batch) = self.durable.batches.get(self.memory.sent) {
            link.up.push_back(Up::Batch(epoch, batch.clone()));
            self.memory.sent += 1;
            return Some(format!("sends batch {}", batch.number));
        }
        if self.durable.items.is_empty() || self.durable.batches.len() >= UNANSWERED_MAX {
            return None;
        }
        let count = match self.batches {
            BatchSize::Any => (1 + random.below(5)).min(self.durable.items.len()),
            BatchSize::One => 1,
            BatchSize::All => self.durable.items.len(),
        };
        let last = self.durable.batches.back().map(|batch| batch.number);
        let batch = Batch {
            number: last.unwrap_or(self.durable.answered.0) + 1,
            id: BatchId(random.id()),
            items: self.durable.items.drain(..count).collect(),
        };
        self.durable.batches.push_back(batch);
        Some(format!("forms a batch of {count}"))
    }

    /// Everything that users did is in its outbox.
    #[must_use]
    pub fn has_seen_all(&self) -> bool {
        self.memory.dirty.is_empty()
    }

    /// Nothing is waiting to be looked at, applied or sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.memory.dirty.is_empty()
            && self.durable.items.is_empty()
            && self.durable.batches.is_empty()
            && self.memory.deliveries.is_empty()
    }
}

/// The node that a delivery changes; unlocking goes on where nothing is watched any more.
fn target(delivery: &Delivery) -> Option<&NodeId> {
    match &delivery.action {
        Action::Create { .. } | Action::Release { .. } => None,
        Action::Update { node, .. } | Action::Delete { node, .. } => Some(node),
    }
}

fn named(item: &Item, child: usize) -> Option<NodeId> {
    item.observations()
        .nth(child)
        .map(|observation| observation.node.clone())
}
