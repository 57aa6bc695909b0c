//! R-CNT-1: large content, resumable at the committed offset.

use super::*;
use crate::domain::limits::{
    CONTENT_BYTES_MAX, UPLOAD_COMMIT_BYTES, UPLOAD_MESSAGE_BYTES_MAX,
    UPLOADS_AT_ONCE_PER_REPOSITORY_MAX, UPLOADS_UNFINISHED_PER_REPOSITORY_MAX,
};

const LARGE: usize = 300_000;

impl Fixture {
    async fn begin(&self, content: &Bytes, offset: i64) -> Result<UploadSession, Error> {
        let Sent { digest, size, .. } = sent(content);
        match self.content.begin_upload(HQ, digest, size, offset).await? {
            Begun::Session(session) => Ok(*session),
            Begun::Complete { .. } => panic!("it was not sent yet"),
        }
    }

    async fn progress(&self, content: &Bytes) -> (i64, bool) {
        let progress = self
            .content
            .query_write(HQ, digest_of(content))
            .await
            .unwrap();
        (progress.committed, progress.complete)
    }
}

/// Sends from where the session is to an end.
async fn send(session: UploadSession, content: &Bytes, end: usize) -> Result<UploadSession, Error> {
    let mut session = session;
    let mut start = usize::try_from(session.offset()).unwrap();
    while start < end {
        let stop = end.min(start + UPLOAD_MESSAGE_BYTES_MAX);
        let offset = i64::try_from(start).unwrap();
        session = session.append(offset, content.slice(start..stop)).await?;
        start = stop;
    }
    Ok(session)
}

#[tokio::test]
async fn an_upload_of_any_size_is_whole_verified_and_readable() {
    let fixture = Fixture::new().await;
    for length in [0, 10, LARGE, 2 * UPLOAD_MESSAGE_BYTES_MAX + 1] {
        let content = bytes(1, length);
        let session = fixture.begin(&content, 0).await.unwrap();
        let session = send(session, &content, length).await.unwrap();
        assert_eq!(
            session.finish().await.unwrap(),
            i64::try_from(length).unwrap()
        );
        assert_eq!(
            fixture.progress(&content).await,
            (i64::try_from(length).unwrap(), true)
        );
        let digest = digest_of(&content);
        let (_, member) = fixture.member(digest).await;
        let read = fixture
            .read_all(agent(HQ), of_member(member, digest), 0)
            .await;
        assert!(read.unwrap() == content, "{length}");
    }
    assert!(fixture.files("uploads").is_empty());
    assert_eq!(fixture.number("SELECT count(*) FROM upload").await, 0);
}

#[tokio::test]
async fn what_is_half_written_is_missing_and_has_no_blob() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, 100_000)
        .await
        .unwrap()
        .pause()
        .await
        .unwrap();
    assert!(fixture.is_missing(HQ, digest_of(&content)).await);
    assert_eq!(fixture.progress(&content).await, (100_000, false));
    assert_eq!(fixture.number("SELECT count(*) FROM blob").await, 0);
}

#[tokio::test]
async fn an_upload_goes_on_at_the_committed_offset_after_a_crash() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, 100_000)
        .await
        .unwrap()
        .pause()
        .await
        .unwrap();
    let session = fixture.begin(&content, 100_000).await.unwrap();
    // Written, but never committed: a crash loses it.
    let session = send(session, &content, 200_000).await.unwrap();
    drop(session);
    let fixture = fixture.restart().await;
    assert_eq!(fixture.progress(&content).await, (100_000, false));
    for wrong in [0, 99_999, 200_000] {
        let refused = fixture.begin(&content, wrong).await;
        assert!(matches!(refused, Err(Error::WrongState { .. })), "{wrong}");
    }
    let session = fixture.begin(&content, 100_000).await.unwrap();
    let session = send(session, &content, LARGE).await.unwrap();
    session.finish().await.unwrap();
    assert!(!fixture.is_missing(HQ, digest_of(&content)).await);
}

/// Stops at S3.
#[tokio::test]
async fn a_crash_between_the_move_and_its_row_loses_nothing() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, LARGE)
        .await
        .unwrap()
        .pause()
        .await
        .unwrap();
    let reader = fixture.test.store.reader();
    let upload = content_index::upload_of(reader, HQ.repository, digest_of(&content)).await;
    fixture
        .content
        .objects
        .publish(upload.unwrap().unwrap().id)
        .await
        .unwrap();
    let fixture = fixture.restart().await;
    assert!(fixture.is_missing(HQ, digest_of(&content)).await);
    let session = fixture
        .begin(&content, i64::try_from(LARGE).unwrap())
        .await
        .unwrap();
    session.finish().await.unwrap();
    assert!(!fixture.is_missing(HQ, digest_of(&content)).await);
}

#[tokio::test]
async fn lost_committed_bytes_begin_anew() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, 100_000)
        .await
        .unwrap()
        .pause()
        .await
        .unwrap();
    std::fs::remove_file(&fixture.files("uploads")[0]).unwrap();
    let refused = fixture.begin(&content, 100_000).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })));
    assert_eq!(fixture.progress(&content).await, (0, false));
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, LARGE)
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
}

