use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    ChangeItem, ContentRef, CreateNode, Delivery, DeliveryId, FailureReason, NodeKind, Outcome,
    Place, Projection, UpdateNode, change_item::Item, delivery::Action, observation::State,
    outcome::Answer, place::Folder,
};

use super::fake::{Stage, welcome};

fn content(bytes: &Bytes, inline: bool) -> ContentRef {
    ContentRef {
        digest: Bytes::copy_from_slice(&Sha256::digest(bytes)),
        size: bytes.len() as i64,
        inline: inline.then(|| bytes.clone()),
    }
}

fn document(name: &str, content: ContentRef) -> Projection {
    Projection {
        kind: NodeKind::Document.into(),
        name: name.to_owned(),
        content: Some(content),
        ..Projection::default()
    }
}

fn delivery(member: &str, action: Action) -> Delivery {
    let member_id = Bytes::from(member.to_owned());
    let id = DeliveryId {
        member_id,
        source_version: 1,
    };
    Delivery {
        id: Some(id),
        action: Some(action),
        ..Delivery::default()
    }
}

fn create(member: &str, folder: &str, projection: Projection) -> Delivery {
    let parent = Place {
        folder: Some(Folder::NodeId(folder.to_owned())),
    };
    let create = CreateNode {
        parent: Some(parent),
        projection: Some(projection),
        locked: false,
    };
    delivery(member, Action::Create(create))
}

fn outcomes(items: &[ChangeItem]) -> Vec<&Outcome> {
    items
        .iter()
        .filter_map(|item| match &item.item {
            Some(Item::Outcome(outcome)) => Some(outcome),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn deliveries_are_applied_with_content_of_every_size_and_answered_once() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let bodies = [3, 20_000, 3_000_000].map(|size| Bytes::from(vec![7_u8; size]));
    let mut deliveries = Vec::new();
    for body in &bodies {
        let named = content(body, body.len() < 100);
        stage
            .store
            .lock()
            .unwrap()
            .contents
            .insert(named.digest.clone(), body.clone());
        let name = body.len().to_string();
        deliveries.push(create(&name, &stage.folder, document(&name, named)));
    }
    talk.deliver(deliveries.clone()).await;
    talk.deliver(deliveries).await;
    let items = talk.items_until(|items| outcomes(items).len() >= 3).await;
    for outcome in outcomes(&items) {
        assert!(
            matches!(outcome.answer, Some(Answer::Applied(_))),
            "{outcome:?}"
        );
    }
    for body in &bodies {
        let path = format!("contracts/{}", body.len());
        let made = stage
            .repository
            .with(|tree| tree.content(&tree.find(&path)?));
        assert_eq!(made.as_ref(), Some(body));
    }
    stage
        .until(|progress| progress.deliveries_waiting == 0)
        .await;
}

#[tokio::test]
async fn content_that_cannot_be_had_fails_its_own_delivery_only() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let lost = content(&Bytes::from(vec![9; 20_000]), false);
    let here = content(&Bytes::from_static(b"here"), true);
    talk.deliver(vec![
        create("lost", &stage.folder, document("lost", lost)),
        create("here", &stage.folder, document("here", here)),
    ])
    .await;
    let items = talk.items_until(|items| outcomes(items).len() == 2).await;
    for outcome in outcomes(&items) {
        let member_id = &outcome.delivery_id.as_ref().unwrap().member_id;
        match outcome.answer.as_ref().unwrap() {
            Answer::Failed(failed) => {
                assert_eq!(member_id, "lost");
                assert_eq!(failed.reason(), FailureReason::ContentUnavailable);
            }
            Answer::Applied(_) => assert_eq!(member_id, "here"),
            Answer::Stale(_) => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn r_agt_6_an_observation_never_overtakes_the_outcome() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let node = stage.write("a.txt", "one");
    talk.items_until(|items| items.len() == 1).await;
    stage.repository.hold_outcomes(true);
    let revision = stage
        .repository
        .with(|tree| tree.observation(&node).revision);
    let update = UpdateNode {
        node_id: node.clone(),
        expected_revision: revision,
        projection: Some(document(
            "a.txt",
            content(&Bytes::from_static(b"two"), true),
        )),
        ..UpdateNode::default()
    };
    talk.deliver(vec![delivery("m", Action::Update(update))])
        .await;
    stage
        .until(|progress| progress.deliveries_waiting == 1)
        .await;
    while stage.repository.with(|tree| tree.content(&node)).unwrap() != "two" {
        tokio::task::yield_now().await;
    }
    // A user edits while the outcome is not noted; another change shows that reporting goes on.
    stage
        .repository
        .with(|tree| tree.write(&node, "three"))
        .unwrap();
    let other = stage.write("b.txt", "other");
    let items = talk.items_until(|items| !items.is_empty()).await;
    assert_eq!(nodes(&items), [other]);
    stage.repository.hold_outcomes(false);
    let items = talk.items_until(|items| items.len() >= 2).await;
    assert!(matches!(items[0].item, Some(Item::Outcome(_))), "{items:?}");
    assert_eq!(nodes(&items[1..]), [node]);
}

fn nodes(items: &[ChangeItem]) -> Vec<String> {
    super::fake::observations(items)
        .iter()
        .map(|seen| seen.node_id.clone())
        .collect()
}

#[tokio::test]
async fn r_err_1_renaming_the_blocking_node_is_told_with_its_observation() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let blocking = stage.write("a.txt", "mine");
    talk.items_until(|items| items.len() == 1).await;
    let wanted = document("a.txt", content(&Bytes::from_static(b"theirs"), true));
    talk.deliver(vec![create("m", &stage.folder, wanted)]).await;
    let items = talk.items_until(|items| outcomes(items).len() == 1).await;
    let Some(Answer::Failed(failed)) = &outcomes(&items)[0].answer else {
        panic!("{items:?}")
    };
    assert_eq!(failed.blocking_node_id, blocking);
    stage
        .repository
        .with(|tree| tree.rename(&blocking, "b.txt"))
        .unwrap();
    let items = talk.items_until(|items| items.len() == 2).await;
    assert!(matches!(&items[1].item, Some(Item::CauseChanged(cause)) if cause.member_id == "m"));
}

/// Stops at K8.
#[tokio::test]
async fn r_agt_6_outcomes_of_a_group_whose_session_broke_are_reported_by_the_next() {
    let mut stage = Stage::start().await;
    let talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.repository.hold_outcomes(true);
    let wanted = document("a.txt", content(&Bytes::from_static(b"x"), true));
    talk.deliver(vec![create("m", &stage.folder, wanted)]).await;
    while stage
        .repository
        .with(|tree| tree.find("contracts/a.txt"))
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    drop(talk);
    stage.repository.hold_outcomes(false);
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let batch = talk.batch().await;
    let Some(Answer::Applied(applied)) = &outcomes(&batch.items)[0].answer else {
        panic!()
    };
    assert!(matches!(
        applied.result.as_ref().unwrap().state,
        Some(State::Present(_))
    ));
}
