//! R-CNT-2: what nobody names goes; never anything else.

use super::*;
use crate::domain::limits::{
    COLLECT_ROWS_MAX, CONTENT_GRACE_MICROSECONDS, CONTENT_TOUCH_AFTER_MICROSECONDS,
    UPLOAD_KEPT_MICROSECONDS,
};

const GRACE: i64 = CONTENT_GRACE_MICROSECONDS + CONTENT_TOUCH_AFTER_MICROSECONDS;

impl Fixture {
    async fn collect(&self) -> Collected {
        let collector = Collector::new(self.content.clone(), CollectorOptions::default());
        collector.pass().await.unwrap()
    }
}

#[tokio::test]
async fn r_cnt_2_only_what_nobody_names_and_nobody_was_told_of_lately_goes() {
    let fixture = Fixture::new().await;
    let (named, unnamed) = (bytes(1, 100), bytes(2, 100_000));
    let (named, unnamed) = (
        fixture.put(HQ, &named).await,
        fixture.put(HQ, &unnamed).await,
    );
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, named, None)
        .await;
    fixture.clock.advance(GRACE);
    assert_eq!(
        fixture.collect().await,
        Collected::default(),
        "the grace is not over"
    );
    fixture.clock.advance(1);
    let collected = fixture.collect().await;
    assert_eq!(collected.contents, 1);
    assert!(fixture.files("blobs").is_empty());
    assert_eq!(fixture.number("SELECT count(*) FROM blob").await, 1);
    assert!(!fixture.is_missing(HQ, named).await);
    assert!(fixture.is_missing(HQ, unnamed).await);
}

#[tokio::test]
async fn r_cnt_2_whoever_was_told_that_it_is_there_can_rely_on_it() {
    let fixture = Fixture::new().await;
    let digest = fixture.put(HQ, &bytes(1, 100)).await;
    for _ in 0..5 {
        fixture.clock.advance(50 * MINUTE);
        assert!(!fixture.is_missing(HQ, digest).await);
        fixture.clock.advance(CONTENT_TOUCH_AFTER_MICROSECONDS - 1);
        assert!(
            !fixture.is_missing(HQ, digest).await,
            "asked again, not noted again"
        );
        fixture
            .clock
            .advance(CONTENT_GRACE_MICROSECONDS - 50 * MINUTE);
        assert_eq!(fixture.collect().await.contents, 0);
    }
}

#[tokio::test]
async fn r_cnt_2_expired_versions_go_first_and_kept_ones_stay() {
    let fixture = Fixture::new().await;
    let (expired, kept) = (bytes(1, 10), bytes(2, 10));
    let (expired, kept) = (
        fixture.put(HQ, &expired).await,
        fixture.put(HQ, &kept).await,
    );
    let end = START + GRACE;
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, expired, Some(end))
        .await;
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, kept, Some(end + 2))
        .await;
    fixture.clock.advance(GRACE + 1);
    let collected = fixture.collect().await;
    assert_eq!((collected.versions, collected.contents), (1, 1));
    assert!(!fixture.is_missing(HQ, kept).await);
}

#[tokio::test]
async fn r_cnt_2_bytes_stay_while_one_repository_has_them() {
    let fixture = Fixture::new().await;
    let bytes = bytes(1, 100_000);
    let digest = fixture.put(HQ, &bytes).await;
    fixture.put(CLOUD, &bytes).await;
    let (_, member) = fixture.member(digest).await;
    fixture.version(member, CLOUD, digest, None).await;
    fixture.clock.advance(GRACE + 1);
    assert_eq!(fixture.collect().await.contents, 1);
    assert!(fixture.is_missing(HQ, digest).await);
    let read = fixture
        .read_all(agent(HQ), of_member(member, digest), 0)
        .await;
    assert_eq!(
        read.unwrap(),
        bytes,
        "the member gives the right, not the sending"
    );
}

#[tokio::test]
async fn r_cnt_2_a_version_named_between_look_and_deletion_saves_its_content() {
    let fixture = Fixture::new().await;
    let digest = fixture.put(HQ, &bytes(1, 10)).await;
    let before = START + 1;
    let seen = content_index::candidates(fixture.test.store.reader(), None, 10)
        .await
        .unwrap();
    assert!(!seen[0].named && seen[0].touched_at < before);
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, digest, None)
        .await;
    let taken = fixture
        .test
        .store
        .write(|tx| async move {
            content_index::collect_in(&*tx, HQ.repository, &[digest], before).await
        })
        .await
        .unwrap();
    assert_eq!(taken.contents, 0);
}

