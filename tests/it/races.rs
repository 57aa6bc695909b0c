//! What happens between two steps of the sync, made to happen there: agents that run within the test, over a real
//! connection to a real coordinator.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use tandem_client::agent::memory::{ROOT, Rules};
use tandem_client::agent::repository::{
    Content, Description, Error, Repository, ScanStep, Seen, Work,
};
use tandem_client::connectors::directory::{self, Directory};
use tandem_proto::v1::{
    AccessInfo, Applied, ChangeItem, Delivery, FailureReason, JournalKind, MemberState, NodeInfo,
    NodeVersion, Observation, Outcome, Projection, Property, PropertyValue, Side, SyncSetOptions,
    WatchRoot, change_item, delivery::Action, observation, outcome, property_value,
};
use tandem_tests::agents::{TaskAgent, listing, memory};
use tandem_tests::coordinator::{CLOUD, Coordinator};
use tandem_tests::hand_agent::{HandAgent, hello, item, observed};
use tandem_tests::memory_pair::{FOLDER, MemoryPair, NETWORK};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::{eventually, poll};

fn title(projection: &Projection) -> Option<&str> {
    let title = projection
        .properties
        .iter()
        .find(|property| property.name == "cm:title")?;
    match title.value.as_ref()?.kind.as_ref()? {
        property_value::Kind::Text(text) => Some(text),
        _ => None,
    }
}

#[tokio::test]
async fn r_prj_5_two_quick_edits_through_a_rule_that_adds_a_title_are_no_conflict() -> Result<()> {
    let rules = Rules {
        titles: true,
        ..Rules::default()
    };
    let pair = MemoryPair::start(rules).await?;
    let (left, right, folder) = (pair.left(), pair.right(), &pair.folder);
    let node = left.with(|tree| tree.create_document(folder, "a.txt", "first"))?;
    pair.same().await?;
    let found = listing(left, FOLDER);
    assert_eq!(title(&found["a.txt"]), Some("a.txt"), "it flowed back");

    // The first edit has taken effect and its outcome is not known when the next ones are made.
    right.hold_outcomes(true);
    let second = left.with(|tree| tree.create_document(folder, "b.txt", "first"))?;
    left.with(|tree| tree.write(&node, "second"))?;
    let made = |content: &'static str| {
        move || {
            let node = right.with(|tree| tree.find("contracts/b.txt"));
            node.is_some_and(|node| right.with(|tree| tree.content(&node)) == Some(content.into()))
        }
    };
    pair.until("the create has taken effect", made("first"))
        .await?;
    for content in ["second", "third"] {
        left.with(|tree| tree.write(&second, content))?;
        left.with(|tree| tree.write(&node, content))?;
    }
    right.hold_outcomes(false);
    pair.until("the last edit is there", made("third")).await?;
    pair.same().await?;
    for name in ["a.txt", "b.txt"] {
        let content = left.with(|tree| tree.content(&tree.find(&format!("{FOLDER}/{name}"))?));
        assert_eq!(content, Some(Bytes::from_static(b"third")), "{name}");
    }
    pair.assert_no_conflict().await
}

#[tokio::test]
async fn r_rec_8_members_that_fail_delay_no_other_over_a_real_connection() -> Result<()> {
    let pair = MemoryPair::start(Rules::default()).await?;
    let refused = [
        ("refused.txt", FailureReason::RuleFailed),
        ("away.txt", FailureReason::Unreachable),
    ];
    pair.right().with(|tree| {
        let chosen = refused.map(|(name, reason)| (name.to_owned(), reason));
        tree.faults.chosen.extend(chosen);
    });
    let others = 200;
    pair.left().with(|tree| -> Result<()> {
        for (name, _) in refused {
            tree.create_document(&pair.folder, name, name)?;
        }
        for number in 0..others {
            tree.create_document(&pair.folder, &format!("{number}.txt"), "fine")?;
        }
        Ok(())
    })?;
    pair.until("all others are there", || {
        listing(pair.right(), FOLDER).len() == others
    })
    .await?;
    let listed = poll(PATIENCE, "both say why", async || {
        let mut members = pair.coordinator.members(NETWORK).await.ok()?;
        members.retain(|member| member.state() != MemberState::Synced);
        let told = |member: &tandem_proto::v1::Member| {
            member.failure.is_some() || member.transient_error.is_some()
        };
        (members.len() == 2 && members.iter().all(told)).then_some(members)
    });
    for member in listed.await? {
        let failed = member.failure.is_some();
        let state = member.state();
        assert_eq!(failed, state == MemberState::Failed, "{member:?}");
    }
    pair.right().with(|tree| tree.faults.chosen.clear());
    pair.until("what is retried heals by itself", || {
        listing(pair.right(), FOLDER).contains_key("away.txt")
    })
    .await
}

