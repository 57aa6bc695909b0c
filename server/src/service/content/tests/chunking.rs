//! R-CNT-1: what came in chunks is found again by those who had it, and goes with the content that it is a part of.

use super::*;
use crate::domain::limits::{
    CONTENT_GRACE_MICROSECONDS, CONTENT_TOUCH_AFTER_MICROSECONDS, UPLOAD_COMMIT_BYTES,
};
use crate::storage::content_index::{NewChunk, chunks_of, share_in, upload_of};

const PART: usize = 100_000;

fn claimed(bytes: &Bytes) -> ClaimedChunk {
    ClaimedChunk {
        digest: digest_of(bytes),
        size: i64::try_from(bytes.len()).unwrap(),
    }
}

fn joined(parts: &[Bytes]) -> Bytes {
    parts.concat().into()
}

fn size_of(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap()
}

impl Fixture {
    async fn begin_for(&self, sender: Sender, whole: &Bytes, offset: i64) -> UploadSession {
        let begun = self
            .content
            .begin_upload(sender, digest_of(whole), size_of(whole), offset);
        match begun.await.unwrap() {
            Begun::Session(session) => *session,
            Begun::Complete { .. } => panic!("it is there already"),
        }
    }

    /// Sends content in chunks; those of `without` without their bytes.
    async fn send_chunks(
        &self,
        sender: Sender,
        parts: &[Bytes],
        without: &[Bytes],
    ) -> Result<Digest, Error> {
        let whole = joined(parts);
        let mut session = self.begin_for(sender, &whole, 0).await;
        for part in parts {
            let data = match without.contains(part) {
                true => Bytes::new(),
                false => part.clone(),
            };
            let offset = session.offset();
            session = session.append_chunk(offset, data, claimed(part)).await?;
        }
        session.finish().await?;
        Ok(digest_of(&whole))
    }

    async fn missing_chunks(&self, sender: Sender, parts: &[Bytes]) -> Vec<usize> {
        let digests: Vec<Digest> = parts.iter().map(|part| digest_of(part)).collect();
        let missing = self.content.find_missing_chunks(sender, digests.clone());
        let missing = missing.await.unwrap();
        let position = |digest| digests.iter().position(|one| one == digest).unwrap();
        missing.iter().map(position).collect()
    }
}

fn parts() -> [Bytes; 3] {
    [bytes(1, PART), bytes(2, PART), bytes(3, PART)]
}

#[tokio::test]
async fn r_cnt_1_an_edit_sends_only_the_chunk_that_changed_and_reads_back_whole() {
    let fixture = Fixture::new().await;
    let [first, second, third] = parts();
    fixture.send_chunks(HQ, &parts(), &[]).await.unwrap();
    let changed = bytes(4, PART / 2);
    let edited = [first.clone(), changed.clone(), third.clone()];
    assert_eq!(fixture.missing_chunks(HQ, &edited).await, [1]);
    let digest = fixture
        .send_chunks(HQ, &edited, &[first, third])
        .await
        .unwrap();
    let (_, member) = fixture.member(digest).await;
    fixture.version(member, HQ, digest, None).await;
    let source = of_member(member, digest);
    let read = fixture.read_all(agent(CLOUD), source, 0).await.unwrap();
    assert!(read == joined(&edited));

    let (chunks, next) = fixture
        .content
        .list_chunks(agent(CLOUD), source, 0)
        .await
        .unwrap();
    assert_eq!(next, None);
    let expected: Vec<Digest> = edited.iter().map(|part| digest_of(part)).collect();
    let found: Vec<Digest> = chunks.iter().map(|chunk| chunk.digest).collect();
    assert_eq!(found, expected);
    let middle = chunks[1];
    let read = fixture
        .content
        .read(agent(CLOUD), source, middle.start, Some(middle.size));
    let read: Vec<Chunk> = read.await.unwrap().try_collect().await.unwrap();
    let read: Vec<u8> = read.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
    assert!(read == changed);
    assert_eq!(
        fixture.missing_chunks(HQ, &[second]).await,
        [] as [usize; 0]
    );
}

