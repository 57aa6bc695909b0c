//! What is offered, and what is not.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

use tandem_proto::v1::NodeTrait;

use super::{super::os, *};

#[tokio::test]
async fn changes_are_offered_until_they_are_reported() {
    let fixture = Fixture::new().await;
    fixture.write("a", "one");
    let first = fixture.directory().changes(10).await.expect("offered");
    let again = fixture
        .directory()
        .changes(10)
        .await
        .expect("offered again");
    assert_eq!(first, again);
    fixture.write("a", "two");
    let newer = fixture
        .until(|seen| seen.values().any(|change| text(change) == "two"))
        .await;
    assert_eq!(newer.len(), 1);
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn a_change_made_while_its_report_was_under_way_is_offered_too() {
    let fixture = Fixture::new().await;
    fixture.write("a", "one");
    let first = fixture.directory().changes(10).await.expect("offered");
    fs::remove_file(fixture.path("a")).expect("removed meanwhile");
    // The connector forgets a node that nobody heard of before the report of it is confirmed.
    let gone = fixture.observe(&first[0].node_id).await;
    assert_eq!(absent(&gone), Some(AbsenceKind::Deleted));
    fixture
        .directory()
        .reported(&[seen(&first[0])])
        .await
        .expect("noted");
    let next = fixture.changes().await;
    assert_eq!(absent(&next[0]), Some(AbsenceKind::Deleted));
    assert_eq!(next[0].node_id, first[0].node_id);
}

#[tokio::test]
async fn r_del_3_a_walk_that_finds_the_root_empty_says_so_of_what_is_missing() {
    let root_emptied = |seen: &Observation| match &seen.state {
        Some(State::Absent(absence)) => Some(absence.root_emptied),
        _ => None,
    };
    let mut fixture = Fixture::with(|root| {
        fs::create_dir(root.join("f")).expect("f");
        fs::write(root.join("f/a"), "one").expect("a");
        fs::write(root.join("b"), "two").expect("b");
    })
    .await;
    fixture.scan(10).await;
    fixture.close();
    fs::remove_dir_all(fixture.path("f")).expect("f goes");
    fs::remove_file(fixture.path("b")).expect("b goes");
    fixture.open().await;
    let missing = fixture.until(|seen| seen.len() == 2).await;
    assert!(
        missing
            .values()
            .all(|seen| root_emptied(seen) == Some(true))
    );

    fixture.write("c", "three");
    let made = fixture
        .until(|seen| seen.values().any(|seen| name(seen) == "c"))
        .await;
    fs::remove_file(fixture.path("c")).expect("c goes");
    let gone = fixture.changes().await;
    assert_eq!(Some(&gone[0].node_id), made.keys().next());
    assert_eq!(root_emptied(&gone[0]), Some(false), "it was seen to go");
}

#[tokio::test]
async fn r_prj_4_a_touch_and_a_reverted_edit_are_no_change() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let before = fixture.scan(10).await;
    let (id, before) = before.into_iter().next().expect("a");
    let file = fs::File::options()
        .write(true)
        .open(fixture.path("a"))
        .expect("a");
    os::set_modified(&file, 1_000_000_000).expect("touched");
    assert!(fixture.told().await.is_empty());
    fixture.write("a", "two");
    fixture.write("a", "one");
    assert!(fixture.told().await.is_empty());
    assert_eq!(fixture.observe(&id).await.revision, before.revision);
    // The coordinator's revision still counts after the touch (R-REC-6).
    let answer = fixture
        .apply(update(1, &before, document("a", "new")), Some("new"))
        .await;
    assert_eq!(name(&applied(answer)), "a");
    assert_eq!(fixture.read("a"), "new");
}

