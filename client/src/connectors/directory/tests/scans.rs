//! Scans (R-AGT-5).

use std::{fs, os::unix::fs::symlink};

use tandem_proto::v1::{NodeTrait, ScanOutcome};

use super::{super::faults::Point, *};
use crate::agent::repository::Error;

fn tree(root: &Path) {
    for folder in ["a", "a/b", "c"] {
        fs::create_dir(root.join(folder)).expect("a folder");
        for number in 0..7 {
            fs::write(root.join(folder).join(format!("f{number}")), folder).expect("a file");
        }
    }
}

#[tokio::test]
async fn r_agt_5_pages_cover_all_in_order_whatever_their_size() {
    let fixture = Fixture::with(tree).await;
    let whole = fixture.scan(1000).await;
    assert_eq!(whole.len(), 24);
    for children_max in [1, 2, 3, 5, 8] {
        let mut position = Vec::new();
        let mut listed = Vec::new();
        let mut bounds: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let root = fixture.watch_root(true);
            let step = fixture
                .directory()
                .scan(&root, &position, children_max)
                .await;
            let step = step.expect("a step");
            for page in step.pages {
                let earlier = bounds.insert(page.folder_node_id, page.through_node_id);
                assert_eq!(earlier.unwrap_or_default(), page.after_node_id);
                assert!(page.readable);
                let ids: Vec<String> = page
                    .children
                    .iter()
                    .map(|child| child.node_id.clone())
                    .collect();
                assert!(ids.is_sorted());
                listed.extend(ids);
            }
            position = step.position;
            if step.outcome == Some(ScanOutcome::Complete) {
                break;
            }
        }
        assert_eq!(bounds.len(), 4);
        assert!(
            bounds.values().all(String::is_empty),
            "every folder ends open"
        );
        listed.sort();
        assert_eq!(listed, whole.keys().cloned().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn small_content_rides_inline_until_it_is_known() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let first = fixture.scan(10).await;
    assert_eq!(text(first.values().next().expect("a")), "one");
    let second = fixture.scan(10).await;
    let content = present(second.values().next().expect("a")).content.clone();
    assert_eq!(content.expect("content").inline, None);
    fixture
        .directory()
        .forget_reported()
        .await
        .expect("forgotten");
    let third = fixture.scan(10).await;
    assert_eq!(text(third.values().next().expect("a")), "one");
}

#[tokio::test]
async fn r_agt_5_a_look_that_reads_content_trusts_nothing_that_the_index_remembers() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    fixture.scan(10).await;
    let id = fixture.id("a").await;
    let content = present(&fixture.observe(&id).await).content.clone();
    assert_eq!(content.expect("content").inline, None, "it is not read");
    let read = fixture.directory().observe_reading(&[id]).await;
    assert_eq!(text(&read.expect("an answer")[0]), "one");
}

