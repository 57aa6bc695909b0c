//! Two repositories with their agents, the coordinator between them, and the network that fails them.

use std::sync::Arc;

use tandem_server::domain::copy::{Copy, CopyState};
use tandem_server::domain::engine::Request;
use tandem_server::domain::ids::{MemberId, NetworkId, NodeId, SyncSetId};
use tandem_server::domain::member::Member;
use tandem_server::domain::names::NameRule;
use tandem_server::domain::projection::{NodeKind, Side, Sides};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Counters, Guard, Options, Removal, SetKind, SyncSet};

use super::agent::Agent;
use super::coordinator::{Coordinator, repository_id};
use super::disaster::Backups;
use super::ledger::Ledger;
use super::link::Link;
use super::random::Random;
use super::repository::{Node, Repository, library};

/// One side of the world.
#[derive(Debug, Clone)]
pub struct Place {
    /// The repository.
    pub repository: Repository,
    /// Its agent.
    pub agent: Agent,
    /// The agent's connection.
    pub link: Link,
    /// A folder outside every set.
    pub outside: NodeId,
    /// On the cloud the folder that receives the sets, else the library.
    pub target: NodeId,
    /// Documents that no delivery may touch, with their revision.
    pub canaries: Vec<(NodeId, u64)>,
}

/// Everything there is.
#[derive(Debug, Clone)]
pub struct World {
    /// Both sides.
    pub places: Sides<Place>,
    /// The coordinator.
    pub coordinator: Coordinator,
    /// What users wrote and gave up.
    pub ledger: Ledger,
    /// Chance.
    pub random: Random,
    /// What happened.
    pub trace: Trace,
    /// What can come back.
    pub backups: Backups,
}

/// What happened, and a number that stands for it.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// One line for each step.
    pub lines: Vec<String>,
    /// FNV-1a over all lines.
    pub hash: u64,
}

impl Trace {
    /// Adds a line.
    pub fn tell(&mut self, line: String) {
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines.push(line);
    }
}

fn place(side: Side, name_rule: NameRule) -> Place {
    let mut repository = Repository::new(side, name_rule);
    let mut folder = |name: &str| {
        repository
            .create(&library(), NodeKind::Folder, name)
            .unwrap_or_else(library)
    };
    let outside = folder("outside");
    let target = match side {
        Side::OnPremise => library(),
        Side::Cloud => folder("target"),
    };
    let mut canaries = Vec::new();
    for place in [&library(), &outside, &target] {
        if let Some(canary) = repository.create(place, NodeKind::Document, "canary") {
            let revision = repository.nodes[&canary].revision;
            canaries.push((canary, revision));
        }
    }
    Place {
        repository,
        agent: Agent::default(),
        link: Link::default(),
        outside,
        target,
        canaries,
    }
}

impl World {
    /// Two repositories with nothing synced.
    #[must_use]
    pub fn new(random: Random, name_rules: Sides<NameRule>) -> Self {
        let mut coordinator = Coordinator::default();
        for side in Side::BOTH {
            let repository = tandem_server::domain::repository::Repository {
                id: repository_id(side),
                side,
                name_rule: *name_rules.get(side),
                properties: tandem_server::domain::repository::KeptProperties::All,
                node_types: std::collections::BTreeSet::new(),
                locks: true,
                users: false,
            };
            coordinator
                .store
                .repositories
                .insert(repository.id, repository);
        }
        Self {
            places: Sides {
                on_premise: place(Side::OnPremise, name_rules.on_premise),
                cloud: place(Side::Cloud, name_rules.cloud),
            },
            coordinator,
            ledger: Ledger::default(),
            random,
            trace: Trace::default(),
            backups: Backups::default(),
        }
    }

