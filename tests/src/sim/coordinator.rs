//! The coordinator around the engine: sessions, batches, walks, scans, and what is sent when it is due.

use std::collections::{BTreeMap, BTreeSet};

use tandem_server::domain::delivery::Delivery;
use tandem_server::domain::engine::{Context, Input, Note, Request, WalkProgress};
use tandem_server::domain::ids::{Epoch, Generation, MemberId, NodeId, RepositoryId, ScanId};
use tandem_server::domain::member::{Lane, Member};
use tandem_server::domain::projection::{NodeKind, Side};
use tandem_server::domain::report::{Item, ScanOutcome, ScanPage};
use tandem_server::domain::session::{Greeting, Numbering, Refused, ResumeKey, admit, number};
use tandem_server::domain::sync_set::{Gate, Removal, SyncSet};
use tandem_server::domain::view::CopyKey;

use super::link::{Batch, Down, Link, Root, Up};
use super::random::Random;
use super::store::{Scan, Store};

/// Nodes of a walk in one transaction.
const WALK_STEP: usize = 2;

/// What a coordinator knows of a live session; lost when it stops.
#[derive(Debug, Clone, Default)]
struct Session {
    connection: u64,
    in_flight: BTreeMap<MemberId, i64>,
    roots: Option<Vec<NodeId>>,
    scans: BTreeSet<ScanId>,
    asked: BTreeSet<NodeId>,
}

/// The coordinator: rows that stay, and sessions that a crash takes away.
#[derive(Debug, Clone, Default)]
pub struct Coordinator {
    /// The rows.
    pub store: Store,
    /// Virtual time in microseconds.
    pub now: i64,
    sessions: BTreeMap<RepositoryId, Session>,
    cloned: BTreeSet<Side>,
}

/// The repository of a side; every simulation has one of each.
#[must_use]
pub fn repository_id(side: Side) -> RepositoryId {
    match side {
        Side::OnPremise => RepositoryId(1),
        Side::Cloud => RepositoryId(2),
    }
}

impl Coordinator {
    /// Stops and starts again: only the rows are left.
    pub fn crash(&mut self) {
        self.sessions.clear();
    }

    /// Something that a person asked for.
    ///
    /// # Errors
    /// The engine does not come to an end, or refuses it.
    pub fn request(&mut self, request: Request, random: &mut Random) -> Result<(), String> {
        self.execute(Input::Request(request), random).map(|_| ())
    }

    pub(super) fn execute(
        &mut self,
        input: Input,
        random: &mut Random,
    ) -> Result<Vec<Note>, String> {
        let context = Context {
            now: self.now,
            rescanning: self.rescanning(),
        };
        let effects = self.store.execute(&context, &[input], random)?;
        Ok(effects.notes.into_iter().next().unwrap_or_default())
    }

