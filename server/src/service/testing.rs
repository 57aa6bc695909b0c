//! A coordinator on a real database, with agents that follow a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::choice::Definition;
use super::command::{Command, Handle, NodeInfo, Reply, command_queue};
use super::create_set::NewSet;
use super::exchange::{Declared, Hello, Session};
use super::ingest::{Accepted, Batch};
use super::nodes::NodeChoice;
use super::sync_sets::SetView;
use super::{AgentScope, Clock, Coordinator, Principal, UserScope};
use crate::domain::access::{Role, Side};
use crate::domain::copy::Absence;
use crate::domain::delivery::{Action, Delivery, FolderRef};
use crate::domain::ids::{BatchId, Digest, Generation, MemberId, NodeId, SyncSetId, TokenId};
use crate::domain::projection::{ContentRef, NodeKind, Projection, Properties, Sides};
use crate::domain::report::{
    Answer, Item, NodeTrait, Observation, Presence, ScanOutcome, ScanPage, Seen,
};
use crate::domain::session::{Greeting, ResumeKey};
use crate::domain::sync_set::Options;
use crate::storage::access::{Network, Repository};
use crate::storage::sync::due::After;
use crate::storage::testing::{Home, TestStore};

/// When everything happens.
pub(crate) const NOW: i64 = 1_800_000_000_000_000;
/// The user whose sets these are.
pub(crate) const ALICE: &str = "alice";

