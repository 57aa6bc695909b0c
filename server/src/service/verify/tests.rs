//! What is right is found right, and each kind of damage is found.

use super::*;
use crate::domain::access::{Role, Side};
use crate::domain::sync_set::Options;
use crate::service::content::{Content, Objects, Sender, Sent, digest_of};
use crate::service::testing::{Fixture, Template, present};
use crate::storage::sql;

/// A set with two documents, one of which was changed and is due on the cloud, and a conflict that was decided.
async fn lived() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a", "b"]).await;
    let edit =
        |node: &str, parent: &str, text: &str| present(node, parent, text, Some(text.to_owned()));
    fixture
        .report(Side::OnPremise, vec![edit("a", "docs", "ours")])
        .await;
    fixture
        .report(Side::Cloud, vec![edit("c:a", "c:docs", "theirs")])
        .await;
    fixture.deliver_all(Side::OnPremise).await;
    fixture
        .report(Side::OnPremise, vec![edit("b", "docs", "changed")])
        .await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    assert_eq!(viewer.conflicts(None, None, 10).await.unwrap().len(), 1);
    fixture
}

fn options(fixture: &Fixture) -> VerifyOptions {
    VerifyOptions {
        place: fixture.test.home.options().place,
        content: fixture.test.home.path().join("content"),
        quick: false,
        objects_only: false,
    }
}

async fn found(options: &VerifyOptions) -> Vec<Found> {
    let verified = verify(options, Arc::new(|_| {})).await.unwrap();
    assert!(verified.more.is_empty());
    verified.found
}

async fn execute(fixture: &Fixture, text: &'static str) {
    let done = fixture
        .test
        .store
        .write(|tx| async move { sql::execute(&*tx, text, []).await });
    assert!(done.await.unwrap() > 0, "{text} changed nothing");
}

/// Damages a copy of a life by one statement, and looks.
async fn damaged(template: &Template, text: &'static str) -> Vec<Found> {
    let fixture = template.copied().await;
    execute(&fixture, text).await;
    found(&options(&fixture)).await
}

#[tokio::test]
async fn a_life_without_damage_is_as_it_must_be_while_it_is_served() {
    let fixture = lived().await;
    let verified = verify(&options(&fixture), Arc::new(|_| {})).await.unwrap();
    assert_eq!(verified.found, []);
    assert!(verified.blobs >= 4 && verified.bytes > 0, "{verified:?}");
}

#[tokio::test]
async fn each_kind_of_damage_to_rows_is_found() {
    let template = lived().await.template().await;
    for (fault, text) in [
        (Fault::NetworkWithoutJournal, "DELETE FROM journal_head"),
        (
            Fault::JournalHead,
            "UPDATE journal_head SET position = position + 1",
        ),
        (
            Fault::JournalHead,
            "UPDATE journal_head SET mark = mark + 1",
        ),
        (Fault::JournalGap, "DELETE FROM journal WHERE position = 3"),
        (
            Fault::BatchUnknown,
            "UPDATE repository SET batch_number = 0",
        ),
        (
            Fault::SetWithoutRepository,
            "UPDATE sync_set SET cloud_repository = 99",
        ),
        (Fault::MemberWithoutSet, "DELETE FROM sync_set"),
        (
            Fault::MemberWithoutCopy,
            "DELETE FROM copy WHERE node = 'b'",
        ),
        (
            Fault::CopyWithoutMember,
            "DELETE FROM member WHERE on_premise_node = 'b'",
        ),
        (Fault::CopyWithoutContent, "DELETE FROM content"),
        (Fault::VersionWithoutContent, "DELETE FROM content"),
        (Fault::ContentWithoutBlob, "DELETE FROM blob"),
        (Fault::BlobWithoutPlace, "UPDATE blob SET object = 'x'"),
        (Fault::DueWrong, "DELETE FROM due"),
        (Fault::DueWrong, "UPDATE due SET lane = 2"),
        (Fault::DueWrong, "UPDATE due SET not_before = 7"),
        (
            Fault::DueWrong,
            "INSERT INTO due SELECT on_premise_repository, root, 1, id, 1, 0 FROM sync_set",
        ),
        (
            Fault::BlockedWrong,
            "INSERT INTO blocked SELECT on_premise_repository, 'f', root FROM sync_set",
        ),
        (Fault::ContentDamaged, "UPDATE blob SET bytes = x'00'"),
    ] {
        let found = damaged(&template, text).await;
        assert!(
            found.iter().any(|one| one.fault == fault),
            "{text}: {found:?}"
        );
    }
}

