use tandem_proto::v1::{
    ContentRef, Observation, Projection, WatchRoot, change_item::Item, observation::State,
};

use super::*;
use crate::agent::trace;

fn item(node_id: &str) -> ChangeItem {
    let content = ContentRef {
        digest: Bytes::from_static(&[7; 32]),
        size: 3,
        inline: Some(Bytes::from_static(b"abc")),
    };
    let projection = Projection {
        content: Some(content),
        ..Projection::default()
    };
    let observation = Observation {
        node_id: node_id.to_owned(),
        state: Some(State::Present(projection)),
        ..Observation::default()
    };
    ChangeItem {
        item: Some(Item::Observation(observation)),
    }
}

fn inline_of(batch: &Pending) -> Vec<Option<Bytes>> {
    let mut found = Vec::new();
    for item in batch.items.iter() {
        for_each_content(&mut item.clone(), &mut |content| {
            found.push(content.inline.clone());
        });
    }
    found
}

fn welcome(generation: i64, number: i64, id: &Bytes) -> Welcome {
    Welcome {
        generation,
        last_batch_number: number,
        last_batch_id: id.clone(),
        ..Welcome::default()
    }
}

fn numbers(outbox: &Outbox) -> Vec<i64> {
    outbox.pending().iter().map(|batch| batch.number).collect()
}

/// Stops at K2.
#[tokio::test]
async fn r_agt_3_batches_keep_number_and_id_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/outbox.db");
    let before = {
        let outbox = Outbox::open(&path).unwrap();
        outbox
            .store_resume_key(Bytes::from_static(b"key"))
            .await
            .unwrap();
        outbox.append(vec![item("a")], None).await.unwrap();
        outbox.append(vec![item("b")], None).await.unwrap();
        assert_eq!(
            inline_of(&outbox.pending()[0]),
            [Some(Bytes::from_static(b"abc"))]
        );
        outbox.pending()
    };
    let outbox = Outbox::open(&path).unwrap();
    let after = outbox.pending();
    assert_eq!(outbox.identity().resume_key, "key");
    let names = |batches: &[Pending]| -> Vec<_> {
        batches
            .iter()
            .map(|batch| (batch.number, batch.id.clone()))
            .collect()
    };
    assert_eq!(names(&before), names(&after));
    assert_eq!(inline_of(&after[0]), [None], "inline bytes are not stored");
}

#[tokio::test]
async fn r_agt_3_requests_made_together_are_numbered_in_order() {
    let outbox = Outbox::in_memory().unwrap();
    let mut receipts = Vec::new();
    for index in 0..200 {
        let slot = outbox.slot().await.unwrap();
        receipts.push(slot.append(vec![item(&index.to_string())], None));
    }
    for receipt in receipts {
        receipt.wait().await.unwrap();
    }
    for (index, batch) in outbox.pending().into_iter().enumerate() {
        assert_eq!(batch.number, index as i64 + 1);
        assert_eq!(*batch.items, [item(&index.to_string())]);
    }
}

/// Stops at S6 and K4.
#[tokio::test]
async fn r_agt_3_what_the_coordinator_accepted_is_not_sent_again() {
    let outbox = Outbox::in_memory().unwrap();
    for name in ["a", "b", "c"] {
        outbox.append(vec![item(name)], None).await.unwrap();
    }
    let second = outbox.get(2).unwrap();
    let standing = outbox.settle(&welcome(0, 2, &second.id)).await.unwrap();
    assert_eq!(standing, Standing::Continues);
    assert_eq!(numbers(&outbox), [3]);
    assert_eq!(outbox.identity().last_id, second.id);
    let again = outbox.settle(&welcome(0, 2, &second.id)).await.unwrap();
    assert_eq!(again, Standing::Continues);
}