#[tokio::test]
async fn r_cnt_1_chunks_of_others_are_missing_and_cannot_be_had_for_their_digest() {
    let fixture = Fixture::new().await;
    let parts = parts();
    let digest = fixture.send_chunks(HQ, &parts, &[]).await.unwrap();
    let other = [parts[0].clone(), bytes(9, PART)];
    for sender in [CLOUD, STRANGER] {
        assert_eq!(fixture.missing_chunks(sender, &parts).await, [0, 1, 2]);
        let refused = fixture.send_chunks(sender, &other, &parts).await;
        assert!(
            matches!(refused, Err(Error::ContentMissing { .. })),
            "{refused:?}"
        );
    }
    let (_, member) = fixture.member(digest).await;
    let source = of_member(member, digest);
    let listed = fixture
        .content
        .list_chunks(agent(STRANGER), source, 0)
        .await;
    assert!(matches!(listed, Err(Error::ContentNotFound { .. })));
    // The cloud receives the content: from then on it has the chunks.
    let digests = &[digest];
    fixture
        .test
        .store
        .write(|tx| async move {
            share_in(&*tx, HQ.repository, CLOUD.repository, digests, START).await
        })
        .await
        .unwrap();
    assert_eq!(
        fixture.missing_chunks(CLOUD, &parts).await,
        [] as [usize; 0]
    );
    fixture.send_chunks(CLOUD, &other, &parts).await.unwrap();
}

#[tokio::test]
async fn r_cnt_1_every_chunk_and_the_whole_are_verified() {
    let fixture = Fixture::new().await;
    let parts = parts();
    let whole = joined(&parts);
    let session = fixture.begin_for(HQ, &whole, 0).await;
    let wrong = session.append_chunk(0, parts[1].clone(), claimed(&parts[0]));
    assert!(matches!(
        wrong.await,
        Err(Error::DigestMismatch { digest }) if digest == digest_of(&parts[0])
    ));
    // Chunks that are right, in another order than the whole has them.
    let mut session = fixture.begin_for(HQ, &whole, 0).await;
    for part in [&parts[1], &parts[0], &parts[2]] {
        let offset = session.offset();
        let sent = session.append_chunk(offset, part.clone(), claimed(part));
        session = sent.await.unwrap();
    }
    let refused = session.finish().await;
    assert!(
        matches!(refused, Err(Error::DigestMismatch { digest }) if digest == digest_of(&whole))
    );
    assert!(fixture.is_missing(HQ, digest_of(&whole)).await);
    assert_eq!(
        fixture.missing_chunks(HQ, &parts).await,
        [0, 1, 2],
        "nothing of it counts"
    );
    for size in [0, 1024 * 1024 + 1] {
        let session = fixture.begin_for(HQ, &whole, 0).await;
        let digest = digest_of(b"");
        let chunk = ClaimedChunk { digest, size };
        let refused = session.append_chunk(0, Bytes::new(), chunk).await;
        assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "chunk.size"));
    }
}

#[tokio::test]
async fn r_cnt_1_a_stored_chunk_that_is_damaged_is_not_taken_and_is_healed_by_sending_it() {
    for shorter in [false, true] {
        let fixture = Fixture::new().await;
        let parts = parts();
        fixture.send_chunks(HQ, &parts, &[]).await.unwrap();
        let file = fixture.files("blobs").remove(0);
        let mut stored = std::fs::read(&file).unwrap();
        stored[PART + 5] ^= 1;
        if shorter {
            stored.truncate(2 * PART);
        }
        std::fs::write(&file, stored).unwrap();
        let edited = [bytes(4, PART), parts[1].clone(), parts[2].clone()];
        let refused = fixture.send_chunks(HQ, &edited, &parts).await;
        let Err(Error::ContentMissing { digests }) = refused else {
            panic!("{refused:?}");
        };
        assert!(digests.contains(&digest_of(&parts[1])));
        assert!(fixture.is_missing(HQ, digest_of(&joined(&edited))).await);
        // What lay in the damaged content counts as missing, and is sent.
        assert_eq!(fixture.missing_chunks(HQ, &edited).await, [0, 1, 2]);
        let whole = joined(&edited);
        let digest = digest_of(&whole);
        let progress = fixture.content.query_write(HQ, digest).await.unwrap();
        let mut session = fixture.begin_for(HQ, &whole, progress.committed).await;
        for part in &edited[usize::try_from(progress.committed).unwrap() / PART..] {
            let offset = session.offset();
            let sent = session.append_chunk(offset, part.clone(), claimed(part));
            session = sent.await.unwrap();
        }
        session.finish().await.unwrap();
        assert!(!fixture.is_missing(HQ, digest).await);
    }
}