#[tokio::test]
async fn an_upload_commits_as_it_goes() {
    let fixture = Fixture::new().await;
    let commit = usize::try_from(UPLOAD_COMMIT_BYTES).unwrap();
    let content = bytes(1, commit + 1_000);
    let session = fixture.begin(&content, 0).await.unwrap();
    let session = send(session, &content, content.len()).await.unwrap();
    assert_eq!(
        fixture.progress(&content).await,
        (UPLOAD_COMMIT_BYTES, false)
    );
    session.finish().await.unwrap();
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_the_upload_is_gone() {
    let fixture = Fixture::new().await;
    for length in [10, LARGE] {
        let (claimed, other) = (bytes(1, length), bytes(2, length));
        let session = fixture.begin(&claimed, 0).await.unwrap();
        let session = send(session, &other, length).await.unwrap();
        let refused = session.finish().await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
        assert_eq!(fixture.progress(&claimed).await, (0, false));
    }
    assert!(fixture.files("").is_empty());
}

#[tokio::test]
async fn gaps_overlong_messages_and_too_many_bytes_are_refused() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let cases = [
        (1, bytes(1, 1)),
        (-1, bytes(1, 1)),
        (0, bytes(1, LARGE + 1)),
        (0, bytes(1, UPLOAD_MESSAGE_BYTES_MAX + 1)),
    ];
    for (offset, data) in cases {
        let session = fixture.begin(&content, 0).await.unwrap();
        let refused = session.append(offset, data).await;
        assert!(refused.is_err(), "{offset}");
    }
    let session = fixture.begin(&content, 0).await.unwrap();
    let early = send(session, &content, 1_000).await.unwrap().finish().await;
    assert!(matches!(early, Err(Error::ProtocolViolation { .. })));
    assert_eq!(fixture.progress(&content).await, (1_000, false));
    for (size, offset) in [(-1, 0), (CONTENT_BYTES_MAX + 1, 0), (10, -1), (10, 11)] {
        let refused = fixture
            .content
            .begin_upload(HQ, digest_of(b"x"), size, offset)
            .await;
        assert!(
            matches!(refused, Err(Error::InvalidField { .. })),
            "{size} {offset}"
        );
    }
}

#[tokio::test]
async fn another_size_for_the_same_digest_begins_anew() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    let lie = fixture
        .content
        .begin_upload(HQ, digest_of(&content), 1_000_000, 0)
        .await;
    drop(lie.unwrap());
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, LARGE)
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    assert!(!fixture.is_missing(HQ, digest_of(&content)).await);
    let lie = fixture
        .content
        .begin_upload(HQ, digest_of(&content), 1, 0)
        .await;
    assert!(matches!(lie, Err(Error::DigestMismatch { .. })));
}

#[tokio::test]
async fn uploads_at_once_are_bounded_and_one_per_content() {
    let fixture = Fixture::new().await;
    let content = bytes(0, LARGE);
    let running = fixture.begin(&content, 0).await.unwrap();
    let refused = fixture.begin(&content, 0).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    let mut others = Vec::new();
    for seed in 1..UPLOADS_AT_ONCE_PER_REPOSITORY_MAX {
        let content = bytes(u8::try_from(seed).unwrap(), LARGE);
        others.push(fixture.begin(&content, 0).await.unwrap());
    }
    let refused = fixture.begin(&bytes(99, LARGE), 0).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    let of_cloud = fixture
        .content
        .begin_upload(CLOUD, digest_of(&content), 300_000, 0)
        .await;
    assert!(
        matches!(of_cloud, Ok(Begun::Session(_))),
        "each repository has its own room"
    );
    drop(running);
    fixture.begin(&bytes(99, LARGE), 0).await.unwrap();
}

#[tokio::test]
async fn unfinished_uploads_are_bounded() {
    let fixture = Fixture::new().await;
    let rows = "INSERT INTO upload (id, repository, digest, size, committed, updated_at) \
        SELECT unhex(value->>0), 1, unhex(value->>1), 1, 0, 0 FROM json_each(?)";
    let almost = usize::try_from(UPLOADS_UNFINISHED_PER_REPOSITORY_MAX - 1).unwrap();
    fixture.execute_for(almost, rows).await;
    fixture.begin(&bytes(1, LARGE), 0).await.unwrap();
    let refused = fixture.begin(&bytes(2, LARGE), 0).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
}

#[tokio::test]
async fn what_another_repository_has_must_be_sent_and_is_then_shared() {
    let fixture = Fixture::new().await;
    let content = bytes(1, LARGE);
    fixture.put(CLOUD, &content).await;
    let session = fixture.begin(&content, 0).await.unwrap();
    send(session, &content, LARGE)
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    assert_eq!(fixture.number("SELECT count(*) FROM blob").await, 1);
    assert_eq!(fixture.files("").len(), 1, "the second file is deleted");
    let Sent { digest, size, .. } = sent(&content);
    let again = fixture
        .content
        .begin_upload(HQ, digest, size, 0)
        .await
        .unwrap();
    assert!(matches!(again, Begun::Complete { .. }));
}