#[tokio::test]
async fn r_agt_4_a_coordinator_that_is_ahead_or_behind_is_noticed() {
    let outbox = Outbox::in_memory().unwrap();
    outbox.append(vec![item("a")], None).await.unwrap();
    outbox.append(vec![item("b")], None).await.unwrap();
    outbox.accepted(1).await.unwrap();
    let other = Bytes::from_static(&[1; 16]);
    for (number, id) in [
        (0, Bytes::new()),
        (1, other.clone()),
        (2, other.clone()),
        (9, other),
    ] {
        let standing = outbox.settle(&welcome(0, number, &id)).await.unwrap();
        assert_eq!(standing, Standing::RollbackSuspected, "{number}");
    }
}

#[tokio::test]
async fn r_agt_4_a_new_generation_goes_on_from_the_coordinators_number() {
    let outbox = Outbox::in_memory().unwrap();
    outbox.append(vec![item("a")], None).await.unwrap();
    let last = Bytes::from_static(&[4; 16]);
    let greeting = welcome(3, 41, &last);
    assert_eq!(
        outbox.settle(&greeting).await.unwrap(),
        Standing::NewGeneration
    );
    outbox.begin_generation(&greeting).await.unwrap();
    assert!(outbox.is_empty());
    assert_eq!(outbox.settle(&greeting).await.unwrap(), Standing::Continues);
    outbox.append(vec![item("b")], None).await.unwrap();
    assert_eq!(numbers(&outbox), [42]);
    outbox.doubt_generation().await.unwrap();
    assert_eq!(outbox.identity().generation, 0);
    assert_eq!(outbox.identity().last_number, 41);
}

fn root(node_id: &str, scan_id: &'static [u8], document: bool) -> WatchRoot {
    WatchRoot {
        node_id: node_id.to_owned(),
        include_subfolders: !document,
        scan_id: Bytes::from_static(scan_id),
        document,
        ..WatchRoot::default()
    }
}

#[tokio::test]
async fn r_agt_4_a_folder_that_only_the_coordinator_remembers_puts_the_generation_in_doubt() {
    let outbox = Outbox::in_memory().unwrap();
    outbox
        .begin_generation(&welcome(3, 0, &Bytes::new()))
        .await
        .unwrap();
    let unheard = || Named::Unheard(Vec::new());
    let name = |roots: Vec<WatchRoot>| outbox.name_roots(roots);
    let listed = vec![root("a", &[1; 16], false), root("b", &[2; 16], false)];
    assert_eq!(name(listed).await.unwrap(), unheard());
    let known = vec![root("a", b"", false), root("b", b"", false)];
    assert_eq!(name(known).await.unwrap(), unheard());
    assert_eq!(name(vec![root("a", b"", false)]).await.unwrap(), unheard());
    outbox.append(vec![item("a")], None).await.unwrap();
    assert_eq!(outbox.identity().generation, 3);
    let back = vec![root("a", b"", false), root("b", b"", false)];
    assert_eq!(name(back.clone()).await.unwrap(), Named::RollbackSuspected);
    assert_eq!(outbox.identity().generation, 0);
    assert!(
        outbox.is_empty(),
        "what is reported belongs to no generation"
    );
    // Were it never listed, the agent would not come to rest.
    assert_eq!(name(back).await.unwrap(), unheard());
}

#[tokio::test]
async fn r_agt_4_a_document_is_looked_at_until_the_coordinator_heard_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let roots = || vec![root("d", b"", true), root("e", b"", true)];
    let both = Named::Unheard(vec!["d".to_owned(), "e".to_owned()]);
    let outbox = Outbox::open(&path).unwrap();
    assert_eq!(outbox.name_roots(roots()).await.unwrap(), both);
    drop(outbox);
    let outbox = Outbox::open(&path).unwrap();
    assert_eq!(outbox.name_roots(roots()).await.unwrap(), both);
    let heard = vec!["d".to_owned(), "elsewhere".to_owned()];
    outbox.heard_roots(heard).await.unwrap();
    let one = Named::Unheard(vec!["e".to_owned()]);
    assert_eq!(outbox.name_roots(roots()).await.unwrap(), one);
    let none = outbox.name_roots(Vec::new()).await.unwrap();
    assert_eq!(none, Named::Unheard(Vec::new()));
    assert_eq!(outbox.name_roots(roots()).await.unwrap(), both);
}

