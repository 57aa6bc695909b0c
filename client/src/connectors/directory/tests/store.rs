//! Versions, folders on request, and what else the agent is asked.

use std::{fs, io::Write, process::Command};

use tandem_proto::v1::FailureReason;

use super::*;

#[tokio::test]
async fn a_late_write_through_an_open_handle_becomes_a_further_version() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
    let mut handle = fs::File::options()
        .append(true)
        .open(fixture.path("a"))
        .expect("somebody has it open");
    applied(
        fixture
            .apply(update(1, &before, document("a", "two")), Some("two"))
            .await,
    );
    handle.write_all(b" and late").expect("a late write");
    drop(handle);
    fixture.told().await;
    let (versions, _) = fixture
        .directory()
        .versions(&id, "", 10)
        .await
        .expect("listed");
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0].digest, content_ref("one and late").digest);
    assert_eq!(versions[1].digest, content_ref("one").digest);
    assert_eq!(fixture.read("a"), "two");
    let restore = fixture
        .directory()
        .restore_version(&id, &versions[1].version_id)
        .await;
    restore.expect("the earlier one is whole");
    assert_eq!(fixture.read("a"), "one");
}

#[tokio::test]
async fn a_restored_version_is_a_change_of_a_user() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
    applied(
        fixture
            .apply(update(1, &before, document("a", "two")), Some("two"))
            .await,
    );
    let (versions, _) = fixture
        .directory()
        .versions(&id, "", 10)
        .await
        .expect("listed");
    fixture
        .directory()
        .restore_version(&id, &versions[0].version_id)
        .await
        .expect("restored");
    assert_eq!(text(&fixture.told().await[&id]), "one");
    let (page, more) = fixture
        .directory()
        .versions(&id, "", 1)
        .await
        .expect("listed");
    assert!(more);
    assert_eq!(page[0].digest, content_ref("two").digest);
    let last = &page[0].version_id;
    let (page, more) = fixture
        .directory()
        .versions(&id, last, 1)
        .await
        .expect("listed");
    assert_eq!((page.len(), more), (1, false));
    let unknown = uuid::Uuid::new_v4().to_string();
    assert!(
        fixture
            .directory()
            .restore_version(&id, &unknown)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_folder_is_made_once_for_a_request() {
    let mut fixture = Fixture::new().await;
    let root = fixture.root.clone();
    let first = fixture
        .directory()
        .create_folder(&root, "x", b"request", "")
        .await
        .expect("made");
    fixture.reopen().await;
    let again = fixture
        .directory()
        .create_folder(&root, "x", b"request", "")
        .await
        .expect("found");
    assert_eq!(first, again);
    assert!(
        fixture
            .directory()
            .create_folder(&root, "x", b"other", "")
            .await
            .is_err()
    );
    assert!(
        fixture
            .directory()
            .create_folder(&root, "..", b"evil", "")
            .await
            .is_err()
    );
    let seen = fixture.told().await;
    assert_eq!(seen.values().map(name).collect::<Vec<_>>(), ["x"]);
}

#[tokio::test]
async fn folders_are_listed_by_id_and_paths_resolved() {
    let fixture = Fixture::with(|root| {
        for name in ["a", "b", "c"] {
            fs::create_dir(root.join(name)).expect("a folder");
        }
    })
    .await;
    let (first, more) = fixture
        .directory()
        .list_folder(&fixture.root, "", 2)
        .await
        .expect("listed");
    assert!(more && first[0].node_id < first[1].node_id);
    let after = &first[1].node_id;
    let (rest, more) = fixture
        .directory()
        .list_folder(&fixture.root, after, 2)
        .await
        .expect("listed");
    assert_eq!((rest.len(), more), (1, false));
    let paths = ["../root/a", "a/../b", "nowhere", "a"].map(str::to_owned);
    let infos = fixture
        .directory()
        .resolve(&[], &paths)
        .await
        .expect("resolved");
    let missing: Vec<bool> = infos.iter().map(|info| info.missing).collect();
    assert_eq!(missing, [true, true, true, false]);
    let access = fixture
        .directory()
        .check_access("alice", &[infos[3].node_id.clone()])
        .await;
    assert!(access.expect("told")[0].write);
}

#[tokio::test]
async fn the_state_may_not_lie_in_the_root() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let inside = Options::new(home.path(), home.path().join("state"));
    let error = Directory::open(inside)
        .await
        .expect_err("refused")
        .to_string();
    assert!(error.contains("outside"), "{error}");
}

/// A small file system of its own, where this test may mount one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).expect("a place to mount");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(&path);
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_a_quota_failure_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(mounted) = Mounted::new(home.path().join("root")) else {
        // Who may not mount learns of a full disk from the map of errors alone.
        let full = std::io::Error::from_raw_os_error(28);
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        return;
    };
    let options = Options::new(&mounted.0, home.path().join("state"));
    let directory = Directory::open(options).await.expect("it opens");
    let root = directory
        .resolve(&[], &[String::new()])
        .await
        .expect("the root");
    let place = || in_node(&root[0].node_id);
    let big = "x".repeat(1_000_000);
    let works = vec![
        work(create(1, place(), document("big", &big)), Some(&big)),
        work(create(2, place(), document("small", "x")), Some("x")),
    ];
    let mut outcomes = directory.apply(works).await;
    let second = outcomes.pop().expect("two").answer.expect("an answer");
    let first = failed(outcomes.pop().expect("two").answer.expect("an answer"));
    assert_eq!(
        first.reason(),
        FailureReason::QuotaLimitViolation,
        "{first:?}"
    );
    let small = applied(second);
    let names = fs::read_dir(&mounted.0).expect("listed");
    assert_eq!(names.count(), 1, "nothing is left behind");
    // The versions lie on another file system here.
    let answer = directory
        .apply(vec![work(delete(2, &small), None)])
        .await
        .remove(0);
    applied(answer.answer.expect("an answer"));
    let (versions, _) = directory.versions("", "", 10).await.expect("listed");
    assert_eq!(versions.len(), 1);
    let restored = directory
        .restore_version(&small.node_id, &versions[0].version_id)
        .await;
    restored.expect("restored");
    assert_eq!(
        fs::read_to_string(mounted.0.join("small")).expect("small"),
        "x"
    );
}
