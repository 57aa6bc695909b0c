use bytes::Bytes;
use tandem_proto::v1::{
    ErrorReason, ItemNote, ItemNoteKind, NodeTrait, ObserveNodes, Refusal, ScanOutcome,
    change_item::Item, command, observation::State,
};

use super::fake::{Stage, observations, welcome};
use super::sessions::refusal;
use crate::agent::memory::ROOT;
use crate::agent::runtime::{batches::content_of, scan::FAILED_PAUSE};

fn content_missing() -> Refusal {
    Refusal {
        reason: ErrorReason::ContentMissing.into(),
        ..Refusal::default()
    }
}

#[tokio::test]
async fn a_change_is_reported_with_small_content_inline_and_then_forgotten() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let node = stage.write("a.txt", "one");
    let batch = talk.batch().await;
    assert_eq!(
        (batch.number, batch.id.len(), batch.session_epoch),
        (1, 16, 7)
    );
    let seen = observations(&batch.items)[0];
    assert_eq!(seen.node_id, node);
    assert_eq!(
        content_of(seen).unwrap().inline.as_deref(),
        Some(&b"one"[..])
    );
    talk.accept(1).await;
    stage
        .until(|progress| progress.reported == 1 && progress.batches_waiting == 0)
        .await;
    assert!(stage.outbox.is_empty());
    assert_eq!(stage.outbox.identity().last_id, batch.id);
}

/// Stops at K3.
#[tokio::test]
async fn r_agt_3_an_unanswered_batch_is_sent_again_as_it_was() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.write("a.txt", "one");
    let first = talk.batch().await;
    drop(talk);
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    assert_eq!(talk.batch().await, first);
    drop(talk);
    let mut talk = stage.session(welcome(1, 1, &first.id)).await;
    stage.write("b.txt", "two");
    assert_eq!(
        talk.batch().await.number,
        2,
        "the first was accepted after all"
    );
}

#[tokio::test]
async fn r_cnt_1_large_content_goes_before_the_batch_that_names_it() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let sizes = [20_000, 3_000_000];
    for size in sizes {
        stage.write(&size.to_string(), vec![1; size]);
    }
    let items = talk.items_until(|items| items.len() == sizes.len()).await;
    for seen in observations(&items) {
        let content = content_of(seen).unwrap();
        assert!(content.inline.is_none());
        let kept = stage.store.lock().unwrap().contents[&content.digest].len();
        assert_eq!(kept as i64, content.size);
    }
}

#[tokio::test]
async fn r_cnt_1_an_upload_that_was_committed_to_another_offset_goes_on_from_there() {
    let mut stage = Stage::start().await;
    let moved = || refusal("WRONG_STATE");
    stage.store.lock().unwrap().refused_uploads = vec![moved(), moved()];
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.write("large", vec![1; 3_000_000]);
    let batch = talk.batch().await;
    let content = content_of(observations(&batch.items)[0]).unwrap();
    let store = stage.store.lock().unwrap();
    assert!(store.contents.contains_key(&content.digest));
    assert!(store.refused_uploads.is_empty(), "and the session holds");
}

#[tokio::test]
async fn r_cnt_1_missing_content_is_sent_and_the_batch_repeated_under_a_new_id() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    stage.write("a.txt", vec![1; 20_000]);
    let first = talk.batch().await;
    let digest = content_of(observations(&first.items)[0])
        .unwrap()
        .digest
        .clone();
    stage.store.lock().unwrap().contents.clear();
    talk.refuse(1, content_missing(), std::slice::from_ref(&digest))
        .await;
    let second = talk.batch().await;
    assert_eq!((second.number, &second.items), (1, &first.items));
    assert_ne!(second.id, first.id);
    assert!(stage.store.lock().unwrap().contents.contains_key(&digest));
}

#[tokio::test]
async fn r_cnt_1_content_that_changed_meanwhile_is_observed_again() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let node = stage.write("a.txt", vec![1; 20_000]);
    let first = talk.batch().await;
    let digest = content_of(observations(&first.items)[0])
        .unwrap()
        .digest
        .clone();
    stage.store.lock().unwrap().contents.clear();
    stage
        .repository
        .with(|tree| tree.write(&node, "short"))
        .unwrap();
    talk.refuse(1, content_missing(), &[digest]).await;
    loop {
        let batch = talk.batch().await;
        if batch.number == 1 {
            let seen = observations(&batch.items)[0];
            assert_eq!(
                content_of(seen).unwrap().inline.as_deref(),
                Some(&b"short"[..])
            );
            assert_ne!(batch.id, first.id);
            return;
        }
        // What was sent behind the refused batch is a gap.
        let gap = Refusal {
            reason: ErrorReason::BatchGap.into(),
            ..Refusal::default()
        };
        talk.refuse(batch.number, gap, &[]).await;
    }
}

