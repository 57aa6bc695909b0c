//! A world without faults in which a test says who does what: for rules that are told in a few sentences.

use std::collections::BTreeSet;

use tandem_server::domain::engine::{Ending, Request};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::ids::{NodeId, SyncSetId};
use tandem_server::domain::member::{Member, MemberState};
use tandem_server::domain::names::NameRule;
use tandem_server::domain::projection::{NodeKind, Side, Sides};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Options, Removal, SyncSet};

use super::coordinator::repository_id;
use super::oracle;
use super::random::Random;
use super::repository::{Repository, library};
use super::told::{Deed, TOLD, Told, ToldSet};
use super::ways::{Actor, ENDS, Turn, Way, end_of, scenario_name};
use super::world::World;

/// Rounds in which nothing may move any more once rest has come (I2).
const IDLE_ROUNDS: usize = 10;
/// Restarts while one rest is waited for.
const RESTARTS_MAX: usize = 30;
/// Steps after which rest should have come.
const STEPS_MAX: usize = 20_000;

/// A synced folder between two repositories, and users who do as they are told.
///
/// Paths are below the synced folder; those that begin with `/` below the library. A name with a dot is a document.
#[derive(Debug)]
pub struct Lab {
    world: World,
    /// The set.
    pub set: SyncSetId,
    away: BTreeSet<Side>,
    way: Way,
    steps: usize,
    restarts: usize,
    told: Told,
}