#[tokio::test]
async fn r_agt_3_a_rewritten_batch_keeps_its_number_and_gets_a_new_id() {
    let outbox = Outbox::in_memory().unwrap();
    for name in ["a", "b", "c"] {
        outbox.append(vec![item(name)], None).await.unwrap();
    }
    let before = outbox.pending();
    outbox.rewrite(1, vec![item("x")]).await.unwrap();
    let first = outbox.get(1).unwrap();
    assert_ne!(first.id, before[0].id);
    assert_eq!(*first.items, [item("x")]);
    outbox.rewrite(1, Vec::new()).await.unwrap();
    assert_eq!(numbers(&outbox), [1, 2]);
    assert_eq!(outbox.get(1).unwrap().items, before[1].items);
    assert_ne!(outbox.get(1).unwrap().id, before[1].id);
    outbox.append(vec![item("d")], None).await.unwrap();
    assert_eq!(numbers(&outbox), [1, 2, 3]);
}

/// Stops at K1.
#[tokio::test]
async fn r_agt_5_scan_positions_are_stored_with_their_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let scan_id = Bytes::from_static(&[9; 16]);
    let state = ScanState {
        scan_id: scan_id.clone(),
        position: vec![1, 2],
        done: false,
    };
    {
        let outbox = Outbox::open(&path).unwrap();
        outbox
            .append(vec![item("a")], Some(state.clone()))
            .await
            .unwrap();
        assert_eq!(outbox.scan(Bytes::from_static(b"?")).await.unwrap(), None);
    }
    let outbox = Outbox::open(&path).unwrap();
    assert_eq!(outbox.scan(scan_id.clone()).await.unwrap(), Some(state));
    outbox.keep_scans(vec![scan_id.clone()]).await.unwrap();
    assert!(outbox.scan(scan_id.clone()).await.unwrap().is_some());
    outbox.keep_scans(Vec::new()).await.unwrap();
    assert_eq!(outbox.scan(scan_id).await.unwrap(), None);
}

#[tokio::test]
async fn r_agt_7_the_outbox_is_bounded() {
    let outbox = Outbox::in_memory().unwrap();
    for _ in 0..PENDING_BATCHES_MAX {
        outbox.room().await;
        outbox.append(vec![item("a")], None).await.unwrap();
    }
    let waiting = outbox.clone();
    let room = tokio::spawn(async move { waiting.room().await });
    tokio::task::yield_now().await;
    assert!(!room.is_finished());
    outbox.accepted(1).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), room)
        .await
        .unwrap()
        .unwrap();
}

/// Stops at K2 and K11.
#[tokio::test]
async fn r_agt_3_what_may_be_sent_is_durable_before() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&folder.path().join("outbox.db")).unwrap();
    let flushes = || trace::below(folder.path()).len();
    let mut before = flushes();
    let mut is_flushed = || {
        let flushed = flushes() > before;
        before = flushes();
        flushed
    };
    outbox.append(vec![item("a")], None).await.unwrap();
    assert!(is_flushed(), "a batch");
    outbox.append(vec![item("b")], None).await.unwrap();
    assert!(is_flushed(), "another batch");
    outbox.rewrite(1, vec![item("x")]).await.unwrap();
    assert!(is_flushed(), "the new id of a batch");
    outbox.rewrite(1, Vec::new()).await.unwrap();
    assert!(is_flushed(), "the new numbers of batches");
    let key = Bytes::from_static(b"key");
    outbox.store_resume_key(key).await.unwrap();
    assert!(is_flushed(), "the key of the next session");
    outbox.accepted(1).await.unwrap();
    assert!(!is_flushed(), "the coordinator tells that again");
    let generation = welcome(3, 41, &Bytes::from_static(&[4; 16]));
    outbox.begin_generation(&generation).await.unwrap();
    assert!(is_flushed(), "a generation");
}