#[tokio::test]
async fn r_cnt_2_collection_during_an_upload_touches_none_of_it() {
    let fixture = Fixture::new().await;
    let content = bytes(1, 300_000);
    let Sent { digest, size, .. } = sent(&content);
    // The other repository's bytes of the same content go meanwhile.
    fixture.put(CLOUD, &content).await;
    let Begun::Session(session) = fixture
        .content
        .begin_upload(HQ, digest, size, 0)
        .await
        .unwrap()
    else {
        panic!("it was not sent yet");
    };
    let session = session.append(0, content.slice(..100_000)).await.unwrap();
    fixture.clock.advance(UPLOAD_KEPT_MICROSECONDS + 1);
    let collected = fixture.collect().await;
    assert_eq!(
        (collected.contents, collected.uploads, collected.files),
        (1, 0, 0)
    );
    let session = session
        .append(100_000, content.slice(100_000..))
        .await
        .unwrap();
    session.finish().await.unwrap();
    assert_eq!(
        fixture.collect().await.contents,
        0,
        "what was just sent has its grace"
    );
    let (_, member) = fixture.member(digest).await;
    let read = fixture
        .read_all(agent(HQ), of_member(member, digest), 0)
        .await;
    assert_eq!(read.unwrap(), content);
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_given_up() {
    let fixture = Fixture::new().await;
    let content = bytes(1, 300_000);
    let Sent { digest, size, .. } = sent(&content);
    drop(
        fixture
            .content
            .begin_upload(HQ, digest, size, 0)
            .await
            .unwrap(),
    );
    fixture.clock.advance(UPLOAD_KEPT_MICROSECONDS);
    assert_eq!(fixture.collect().await.uploads, 0);
    fixture.clock.advance(1);
    assert_eq!(fixture.collect().await.uploads, 1);
    assert!(fixture.files("uploads").is_empty());
}

#[tokio::test]
async fn files_that_no_row_names_are_deleted() {
    let fixture = Fixture::new().await;
    let kept = fixture.put(HQ, &bytes(1, 100_000)).await;
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, kept, None)
        .await;
    let loose = crate::domain::ids::BlobId(Uuid::now_v7());
    fixture
        .content
        .objects
        .put(loose, bytes(2, 10))
        .await
        .unwrap();
    let half = fixture.test.home.path().join("content/uploads");
    std::fs::write(half.join(Uuid::now_v7().simple().to_string()), "half").unwrap();
    std::fs::write(half.join("not ours"), "foreign").unwrap();
    let staged = format!("{}#1", fixture.files("blobs")[0].display());
    std::fs::write(staged, "what a crash left of a put").unwrap();
    assert_eq!(fixture.collect().await.files, 1, "whole files have time");
    std::fs::write(half.join(Uuid::now_v7().simple().to_string()), "half").unwrap();
    // Files carry the system's time, so the collector's clock is moved far beyond it.
    fixture.clock.advance(200 * 365 * 24 * 60 * MINUTE);
    assert_eq!(fixture.collect().await.files, 3);
    let left = fixture.files("");
    assert_eq!(
        left.len(),
        3,
        "a kept one, a foreign one, and a lock: {left:?}"
    );
}

#[tokio::test]
async fn a_walk_over_several_doses_sees_everything_once() {
    let fixture = Fixture::new().await;
    let half = COLLECT_ROWS_MAX + 1;
    for rows in [
        "INSERT INTO content (repository, digest, blob, size, touched_at) \
         SELECT 1, unhex(value->>1), unhex(value->>0), 1, 0 FROM json_each(?)",
        "INSERT INTO content (repository, digest, blob, size, touched_at) \
         SELECT 2, unhex(value->>1), unhex(value->>0), 1, 0 FROM json_each(?)",
    ] {
        fixture.execute_for(half, rows).await;
    }
    let collected = usize::try_from(fixture.collect().await.contents).unwrap();
    assert_eq!(collected, 2 * half);
}

#[tokio::test]
async fn the_collector_ends_when_told() {
    let fixture = Fixture::new().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    shutdown.cancel();
    let collector = Collector::new(fixture.content.clone(), CollectorOptions::default());
    collector.run(shutdown).await;
}