#[tokio::test]
async fn parents_come_before_children() {
    let fixture = Fixture::new().await;
    fs::create_dir_all(fixture.path("x/y/z")).expect("folders");
    fixture.write("x/y/z/f", "f");
    let mut seen: Vec<String> = vec![fixture.root.clone()];
    while seen.len() < 5 {
        for change in fixture.changes().await {
            assert!(
                seen.contains(&change.parent_node_id),
                "{change:?} before its parent"
            );
            seen.push(change.node_id);
        }
    }
}

#[tokio::test]
async fn a_deleted_folder_stands_for_all_below_it() {
    let fixture = Fixture::with(|root| {
        fs::create_dir_all(root.join("x/y")).expect("folders");
        fs::write(root.join("x/y/f"), "f").expect("f");
    })
    .await;
    fixture.scan(100).await;
    let (x, y) = (fixture.id("x").await, fixture.id("x/y").await);
    let f = fixture.id("x/y/f").await;
    fs::rename(fixture.path("x/y/f"), fixture.path("f")).expect("saved from it");
    fs::remove_dir_all(fixture.path("x")).expect("removed");
    let seen = fixture.told().await;
    assert_eq!(absent(&seen[&x]), Some(AbsenceKind::Deleted));
    assert_eq!(seen[&f].parent_node_id, fixture.root);
    assert!(seen.get(&y).is_none_or(|y| absent(y).is_some()));
}

#[tokio::test]
async fn moves_into_and_out_of_what_is_watched() {
    let fixture = Fixture::with(|root| {
        fs::create_dir_all(root.join("in")).expect("in");
        fs::create_dir_all(root.join("out/x")).expect("out");
        fs::write(root.join("out/x/f"), "f").expect("f");
    })
    .await;
    let watched = WatchRoot {
        node_id: fixture.id("in").await,
        ..fixture.watch_root(true)
    };
    fixture
        .directory()
        .watch(&[watched])
        .await
        .expect("watched");
    fs::write(fixture.path("out/ignored"), "not watched").expect("written");
    let (x, f) = (fixture.id("out/x").await, fixture.id("out/x/f").await);
    fs::rename(fixture.path("out/x"), fixture.path("in/x")).expect("moved in");
    let seen = fixture.until(|seen| seen.contains_key(&f)).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((name(&seen[&x]), text(&seen[&f]).as_str()), ("x", "f"));
    fs::rename(fixture.path("in/x"), fixture.path("out/x")).expect("moved out");
    let seen = fixture.until(|seen| seen.contains_key(&x)).await;
    assert_eq!(absent(&seen[&x]), Some(AbsenceKind::MovedOut));
    assert_eq!(
        seen.len(),
        1,
        "the folder stands for all below it: {seen:?}"
    );
    fs::rename(fixture.path("out/x"), fixture.path("in/z")).expect("and in again");
    let seen = fixture.until(|seen| seen.contains_key(&f)).await;
    assert_eq!(name(&seen[&x]), "z");
}

#[tokio::test]
async fn the_name_of_a_watched_folder_is_offered() {
    let fixture = Fixture::with(|root| fs::create_dir(root.join("x")).expect("x")).await;
    let x = fixture.id("x").await;
    let watched = WatchRoot {
        node_id: x.clone(),
        ..fixture.watch_root(true)
    };
    fixture
        .directory()
        .watch(&[watched])
        .await
        .expect("watched");
    fs::rename(fixture.path("x"), fixture.path("y")).expect("renamed");
    let seen = fixture.changes().await;
    assert_eq!((seen[0].node_id.clone(), name(&seen[0])), (x, "y"));
}

