//! The life of a set, with agents and callers that try again what failed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::domain::access::{Role, Side};
use crate::domain::copy::Absence;
use crate::domain::delivery::{Action, Delivery, FolderRef};
use crate::domain::ids::{BatchId, Digest, Generation, MemberId, NodeId, RepositoryId, SyncSetId};
use crate::domain::projection::{NodeKind, Projection, Properties};
use crate::domain::report::{Answer, Item, NodeTrait, Observation, Presence, Seen};
use crate::domain::session::ResumeKey;
use crate::service::create_set::NewSet;
use crate::service::ingest::Batch;
use crate::service::testing::{ALICE, Fixture, NOW, Template, content_ref, hello, new_set};
use crate::service::{Error, UserScope};
use crate::storage::faults::{self, Counted, Fault};
use crate::storage::sql;
use crate::storage::sync::due::After;
use crate::storage::verify;

/// One call fails, or one coordinator stops, so that this is never reached.
const TRIES_MAX: usize = 5;
/// When everything has come to rest, however busy the machine.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Looking again after so long makes up for a bell that rang too early.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Lives, while this fails; what was counted, and the end.
pub(super) async fn live(template: &Template, fault: Option<Fault>) -> (Counted, String) {
    let fixture = template.copied().await;
    let mut life = Life {
        bells: std::sync::Mutex::new(bells(&fixture)),
        agents: [Side::OnPremise, Side::Cloud].map(Agent::new),
        fixture: Mutex::new(Some(fixture)),
        told: String::new(),
    };
    faults::arm(fault);
    life.play().await;
    let counted = faults::counted();
    faults::arm(None);
    life.tell().await;
    (counted, life.told)
}

/// A repository and its agent.
struct Agent {
    side: Side,
    nodes: BTreeMap<NodeId, Presence>,
    revision: u64,
    number: i64,
    /// Of its session.
    epoch: i64,
    key: Option<ResumeKey>,
    generation: Generation,
    /// Seen, and not told yet.
    seen: Vec<Item>,
    inline: Vec<(Digest, Bytes)>,
    last: Option<Batch>,
}

impl Agent {
    fn new(side: Side) -> Self {
        Self {
            side,
            nodes: BTreeMap::new(),
            revision: 0,
            number: 0,
            epoch: 0,
            key: None,
            generation: Generation(0),
            seen: Vec::new(),
            inline: Vec::new(),
            last: None,
        }
    }

    fn put(
        &mut self,
        node: &str,
        parent: &str,
        projection: Arc<Projection>,
        mark: Option<MemberId>,
    ) {
        self.revision += 1;
        let presence = Presence {
            parent: NodeId(parent.to_owned()),
            revision: self.revision.to_string(),
            projection,
            mark,
            node_trait: NodeTrait::Ordinary,
            locked: false,
            edited: false,
            actor: String::new(),
        };
        self.nodes.insert(NodeId(node.to_owned()), presence);
    }

    fn look(&self, node: &NodeId) -> Observation {
        let seen = match self.nodes.get(node) {
            Some(presence) => Seen::Present(presence.clone()),
            None => Seen::Absent {
                absence: Absence::Deleted,
                choice: None,
                root_emptied: false,
            },
        };
        Observation {
            node: node.clone(),
            seen,
        }
    }

    fn folder(&self, folder: &FolderRef) -> NodeId {
        match folder {
            FolderRef::Node(node) => node.clone(),
            FolderRef::Made(member) => {
                let made = self.nodes.iter();
                let mut made = made.filter(|(_, presence)| presence.mark == Some(*member));
                made.next().map(|(node, _)| node.clone()).unwrap()
            }
        }
    }

    /// Does what it is told, and answers with what came of it.
    fn apply(&mut self, delivery: &Delivery) -> Item {
        let node = match &delivery.action {
            Action::Create {
                folder, projection, ..
            } => {
                let (node, folder) = (format!("c:{}", projection.name), self.folder(folder));
                self.put(&node, &folder.0, projection.clone(), Some(delivery.member));
                NodeId(node)
            }
            Action::Update {
                node,
                projection,
                folder,
                expected_revision,
                ..
            } => {
                let found = self.nodes[node].clone();
                assert_eq!(found.revision, *expected_revision);
                let folder = folder.as_ref().map(|folder| self.folder(folder));
                let parent = folder.unwrap_or(found.parent).0;
                self.put(&node.0, &parent, projection.clone(), found.mark);
                node.clone()
            }
            Action::Delete { node, .. } => {
                let mut inside = self.nodes.values();
                if !inside.any(|presence| presence.parent == *node) {
                    self.nodes.remove(node);
                }
                node.clone()
            }
            Action::Release { node } => node.clone(),
        };
        Item::Outcome {
            member: delivery.member,
            version: delivery.version,
            answer: Answer::Applied {
                result: self.look(&node),
                delivered: None,
            },
        }
    }
}

