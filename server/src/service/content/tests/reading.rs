//! R-CNT-1: a read names what gives the right; damaged bytes are never handed out as whole.

use super::*;
use crate::domain::limits::{CONTENT_BATCH_ITEMS_MAX, READ_CHUNK_BYTES};

#[tokio::test]
async fn r_cnt_1_a_digest_gives_no_right() {
    let fixture = Fixture::new().await;
    let bytes = bytes(1, 1_000);
    let digest = fixture.put(HQ, &bytes).await;
    fixture.put(STRANGER, &bytes).await;
    let (set, member) = fixture.member(digest).await;
    fixture.version(member, HQ, digest, None).await;
    let conflict = ConflictId(Uuid::now_v7());
    fixture
        .execute(
            "INSERT INTO conflict (id, network, set_id, member, kind, winner, on_premise_digest, \
             cloud_digest, at, body) VALUES (?, 1, ?, ?, 1, 'CLOUD', ?, NULL, 0, x'')",
            [
                conflict.to_bytes().into(),
                set.to_bytes().into(),
                member.to_bytes().into(),
                digest.0.to_vec().into(),
            ],
        )
        .await;
    let version = SourceName::Version {
        set,
        member,
        position: Position(7),
        side: Side::OnPremise,
    };
    let names = [
        SourceName::Member(member),
        SourceName::Conflict(conflict),
        version,
    ];
    for name in names {
        let source = Source { name, digest };
        for reader in [
            agent(HQ),
            agent(CLOUD),
            Reader::User { network: ACME },
            Reader::Operator,
        ] {
            let read = fixture.read_all(reader, source, 0).await;
            assert_eq!(read.unwrap(), bytes, "{reader:?} {name:?}");
        }
        let third = agent(sender(ACME, 9));
        for reader in [agent(STRANGER), third, Reader::User { network: OTHER }] {
            let refused = fixture.read_all(reader, source, 0).await;
            assert!(
                matches!(refused, Err(Error::ContentNotFound { .. })),
                "{reader:?} {name:?}"
            );
        }
        let other = Source {
            name,
            digest: digest_of(b"other"),
        };
        let refused = fixture.read_all(agent(HQ), other, 0).await;
        assert!(
            matches!(refused, Err(Error::ContentNotFound { .. })),
            "{name:?}"
        );
    }
    let wrong_set = SourceName::Version {
        set: SyncSetId(Uuid::now_v7()),
        member,
        position: Position(7),
        side: Side::OnPremise,
    };
    let source = Source {
        name: wrong_set,
        digest,
    };
    assert!(fixture.read_all(agent(HQ), source, 0).await.is_err());
}

#[tokio::test]
async fn a_read_begins_where_it_is_asked_to_and_comes_in_pieces() {
    let fixture = Fixture::new().await;
    for length in [1_000, 3 * READ_CHUNK_BYTES + 17] {
        let bytes = bytes(1, length);
        let digest = fixture.put(HQ, &bytes).await;
        let (_, member) = fixture.member(digest).await;
        let source = of_member(member, digest);
        for offset in [0, 1, length - 1, length] {
            let start = i64::try_from(offset).unwrap();
            let read = fixture.read_all(agent(CLOUD), source, start).await.unwrap();
            assert!(read == bytes.slice(offset..), "{length} {offset}");
        }
        for outside in [-1, i64::try_from(length).unwrap() + 1] {
            let refused = fixture.read_all(agent(CLOUD), source, outside).await;
            assert!(matches!(refused, Err(Error::InvalidField { .. })));
        }
        let chunks = fixture
            .content
            .read(agent(CLOUD), source, 0, None)
            .await
            .unwrap();
        let chunks: Vec<Chunk> = chunks.try_collect().await.unwrap();
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk.data.len() <= READ_CHUNK_BYTES)
        );
    }
}

#[tokio::test]
async fn damaged_bytes_are_noticed_counted_as_missing_and_healed_by_sending_again() {
    let fixture = Fixture::new().await;
    let content = bytes(1, 2 * READ_CHUNK_BYTES);
    let digest = fixture.put(HQ, &content).await;
    fixture.put(CLOUD, &content).await;
    let (_, member) = fixture.member(digest).await;
    let source = of_member(member, digest);
    let file = fixture.files("blobs").remove(0);
    let mut changed = content.to_vec();
    changed[5] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let chunks = fixture
        .content
        .read(agent(CLOUD), source, 0, None)
        .await
        .unwrap();
    let mut chunks = std::pin::pin!(chunks);
    assert!(chunks.try_next().await.unwrap().is_some());
    let last = chunks.try_next().await;
    assert!(
        matches!(last, Err(Error::Internal { .. })),
        "the last piece is held back"
    );
    assert!(fixture.is_missing(HQ, digest).await && fixture.is_missing(CLOUD, digest).await);
    let refused = fixture.read_all(agent(CLOUD), source, 0).await;
    assert!(matches!(refused, Err(Error::ContentNotFound { .. })));
    fixture.put(HQ, &content).await;
    assert!(!fixture.is_missing(CLOUD, digest).await);
    assert!(fixture.read_all(agent(CLOUD), source, 0).await.unwrap() == content);
    assert_eq!(
        fixture.files("blobs").len(),
        1,
        "the damaged file is deleted"
    );
}

#[tokio::test]
async fn short_and_missing_files_are_damage_too() {
    for is_short in [true, false] {
        let fixture = Fixture::new().await;
        let content = bytes(1, 100_000);
        let digest = fixture.put(HQ, &content).await;
        let (_, member) = fixture.member(digest).await;
        let file = fixture.files("blobs").remove(0);
        if is_short {
            std::fs::write(&file, &content[..99_999]).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        let source = of_member(member, digest);
        let refused = fixture.read_all(agent(HQ), source, 50_000).await;
        assert!(matches!(refused, Err(Error::Internal { .. })), "{is_short}");
        assert!(fixture.is_missing(HQ, digest).await);
        let many = fixture
            .content
            .batch_read(agent(HQ), &[source])
            .await
            .unwrap();
        assert!(many.is_empty());
    }
}

#[tokio::test]
async fn many_are_read_in_order_as_far_as_they_fit() {
    let fixture = Fixture::new().await;
    let lengths = [
        1_000_000, 10, 1_000_000, 2_000_000, 1_000_000, 100_000, 500_000, 5,
    ];
    let (mut sources, mut digests) = (Vec::new(), Vec::new());
    for (seed, length) in (0..).zip(lengths) {
        let digest = fixture.put(HQ, &bytes(seed, length)).await;
        let (_, member) = fixture.member(digest).await;
        sources.push(of_member(member, digest));
        digests.push(digest);
    }
    sources.insert(1, of_member(MemberId(Uuid::now_v7()), digests[0]));
    let read = fixture
        .content
        .batch_read(agent(CLOUD), &sources)
        .await
        .unwrap();
    let read: Vec<Digest> = read.into_iter().map(|(digest, _)| digest).collect();
    // The fourth is too large for a call for many; the seventh does not fit, so nothing after it is answered.
    assert_eq!(
        read,
        [digests[0], digests[1], digests[2], digests[4], digests[5]]
    );
    for bad in [Vec::new(), vec![sources[0]; CONTENT_BATCH_ITEMS_MAX + 1]] {
        let refused = fixture.content.batch_read(agent(CLOUD), &bad).await;
        assert!(matches!(refused, Err(Error::InvalidField { .. })));
    }
}