#[tokio::test]
async fn what_is_no_document_is_listed_with_its_trait_and_not_followed() {
    let outside = tempfile::tempdir().expect("outside");
    fs::write(outside.path().join("secret"), "secret").expect("secret");
    let fixture = Fixture::with(|root| {
        symlink(outside.path(), root.join("link")).expect("a link");
        std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a socket");
    })
    .await;
    let seen = fixture.scan(10).await;
    let traits: BTreeMap<&str, NodeTrait> = seen
        .values()
        .map(|node| (name(node), node.node_trait()))
        .collect();
    assert_eq!(traits["link"], NodeTrait::Link);
    assert_eq!(traits["socket"], NodeTrait::Special);
    assert_eq!(seen.len(), 2);
    assert!(seen.values().all(|node| present(node).content.is_none()));
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_proves_nothing() {
    let fixture = Fixture::with(tree).await;
    let faults = &fixture.directory().core.faults;
    faults.set(
        Point::Listing,
        Box::new(|| Err(std::io::ErrorKind::PermissionDenied.into())),
    );
    let root = fixture.watch_root(true);
    let step = fixture
        .directory()
        .scan(&root, &[], 100)
        .await
        .expect("a step");
    assert_eq!(step.outcome, Some(ScanOutcome::Complete));
    assert_eq!(step.pages.len(), 1);
    assert!(!step.pages[0].readable);
    assert!(step.pages[0].children.is_empty());
}

#[tokio::test]
async fn documents_only_when_subfolders_are_not_synced() {
    let fixture = Fixture::with(|root| {
        tree(root);
        fs::write(root.join("top"), "top").expect("top");
    })
    .await;
    let root = fixture.watch_root(false);
    fixture
        .directory()
        .watch(std::slice::from_ref(&root))
        .await
        .expect("watched");
    let step = fixture
        .directory()
        .scan(&root, &[], 100)
        .await
        .expect("a step");
    let names: Vec<&str> = step.pages[0].children.iter().map(name).collect();
    assert_eq!((step.pages.len(), names), (1, vec!["top"]));
    fixture.write("a/new", "below");
    fixture.write("top", "changed");
    let seen = fixture.told().await;
    assert_eq!(seen.values().map(name).collect::<Vec<_>>(), ["top"]);
}

#[tokio::test]
async fn a_scan_survives_the_loss_of_the_folder_it_stands_in() {
    let fixture = Fixture::with(tree).await;
    let root = fixture.watch_root(true);
    let mut step = fixture
        .directory()
        .scan(&root, &[], 11)
        .await
        .expect("a step");
    for folder in ["a", "c"] {
        fs::remove_dir_all(fixture.path(folder)).expect("removed");
    }
    fixture.changes().await;
    while step.outcome.is_none() {
        step = fixture
            .directory()
            .scan(&root, &step.position, 11)
            .await
            .expect("a step");
    }
    assert_eq!(step.outcome, Some(ScanOutcome::Complete));
}

#[tokio::test]
async fn a_scanned_root_that_is_gone_is_told_as_that() {
    let fixture = Fixture::with(tree).await;
    let root = WatchRoot {
        node_id: fixture.id("a").await,
        ..fixture.watch_root(true)
    };
    fs::remove_dir_all(fixture.path("a")).expect("removed");
    let step = fixture
        .directory()
        .scan(&root, &[], 100)
        .await
        .expect("a step");
    assert_eq!(step.outcome, Some(ScanOutcome::RootGone));
}

#[tokio::test]
async fn a_root_that_is_gone_or_replaced_reports_nothing_but_that() {
    let mut fixture = Fixture::with(tree).await;
    fixture.scan(100).await;
    let away = fixture.home.path().join("away");
    fs::rename(fixture.path(""), &away).expect("unmounted");
    fs::create_dir(fixture.path("")).expect("an empty folder in its place");
    let gone = |error: Error| matches!(error, Error::RootGone(_));
    let directory = fixture.directory();
    let root = fixture.watch_root(true);
    assert!(directory.changes(10).await.is_err_and(gone));
    assert!(directory.scan(&root, &[], 10).await.is_err_and(gone));
    assert!(
        directory
            .observe(&[fixture.root.clone()])
            .await
            .is_err_and(gone)
    );
    assert!(
        directory
            .resolve(&[], &[String::new()])
            .await
            .is_err_and(gone)
    );
    fixture.close();
    assert!(Directory::open(fixture.options()).await.is_err_and(gone));
    fs::remove_dir(fixture.path("")).expect("the impostor goes");
    assert!(Directory::open(fixture.options()).await.is_err_and(gone));
    fs::rename(away, fixture.path("")).expect("mounted again");
    fixture.open().await;
    assert!(fixture.told().await.is_empty(), "nothing was lost");
}

#[tokio::test]
async fn a_root_that_comes_back_while_the_agent_runs_is_looked_at_again() {
    let fixture = Fixture::with(tree).await;
    fixture.scan(100).await;
    let away = fixture.home.path().join("away");
    fs::rename(fixture.path(""), &away).expect("away");
    assert!(fixture.directory().changes(10).await.is_err());
    fs::write(away.join("new"), "new").expect("changed there");
    fs::rename(away, fixture.path("")).expect("back");
    let seen = fixture.told().await;
    assert_eq!(seen.values().map(name).collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn r_agt_5_what_a_scan_finds_being_written_is_told_although_no_watch_tells_of_it() {
    let fixture = Fixture::with(|root| {
        fs::write(root.join("a"), "one").expect("a");
        fs::hard_link(root.join("a"), root.with_file_name("outside")).expect("another name");
    })
    .await;
    fixture.scan(10).await;
    // Whatever woke it before is over.
    let resting = tokio::time::timeout(Duration::from_millis(300), fixture.changes());
    assert!(resting.await.is_err(), "nothing changed");
    let writing = async {
        while !fixture.directory().is_at_rest() {
            tokio::task::yield_now().await;
        }
        fs::write(fixture.home.path().join("outside"), "two").expect("it is written");
        let seen = fixture.scan(10).await;
        let seen = seen.into_values().next().expect("a");
        assert_ne!(
            present(&seen).content.clone().expect("content").inline,
            Some("two".into())
        );
    };
    let (told, ()) = tokio::join!(fixture.changes(), writing);
    assert_eq!(text(&told[0]), "two");
}