/// What waits for its agent only may be due at once without a change of the member.
#[tokio::test]
async fn r_err_1_what_an_agent_that_came_made_due_is_right() {
    let fixture = lived().await;
    execute(&fixture, "UPDATE due SET not_before = 0").await;
    assert_eq!(found(&options(&fixture)).await, []);
}

async fn put(fixture: &Fixture, length: usize) -> std::path::PathBuf {
    let objects = Objects::open(&options(fixture).content).unwrap();
    let content = Content::new(fixture.coordinator.clone(), objects);
    let bytes = bytes::Bytes::from(vec![7; length]);
    let sender = Sender {
        network: fixture.network.id,
        repository: fixture.hq.id,
    };
    let sent = Sent {
        digest: digest_of(&bytes),
        size: i64::try_from(length).unwrap(),
        bytes,
    };
    let digest = sent.digest;
    content.batch_write(sender, vec![sent]).await.unwrap();
    let all = fixture.test.store.objects_behind(None).await.unwrap();
    let blob = all.iter().find(|blob| blob.digest == digest).unwrap();
    content_index::object_below(&options(fixture).content, blob.id)
}

#[tokio::test]
async fn r_cnt_1_missing_and_damaged_objects_are_found_and_quick_reads_no_bytes() {
    let fixture = lived().await;
    let [missing, short, changed] = [
        put(&fixture, 100_001).await,
        put(&fixture, 100_002).await,
        put(&fixture, 100_003).await,
    ];
    let mut options = options(&fixture);
    options.objects_only = true;
    assert_eq!(found(&options).await, []);
    std::fs::remove_file(missing).unwrap();
    std::fs::write(short, vec![7; 9]).unwrap();
    std::fs::write(changed, vec![8; 100_003]).unwrap();
    let faults = |found: Vec<Found>| -> Vec<Fault> { found.iter().map(|one| one.fault).collect() };
    let mut all = faults(found(&options).await);
    all.sort();
    let expected = [
        Fault::ContentMissing,
        Fault::ContentDamaged,
        Fault::ContentDamaged,
    ];
    assert_eq!(all, expected);
    options.quick = true;
    let mut quick = faults(found(&options).await);
    quick.sort();
    assert_eq!(quick, [Fault::ContentMissing, Fault::ContentDamaged]);
}

#[tokio::test]
async fn who_needs_damaged_content_is_named_and_objects_only_looks_at_no_rows() {
    let fixture = lived().await;
    execute(&fixture, "DELETE FROM due").await;
    execute(&fixture, "UPDATE blob SET state = 'D'").await;
    let mut options = options(&fixture);
    options.objects_only = true;
    let found = found(&options).await;
    assert!(
        found.iter().all(|one| one.fault == Fault::ContentDamaged),
        "{found:?}"
    );
    let text = "SELECT id FROM member WHERE on_premise_node = 'a'";
    let row = sql::one(fixture.test.store.reader(), text, [])
        .await
        .unwrap();
    let id: Vec<u8> = row.unwrap().try_get_by_index(0).unwrap();
    let id = crate::domain::ids::MemberId::from_bytes(&id)
        .unwrap()
        .to_string();
    assert!(found.iter().any(|one| one.at.contains(&id)), "{found:?}");
}

#[tokio::test]
async fn a_damaged_file_of_a_database_is_told_by_sqlite_itself() {
    let test = crate::storage::testing::TestStore::sqlite().await;
    let crate::storage::testing::TestStore { store, home } = test;
    let text = "SELECT rootpage FROM sqlite_master WHERE name = 'copy_place'";
    let row = sql::one(store.reader(), text, []).await.unwrap();
    let page: i64 = row.unwrap().try_get_by_index(0).unwrap();
    store.close().await.unwrap();
    let path = home.path().join("tandem.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let begin = usize::try_from(page - 1).unwrap() * 4096;
    bytes[begin..begin + 64].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let options = VerifyOptions {
        place: Place::File(path),
        content: home.path().join("content"),
        quick: false,
        objects_only: false,
    };
    let found = found(&options).await;
    assert!(
        !found.is_empty() && found.iter().all(|one| one.fault == Fault::DatabaseDamaged),
        "{found:?}"
    );
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Fault::ALL.map(name).into_iter().collect();
    assert_eq!(names.len(), Fault::ALL.len());
}