impl Lab {
    /// A synced folder with nothing in it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::with_names(options, Sides::default())
    }

    /// The same, with these made on-premise and synced.
    ///
    /// # Panics
    /// When the sides then differ.
    #[must_use]
    pub fn holding(options: Options, paths: &[&str]) -> Self {
        let mut lab = Self::new(options);
        for path in paths {
            lab.make(Side::OnPremise, path);
        }
        lab.converge();
        assert_eq!(lab.tree(Side::OnPremise), lab.tree(Side::Cloud));
        lab
    }

    /// An empty one, with rules of names.
    ///
    /// # Panics
    /// The synced folder cannot be made.
    #[must_use]
    pub fn with_names(options: Options, name_rules: Sides<NameRule>) -> Self {
        let mut lab = Self::bare(name_rules);
        let repository = &mut lab.world.places.on_premise.repository;
        let made = repository.create(&library(), NodeKind::Folder, "root");
        let root = made.unwrap_or_else(library);
        lab.tell_of_set(std::slice::from_ref(&root), options);
        let set = lab.world.sync_folder(&root, options);
        lab.set = set.unwrap_or_default();
        lab.settle();
        lab
    }

    fn bare(name_rules: Sides<NameRule>) -> Self {
        let way = Way::asked_for();
        let mut lab = Self {
            world: World::new(Random::new(way.seed), name_rules),
            set: SyncSetId::default(),
            away: BTreeSet::new(),
            way,
            steps: 0,
            restarts: 0,
            told: Told::default(),
        };
        for side in Side::BOTH {
            lab.told.everything(&lab.world.places.get(side).repository);
        }
        if name_rules != Sides::default() {
            lab.told.goes_beyond("names are compared in another way");
        }
        for side in Side::BOTH {
            let agent = &mut lab.world.places.get_mut(side).agent;
            agent.tells_move_out = true;
            agent.batches = way.batches;
        }
        lab
    }

    fn tell_of_set(&mut self, sources: &[NodeId], options: Options) {
        let repository = &self.world.places.on_premise.repository;
        for source in sources {
            let content = repository.nodes[source].content;
            let made = Deed::made(Side::OnPremise.into(), repository.path(source), content);
            self.told.deeds.push(made);
        }
        let target = &self.world.places.cloud.target;
        self.told.deeds.push(Deed::Sync(ToldSet {
            sources: sources
                .iter()
                .map(|source| repository.path(source))
                .collect(),
            target: self.repository(Side::Cloud).path(target),
            documents: sources
                .iter()
                .all(|source| repository.nodes[source].kind == NodeKind::Document),
            options: options.into(),
        }));
    }

    /// No synced folder, but these documents, made on-premise and chosen together; their paths begin with `/`.
    #[must_use]
    pub fn choosing(options: Options, paths: &[&str]) -> Self {
        let mut lab = Self::bare(Sides::default());
        for path in paths {
            lab.make(Side::OnPremise, path);
        }
        lab.set = lab.choose(options, paths);
        lab
    }

    /// Chooses on-premise documents for a set of their own, and syncs it.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn choose(&mut self, options: Options, paths: &[&str]) -> SyncSetId {
        let nodes = paths.iter().map(|path| self.node(Side::OnPremise, path));
        let nodes: Vec<NodeId> = nodes.collect();
        self.tell_of_set(&nodes, options);
        let made = self.world.sync_documents(&nodes, options);
        self.converge();
        made.expect("the documents are in no set")
    }

    /// A second set beside the first one; answers its synced folder's path.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn second_set(&mut self, options: Options) -> &'static str {
        let repository = &mut self.world.places.on_premise.repository;
        let root = repository.create(&library(), NodeKind::Folder, "second");
        let root = root.expect("the name is free in the library");
        self.tell_of_set(std::slice::from_ref(&root), options);
        let made = self.world.sync_folder(&root, options);
        made.expect("the folder is in no set");
        self.settle();
        "/second"
    }

    /// Everything, to look at.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Everything, to do what no user does to files; such a scenario is not told.
    pub fn world_mut(&mut self) -> &mut World {
        self.told.goes_beyond("it reaches into the world");
        &mut self.world
    }

    /// Chance draws from this seed from now on.
    pub fn draw_from(&mut self, seed: u64) {
        self.world.random = Random::new(seed);
    }

    /// The repository of a side.
    #[must_use]
    pub fn repository(&self, side: Side) -> &Repository {
        &self.world.places.get(side).repository
    }

    fn split(&self, side: Side, path: &str) -> (NodeId, String) {
        let place = self.world.places.get(side);
        let (below, rest) = match path.strip_prefix('/') {
            Some(rest) if side == Side::Cloud && !rest.starts_with("outside") => {
                (place.target.clone(), rest)
            }
            Some(rest) => (library(), rest),
            None => (self.root(side), path),
        };
        (below, rest.to_owned())
    }

    /// The synced folder of a side.
    #[must_use]
    pub fn root(&self, side: Side) -> NodeId {
        let store = &self.world.coordinator.store;
        let set = store.sets.get(&self.set);
        let root = set.and_then(|set| store.members.get(&set.root));
        root.and_then(|root| root.nodes.get(side).clone())
            .unwrap_or_default()
    }

    /// The node at a path.
    #[must_use]
    pub fn find(&self, side: Side, path: &str) -> Option<NodeId> {
        let (below, rest) = self.split(side, path);
        self.repository(side).find(&below, &rest)
    }

    fn node(&self, side: Side, path: &str) -> NodeId {
        let found = self.find(side, path);
        found.unwrap_or_else(|| panic!("{side:?} has no {path}: {:?}", self.tree(side)))
    }

    fn path(&self, side: Side, node: &NodeId) -> String {
        self.repository(side).path(node)
    }

    fn changed(&mut self, side: Side, node: NodeId) {
        self.world.notice(side, vec![node]);
    }

    /// Makes a node, a document with new content or a folder.
    ///
    /// # Panics
    /// The name is taken, or the folder is not there.
    pub fn make(&mut self, side: Side, path: &str) -> NodeId {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = match folder {
            "" if path.starts_with('/') => self.split(side, path).0,
            folder => self.node(side, folder),
        };
        let kind = match name.contains('.') {
            true => NodeKind::Document,
            false => NodeKind::Folder,
        };
        let repository = &mut self.world.places.get_mut(side).repository;
        let made = repository.create(&folder, kind, name);
        let made = made.unwrap_or_else(|| panic!("{path} cannot be made"));
        if kind == NodeKind::Document {
            let content = self.world.ledger.write(0);
            repository.change(&made, |node| node.content = content);
        }
        let content = self.repository(side).nodes[&made].content;
        let told = Deed::made(side.into(), self.path(side, &made), content);
        self.told.deeds.push(told);
        self.changed(side, made.clone());
        made
    }

    /// Writes new content; answers it.
    pub fn write(&mut self, side: Side, path: &str) -> u64 {
        let before = self.content(side, path);
        let content = self.world.ledger.write(before);
        self.fill(side, path, content);
        content
    }

    /// Gives a document content that is another one's, too.
    pub fn fill(&mut self, side: Side, path: &str, content: u64) {
        let node = self.node(side, path);
        let repository = &mut self.world.places.get_mut(side).repository;
        repository.change(&node, |node| node.content = content);
        let told = Deed::made(side.into(), self.path(side, &node), content);
        self.told.deeds.push(told);
        self.changed(side, node);
    }

    /// The content of a document.
    #[must_use]
    pub fn content(&self, side: Side, path: &str) -> u64 {
        self.repository(side).nodes[&self.node(side, path)].content
    }

    /// Renames a node; no other may have the name.
    ///
    /// # Panics
    /// The name is taken.
    pub fn rename(&mut self, side: Side, path: &str, name: &str) {
        let node = self.node(side, path);
        let before = self.path(side, &node);
        let repository = &mut self.world.places.get_mut(side).repository;
        let parent = repository.nodes[&node].parent.clone();
        assert!(repository.relocate(&node, &parent, name), "{name} is taken");
        self.moved(side, node, before);
    }

    fn moved(&mut self, side: Side, node: NodeId, before: String) {
        let after = self.path(side, &node);
        self.told.deeds.push(Deed::Move(side.into(), before, after));
        self.changed(side, node);
    }

    /// Gives each node the name of the next, the last that of the first.
    pub fn exchange(&mut self, side: Side, paths: &[&str]) {
        let told = paths
            .iter()
            .map(|path| self.path(side, &self.node(side, path)));
        let told = Deed::Exchange(side.into(), told.collect());
        self.told.deeds.push(told);
        let nodes: Vec<NodeId> = paths.iter().map(|path| self.node(side, path)).collect();
        let repository = &mut self.world.places.get_mut(side).repository;
        let names = nodes.iter().map(|node| repository.nodes[node].name.clone());
        let names: Vec<String> = names.collect();
        for (at, node) in nodes.iter().enumerate() {
            let name = names[(at + 1) % names.len()].clone();
            repository.change(node, |node| node.name = name);
        }
        self.world.notice(side, nodes);
    }

    /// Moves a node into a folder.
    ///
    /// # Panics
    /// The name is taken there, or the folder lies below the node.
    pub fn relocate(&mut self, side: Side, path: &str, folder: &str) {
        let (node, folder) = (self.node(side, path), self.node(side, folder));
        let before = self.path(side, &node);
        let repository = &mut self.world.places.get_mut(side).repository;
        let name = repository.nodes[&node].name.clone();
        assert!(
            repository.relocate(&node, &folder, &name),
            "{path} cannot move"
        );
        self.moved(side, node, before);
    }

    /// What is special about a node from now on.
    pub fn becomes(&mut self, side: Side, path: &str, node_trait: NodeTrait) {
        self.told.goes_beyond("a node has a trait that no file has");
        let node = self.node(side, path);
        let repository = &mut self.world.places.get_mut(side).repository;
        repository.change(&node, |node| node.node_trait = node_trait);
        self.changed(side, node);
    }

    /// Somebody opens a document for an online edit, or closes it (R-LCK-2).
    pub fn edit_online(&mut self, side: Side, path: &str, edited: bool) {
        self.told.goes_beyond("a document is edited online");
        let node = self.node(side, path);
        let repository = &mut self.world.places.get_mut(side).repository;
        repository.change(&node, |node| node.edited = edited);
        self.changed(side, node);
    }

    /// Deletes a node with all below it.
    pub fn delete(&mut self, side: Side, path: &str) {
        let node = self.node(side, path);
        let gone = Deed::Delete(side.into(), self.path(side, &node));
        self.told.deeds.push(gone);
        let repository = &mut self.world.places.get_mut(side).repository;
        self.world.ledger.give_up(repository, &node);
        let removed = repository.remove(&node);
        let nodes = removed.into_iter().map(|(node, _)| node).collect();
        self.world.notice(side, nodes);
    }

    /// The agent of a side does nothing until it is [`Self::back`].
    pub fn away(&mut self, side: Side) {
        self.told.deeds.push(Deed::Away(side.into()));
        self.away.insert(side);
    }

    /// The agent of a side works again.
    pub fn back(&mut self, side: Side) {
        self.told.deeds.push(Deed::Back(side.into()));
        self.away.remove(&side);
    }

    /// Something that a person asks for.
    ///
    /// # Panics
    /// The engine refuses it.
    pub fn request(&mut self, request: Request) {
        self.told.goes_beyond("a person asks for something");
        let done = self.world.request(request);
        done.unwrap_or_else(|why| panic!("{why}"));
    }

    /// The owner ends the set.
    pub fn end_set(&mut self, removal: Removal) {
        self.request(Request::EndSet(Ending {
            set: self.set,
            removal,
            actor: "owner".to_owned(),
            forced: false,
        }));
    }

    /// Lets everybody work until nobody has anything to do; what is refused as a clone is rebound.
    ///
    /// # Panics
    /// Rest does not come, or an invariant is broken on the way.
    pub fn settle(&mut self) {
        self.restarts = 0;
        for _ in 0..STEPS_MAX {
            if !self.round() {
                self.told.rest(&self.world);
                return;
            }
        }
        panic!("{}\nit never comes to rest", self.story());
    }

    /// Everybody has a turn; says whether anybody did something.
    fn round(&mut self) -> bool {
        let mut moved = false;
        for (actor, turn) in self.way.turns {
            while self.act(actor) {
                moved = true;
                if turn == Turn::Once {
                    break;
                }
            }
        }
        moved |= self.world.coordinator.rebind();
        self.world.coordinator.now += 1_000;
        moved
    }

    /// Lets somebody do one thing, and looks whether all is well then.
    fn act(&mut self, actor: Actor) -> bool {
        let moved = match actor {
            Actor::Agent(side) => !self.away.contains(&side) && self.agent_step(side),
            Actor::Coordinator => {
                let stepped = self.world.coordinator_step();
                stepped.unwrap_or_else(|why| panic!("{}\n{why}", self.story()))
            }
        };
        let fine = oracle::always(&self.world);
        fine.unwrap_or_else(|why| panic!("{}\n{why}", self.story()));
        self.steps += usize::from(moved);
        let due = self.way.restarts_every > 0 && self.steps.is_multiple_of(self.way.restarts_every);
        if moved && due && self.restarts < RESTARTS_MAX {
            self.restart_somebody();
        }
        moved
    }

    /// One step of an agent; what it takes away it has archived first (R-AGT-6).
    fn agent_step(&mut self, side: Side) -> bool {
        let before: Vec<u64> = contents(self.repository(side)).collect();
        let moved = self.world.agent_step(side, 0);
        let repository = self.repository(side);
        let there: BTreeSet<u64> = contents(repository).collect();
        for content in before {
            let kept = there.contains(&content) || repository.archive.contains(&content);
            assert!(kept, "{}\n{side:?} lost {content}", self.story());
        }
        moved
    }

    /// Whoever restarts loses its memory; what users did before is in its outbox by then.
    fn restart_somebody(&mut self) {
        self.restarts += 1;
        let sides = match self.restarts % 3 {
            0 => &Side::BOTH[..],
            1 => &[Side::OnPremise],
            _ => &[Side::Cloud],
        };
        if self.restarts.is_multiple_of(3) {
            self.world.coordinator.crash();
        }
        for side in sides {
            let place = self.world.places.get_mut(*side);
            if self.restarts.is_multiple_of(3) {
                place.link.cut();
            } else if place.agent.has_seen_all() && !self.away.contains(side) {
                place.agent.crash(&mut place.repository, &mut place.link);
            }
        }
        let told = format!("restart {}", self.restarts);
        self.world.trace.tell(told);
    }

    /// Settles, and then both trees are equal but for what a person has to decide.
    ///
    /// # Panics
    /// They are not.
    pub fn converge(&mut self) {
        self.settle();
        let fine = oracle::converged(&self.world);
        fine.unwrap_or_else(|why| panic!("{}\n{why}", self.story()));
    }

    fn story(&self) -> String {
        self.world.trace.lines.join("\n")
    }

    /// The paths below the synced folder of a side, sorted.
    #[must_use]
    pub fn tree(&self, side: Side) -> Vec<String> {
        let repository = self.repository(side);
        let root = self.root(side);
        let top = repository.path(&root);
        let inside = repository.nodes.keys().filter(|node| **node != root);
        let paths = inside
            .filter(|node| repository.is_within(node, &root))
            .map(|node| repository.path(node));
        let mut paths: Vec<String> = paths
            .map(|path| path[top.len()..].trim_start_matches('/').to_owned())
            .collect();
        paths.sort();
        paths
    }

    /// The member of a node, if there is one.
    #[must_use]
    pub fn member(&self, side: Side, path: &str) -> Option<Member> {
        let store = &self.world.coordinator.store;
        let node = self.find(side, path)?;
        let copy = store.copies.get(&(repository_id(side), node))?;
        store.members.get(&copy.member?).cloned()
    }

    /// Why the member of a node failed, if it did.
    #[must_use]
    pub fn failure(&self, side: Side, path: &str) -> Option<Reason> {
        match self.member(side, path)?.state {
            MemberState::Failed(failure) => Some(failure.reason),
            MemberState::Pending | MemberState::Synced => None,
        }
    }

    /// How many conflicts were found.
    #[must_use]
    pub fn conflicts(&self) -> usize {
        self.world.coordinator.store.conflicts.len()
    }

    /// The set as it is.
    #[must_use]
    pub fn sync_set(&self) -> Option<&SyncSet> {
        self.world.coordinator.store.sets.get(&self.set)
    }
}

/// Contents of all documents.
fn contents(repository: &Repository) -> impl Iterator<Item = u64> {
    let nodes = repository.nodes.values();
    let documents = nodes.filter(|node| node.kind == NodeKind::Document);
    documents.map(|node| node.content)
}

/// The scenario is over: everything comes to rest and stays so, and it is told how it ended, where somebody asked.
impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for side in std::mem::take(&mut self.away) {
            self.told.deeds.push(Deed::Back(side.into()));
        }
        self.settle();
        for _ in 0..IDLE_ROUNDS {
            let moved = self.round();
            assert!(!moved, "{}\nit moves again", self.story());
        }
        let Some(name) = scenario_name() else { return };
        write_in(ENDS, &name, || end_of(&self.world));
        write_in(TOLD, &name, || {
            serde_json::to_string(&self.told).unwrap_or_default()
        });
    }
}

/// Writes a text into the folder that a variable names, if it names one.
fn write_in(variable: &str, name: &str, text: impl FnOnce() -> String) {
    if let Some(folder) = std::env::var_os(variable) {
        let file = std::path::Path::new(&folder).join(name);
        let written = std::fs::write(&file, text());
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