    /// Makes a set of an on-premise folder.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn sync_folder(&mut self, folder: &NodeId, options: Options) -> Result<SyncSetId, String> {
        let found = self.places.on_premise.repository.nodes[folder].clone();
        let (set, root) = (SyncSetId(self.random.id()), MemberId(self.random.id()));
        let mut member = Member::new(root, set, NodeKind::Folder, true);
        member.nodes.on_premise = Some(folder.clone());
        let presence = found.presence();
        let copy = Copy {
            parent: found.parent.clone(),
            revision: presence.revision,
            projection: presence.projection,
            ..self.chosen_copy(&member, folder)
        };
        let set_row = SyncSet {
            root,
            source_folder: found.parent,
            ..self.set_row(set, SetKind::Folder, options)
        };
        self.create(set_row, vec![(member, copy)])
    }

    /// Makes a set of on-premise documents; of each no more than its name is told.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn sync_documents(
        &mut self,
        documents: &[NodeId],
        options: Options,
    ) -> Result<SyncSetId, String> {
        let set = SyncSetId(self.random.id());
        let mut chosen = Vec::new();
        for document in documents {
            let id = MemberId(self.random.id());
            let mut member = Member::new(id, set, NodeKind::Document, true);
            member.nodes.on_premise = Some(document.clone());
            let copy = self.chosen_copy(&member, document);
            chosen.push((member, copy));
        }
        let set_row = self.set_row(set, SetKind::Documents, options);
        self.create(set_row, chosen)
    }

    fn create(&mut self, set: SyncSet, chosen: Vec<(Member, Copy)>) -> Result<SyncSetId, String> {
        let id = set.id;
        self.request(Request::CreateSet {
            set: Box::new(set),
            chosen,
            peer: None,
            actor: "owner".to_owned(),
        })?;
        Ok(id)
    }

    /// A chosen node as the service tells the engine of it.
    fn chosen_copy(&self, member: &Member, node: &NodeId) -> Copy {
        let repository = &self.places.on_premise.repository;
        let found = &repository.nodes[node];
        let mut projection = (*found.projection()).clone();
        projection.content = None;
        projection.properties.clear();
        Copy {
            repository: repository_id(Side::OnPremise),
            node: node.clone(),
            member: Some(member.id),
            state: CopyState::Live,
            parent: NodeId::default(),
            name_key: repository.name_rule.key(&found.name),
            revision: String::new(),
            projection: Arc::new(projection),
            locked: false,
            edited: false,
            actor: String::new(),
            unfit: None,
            past: Vec::new(),
        }
    }

    fn set_row(&self, set: SyncSetId, kind: SetKind, options: Options) -> SyncSet {
        SyncSet {
            id: set,
            network: NetworkId(1),
            repositories: Sides {
                on_premise: repository_id(Side::OnPremise),
                cloud: repository_id(Side::Cloud),
            },
            kind,
            root: MemberId::default(),
            target: self.places.cloud.target.clone(),
            source_folder: NodeId::default(),
            options,
            owner: "owner".to_owned(),
            ending: false,
            outside: Sides::default(),
            removal: Removal::default(),
            paused: false,
            repository_paused: false,
            account: String::new(),
            counters: Counters::default(),
            guard: Guard::default(),
        }
    }

    /// Something that a person asks for.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn request(&mut self, request: Request) -> Result<(), String> {
        self.trace.tell(format!("request {request:?}"));
        self.coordinator.request(request, &mut self.random)
    }

    /// Lets an agent do one thing.
    pub fn agent_step(&mut self, side: Side, crash_percent: usize) -> bool {
        let place = self.places.get_mut(side);
        let told = place.agent.step(
            &mut place.repository,
            &mut place.link,
            &mut self.random,
            crash_percent,
        );
        let Some(told) = told else { return false };
        self.trace.tell(format!("{side:?} agent {told}"));
        true
    }

    /// Lets the coordinator do one thing.
    ///
    /// # Errors
    /// A broken promise.
    pub fn coordinator_step(&mut self) -> Result<bool, String> {
        let mut links = [
            &mut self.places.on_premise.link,
            &mut self.places.cloud.link,
        ];
        let told = self.coordinator.step(&mut links, &mut self.random)?;
        let Some(told) = told else { return Ok(false) };
        self.trace.tell(format!("coordinator: {told}"));
        Ok(true)
    }

    /// Tells the agent of a side that users changed nodes.
    pub fn notice(&mut self, side: Side, nodes: Vec<NodeId>) {
        for node in nodes {
            self.places.get_mut(side).agent.notice(node);
        }
    }

    /// Nothing on a side is a record any more, lies outside every library, or is edited online.
    pub fn make_fit(&mut self, side: Side) {
        let repository = &mut self.places.get_mut(side).repository;
        let unfit = |node_trait: NodeTrait| {
            matches!(node_trait, NodeTrait::Record | NodeTrait::OutsideLibrary)
        };
        let held = |node: &Node| node.edited || unfit(node.node_trait);
        let nodes = repository.nodes.iter().filter(|(_, node)| held(node));
        let nodes: Vec<NodeId> = nodes.map(|(id, _)| id.clone()).collect();
        for node in &nodes {
            repository.change(node, |node| {
                node.edited = false;
                if unfit(node.node_trait) {
                    node.node_trait = NodeTrait::Ordinary;
                }
            });
        }
        self.notice(side, nodes);
    }
}