/// A network with a repository on each side.
pub(crate) struct Fixture {
    pub(crate) test: TestStore,
    pub(crate) coordinator: Coordinator,
    pub(crate) network: Network,
    pub(crate) hq: Repository,
    pub(crate) cloud: Repository,
    numbers: Sides<AtomicI64>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let test = TestStore::new().await;
        let store = &test.store;
        let network = store.create_network("acme", "", NOW).await.unwrap();
        let id = network.id;
        let hq = store.create_repository(id, "hq", Side::OnPremise, "", NOW);
        let hq = hq.await.unwrap();
        let cloud = store.create_repository(id, "cloud", Side::Cloud, "", NOW);
        let cloud = cloud.await.unwrap();
        let coordinator = Coordinator::new(store.clone(), Clock::manual(NOW));
        Self {
            test,
            coordinator,
            network,
            hq,
            cloud,
            numbers: Sides::default(),
        }
    }

    /// What another fixture on a copy of the same database is made of.
    pub(crate) async fn template(self) -> Template {
        self.test.store.close().await.unwrap();
        Template {
            home: self.test.home,
            network: self.network,
            hq: self.hq,
            cloud: self.cloud,
        }
    }

    /// The coordinator stops, whatever it was about, and another one starts on the same database.
    pub(crate) async fn restart(self) -> Self {
        self.coordinator.ingest.stop();
        self.coordinator.tasks.close();
        self.coordinator.tasks.wait().await;
        drop(self.coordinator);
        let TestStore { store, home } = self.test;
        // A process that dies tells nobody how its files were closed.
        let _ = store.close().await;
        drop(store);
        crate::storage::faults::start_again();
        let store = crate::storage::Store::open(home.options()).await.unwrap();
        let coordinator = Coordinator::new(store.clone(), Clock::manual(NOW));
        coordinator.ingest.resume().await.unwrap();
        Self {
            test: TestStore { store, home },
            coordinator,
            ..self
        }
    }

    pub(crate) fn principal(&self, user: &str, role: Role) -> Principal {
        Principal::User {
            network: self.network.id,
            network_name: self.network.name.clone(),
            user: user.to_owned(),
            role,
            token: TokenId(Uuid::now_v7()),
        }
    }

    pub(crate) async fn user(&self, user: &str, role: Role) -> UserScope {
        let principal = self.principal(user, role);
        let scope = self
            .coordinator
            .for_user(&principal, &self.network.name, role);
        scope.await.unwrap()
    }

    pub(crate) async fn alice(&self) -> UserScope {
        self.user(ALICE, Role::User).await
    }

    /// An agent that answers by this script; where it has no answer, it keeps still.
    pub(crate) fn agent(
        &self,
        side: Side,
        script: impl Fn(Command) -> Option<Reply> + Send + 'static,
    ) {
        let (commands, mut asked) = command_queue();
        let handle = Handle {
            epoch: 1,
            commands,
            pings: mpsc::channel(1).0,
            superseded: CancellationToken::new(),
        };
        let repository = self.repository(side).id;
        self.coordinator.sessions.enter(repository, handle);
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(one) = asked.recv().await {
                match script(one.command) {
                    Some(reply) => drop(one.reply.send(reply)),
                    None => unanswered.push(one.reply),
                }
            }
        });
    }

    /// Agents that know one writable folder each: `docs` at headquarters, `inbox` on the cloud.
    pub(crate) fn agents(&self) {
        self.agent(Side::OnPremise, |_| one(folder("docs")));
        self.agent(Side::Cloud, |_| one(folder("inbox")));
    }

    /// From now on the repository of a side has users, whose rights its agent can tell.
    pub(crate) async fn declare_users(&self, side: Side) {
        let declared = Declared {
            users: true,
            ..Declared::default()
        };
        let repository = self.repository(side).id;
        self.test.declare(repository, &declared).await;
    }

    pub(crate) fn repository(&self, side: Side) -> &Repository {
        match side {
            Side::OnPremise => &self.hq,
            Side::Cloud => &self.cloud,
        }
    }

    /// Alice's set of `docs`, not scanned yet.
    pub(crate) async fn set_with(&self, options: Options) -> SetView {
        self.agents();
        let mut new = new_set();
        new.definition.options = options;
        self.alice().await.create_set(&new).await.unwrap().set
    }

    /// Alice's set of `docs` with these documents in it, each the same on both sides.
    pub(crate) async fn synced(&self, options: Options, names: &[&str]) -> SetView {
        let set = self.set_with(options).await;
        self.report(Side::OnPremise, vec![present("docs", "", "1", None)])
            .await;
        for name in names {
            let content = Some(format!("first of {name}"));
            self.report(Side::OnPremise, vec![present(name, "docs", "1", content)])
                .await;
        }
        self.deliver_all(Side::Cloud).await;
        set
    }

    /// The ids of the documents and folders of a set, by name.
    pub(crate) async fn member_named(&self, set: &SetView, name: &str) -> MemberId {
        let members = self.alice().await;
        let members = members.members(set.set.id, None, super::members::Filter::default(), 1_000);
        let found = members.await.unwrap().into_iter().find(|view| {
            let copy = view.copies.on_premise.as_ref();
            copy.is_some_and(|copy| copy.copy.projection.name == name)
        });
        found.unwrap().member.id
    }

    pub(crate) async fn report(&self, side: Side, observed: Vec<Observation>) {
        let items = observed.into_iter().map(Item::Observed).collect();
        self.batch(side, items).await;
    }

    pub(crate) async fn batch(&self, side: Side, items: Vec<Item>) -> Accepted {
        let number = self.numbers.get(side).fetch_add(1, Ordering::Relaxed) + 1;
        let inline = items
            .iter()
            .filter_map(|item| match item {
                Item::Observed(observed) => content_of(observed),
                _ => None,
            })
            .collect();
        let batch = Batch {
            repository: self.repository(side).id,
            epoch: 0,
            number,
            id: BatchId(Uuid::now_v7()),
            cursor: Vec::new(),
            items,
            inline,
        };
        let ingest = &self.coordinator.ingest;
        let pending = ingest.begin(self.network.id, batch).await.unwrap();
        pending.answer().await.unwrap()
    }

    /// Lists the roots of a side that are to be listed, each with these children and no more.
    pub(crate) async fn list(&self, side: Side, children: Vec<Observation>) {
        let repository = self.repository(side).id;
        let roots = self.coordinator.store.roots(repository).await.unwrap();
        for root in roots {
            let Some(scan) = root.scan else { continue };
            let page = ScanPage {
                scan,
                folder: root.node,
                after: NodeId::default(),
                through: NodeId::default(),
                readable: true,
                children: children.clone(),
            };
            let end = Item::ScanEnd(scan, ScanOutcome::Complete);
            self.batch(side, vec![Item::ScanPage(page), end]).await;
        }
    }

    /// How many members a set has.
    pub(crate) async fn members_of(&self, set: SyncSetId) -> usize {
        let members = self.alice().await;
        let members = members.members(set, None, super::members::Filter::default(), 1_000);
        members.await.unwrap().len()
    }

    /// A session of the agent of a side, which takes more than there is.
    pub(crate) async fn session(&self, side: Side) -> Session {
        self.agent_scope(side).enter(1, &hello(None)).0
    }

    /// What the agent of a side may do.
    pub(crate) fn agent_scope(&self, side: Side) -> AgentScope {
        let repository = self.repository(side);
        let agent = Principal::Agent {
            network: self.network.id,
            network_name: self.network.name.clone(),
            repository: repository.id,
            repository_name: repository.name.clone(),
            side,
            token: TokenId(Uuid::now_v7()),
        };
        self.coordinator.for_agent(&agent).unwrap()
    }

    /// Applies what is due on a side, until nothing is.
    pub(crate) async fn deliver_all(&self, side: Side) {
        loop {
            let outcomes = self.apply_due(side).await;
            if outcomes.is_empty() {
                return;
            }
            for outcome in outcomes {
                self.batch(side, vec![outcome]).await;
            }
        }
    }

    /// Applies what is due on a side; the outcomes are still to be reported.
    pub(crate) async fn apply_due(&self, side: Side) -> Vec<Item> {
        let store = &self.coordinator.store;
        let repository = self.repository(side).id;
        let due = store.due(repository, After::default(), NOW, 100).await;
        let members: Vec<MemberId> = due.unwrap().iter().filter_map(|due| due.member).collect();
        let ready = store.deliveries(self.network.id, side, &members).await;
        let mut outcomes = Vec::new();
        // What lies in a folder that is to be made comes in the next round.
        for (delivery, _) in ready.unwrap() {
            if delivery.needs().is_none() {
                outcomes.push(self.applied(side, delivery).await);
            }
        }
        outcomes
    }

    /// The outcome of an agent that does exactly what it is told; its copy of `x` is `c:x`.
    async fn applied(&self, side: Side, delivery: Delivery) -> Item {
        let (node, parent, projection) = match delivery.action {
            Action::Create {
                folder, projection, ..
            } => {
                let FolderRef::Node(folder) = folder else {
                    panic!("a parent comes first")
                };
                (
                    NodeId(format!("c:{}", projection.name)),
                    folder,
                    Some(projection),
                )
            }
            Action::Update {
                node, projection, ..
            } => {
                let store = &self.coordinator.store;
                let copy = store.copy(self.repository(side).id, &node).await.unwrap();
                (node, copy.unwrap().parent, Some(projection))
            }
            Action::Delete { node, .. } | Action::Release { node } => {
                (node, NodeId::default(), None)
            }
        };
        let seen = match projection {
            None => deleted(),
            Some(projection) => Seen::Present(Presence {
                parent,
                revision: Uuid::now_v7().to_string(),
                projection,
                mark: Some(delivery.member),
                node_trait: NodeTrait::Ordinary,
                locked: false,
                edited: false,
                actor: String::new(),
            }),
        };
        Item::Outcome {
            member: delivery.member,
            version: delivery.version,
            answer: Answer::Applied {
                result: Observation { node, seen },
                delivered: None,
            },
        }
    }
}