struct Life {
    /// Always one; it is taken while it starts again.
    fixture: Mutex<Option<Fixture>>,
    /// For each agent, as its session has it; another coordinator's is heard first of all.
    bells: std::sync::Mutex<Bells>,
    agents: [Agent; 2],
    told: String,
}

impl Life {
    /// Tries again what failed because of the database, with another coordinator if this one stopped.
    async fn insist<T>(&self, attempt: impl AsyncFn(&Fixture) -> Result<T, Error>) -> T {
        for _ in 0..TRIES_MAX {
            let mut fixture = self.fixture.lock().await;
            let tried = attempt(fixture.as_ref().unwrap()).await;
            if faults::has_stopped() {
                let again = fixture.take().unwrap().restart().await;
                again.agents();
                *self.bells.lock().unwrap() = bells(&again);
                *fixture = Some(again);
                continue;
            }
            match tried {
                Ok(done) => return done,
                Err(Error::Storage(_) | Error::StoreUnavailable) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("it fails again and again");
    }

    fn agent(&mut self, side: Side) -> &mut Agent {
        &mut self.agents[side as usize]
    }

    async fn play(&mut self) {
        self.open(Side::OnPremise).await;
        self.open(Side::Cloud).await;
        let set = self.make_set().await;
        self.write(Side::OnPremise, "docs", "", None);
        self.write(Side::OnPremise, "plans", "docs", None);
        for (name, parent) in [("a", "docs"), ("b", "plans")] {
            self.write(Side::OnPremise, name, parent, Some("first"));
        }
        self.rest().await;
        self.open(Side::OnPremise).await;
        self.rename(Side::Cloud, "c:a", "renamed");
        self.write(Side::OnPremise, "b", "docs", Some("first"));
        self.rest().await;
        // Neither has seen what the other one wrote.
        self.write(Side::OnPremise, "b", "docs", Some("ours"));
        self.write(Side::Cloud, "c:b", "c:docs", Some("theirs"));
        self.write(Side::OnPremise, "c", "plans", Some("late"));
        self.rest().await;
        self.delete(Side::OnPremise, &["plans", "c"]);
        self.rest().await;
        self.tell().await;
        self.unsync(set).await;
        self.rest().await;
    }

    /// Opens a session: it is told the last batch that the agent knows as accepted, and its key counts next time.
    async fn open(&mut self, side: Side) {
        let agent = &self.agents[side as usize];
        let mut hello = hello(agent.key);
        hello.greeting.generation = agent.generation;
        hello.greeting.batch_number = agent.number;
        hello.greeting.batch_id = agent.last.as_ref().map(|batch| batch.id);
        let welcome = self.insist(async |fixture| {
            let opened = fixture.agent_scope(side).open_session(hello.clone()).await;
            let (welcome, ..) = opened?;
            // It was opened for its epoch; who answers commands is another.
            fixture.agents();
            Ok(welcome)
        });
        let welcome = welcome.await;
        self.insist(async |fixture| fixture.agent_scope(side).confirm_key(welcome.key).await)
            .await;
        let agent = self.agent(side);
        assert_eq!(welcome.batch_number, agent.number);
        agent.epoch = welcome.epoch;
        agent.key = Some(welcome.key);
        agent.generation = welcome.generation;
    }

    async fn make_set(&self) -> SyncSetId {
        let new = NewSet {
            request_id: Some(Uuid::from_u128(1)),
            ..new_set()
        };
        let made = self.insist(async |fixture| alice(fixture).await?.create_set(&new).await);
        made.await.set.set.id
    }

    async fn unsync(&self, set: SyncSetId) {
        self.insist(async |fixture| {
            let user = alice(fixture).await?;
            user.unsync_set(set, false).await
        })
        .await;
    }

    /// A user writes a document, or makes a folder; the name is the id without what stands before a `:`.
    fn write(&mut self, side: Side, node: &str, parent: &str, text: Option<&str>) {
        let projection = Arc::new(Projection {
            kind: match text {
                Some(_) => NodeKind::Document,
                None => NodeKind::Folder,
            },
            name: node.rsplit(':').next().unwrap().to_owned(),
            content: text.map(content_ref),
            properties: Properties::new(),
            node_type: String::new(),
        });
        let content = text.map(|text| (content_ref(text).digest, Bytes::from(text.to_owned())));
        self.agent(side).inline.extend(content);
        self.change(side, node, parent, projection);
    }

    fn rename(&mut self, side: Side, node: &str, name: &str) {
        let found = self.agent(side).nodes[&NodeId(node.to_owned())].clone();
        let mut projection = (*found.projection).clone();
        projection.name = name.to_owned();
        self.change(side, node, &found.parent.0, Arc::new(projection));
    }

    fn change(&mut self, side: Side, node: &str, parent: &str, projection: Arc<Projection>) {
        let agent = self.agent(side);
        let before = agent.nodes.get(&NodeId(node.to_owned()));
        let mark = before.and_then(|presence| presence.mark);
        agent.put(node, parent, projection, mark);
        let seen = Item::Observed(agent.look(&NodeId(node.to_owned())));
        agent.seen.push(seen);
    }

    /// The first one is told; for a folder that stands for what is in it.
    fn delete(&mut self, side: Side, nodes: &[&str]) {
        let agent = self.agent(side);
        for node in nodes {
            agent.nodes.remove(&NodeId((*node).to_owned())).unwrap();
        }
        let gone = Item::Observed(agent.look(&NodeId(nodes[0].to_owned())));
        agent.seen.push(gone);
    }

    /// Tells what was seen and done; a batch keeps its number and id until it is answered (R-AGT-3).
    async fn send(&mut self, side: Side) {
        let agent = self.agent(side);
        let items = std::mem::take(&mut agent.seen);
        let inline = std::mem::take(&mut agent.inline);
        if items.is_empty() {
            return;
        }
        agent.number += 1;
        agent.last = Some(Batch {
            number: agent.number,
            id: BatchId(Uuid::now_v7()),
            repository: RepositoryId::default(),
            epoch: agent.epoch,
            cursor: Vec::new(),
            items,
            inline,
        });
        self.hand_over(side).await;
    }

    async fn hand_over(&self, side: Side) {
        let Some(batch) = &self.agents[side as usize].last else {
            return;
        };
        self.insist(async |fixture| {
            let batch = Batch {
                repository: fixture.repository(side).id,
                ..batch.clone()
            };
            let ingest = &fixture.coordinator.ingest;
            let pending = ingest.begin(fixture.network.id, batch).await?;
            pending.answer().await
        })
        .await;
    }

    /// Hands the last batch over once more. It has no second effect; but when the writer has answered it, every bell of
    /// what it did before has rung.
    async fn repeat(&self) {
        self.hand_over(Side::OnPremise).await;
    }

    /// Until no step is left, and no bell rings. As a session does, an agent looks for work only when its bell rang.
    async fn rest(&mut self) {
        self.send(Side::OnPremise).await;
        self.send(Side::Cloud).await;
        let resting = Box::pin(async {
            loop {
                for side in [Side::OnPremise, Side::Cloud] {
                    while self.rings(side) {
                        while self.deliver(side).await {}
                    }
                }
                let happened = self.happened();
                let left = self.insist(async |fixture| {
                    let store = &fixture.coordinator.store;
                    Ok(store.networks_with_steps().await?)
                });
                let left = left.await;
                if !left.is_empty() {
                    wait_for(happened).await;
                    continue;
                }
                self.repeat().await;
                if !self.any_bell() {
                    return;
                }
            }
        });
        let rested = tokio::time::timeout(REST_WITHIN, resting);
        rested.await.expect("it comes to rest");
    }

    /// Rings when anything was committed.
    fn happened(&self) -> watch::Receiver<u64> {
        self.bells.lock().unwrap().2.clone()
    }

    fn any_bell(&self) -> bool {
        let bells = self.bells.lock().unwrap();
        [&bells.0, &bells.1]
            .iter()
            .any(|bell| bell.has_changed().unwrap_or(false))
    }

    fn rings(&self, side: Side) -> bool {
        let mut bells = self.bells.lock().unwrap();
        let bell = match side {
            Side::OnPremise => &mut bells.0,
            Side::Cloud => &mut bells.1,
        };
        let rang = bell.has_changed().unwrap_or(false);
        bell.mark_unchanged();
        rang
    }

    /// Does what can be done now, and tells what came of it.
    async fn deliver(&mut self, side: Side) -> bool {
        let ready = self.insist(async |fixture| {
            let store = &fixture.coordinator.store;
            let repository = fixture.repository(side).id;
            let due = store.due(repository, After::default(), NOW, 100).await?;
            let members: Vec<MemberId> = due.iter().filter_map(|due| due.member).collect();
            Ok(store.deliveries(fixture.network.id, side, &members).await?)
        });
        let ready = ready.await.into_iter().map(|(delivery, _)| delivery);
        let ready: Vec<Delivery> = ready
            .filter(|delivery| delivery.needs().is_none())
            .collect();
        let agent = self.agent(side);
        for delivery in &ready {
            let outcome = agent.apply(delivery);
            agent.seen.push(outcome);
        }
        self.send(side).await;
        !ready.is_empty()
    }

    /// All that has to be the same, in words.
    async fn tell(&mut self) {
        let mut told = String::new();
        for agent in &self.agents {
            for (node, presence) in &agent.nodes {
                let projection = &presence.projection;
                let content = projection.content.map(|content| content.digest);
                let (side, parent) = (agent.side, &presence.parent);
                writeln!(
                    told,
                    "{side:?} {node} in {parent}: {} {content:?}",
                    projection.name
                )
                .unwrap();
            }
        }
        for text in [
            "SELECT 'entry ' || position || ' ' || kind || ' ' || coalesce(side, '') || ' ' || node_name \
             || ' ' || message FROM journal ORDER BY position",
            "SELECT 'copy ' || repository || ' ' || node || ' ' || state || ' ' || parent || ' ' || name_key \
             || ' ' || revision FROM copy ORDER BY repository, node",
            "SELECT 'member ' || count(*) || ' ' || state FROM member GROUP BY state ORDER BY state",
            "SELECT 'version ' || side || ' ' || reason, digest FROM version \
             ORDER BY side, digest, reason",
            "SELECT 'conflict ' || kind || ' ' || winner FROM conflict ORDER BY kind",
            "SELECT 'due ' || count(*) FROM due",
        ] {
            let rows = self
                .insist(async |fixture| Ok(sql::all(fixture.test.store.reader(), text, []).await?));
            for row in rows.await {
                let line: String = row.try_get_by_index(0).unwrap();
                let digest: Vec<u8> = row.try_get_by_index(1).unwrap_or_default();
                writeln!(told, "{line} {}", hex::encode(digest)).unwrap();
            }
        }
        self.told += &told;
        let found = self.insist(async |fixture| {
            let reader = fixture.test.store.reader();
            let mut found = verify::rules(reader, 10).await?;
            found.extend(verify::derived(reader, 3).await?);
            Ok(found)
        });
        assert_eq!(found.await, [], "what `tandemd verify` finds");
    }
}

/// The bells of both agents, and the one for everything.
type Bells = (
    watch::Receiver<u64>,
    watch::Receiver<u64>,
    watch::Receiver<u64>,
);

/// As new sessions hear them: they look at once.
fn bells(fixture: &Fixture) -> Bells {
    let wakeup = &fixture.coordinator.wakeup;
    let bell = |side| {
        let mut bell = wakeup.repository(fixture.repository(side).id);
        bell.mark_changed();
        bell
    };
    (
        bell(Side::OnPremise),
        bell(Side::Cloud),
        wakeup.network(fixture.network.id),
    )
}

async fn wait_for(mut bell: watch::Receiver<u64>) {
    let _ = tokio::time::timeout(LOOK_AGAIN_AFTER, bell.changed()).await;
}

async fn alice(fixture: &Fixture) -> Result<UserScope, Error> {
    let principal = fixture.principal(ALICE, Role::User);
    let network = &fixture.network.name;
    let scope = fixture
        .coordinator
        .for_user(&principal, network, Role::User);
    scope.await
}