/// A title, as a rule sets it.
fn titled(mut projection: Projection) -> Projection {
    let kind = property_value::Kind::Text("by rule".to_owned());
    projection.properties.push(Property {
        name: "cm:title".to_owned(),
        value: Some(PropertyValue { kind: Some(kind) }),
    });
    projection
}

/// What a repository made of the creation of a node.
fn made(delivery: &Delivery, node_id: &str, projection: Projection) -> Result<Observation> {
    let id = delivery.id.clone().context("a delivery without an id")?;
    Ok(Observation {
        node_id: node_id.to_owned(),
        parent_node_id: "c-folder".to_owned(),
        revision: format!("{node_id} is made"),
        state: Some(observation::State::Present(projection)),
        member_mark: id.member_id,
        ..Observation::default()
    })
}

fn created(delivery: &Delivery) -> Result<Projection> {
    match &delivery.action {
        Some(Action::Create(create)) => create.projection.clone().context("nothing to make"),
        other => anyhow::bail!("not a creation: {other:?}"),
    }
}

fn applied(delivery: &Delivery, result: Observation, delivered: Projection) -> ChangeItem {
    let applied = Applied {
        result: Some(result),
        delivered: Some(delivered),
        ..Applied::default()
    };
    item(change_item::Item::Outcome(Outcome {
        delivery_id: delivery.id.clone(),
        answer: Some(outcome::Answer::Applied(applied)),
    }))
}

#[tokio::test]
async fn r_agt_6_a_create_that_is_observed_before_its_outcome_is_one_member() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let left = memory(Side::OnPremise, Rules::default());
    let folder = left.with(|tree| tree.create_folder(ROOT, FOLDER))?;
    left.with(|tree| tree.create_document(&folder, "a.txt", "content"))?;
    let agent = TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, left).await?;
    let client = coordinator.agent(NETWORK, CLOUD).await?;
    let mut cloud = HandAgent::open(&client, hello(NETWORK, CLOUD, Side::Cloud)).await?;
    let creating = coordinator.create_set(NETWORK, FOLDER, SyncSetOptions::default());
    cloud.while_answering(creating).await??;

    let root = cloud.delivery().await?;
    let delivered = created(&root)?;
    let mut result = made(&root, "c-folder", delivered.clone())?;
    result.parent_node_id = tandem_tests::hand_agent::FOLDER.to_owned();
    cloud.tell(vec![applied(&root, result, delivered)]).await?;

    let document = cloud.delivery().await?;
    let delivered = created(&document)?;
    let result = made(&document, "c-a", titled(delivered.clone()))?;
    cloud.tell(vec![observed(result.clone())]).await?;
    cloud
        .tell(vec![applied(&document, result, delivered)])
        .await?;
    let repository = &agent.repository;
    let flowed = cloud.while_answering(eventually(PATIENCE, "the title flows back", || {
        let found = listing(repository, FOLDER);
        found.get("a.txt").and_then(title) == Some("by rule")
    }));
    flowed.await?.with_context(|| coordinator.log())?;
    assert_eq!(
        coordinator.members(NETWORK).await?.len(),
        2,
        "the folder and a.txt"
    );
    assert!(cloud.deliveries.is_empty(), "{:?}", cloud.deliveries);
    let journal = coordinator.journal(NETWORK).await?;
    let conflict = journal
        .iter()
        .find(|entry| entry.kind() == JournalKind::Conflict);
    assert_eq!(conflict, None);
    Ok(())
}

type Hook = Box<dyn FnMut(&[Work]) + Send>;

/// A repository before whose deliveries something happens that nobody expected.
struct Interposed<R> {
    inner: R,
    before_apply: Mutex<Hook>,
}

impl<R> std::fmt::Debug for Interposed<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Interposed")
    }
}

#[tonic::async_trait]
impl<R: Repository> Repository for Interposed<R> {
    fn description(&self) -> Description {
        self.inner.description()
    }

    async fn watch(&self, roots: &[WatchRoot]) -> Result<(), Error> {
        self.inner.watch(roots).await
    }

    async fn changes(&self, max: usize) -> Result<Vec<Observation>, Error> {
        self.inner.changes(max).await
    }

    async fn reported(&self, seen: &[Seen]) -> Result<(), Error> {
        self.inner.reported(seen).await
    }