/// What the agent of one installation shows, with this key; it takes more than there is.
pub(crate) fn hello(key: Option<ResumeKey>) -> Hello {
    Hello {
        greeting: Greeting {
            installation: "installation".to_owned(),
            index: "index".to_owned(),
            generation: Generation(0),
            key,
            batch_number: 0,
            batch_id: None,
            protocol_min: 1,
            protocol_max: 1,
        },
        declared: Declared::default(),
        deliveries_max: 1_000,
        bytes_max: i64::MAX,
    }
}

/// What a closed fixture kept.
pub(crate) struct Template {
    home: Home,
    network: Network,
    hq: Repository,
    cloud: Repository,
}

impl Template {
    /// A fixture on a copy of them: quicker than a new one.
    pub(crate) async fn copied(&self) -> Fixture {
        let home = self.home.copied().await;
        let store = crate::storage::Store::open(home.options()).await.unwrap();
        let coordinator = Coordinator::new(store.clone(), Clock::manual(NOW));
        Fixture {
            test: TestStore { store, home },
            coordinator,
            network: self.network.clone(),
            hq: self.hq.clone(),
            cloud: self.cloud.clone(),
            numbers: Sides::default(),
        }
    }
}

/// Answers with one node.
pub(crate) fn one(info: NodeInfo) -> Option<Reply> {
    Some(Reply::Nodes(vec![info], false))
}