#[tokio::test]
async fn r_mov_1_a_watched_document_is_followed_wherever_it_goes_and_nothing_beside_it() {
    let mut fixture = Fixture::with(|root| {
        fs::create_dir_all(root.join("x/y")).expect("x");
        fs::write(root.join("x/f"), "f").expect("f");
        fs::write(root.join("x/g"), "g").expect("g");
    })
    .await;
    let f = fixture.id("x/f").await;
    let watched = WatchRoot {
        node_id: f.clone(),
        document: true,
        ..WatchRoot::default()
    };
    let watch = std::slice::from_ref(&watched);
    fixture.directory().watch(watch).await.expect("watched");
    fs::write(fixture.path("x/g"), "not watched").expect("written");
    fs::rename(fixture.path("x/f"), fixture.path("x/y/h")).expect("moved");
    let seen = fixture.until(|seen| seen.contains_key(&f)).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((name(&seen[&f]), text(&seen[&f]).as_str()), ("h", "f"));
    // While nothing runs it is written, moved on, and a folder above it too.
    fixture.close();
    fs::write(fixture.path("x/y/h"), "newer").expect("written");
    fs::rename(fixture.path("x"), fixture.path("z")).expect("moved");
    let directory = Directory::open(fixture.options()).await.expect("it opens");
    directory.watch(watch).await.expect("watched");
    fixture.directory = Some(directory);
    let seen = fixture.until(|seen| seen.contains_key(&f)).await;
    assert_eq!(text(&seen[&f]), "newer");
    // It goes with a folder that nobody watches: then its own end is told, and nobody says that a root was emptied.
    fixture.close();
    fs::remove_dir_all(fixture.path("z")).expect("removed");
    let directory = Directory::open(fixture.options()).await.expect("it opens");
    directory.watch(watch).await.expect("watched");
    fixture.directory = Some(directory);
    let seen = fixture.until(|seen| seen.contains_key(&f)).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(absent(&seen[&f]), Some(AbsenceKind::Deleted));
    let Some(State::Absent(gone)) = &seen[&f].state else {
        panic!("it is gone")
    };
    assert!(!gone.root_emptied);
}

#[tokio::test]
async fn r_agt_5_a_chosen_document_is_told_by_itself_when_it_goes_with_a_watched_folder() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("x/f"), "f").expect("f");
        fs::write(root.join("x/g"), "g").expect("g");
    })
    .await;
    let (x, f) = (fixture.id("x").await, fixture.id("x/f").await);
    let chosen = WatchRoot {
        node_id: f.clone(),
        document: true,
        ..WatchRoot::default()
    };
    let watch = [fixture.watch_root(true), chosen];
    fixture.directory().watch(&watch).await.expect("watched");
    fixture.scan(10).await;
    fs::remove_dir_all(fixture.path("x")).expect("removed");
    let seen = fixture.until(|seen| seen.len() == 2).await;
    let gone = |id: &String| absent(&seen[id]) == Some(AbsenceKind::Deleted);
    assert!(gone(&x) && gone(&f), "and nobody tells of g: {seen:?}");
}

#[tokio::test]
async fn r_set_3_a_folder_is_described_and_told_so_where_it_is_watched() {
    let fixture = Fixture::new().await;
    let directory = fixture.directory();
    let made = directory.create_folder(&fixture.root, "new", b"request", "");
    let made = made.await.expect("it is made").node_id;
    directory
        .describe_folder(&made, "Title", "")
        .await
        .expect("described");
    let seen = fixture.told().await;
    let Some(State::Present(projection)) = &seen[&made].state else {
        panic!("it is there")
    };
    let told: Vec<&str> = projection
        .properties
        .iter()
        .map(|property| property.name.as_str())
        .collect();
    assert_eq!(told, ["cm:title"], "an empty description is none");
}