#[tokio::test]
async fn r_rec_7_a_node_with_unknown_parents_is_reported_again_behind_them() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let folder = stage.folder.clone();
    let (inner, node) = stage.repository.with(|tree| {
        let inner = tree.create_folder(&folder, "inner").unwrap();
        let node = tree.create_document(&inner, "a.txt", "one").unwrap();
        (inner, node)
    });
    let batch = talk.batch().await;
    let index = batch.items.len() as i32 - 1;
    let mut note = ItemNote {
        item_index: index,
        ..ItemNote::default()
    };
    note.set_kind(ItemNoteKind::UnknownParent);
    talk.accept_with(1, vec![note]).await;
    let batch = talk.batch().await;
    let again: Vec<_> = observations(&batch.items)
        .iter()
        .map(|seen| seen.node_id.clone())
        .collect();
    assert_eq!(again, [folder, inner, node]);
}

#[tokio::test]
async fn r_rec_7_a_node_with_unknown_parents_that_lies_below_no_root_any_more_is_told_as_absent() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let folder = stage.folder.clone();
    let node = stage.repository.with(|tree| {
        let node = tree.create_document(&folder, "a.txt", "one").unwrap();
        tree.create_folder(ROOT, "elsewhere").unwrap();
        node
    });
    let batch = talk.batch().await;
    stage.repository.with(|tree| {
        let elsewhere = tree.find("elsewhere").unwrap();
        tree.move_to(&node, &elsewhere).unwrap();
        // As if the root that it was watched by was none any more: nothing is offered.
        tree.forget_reported();
    });
    let mut note = ItemNote::default();
    note.set_kind(ItemNoteKind::UnknownParent);
    note.item_index = batch.items.len() as i32 - 1;
    talk.accept_with(1, vec![note]).await;
    let batch = talk.batch().await;
    let told = observations(&batch.items);
    let told = told.iter().find(|seen| seen.node_id == node).unwrap();
    assert!(matches!(told.state, Some(State::Absent(_))), "{told:?}");
}

#[tokio::test]
async fn r_agt_8_nodes_are_observed_on_request_absent_ones_too() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let node_ids = vec!["gone".to_owned()];
    let look = ObserveNodes {
        node_ids,
        ..ObserveNodes::default()
    };
    talk.ask(command::Request::ObserveNodes(look)).await;
    let batch = talk.batch().await;
    let seen = observations(&batch.items)[0];
    assert_eq!(seen.node_id, "gone");
    assert!(matches!(seen.state, Some(State::Absent(_))));
}

#[tokio::test]
async fn r_agt_5_a_large_root_is_listed_in_batches_within_the_limits() {
    let mut stage = Stage::start().await;
    for index in 0..1500 {
        stage.write(&format!("{index}.txt"), vec![b'x'; 1000]);
    }
    let mut talk = stage.talk().await;
    talk.welcome(welcome(1, 0, &Bytes::new())).await;
    talk.watch(&stage.folder, &[8; 16]).await;
    let mut listed = 0;
    let mut ended = false;
    while !ended {
        let batch = talk.batch().await;
        assert!(prost::Message::encoded_len(&batch) < 1024 * 1024);
        for item in &batch.items {
            match &item.item {
                Some(Item::ScanPage(page)) => listed += page.children.len(),
                Some(Item::ScanEnd(end)) => ended = end.outcome() == ScanOutcome::Complete,
                _ => {}
            }
        }
        talk.accept(batch.number).await;
    }
    assert_eq!(listed, 1500);
    stage
        .until(|progress| progress.scanned == 1500 && progress.scans_running == 0)
        .await;
}