/// A folder that may be synced and may receive.
pub(crate) fn folder(name: &str) -> NodeInfo {
    NodeInfo {
        node: NodeId(name.to_owned()),
        path: name.to_owned(),
        missing: false,
        kind: NodeKind::Folder,
        name: name.to_owned(),
        node_trait: NodeTrait::Ordinary,
        library_root: false,
        in_library: true,
        writable: true,
        size: 0,
        locked_for_editing: false,
        checked_out: false,
    }
}

/// A document that may be synced.
pub(crate) fn document(name: &str) -> NodeInfo {
    NodeInfo {
        kind: NodeKind::Document,
        size: 7,
        ..folder(name)
    }
}

/// Answers as a repository that has these nodes, each at a path that is its id; other nodes are missing.
pub(crate) fn repository_of(nodes: &[NodeInfo]) -> impl Fn(Command) -> Option<Reply> + use<> {
    let nodes = nodes.to_vec();
    move |command| {
        let find = |id: &str| {
            let known = nodes.iter().find(|info| info.node.0 == id).cloned();
            known.unwrap_or_else(|| NodeInfo {
                missing: true,
                ..folder(id)
            })
        };
        let found = match command {
            Command::ResolveNodes { nodes, paths } => {
                let ids = nodes.into_iter().map(|node| node.0).chain(paths);
                ids.map(|id| find(&id)).collect()
            }
            Command::ListFolder { folder, after, max } => {
                let inside = |info: &&NodeInfo| {
                    let (place, _) = info.path.rsplit_once('/').unwrap_or(("", &info.path));
                    place == folder.0 && info.node > after
                };
                let mut inside: Vec<NodeInfo> = nodes.iter().filter(inside).cloned().collect();
                inside.sort_by(|one, other| one.node.cmp(&other.node));
                let max = usize::try_from(max).unwrap();
                let more = inside.len() > max;
                inside.truncate(max);
                return Some(Reply::Nodes(inside, more));
            }
            Command::CreateFolder { folder: new, .. } => vec![folder(&new.name)],
            Command::VerifyAccount { .. } => return Some(Reply::Done),
            Command::CheckAccess { .. } => return None,
        };
        Some(Reply::Nodes(found, false))
    }
}

/// `docs` into `inbox`.
pub(crate) fn new_set() -> NewSet {
    NewSet {
        definition: Definition {
            kind: None,
            repositories: Sides {
                on_premise: "hq".to_owned(),
                cloud: "cloud".to_owned(),
            },
            nodes: vec![NodeChoice::Id(NodeId("docs".to_owned()))],
            target: NodeChoice::Path("inbox".to_owned()),
            new_folder: None,
            options: Options::default(),
        },
        owner: None,
        request_id: None,
    }
}

/// A node as an agent sees it; a document where it has content. Its name is its id, without what stands before a `:`.
pub(crate) fn present(
    node: &str,
    parent: &str,
    revision: &str,
    content: Option<String>,
) -> Observation {
    let projection = Projection {
        kind: if content.is_some() {
            NodeKind::Document
        } else {
            NodeKind::Folder
        },
        name: node.rsplit(':').next().unwrap().to_owned(),
        content: content.as_deref().map(content_ref),
        // Carries the text of the content to where the batch is made.
        node_type: content.unwrap_or_default(),
        properties: Properties::new(),
    };
    Observation {
        node: NodeId(node.to_owned()),
        seen: Seen::Present(Presence {
            parent: NodeId(parent.to_owned()),
            revision: revision.to_owned(),
            projection: Arc::new(projection),
            mark: None,
            node_trait: NodeTrait::Ordinary,
            locked: false,
            edited: false,
            actor: "bob".to_owned(),
        }),
    }
}

/// A node that was deleted.
pub(crate) fn absent(node: &str) -> Observation {
    Observation {
        node: NodeId(node.to_owned()),
        seen: deleted(),
    }
}

fn deleted() -> Seen {
    Seen::Absent {
        absence: Absence::Deleted,
        choice: None,
        root_emptied: false,
    }
}

/// Text by its digest.
pub(crate) fn content_ref(text: &str) -> ContentRef {
    ContentRef {
        digest: Digest(Sha256::digest(text).into()),
        size: i64::try_from(text.len()).unwrap(),
    }
}

fn content_of(observation: &Observation) -> Option<(Digest, Bytes)> {
    let Seen::Present(presence) = &observation.seen else {
        return None;
    };
    let content = presence.projection.content?;
    let text = presence.projection.node_type.clone();
    Some((content.digest, Bytes::from(text)))
}