    async fn forget_reported(&self) -> Result<(), Error> {
        self.inner.forget_reported().await
    }

    async fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error> {
        self.inner.scan(root, position, children_max).await
    }

    async fn observe(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error> {
        self.inner.observe(node_ids).await
    }

    async fn open(&self, node_id: &str, digest: &[u8]) -> Result<Content, Error> {
        self.inner.open(node_id, digest).await
    }

    async fn apply(&self, work: Vec<Work>) -> Vec<Outcome> {
        {
            let mut hook = self
                .before_apply
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            hook(&work);
        }
        self.inner.apply(work).await
    }

    async fn resolve(&self, node_ids: &[String], paths: &[String]) -> Result<Vec<NodeInfo>, Error> {
        self.inner.resolve(node_ids, paths).await
    }

    async fn list_folder(
        &self,
        node_id: &str,
        after_node_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        self.inner.list_folder(node_id, after_node_id, max).await
    }

    async fn create_folder(
        &self,
        parent_node_id: &str,
        name: &str,
        request_id: &[u8],
        act_as: &str,
    ) -> Result<NodeInfo, Error> {
        self.inner
            .create_folder(parent_node_id, name, request_id, act_as)
            .await
    }

    async fn check_access(
        &self,
        user: &str,
        node_ids: &[String],
    ) -> Result<Vec<AccessInfo>, Error> {
        self.inner.check_access(user, node_ids).await
    }

    async fn versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeVersion>, bool), Error> {
        self.inner.versions(node_id, after_version_id, max).await
    }

    async fn restore_version(&self, node_id: &str, version_id: &str) -> Result<(), Error> {
        self.inner.restore_version(node_id, version_id).await
    }
}

/// The delivery changes a document.
fn is_update(work: &Work) -> bool {
    matches!(work.delivery.action, Some(Action::Update(_)))
}

#[tokio::test]
async fn r_rec_6_a_users_write_between_the_decision_and_the_replacing_is_never_overwritten()
-> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let left = memory(Side::OnPremise, Rules::default());
    let folder = left.with(|tree| tree.create_folder(ROOT, FOLDER))?;
    let node = left.with(|tree| tree.create_document(&folder, "a.txt", "first"))?;
    let agent = TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, left).await?;

    let (root, state) = (
        coordinator.directory().join("site"),
        coordinator.directory().join("site-state"),
    );
    fs::create_dir(&root)?;
    let file = root.join("contracts/a.txt");
    let options = directory::Options::new(&root, &state);
    let wrote = Arc::new(AtomicBool::new(false));
    let hook: Hook = {
        let (file, wrote) = (file.clone(), Arc::clone(&wrote));
        Box::new(move |work| {
            if work.iter().any(is_update) && !wrote.swap(true, Ordering::SeqCst) {
                fs::write(&file, "by a user on the cloud").unwrap();
            }
        })
    };
    let interposed = Interposed {
        inner: Directory::open(options).await?,
        before_apply: Mutex::new(hook),
    };
    let cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, Arc::new(interposed)).await?;
    let options = SyncSetOptions::default();
    coordinator.create_set(NETWORK, FOLDER, options).await?;
    let reads = |content: &'static [u8]| {
        let file = file.clone();
        move || fs::read(&file).is_ok_and(|found| found == content)
    };
    eventually(PATIENCE, "the first content is there", reads(b"first")).await?;

    agent
        .repository
        .with(|tree| tree.write(&node, "by a user on-premise"))?;
    let both = eventually(PATIENCE, "the cloud wins on both sides", || {
        let left = agent.repository.with(|tree| tree.content(&node));
        left == Some(Bytes::from_static(b"by a user on the cloud"))
    });
    both.await.with_context(|| coordinator.log())?;
    assert!(wrote.load(Ordering::SeqCst));
    assert_eq!(fs::read(&file)?, b"by a user on the cloud");
    let archived = agent.repository.versions(&node, "", 10).await?.0;
    let comments: Vec<&str> = archived
        .iter()
        .map(|version| version.comment.as_str())
        .collect();
    assert!(
        comments
            .iter()
            .any(|comment| comment.starts_with("synced with conflict by")),
        "the loser is kept: {comments:?}"
    );
    let journal = coordinator.journal(NETWORK).await?;
    let conflicts = journal
        .iter()
        .filter(|entry| entry.kind() == JournalKind::Conflict);
    assert_eq!(conflicts.count(), 1, "one, decided once");
    cloud.stop().await
}