#[tokio::test]
async fn links_are_offered_once_and_never_followed() {
    let fixture = Fixture::new().await;
    let outside = tempfile::tempdir().expect("outside");
    symlink(outside.path(), fixture.path("link")).expect("a link");
    let seen = fixture.told().await;
    assert_eq!(seen.len(), 1);
    let link = seen.values().next().expect("the link");
    assert_eq!(link.node_trait(), NodeTrait::Link);
    fs::write(outside.path().join("secret"), "secret").expect("written");
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn a_folder_swapped_for_a_link_leads_nowhere() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("x/f"), "inside").expect("f");
    })
    .await;
    fixture.scan(100).await;
    let f = fixture.id("x/f").await;
    let x = fixture.id("x").await;
    let before = fixture.observe(&f).await;
    let outside = tempfile::tempdir().expect("outside");
    fs::write(outside.path().join("f"), "outside").expect("f");
    fs::rename(fixture.path("x"), fixture.home.path().join("x")).expect("away");
    symlink(outside.path(), fixture.path("x")).expect("a link in its place");
    let digest = content_ref("inside").digest;
    assert!(fixture.directory().open(&f, &digest).await.is_err());
    let answer = fixture
        .apply(update(1, &before, document("f", "new")), Some("new"))
        .await;
    failed(answer);
    let answer = fixture
        .apply(create(2, in_node(&x), document("g", "new")), Some("new"))
        .await;
    failed(answer);
    let outside = outside.path();
    assert_eq!(fs::read_to_string(outside.join("f")).expect("f"), "outside");
    assert!(!outside.join("g").exists());
}

#[tokio::test]
async fn properties_are_attributes_that_people_can_set() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    fixture.scan(10).await;
    let file = fs::File::open(fixture.path("a")).expect("a");
    os::set_attribute(&file, OsStr::new("user.tandem.p.cm:title"), b"by hand").expect("set");
    let seen = fixture.changes().await;
    assert_eq!(present(&seen[0]).properties[0].name, "cm:title");
    os::remove_attribute(&file, OsStr::new("user.tandem.p.cm:title")).expect("removed");
    let seen = fixture.changes().await;
    assert!(present(&seen[0]).properties.is_empty());
}

#[tokio::test]
async fn a_file_is_never_sent_half() {
    use std::io::Write;
    let fixture = Fixture::new().await;
    let mut file = fs::File::create(fixture.path("big")).expect("big");
    let path = fixture.path("big");
    let writer = std::thread::spawn(move || {
        for _ in 0..200 {
            file.write_all(&[7; 64 * 1024]).expect("written");
            file.sync_data().expect("slowly");
        }
        drop(path);
    });
    let whole = 200 * 64 * 1024;
    let seen = fixture
        .until(|seen| {
            seen.values().any(|change| {
                present(change)
                    .content
                    .as_ref()
                    .is_some_and(|content| content.size == whole)
            })
        })
        .await;
    writer.join().expect("the writer");
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn large_content_is_streamed_and_a_changed_one_refused() {
    use tokio::io::AsyncReadExt;
    let big = "x".repeat(100_000);
    let fixture = Fixture::with(|root| fs::write(root.join("a"), &big).expect("a")).await;
    let id = fixture.id("a").await;
    let seen = fixture.scan(10).await;
    assert!(
        present(&seen[&id])
            .content
            .as_ref()
            .expect("content")
            .inline
            .is_none()
    );
    let digest = content_ref(&big).digest;
    let opened = fixture.directory().open(&id, &digest).await;
    let opened = opened.expect("opened");
    assert!(matches!(opened, Content::File(_, 100_000)));
    let mut read = String::new();
    let mut reader = opened.into_reader();
    reader.read_to_string(&mut read).await.expect("read");
    assert_eq!(read, big);
    fixture.write("a", "changed");
    fixture.told().await;
    assert!(fixture.directory().open(&id, &digest).await.is_err());
}

#[tokio::test]
async fn nothing_is_read_at_a_start_with_nothing_to_do() {
    let mut fixture = Fixture::with(|root| {
        for number in 0..50 {
            fs::write(root.join(format!("f{number}")), "x").expect("a file");
        }
    })
    .await;
    fixture.scan(100).await;
    fixture.reopen().await;
    let due = fixture.directory().core.state().tree.due().count();
    assert_eq!(due, 0);
    assert!(fixture.told().await.is_empty());
}