    /// Does one thing that can be done now; tells what it was.
    ///
    /// # Errors
    /// A broken promise of the core or of the simulation.
    pub fn step(
        &mut self,
        links: &mut [&mut Link; 2],
        random: &mut Random,
    ) -> Result<Option<String>, String> {
        let first = random.below(7);
        for turn in 0..7 {
            let side = Side::BOTH[random.below(2)];
            let done = match (first + turn) % 7 {
                0 | 1 => self.either(side, links, random, Self::receive)?,
                2 => self.walk(random)?,
                3 => self.either(side, links, random, |this, side, link, _| {
                    this.send_due(side, link)
                })?,
                4 => self.either(side, links, random, |this, side, link, random| {
                    Ok(this.command(side, link, random))
                })?,
                5 => self.generation_step(random)?,
                _ => self.end_members(random)?,
            };
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    fn either(
        &mut self,
        first: Side,
        links: &mut [&mut Link; 2],
        random: &mut Random,
        act: impl Fn(&mut Self, Side, &mut Link, &mut Random) -> Result<Option<String>, String>,
    ) -> Result<Option<String>, String> {
        for side in [first, first.other()] {
            if let Some(told) = act(self, side, links[side as usize], random)? {
                return Ok(Some(format!("{side:?} {told}")));
            }
        }
        Ok(None)
    }

    fn receive(
        &mut self,
        side: Side,
        link: &mut Link,
        random: &mut Random,
    ) -> Result<Option<String>, String> {
        let Some(frame) = link.up.pop_front() else {
            return Ok(None);
        };
        let told = format!("{frame:?}");
        match frame {
            Up::Hello(greeting, _) => self.hello(side, link, &greeting, random)?,
            Up::KeyStored(key) => {
                let remembered = self
                    .store
                    .remembered
                    .entry(repository_id(side))
                    .or_default();
                if remembered.unconfirmed_key == Some(key) {
                    remembered.key = remembered.unconfirmed_key.take();
                }
            }
            Up::Batch(epoch, batch) => self.batch(side, link, epoch, &batch, random)?,
        }
        Ok(Some(told))
    }

    fn hello(
        &mut self,
        side: Side,
        link: &mut Link,
        greeting: &Greeting,
        random: &mut Random,
    ) -> Result<(), String> {
        let repository = repository_id(side);
        let remembered = self.store.remembered.entry(repository).or_default();
        let admitted = match admit(remembered, greeting) {
            Ok(admitted) => admitted,
            Err(Refused::Cloned) => {
                self.cloned.insert(side);
                link.down.push_back(Down::Cloned);
                return Ok(());
            }
            Err(refused) => return Err(refused.to_string()),
        };
        remembered.installation = Some(greeting.installation.clone());
        remembered.index = Some(greeting.index.clone());
        remembered.epoch = admitted.epoch;
        remembered.generation = match admitted.new_generation {
            true => Generation(remembered.generation.max(greeting.generation).0 + 1),
            false => Generation(remembered.generation.0.max(1)),
        };
        remembered.rebind = false;
        remembered.restored = false;
        remembered.key = greeting.key;
        let key = ResumeKey {
            epoch: admitted.epoch,
            secret: random.draw(),
        };
        remembered.unconfirmed_key = Some(key);
        link.down.push_back(Down::Welcome {
            epoch: admitted.epoch,
            key,
            generation: remembered.generation,
            batch_number: remembered.batch_number,
            batch_id: remembered.batch_id,
        });
        let session = Session {
            connection: link.connection,
            ..Session::default()
        };
        self.sessions.insert(repository, session);
        self.cloned.remove(&side);
        if admitted.new_generation {
            self.begin_generation(side, random);
        }
        Ok(())
    }

    /// An admin says that whoever comes next is the repository (R-AGT-2).
    pub fn rebind(&mut self) -> bool {
        let cloned = std::mem::take(&mut self.cloned);
        for side in &cloned {
            let remembered = self.store.remembered.entry(repository_id(*side));
            remembered.or_default().rebind = true;
        }
        !cloned.is_empty()
    }

    /// Whether a greeting is an old one: the sessions that followed it are known here.
    #[must_use]
    pub fn has_used(&self, side: Side, greeting: &Greeting) -> bool {
        let remembered = self.store.remembered.get(&repository_id(side));
        let Some((remembered, key)) = remembered.zip(greeting.key) else {
            return false;
        };
        let newer = |known: Option<ResumeKey>| known.is_some_and(|known| known.epoch > key.epoch);
        newer(remembered.key)
            && newer(remembered.unconfirmed_key.or(remembered.key))
            && !remembered.rebind
            && greeting.batch_number <= remembered.batch_number
    }

    /// Whether the repository is known by another installation, and nobody rebound it.
    #[must_use]
    pub fn knows_another(&self, side: Side, greeting: &Greeting) -> bool {
        let remembered = self.store.remembered.get(&repository_id(side));
        remembered.is_some_and(|remembered| {
            let known = remembered.installation.as_ref();
            known.is_some_and(|known| *known != greeting.installation) && !remembered.rebind
        })
    }

    /// Whether an agent that greets so would be let in.
    #[must_use]
    pub fn would_admit(&self, side: Side, greeting: &Greeting) -> bool {
        let remembered = self.store.remembered.get(&repository_id(side));
        remembered.is_none_or(|remembered| admit(remembered, greeting).is_ok())
    }

    fn batch(
        &mut self,
        side: Side,
        link: &mut Link,
        epoch: Epoch,
        batch: &Batch,
        random: &mut Random,
    ) -> Result<(), String> {
        let repository = repository_id(side);
        let remembered = self.store.remembered.entry(repository).or_default();
        if epoch != remembered.epoch {
            return Ok(());
        }
        let notes = match number(remembered.batch_number, batch.number) {
            Numbering::Gap { expected } => {
                return Err(format!("batch {} instead of {expected}", batch.number));
            }
            Numbering::Earlier => {
                let answer = self.store.answers.get(&(repository, batch.number));
                let Some((_, notes)) = answer.filter(|(id, _)| *id == batch.id) else {
                    return Err("another batch under a used number".to_owned());
                };
                notes.clone()
            }
            Numbering::Next => {
                remembered.batch_number = batch.number;
                remembered.batch_id = Some(batch.id);
                self.accept(repository, batch, random)?
            }
        };
        link.down.push_back(Down::Accepted(batch.number, notes));
        Ok(())
    }

    fn accept(
        &mut self,
        repository: RepositoryId,
        batch: &Batch,
        random: &mut Random,
    ) -> Result<Vec<Note>, String> {
        for item in &batch.items {
            if let Item::ScanPage(page) = item {
                self.suspect(repository, page);
            }
        }
        let notes = self.execute(Input::Batch(repository, batch.items.clone()), random)?;
        for item in &batch.items {
            self.note_item(repository, item);
        }
        for item in &batch.items {
            if let Item::ScanEnd(scan, outcome) = item {
                self.end_scan(*scan, *outcome);
            }
        }
        let key = (repository, batch.number);
        self.store.answers.insert(key, (batch.id, notes.clone()));
        Ok(notes)
    }

    /// An outcome ends what was in flight; a node that was seen is no suspect and need not be asked for.
    fn note_item(&mut self, repository: RepositoryId, item: &Item) {
        if let Item::Outcome { member, .. } = item
            && let Some(session) = self.sessions.get_mut(&repository)
        {
            session.in_flight.remove(member);
        }
        for observation in item.observations() {
            let key = (repository, observation.node.clone());
            self.store.observe.remove(&key);
            self.store.doubted.remove(&key);
            if let Some(session) = self.sessions.get_mut(&repository) {
                session.asked.remove(&observation.node);
            }
            for scan in self.store.scans.values_mut() {
                scan.suspects.remove(&observation.node);
            }
        }
    }

    fn suspect(&mut self, repository: RepositoryId, page: &ScanPage) {
        let listed = |node: &NodeId| page.children.iter().any(|child| child.node == *node);
        let held: Vec<NodeId> = self
            .store
            .in_folder(repository, &page.folder)
            .map(|copy| copy.node.clone())
            .filter(|node| {
                *node > page.after && (page.through.0.is_empty() || *node <= page.through)
            })
            .filter(|node| !listed(node))
            .collect();
        if let Some(scan) = self
            .store
            .scans
            .get_mut(&page.scan)
            .filter(|_| page.readable)
        {
            scan.suspects.extend(held);
        }
    }

    fn end_scan(&mut self, id: ScanId, outcome: ScanOutcome) {
        let Some(scan) = self.store.scans.get_mut(&id) else {
            return;
        };
        let suspects = std::mem::take(&mut scan.suspects);
        let repository = scan.repository;
        let root = (repository, scan.root.clone());
        let gone = self.store.copies.get(&root);
        let gone = gone.is_some_and(|copy| !copy.is_there());
        if scan.anew && outcome != ScanOutcome::Complete && !gone {
            // It is asked for again until the root is seen, or known to be absent.
            self.store.observe.insert(root.clone());
            self.store.list_again.insert(root);
            return;
        }
        scan.done = true;
        let anew = scan.anew;
        let asked = match outcome {
            ScanOutcome::Complete => suspects,
            ScanOutcome::RootGone => [scan.root.clone()].into(),
            ScanOutcome::Abandoned => BTreeSet::new(),
        };
        let keys: Vec<CopyKey> = asked.into_iter().map(|node| (repository, node)).collect();
        if anew {
            self.store.doubted.extend(keys.iter().cloned());
        }
        self.store.observe.extend(keys);
    }

    fn walk(&mut self, random: &mut Random) -> Result<Option<String>, String> {
        let Some((walk, after)) = self.store.walks.pop_front() else {
            return Ok(None);
        };
        let nodes: Vec<NodeId> = self
            .store
            .in_folder(walk.repository, &walk.folder)
            .map(|copy| copy.node.clone())
            .filter(|node| *node > after)
            .take(WALK_STEP)
            .collect();
        let told = format!("walks {} at {nodes:?}", walk.folder);
        let progress = match nodes.last() {
            Some(last) => {
                self.store.walks.push_back((walk.clone(), last.clone()));
                WalkProgress::More
            }
            None => WalkProgress::Done,
        };
        self.execute(Input::Walk(walk, nodes, progress), random)?;
        Ok(Some(told))
    }

    fn send_due(&mut self, side: Side, link: &mut Link) -> Result<Option<String>, String> {
        let repository = repository_id(side);
        let Some(session) = self.sessions.get(&repository) else {
            return Ok(None);
        };
        if session.roots.as_ref() != Some(&self.roots(side)) {
            return Ok(None);
        }
        let ready = self.ready(side, session);
        let deliveries = self.store.deliveries(side, &ready)?;
        let can_go = |delivery: &Delivery| match delivery.needs() {
            Some(parent) => session.in_flight.contains_key(&parent),
            None => true,
        };
        let Some(delivery) = deliveries.into_iter().find(can_go) else {
            return Ok(None);
        };
        let told = format!("is sent {:?} {:?}", delivery.member, delivery.action);
        let connection = session.connection;
        if let Some(session) = self.sessions.get_mut(&repository) {
            session.in_flight.insert(delivery.member, delivery.version);
        }
        if link.connection == connection {
            link.down.push_back(Down::Deliver(delivery));
        }
        Ok(Some(told))
    }

    fn ready(&self, side: Side, session: &Session) -> Vec<MemberId> {
        let mut due: Vec<(&u64, &MemberId)> = self
            .store
            .due
            .iter()
            .map(|(id, since)| (since, id))
            .collect();
        due.sort();
        let members = due.into_iter().map(|(_, id)| *id);
        members
            .filter(|id| !session.in_flight.contains_key(id))
            .filter(|id| {
                let member = self.store.members.get(id);
                let due = member.and_then(|member| member.due);
                let set = member.and_then(|member| self.store.sets.get(&member.set));
                // R-AGT-4: nothing is delivered from what may not be true any more.
                let set = set.filter(|_| self.store.generations.is_empty());
                due.zip(set).is_some_and(|(due, set)| {
                    let held = due.lane == Lane::Removal && set.guard.gate != Gate::Open;
                    let outside = set.outside.on_premise || set.outside.cloud;
                    let held =
                        held || outside && !matches!(due.lane, Lane::Release | Lane::Clearing);
                    due.side == side && due.not_before <= self.now && !held
                })
            })
            .collect()
    }

    /// Sends the present roots, scans and questions.
    fn command(&mut self, side: Side, link: &mut Link, random: &mut Random) -> Option<String> {
        let repository = repository_id(side);
        self.sessions.get(&repository)?;
        let roots = self.roots(side);
        for root in &self.folder_roots(side) {
            let known = |scan: &Scan| scan.repository == repository && scan.root == *root;
            if !self.store.scans.values().any(known) {
                let scan = Scan {
                    repository,
                    root: root.clone(),
                    done: false,
                    anew: false,
                    suspects: BTreeSet::new(),
                };
                self.store.scans.insert(ScanId(random.id()), scan);
            }
        }
        let named = self.named(side, &roots);
        let session = self.sessions.get_mut(&repository)?;
        let frame = if session.roots.as_ref() != Some(&roots) {
            session.roots = Some(roots);
            Down::Watch(named)
        } else if let Some((id, scan)) = self.store.scans.iter().find(|(id, scan)| {
            scan.repository == repository && !scan.done && !session.scans.contains(id)
        }) {
            session.scans.insert(*id);
            Down::Scan(*id, scan.root.clone())
        } else {
            let asked = &session.asked;
            let waiting = self.store.observe.iter();
            let nodes: Vec<NodeId> = waiting
                .filter(|(of, node)| *of == repository && !asked.contains(node))
                .map(|(_, node)| node.clone())
                .collect();
            if nodes.is_empty() {
                return None;
            }
            session.asked.extend(nodes.iter().cloned());
            Down::Observe(nodes)
        };
        let told = format!("is sent {frame:?}");
        if link.connection == session.connection {
            link.down.push_back(frame);
        }
        Some(told)
    }

    fn named(&self, side: Side, roots: &[NodeId]) -> Vec<Root> {
        let repository = repository_id(side);
        let kinds: BTreeMap<&NodeId, NodeKind> = (self.store.members.values())
            .filter_map(|member| Some((member.nodes.get(side).as_ref()?, member.kind)))
            .collect();
        let listed = |node: &NodeId| {
            let mut scans = self.store.scans.values();
            scans.any(|scan| scan.repository == repository && scan.root == *node && !scan.done)
        };
        let name = |node: &NodeId| {
            let document = kinds.get(node) == Some(&NodeKind::Document);
            Root {
                node: node.clone(),
                known: !document && !listed(node),
                document,
            }
        };
        roots.iter().map(name).collect()
    }

    /// What the agent of a side watches: the copies of the chosen nodes.
    pub(super) fn roots(&self, side: Side) -> Vec<NodeId> {
        let chosen = self.store.members.values().filter(|member| {
            let set = self.store.sets.get(&member.set);
            let watches =
                |set: &SyncSet| !set.ending || side == Side::Cloud && set.removal != Removal::None;
            member.direct && set.is_some_and(watches)
        });
        chosen
            .filter_map(|root| root.nodes.get(side).clone())
            .collect()
    }

    /// Those that are scanned.
    pub(super) fn folder_roots(&self, side: Side) -> Vec<NodeId> {
        let folders = self
            .chosen()
            .filter(|member| member.kind == NodeKind::Folder);
        folders
            .filter_map(|root| root.nodes.get(side).clone())
            .collect()
    }

    fn chosen(&self) -> impl Iterator<Item = &Member> {
        let members = self.store.members.values();
        members.filter(|member| {
            let set = self.store.sets.get(&member.set);
            member.direct && set.is_some_and(|set| !set.ending)
        })
    }

    /// Members of a set that was ended follow one by one; the set goes with the last.
    fn end_members(&mut self, random: &mut Random) -> Result<Option<String>, String> {
        let ending = self.store.sets.values().filter(|set| set.ending);
        for id in ending.map(|set| set.id).collect::<Vec<_>>() {
            let members = self.store.members.values();
            let mut members = members.filter(|member| member.set == id);
            let next = members.clone().find(|member| {
                !member.clearing && member.due.is_none_or(|due| due.lane != Lane::Release)
            });
            if let Some(member) = next.map(|member| member.id) {
                self.request(Request::EndMember(member), random)?;
                return Ok(Some(format!("ends member {member}")));
            }
            if members.next().is_none() {
                let gone = self.store.sets.remove(&id);
                self.store.late.extend(gone.map(|set| (id, set)));
                return Ok(Some(format!("forgets set {id}")));
            }
        }
        Ok(None)
    }
}