#[tokio::test]
async fn r_del_3_a_missing_root_ends_the_scan_and_says_nothing_of_what_is_missing() {
    let mut stage = Stage::start().await;
    stage.write("a.txt", "one");
    stage.repository.with(|tree| tree.faults.root_gone = true);
    let mut talk = stage.talk().await;
    talk.welcome(welcome(1, 0, &Bytes::new())).await;
    talk.watch(&stage.folder, &[8; 16]).await;
    let is_end = |items: &[tandem_proto::v1::ChangeItem]| {
        items.iter().any(|item| matches!(&item.item, Some(Item::ScanEnd(end)) if end.outcome() == ScanOutcome::RootGone))
    };
    let items = talk.items_until(is_end).await;
    assert!(
        items
            .iter()
            .all(|item| !matches!(item.item, Some(Item::ScanPage(_))))
    );
    stage.until(|progress| progress.root_gone).await;
    stage.repository.with(|tree| tree.faults.root_gone = false);
    stage.until(|progress| !progress.root_gone).await;
}

#[tokio::test]
async fn r_agt_3_bytes_that_are_not_those_of_their_digest_are_read_again_and_then_left_out() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let folder = stage.folder.clone();
    let (wrong, fine) = stage.repository.with(|tree| {
        let mut made = |name: &'static str| tree.create_document(&folder, name, name).unwrap();
        (made("wrong.txt"), made("fine.txt"))
    });
    let mismatch = Refusal {
        reason: ErrorReason::DigestMismatch.into(),
        ..Refusal::default()
    };
    let mut batch = talk.batch().await;
    let of = |batch: &tandem_proto::v1::ChangeBatch| -> Vec<String> {
        let seen = observations(&batch.items);
        seen.iter().map(|seen| seen.node_id.clone()).collect()
    };
    for reading in ["first", "second", "third"] {
        assert_eq!(of(&batch), [wrong.clone(), fine.clone()], "{reading}");
        let digest = content_of(observations(&batch.items)[0])
            .unwrap()
            .digest
            .clone();
        talk.refuse(1, mismatch.clone(), &[digest]).await;
        batch = talk.batch().await;
        assert_eq!(batch.number, 1);
    }
    assert_eq!(of(&batch), [fine], "the other one gets across");
    talk.accept(1).await;
    stage.until(|progress| progress.batches_waiting == 0).await;
    stage
        .repository
        .with(|tree| tree.write(&wrong, "changed"))
        .unwrap();
    let batch = talk.batch().await;
    assert_eq!(
        (batch.number, of(&batch)),
        (2, vec![wrong]),
        "once it changes"
    );
}

#[tokio::test]
async fn r_agt_3_a_node_that_no_batch_could_carry_is_reported_without_what_makes_it_large() {
    let mut stage = Stage::start().await;
    let mut talk = stage.session(welcome(1, 0, &Bytes::new())).await;
    let folder = stage.folder.clone();
    let node = stage.repository.with(|tree| {
        let node = tree.create_document(&folder, "a.txt", "one").unwrap();
        let text = "x".repeat(5 * 1024 * 1024);
        tree.set_property(&node, "cm:title", Some(&text)).unwrap();
        node
    });
    let batch = talk.batch().await;
    assert!(prost::Message::encoded_len(&batch) < 1024 * 1024);
    let seen = observations(&batch.items)[0];
    assert_eq!(
        (seen.node_id.as_str(), seen.node_trait()),
        (node.as_str(), NodeTrait::TooLarge)
    );
}

#[tokio::test]
async fn r_agt_5_a_scan_that_came_to_nothing_is_not_begun_again_at_once() {
    let mut stage = Stage::start().await;
    stage.repository.with(|tree| tree.faults.root_gone = true);
    let mut talk = stage.talk().await;
    talk.welcome(welcome(1, 0, &Bytes::new())).await;
    let ended = |items: &[tandem_proto::v1::ChangeItem]| {
        let end = |item: &tandem_proto::v1::ChangeItem| matches!(&item.item, Some(Item::ScanEnd(end)) if end.outcome() == ScanOutcome::RootGone);
        items.iter().any(end)
    };
    talk.watch(&stage.folder, &[8; 16]).await;
    talk.items_until(ended).await;
    let first = std::time::Instant::now();
    talk.watch(&stage.folder, &[9; 16]).await;
    talk.items_until(ended).await;
    assert!(first.elapsed() >= FAILED_PAUSE / 2, "{:?}", first.elapsed());
}