#[tokio::test]
async fn r_cnt_1_a_chunk_of_a_lost_file_is_taken_from_an_older_one_or_sent_again() {
    let fixture = Fixture::new().await;
    let [first, second, third] = parts();
    let older = [first.clone(), bytes(4, PART)];
    fixture.send_chunks(HQ, &older, &[]).await.unwrap();
    let kept = fixture.files("blobs");
    let newer = [first.clone(), second.clone(), third];
    fixture.send_chunks(HQ, &newer, &[]).await.unwrap();
    let lost = fixture.files("blobs").into_iter();
    for file in lost.filter(|file| !kept.contains(file)) {
        std::fs::remove_file(file).unwrap();
    }
    let edited = [first.clone(), second.clone(), bytes(5, PART)];
    let known = [first.clone(), second.clone()];
    let refused = fixture.send_chunks(HQ, &edited, &known).await;
    let Err(Error::ContentMissing { digests }) = refused else {
        panic!("{refused:?}");
    };
    assert!(digests.contains(&digest_of(&second)));
    assert_eq!(fixture.missing_chunks(HQ, &edited).await, [1, 2]);
    let digest = fixture.send_chunks(HQ, &edited, &[first]).await.unwrap();
    let (_, member) = fixture.member(digest).await;
    fixture.version(member, HQ, digest, None).await;
    let read = fixture.read_all(agent(HQ), of_member(member, digest), 0);
    assert!(read.await.unwrap() == joined(&edited));
}

#[tokio::test]
async fn r_cnt_1_a_content_is_made_of_no_damaged_chunk_and_of_none_of_another_size() {
    let fixture = Fixture::new().await;
    let (small, large) = (bytes(1, 20_000), bytes(2, PART));
    let stored = [small.clone(), large.clone()];
    fixture.send_chunks(HQ, &stored, &[]).await.unwrap();
    for part in [&small, &large] {
        let session = fixture.begin_for(HQ, part, 0).await;
        let shorter = ClaimedChunk {
            size: size_of(part) - 1,
            ..claimed(part)
        };
        let refused = match session.append_chunk(0, Bytes::new(), shorter).await {
            Ok(session) => session.pause().await,
            Err(error) => Err(error),
        };
        let missing = matches!(refused, Err(Error::ContentMissing { .. }));
        assert!(missing, "{refused:?}");
    }
    let file = fixture.files("blobs").remove(0);
    let mut damaged = std::fs::read(&file).unwrap();
    damaged[5] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let alone = [small];
    let refused = fixture.send_chunks(HQ, &alone, &alone).await;
    let missing = matches!(refused, Err(Error::ContentMissing { .. }));
    assert!(missing, "{refused:?}");
    assert_eq!(fixture.missing_chunks(HQ, &alone).await, [0]);
}

#[tokio::test]
async fn r_cnt_1_chunks_without_bytes_are_committed_when_an_upload_pauses_among_them() {
    let fixture = Fixture::new().await;
    let [first, second, third] = parts();
    fixture.send_chunks(HQ, &parts(), &[]).await.unwrap();
    let edited = [third.clone(), bytes(4, PART), first.clone(), second.clone()];
    let whole = joined(&edited);
    let mut session = fixture.begin_for(HQ, &whole, 0).await;
    for (part, data) in edited
        .iter()
        .zip([Bytes::new(), edited[1].clone(), Bytes::new()])
    {
        let offset = session.offset();
        session = session
            .append_chunk(offset, data, claimed(part))
            .await
            .unwrap();
    }
    session.pause().await.unwrap();
    let digest = digest_of(&whole);
    let progress = fixture.content.query_write(HQ, digest).await.unwrap();
    assert_eq!(progress.committed, size_of(&whole) - size_of(&second));
    let session = fixture.begin_for(HQ, &whole, progress.committed).await;
    let refused = session
        .append_chunk(0, Bytes::new(), claimed(&second))
        .await;
    assert!(matches!(refused, Err(Error::ProtocolViolation { .. })));
    let session = fixture.begin_for(HQ, &whole, progress.committed).await;
    let last = session.append_chunk(progress.committed, Bytes::new(), claimed(&second));
    last.await.unwrap().finish().await.unwrap();
    let (_, member) = fixture.member(digest).await;
    fixture.version(member, HQ, digest, None).await;
    let source = of_member(member, digest);
    assert!(fixture.read_all(agent(HQ), source, 0).await.unwrap() == whole);
}

