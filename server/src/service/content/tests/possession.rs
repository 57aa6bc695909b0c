//! R-CNT-1: what is missing, and what one call may send.

use super::*;
use crate::domain::limits::{
    CONTENT_BATCH_BYTES_MAX, CONTENT_BATCH_ITEMS_MAX, CONTENT_IN_DATABASE_BYTES_MAX,
};

#[tokio::test]
async fn r_cnt_1_missing_is_what_this_repository_neither_sent_nor_received() {
    let fixture = Fixture::new().await;
    for length in [
        0,
        5_000,
        CONTENT_IN_DATABASE_BYTES_MAX,
        CONTENT_IN_DATABASE_BYTES_MAX + 1,
    ] {
        let bytes = bytes(1, length);
        assert!(fixture.is_missing(HQ, digest_of(&bytes)).await, "{length}");
        let digest = fixture.put(HQ, &bytes).await;
        assert!(!fixture.is_missing(HQ, digest).await, "{length}");
        assert!(fixture.is_missing(CLOUD, digest).await, "{length}");
        assert!(fixture.is_missing(STRANGER, digest).await, "{length}");
    }
}

#[tokio::test]
async fn r_cnt_1_bytes_of_two_repositories_are_stored_once_and_never_across_networks() {
    let fixture = Fixture::new().await;
    for bytes in [bytes(1, 100), bytes(2, 100_000)] {
        let digest = fixture.put(HQ, &bytes).await;
        fixture.put(CLOUD, &bytes).await;
        fixture.put(HQ, &bytes).await;
        assert!(!fixture.is_missing(CLOUD, digest).await);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM blob").await, 2);
    assert_eq!(fixture.files("blobs").len(), 1);
    fixture.put(STRANGER, &bytes(1, 100)).await;
    assert_eq!(fixture.number("SELECT count(*) FROM blob").await, 3);
}

#[tokio::test]
async fn r_cnt_1_a_delivery_makes_the_receiver_have_it() {
    let fixture = Fixture::new().await;
    let (digest, other) = (
        fixture.put(HQ, &bytes(1, 10)).await,
        digest_of(b"never sent"),
    );
    let digests = &[digest, other];
    let store = &fixture.test.store;
    store
        .write(|tx| async move {
            content_index::share_in(&*tx, HQ.repository, CLOUD.repository, digests, START).await?;
            let present = content_index::present_in(&*tx, CLOUD.repository, digests).await?;
            assert_eq!(present, BTreeSet::from([digest]));
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert!(fixture.is_missing(CLOUD, other).await);
}

#[tokio::test]
async fn inline_content_of_a_group_is_put_and_read_back() {
    let fixture = Fixture::new().await;
    let contents: Vec<(Digest, Bytes)> = (0..200)
        .map(|seed| bytes(seed, usize::from(seed) * 7))
        .map(|bytes| (digest_of(&bytes), bytes))
        .collect();
    let group = &contents;
    fixture
        .test
        .store
        .write(|tx| async move {
            content_index::put_small_in(&*tx, ACME, HQ.repository, group, START).await?;
            let digests: Vec<Digest> = group.iter().map(|(digest, _)| *digest).collect();
            let sizes = content_index::present_sizes_in(&*tx, HQ.repository, &digests).await?;
            for (digest, bytes) in group {
                assert_eq!(sizes[digest], i64::try_from(bytes.len()).unwrap());
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    let reader = fixture.test.store.reader();
    let digests: Vec<Digest> = contents.iter().map(|(digest, _)| *digest).collect();
    let read = content_index::read_small(reader, HQ.repository, &digests, 16 * 1024).await;
    assert_eq!(read.unwrap(), contents.into_iter().collect());
    let foreign = content_index::read_small(reader, CLOUD.repository, &digests, 16 * 1024).await;
    assert!(foreign.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_claim_is_refused_and_nothing_of_the_call_is_kept() {
    let fixture = Fixture::new().await;
    let good = sent(&bytes(1, 10));
    for bad in [
        Sent {
            size: 11,
            ..good.clone()
        },
        Sent {
            size: -1,
            ..good.clone()
        },
        Sent {
            digest: digest_of(b"other"),
            ..good.clone()
        },
    ] {
        let refused = fixture
            .content
            .batch_write(HQ, vec![good.clone(), bad])
            .await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
    }
    assert!(fixture.is_missing(HQ, good.digest).await);
}

#[tokio::test]
async fn a_call_takes_so_much_and_no_more() {
    let fixture = Fixture::new().await;
    let empty = sent(&Bytes::new());
    let most = vec![empty.clone(); CONTENT_BATCH_ITEMS_MAX];
    fixture.content.batch_write(HQ, most).await.unwrap();
    let too_many = vec![empty; CONTENT_BATCH_ITEMS_MAX + 1];
    let refused = fixture.content.batch_write(HQ, too_many).await;
    assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "contents"));
    let full = bytes(1, CONTENT_BATCH_BYTES_MAX);
    fixture.put(HQ, &full).await;
    let too_large = vec![sent(&full), sent(&bytes(2, 1))];
    let refused = fixture.content.batch_write(HQ, too_large).await;
    assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "contents"));
    let most = vec![digest_of(b"x"); DIGESTS_PER_CALL_MAX];
    let missing = fixture
        .content
        .find_missing(HQ, most.clone())
        .await
        .unwrap();
    assert_eq!(missing, [digest_of(b"x")], "each is told once");
    for bad in [Vec::new(), [most, vec![digest_of(b"y")]].concat()] {
        let refused = fixture.content.find_missing(HQ, bad).await;
        assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "digests"));
    }
}
