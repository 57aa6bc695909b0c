use std::collections::HashMap;

use bytes::Bytes;
use tandem_proto::v1::{
    ChangeItem, Command, Drain, ObserveNodes, Ping, ScanOutcome, WatchRoot, WatchRoots,
    change_item::Item, command, exchange_request, exchange_response,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::fake::{Stage, observations, soon, welcome};
use crate::agent::{memory::ROOT, runtime::Link};

pub(super) fn refusal(reason: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tandem", HashMap::new());
    Status::with_error_details(Code::FailedPrecondition, "refused", details)
}

#[tokio::test]
async fn r_agt_1_the_resume_key_is_stored_and_shown_again() {
    let mut stage = Stage::start().await;
    let mut talk = stage.talk().await;
    assert_eq!(talk.hello.repository, "networks/n/repositories/r");
    assert_eq!(
        (talk.hello.generation, talk.hello.last_batch_number),
        (0, 0)
    );
    assert!(talk.hello.resume_key.is_empty());
    talk.welcome(welcome(1, 0, &Bytes::new())).await;
    assert_eq!(stage.outbox.identity().resume_key, "key of 1/0");
    stage
        .until(|progress| progress.link == Link::Connected)
        .await;
    drop(talk);
    let talk = stage.talk().await;
    assert_eq!(talk.hello.resume_key, "key of 1/0");
    assert_eq!(talk.hello.generation, 1);
}

#[tokio::test]
async fn r_agt_2_pings_are_answered() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    talk.send(exchange_response::Frame::Ping(Ping { nonce: 5 }))
        .await;
    match talk.next().await {
        exchange_request::Frame::Pong(pong) => assert_eq!(pong.nonce, 5),
        other => panic!("not a pong: {other:?}"),
    }
}

#[tokio::test]
async fn r_agt_2_a_cloned_repository_is_shown_and_tried_again() {
    let mut stage = Stage::start().await;
    stage.store.lock().unwrap().refuses = Some(refusal("REPOSITORY_CLONED"));
    stage.until(|progress| progress.link == Link::Cloned).await;
    stage.store.lock().unwrap().refuses = None;
    stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.until(|progress| progress.last_error.is_none()).await;
}

#[tokio::test]
async fn what_no_retry_mends_ends_the_agent() {
    let stage = Stage::start().await;
    stage.store.lock().unwrap().refuses = Some(Status::unauthenticated("revoked"));
    let ended = soon(stage.agent).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_drained_session_is_half_closed_and_another_one_opened() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    talk.send(exchange_response::Frame::Drain(Drain::default()))
        .await;
    talk.half_close().await;
    drop(talk);
    let talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.shutdown.cancel();
    drop(talk);
    soon(stage.agent).await.unwrap().unwrap();
}

#[tokio::test]
async fn r_agt_4_a_new_generation_drops_the_outbox_and_scans() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let old = stage.write("a.txt", "one");
    assert_eq!(talk.batch().await.number, 1);
    drop(talk);
    let mut talk = stage.talk().await;
    talk.welcome(welcome(2, 10, &Bytes::from_static(&[9; 16])))
        .await;
    talk.watch(&stage.folder, &[5; 16]).await;
    let mut listed = Vec::new();
    let mut outcome = None;
    let mut number = 11;
    while outcome.is_none() {
        let batch = talk.batch().await;
        assert_eq!(batch.number, number);
        number += 1;
        talk.accept(batch.number).await;
        for item in batch.items {
            match item.item {
                Some(Item::ScanPage(page)) => listed.extend(page.children),
                Some(Item::ScanEnd(end)) => outcome = Some(end.outcome()),
                Some(Item::Observation(seen)) => assert_eq!(seen.node_id, stage.folder),
                other => panic!("not of a scan: {other:?}"),
            }
        }
    }
    assert_eq!(outcome, Some(ScanOutcome::Complete));
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].node_id, old);
}

#[tokio::test]
async fn r_agt_4_different_memories_lead_to_a_hello_without_generation() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.write("a.txt", "one");
    let batch = talk.batch().await;
    talk.accept(batch.number).await;
    stage
        .until(|progress| progress.reported == 1 && progress.batches_waiting == 0)
        .await;
    drop(talk);
    let mut talk = stage.talk().await;
    assert_eq!(
        (talk.hello.generation, talk.hello.last_batch_number),
        (1, 1)
    );
    talk.welcome(welcome(1, 0, &Bytes::new())).await;
    talk.half_close().await;
    drop(talk);
    let mut talk = stage.talk().await;
    assert_eq!(talk.hello.generation, 0);
    talk.welcome(welcome(2, 0, &Bytes::new())).await;
    talk.watch(&stage.folder, b"").await;
    stage.write("b.txt", "two");
    let batch = talk.batch().await;
    assert_eq!((batch.number, observations(&batch.items).len()), (1, 1));
}

#[tokio::test]
async fn r_agt_4_a_root_that_only_the_coordinator_remembers_leads_to_a_new_generation() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let other = stage
        .repository
        .with(|tree| tree.create_folder(ROOT, "ended since"))
        .unwrap();
    let root = WatchRoot {
        node_id: other.clone(),
        include_subfolders: true,
        ..WatchRoot::default()
    };
    let request = command::Request::WatchRoots(WatchRoots { roots: vec![root] });
    talk.send(exchange_response::Frame::Command(Command {
        id: Bytes::from_static(&[3; 16]),
        deadline: None,
        request: Some(request),
    }))
    .await;
    talk.end().await;
    drop(talk);
    let mut talk = stage.talk().await;
    assert_eq!(talk.hello.generation, 0);
    assert_eq!(talk.hello.resume_key, "key of 1/0");
    talk.welcome(welcome(2, 0, &Bytes::new())).await;
    talk.watch(&other, &[5; 16]).await;
    let ended = |items: &[ChangeItem]| {
        matches!(
            items.last(),
            Some(ChangeItem {
                item: Some(Item::ScanEnd(_))
            })
        )
    };
    talk.items_until(ended).await;
}

#[tokio::test]
async fn r_agt_4_a_document_that_is_watched_anew_is_reported_once() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let document = stage
        .repository
        .with(|tree| tree.create_document(ROOT, "edited meanwhile", "text"))
        .unwrap();
    let root = || WatchRoot {
        node_id: document.clone(),
        document: true,
        ..WatchRoot::default()
    };
    let watch = || {
        command::Request::WatchRoots(WatchRoots {
            roots: vec![root()],
        })
    };
    talk.ask(watch()).await;
    let batch = talk.batch().await;
    assert_eq!(observations(&batch.items)[0].node_id, document);
    talk.accept(batch.number).await;
    talk.ask(watch()).await;
    let gone = vec!["another".to_owned()];
    talk.ask(command::Request::ObserveNodes(ObserveNodes {
        node_ids: gone,
        ..ObserveNodes::default()
    }))
    .await;
    let batch = talk.batch().await;
    assert_eq!(
        observations(&batch.items)[0].node_id,
        "another",
        "and not the document"
    );
}