#[tokio::test]
async fn r_cnt_1_an_upload_in_chunks_goes_on_after_a_crash_and_knows_all_of_them() {
    let fixture = Fixture::new().await;
    let count = usize::try_from(UPLOAD_COMMIT_BYTES).unwrap() / 1_000_000 + 3;
    let parts: Vec<Bytes> = (0..count)
        .map(|seed| bytes(u8::try_from(seed).unwrap(), 1_000_000))
        .collect();
    let whole = joined(&parts);
    let mut session = fixture.begin_for(HQ, &whole, 0).await;
    for part in &parts[..count - 1] {
        let offset = session.offset();
        session = session
            .append_chunk(offset, part.clone(), claimed(part))
            .await
            .unwrap();
    }
    // The process dies: what was not committed is lost.
    drop(session);
    let fixture = fixture.restart().await;
    assert_eq!(
        fixture.missing_chunks(HQ, &parts).await.len(),
        count,
        "what is half written is not there"
    );
    let digest = digest_of(&whole);
    let committed = fixture.content.query_write(HQ, digest).await.unwrap();
    assert!(committed.committed >= UPLOAD_COMMIT_BYTES);
    let mut session = fixture.begin_for(HQ, &whole, committed.committed).await;
    let done = usize::try_from(committed.committed).unwrap() / 1_000_000;
    for part in &parts[done..] {
        let offset = session.offset();
        session = session
            .append_chunk(offset, part.clone(), claimed(part))
            .await
            .unwrap();
    }
    let reader = fixture.test.store.reader();
    let upload = upload_of(reader, HQ.repository, digest).await.unwrap();
    session.finish().await.unwrap();
    let noted = chunks_of(reader, upload.unwrap().id, 0, 1_000)
        .await
        .unwrap();
    let expected: Vec<NewChunk> = parts
        .iter()
        .enumerate()
        .map(|(index, part)| NewChunk {
            start: i64::try_from(index).unwrap() * 1_000_000,
            size: 1_000_000,
            digest: digest_of(part),
        })
        .collect();
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn r_cnt_2_chunks_stay_as_long_as_their_content_and_a_promise_about_them_holds() {
    let fixture = Fixture::new().await;
    let (named, unnamed) = (parts(), [bytes(7, PART), bytes(8, PART)]);
    let digest = fixture.send_chunks(HQ, &named, &[]).await.unwrap();
    fixture
        .version(MemberId(Uuid::now_v7()), HQ, digest, None)
        .await;
    fixture.send_chunks(HQ, &unnamed, &[]).await.unwrap();
    let collector = Collector::new(fixture.content.clone(), CollectorOptions::default());
    let grace = CONTENT_GRACE_MICROSECONDS + CONTENT_TOUCH_AFTER_MICROSECONDS + 1;
    fixture.clock.advance(grace - MINUTE);
    // Told that they are there: from now on they stay for another grace.
    assert_eq!(fixture.missing_chunks(HQ, &unnamed).await, [] as [usize; 0]);
    fixture.clock.advance(CONTENT_GRACE_MICROSECONDS);
    assert_eq!(collector.pass().await.unwrap().chunks, 0);
    fixture.clock.advance(grace);
    let collected = collector.pass().await.unwrap();
    assert_eq!((collected.contents, collected.chunks), (1, 2));
    assert_eq!(fixture.missing_chunks(HQ, &unnamed).await, [0, 1]);
    assert_eq!(fixture.missing_chunks(HQ, &named).await, [] as [usize; 0]);
    let refused = fixture.send_chunks(HQ, &unnamed, &unnamed).await;
    assert!(matches!(refused, Err(Error::ContentMissing { .. })));
    // A given-up upload takes its chunks along.
    let parts = [bytes(11, PART), bytes(12, PART)];
    let session = fixture.begin_for(HQ, &joined(&parts), 0).await;
    let sent = session.append_chunk(0, parts[0].clone(), claimed(&parts[0]));
    sent.await.unwrap().pause().await.unwrap();
    assert_eq!(collector.pass().await.unwrap().chunks, 0, "it can go on");
    fixture.clock.advance(25 * 60 * MINUTE);
    let collected = collector.pass().await.unwrap();
    assert_eq!((collected.uploads, collected.chunks), (2, 1));
}
