//! What a power cut leaves (K11): nothing is visible before what tells of it is durable, and nothing is told before it is.

use std::{fs, io::Write};

use super::*;
use crate::agent::trace::{Step, below};

/// As many deliveries as are flushed one by one, and more than that.
const COUNTS: [u8; 2] = [1, 6];

/// What happened in the fixture so far.
fn steps(fixture: &Fixture) -> Vec<Step> {
    below(fixture.home.path())
}

/// What happened since there were so many steps.
fn since(fixture: &Fixture, before: usize) -> Vec<Step> {
    steps(fixture).split_off(before)
}

fn is_work(path: &Path) -> bool {
    path.parent()
        .is_some_and(|folder| folder.ends_with(".tandem"))
}

fn is_commit(step: &Step) -> bool {
    matches!(step, Step::Committed(_))
}

/// A power cut that comes after these steps leaves the file, or the names in the folder, as they are by then.
fn is_flushed(steps: &[Step], path: &Path) -> bool {
    steps.iter().any(|step| match step {
        Step::Flushed(flushed) => flushed == path,
        Step::FlushedAround(_) => true,
        _ => false,
    })
}

/// Each name that was given, and what happened before and after that.
fn renames(steps: &[Step]) -> impl Iterator<Item = (&[Step], [&Path; 2], &[Step])> {
    let all = steps.iter().enumerate();
    all.filter_map(|(at, step)| match step {
        Step::Renamed(from, to) => Some((&steps[..at], [&**from, &**to], &steps[at..])),
        _ => None,
    })
}

/// What became visible was flushed before, and the index knew of it; both places are flushed after that.
fn assert_safe(steps: &[Step]) {
    assert_ne!(renames(steps).count(), 0, "nothing happened");
    for (before, [from, to], after) in renames(steps) {
        assert!(before.iter().any(is_commit), "{to:?} unmarked: {steps:?}");
        if is_work(from) && to.is_file() {
            assert!(is_flushed(before, from), "{from:?}: {steps:?}");
        }
        for place in [from, to].map(|path| path.parent().expect("a folder")) {
            // Where nothing is left, nothing can be lost.
            let durable = place.ends_with(".tandem") || is_flushed(after, place);
            assert!(durable, "{place:?} after {to:?}: {steps:?}");
        }
    }
}

/// The file of each version, and the folders in which it is.
fn assert_versions_are_flushed(fixture: &Fixture, steps: &[Step]) {
    let kept = fixture.home.path().join("state/versions/kept");
    let files = fs::read_dir(&kept).expect("versions");
    let files = files.map(|file| file.expect("a version").path());
    for path in files.chain([kept.clone()]) {
        assert!(is_flushed(steps, &path), "{path:?}: {steps:?}");
    }
}

/// A fixture with so many files.
async fn files(count: u8) -> (Fixture, Vec<Observation>) {
    let fixture = Fixture::with(|root| {
        for number in 0..count {
            fs::write(root.join(number.to_string()), "one").expect("a file");
        }
    });
    let fixture = fixture.await;
    let seen = fixture.scan(10).await.into_values().collect();
    (fixture, seen)
}

/// Applies, and tells what happened meanwhile.
async fn steps_of(fixture: &Fixture, works: Vec<Work>) -> Vec<Step> {
    let before = steps(fixture).len();
    for outcome in fixture.apply_all(works).await {
        applied(outcome.answer.expect("an answer"));
    }
    since(fixture, before)
}

#[tokio::test]
async fn r_agt_6_what_is_made_is_marked_and_whole_before_it_shows_and_durable_before_it_is_told() {
    for count in COUNTS {
        let fixture = Fixture::new().await;
        let made = |member| create(member, in_member(0), document(&format!("{member}"), "x"));
        let folder = work(create(0, in_node(&fixture.root), folder("x")), None);
        let files = (1..=count).map(|member| work(made(member), Some("x")));
        let done = steps_of(&fixture, std::iter::once(folder).chain(files).collect()).await;
        assert_eq!(renames(&done).count(), usize::from(count) + 1);
        assert_safe(&done);
    }
}

#[tokio::test]
async fn r_agt_6_what_is_replaced_is_intended_before_and_kept_durably_before_it_is_told() {
    for count in COUNTS {
        let (fixture, seen) = files(count).await;
        let changed = |node: &Observation| update(1, node, document(name(node), "two"));
        let works = seen.iter().map(|node| work(changed(node), Some("two")));
        let done = steps_of(&fixture, works.collect()).await;
        assert_safe(&done);
        assert_versions_are_flushed(&fixture, &done);
    }
}

#[tokio::test]
async fn r_agt_6_what_is_deleted_is_intended_before_and_kept_durably_before_it_is_told() {
    for count in COUNTS {
        let (fixture, seen) = files(count).await;
        let works = seen.iter().map(|node| work(delete(1, node), None));
        let done = steps_of(&fixture, works.collect()).await;
        assert_safe(&done);
        assert_versions_are_flushed(&fixture, &done);
    }
}

#[tokio::test]
async fn r_agt_6_a_new_place_is_durable_before_it_is_told() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("a"), "one").expect("a");
    })
    .await;
    let seen = fixture.scan(10).await;
    let a = seen.values().find(|node| name(node) == "a").expect("a");
    let mut moved = update(1, a, document("b", "one"));
    if let Some(Action::Update(update)) = moved.action.as_mut() {
        update.parent = in_node(&fixture.id("x").await);
    }
    let done = steps_of(&fixture, vec![work(moved, None)]).await;
    let root = fixture.path("").canonicalize().expect("the root");
    for place in [root.clone(), root.join("x")] {
        assert!(is_flushed(&done, &place), "{done:?}");
    }
    assert!(fixture.path("x/b").exists());
}

#[tokio::test]
async fn r_lck_1_a_mode_that_changed_is_durable_before_it_is_told() {
    let (fixture, seen) = files(1).await;
    let mut locked = update(1, &seen[0], document("0", "one"));
    if let Some(Action::Update(update)) = locked.action.as_mut() {
        update.locked = true;
    }
    let release = delivery(
        1,
        Action::Release(tandem_proto::v1::ReleaseNode {
            node_id: seen[0].node_id.clone(),
        }),
    );
    let file = fixture.path("0").canonicalize().expect("the file");
    for delivery in [locked, release] {
        let done = steps_of(&fixture, vec![work(delivery, None)]).await;
        assert!(is_flushed(&done, &file), "{done:?}");
    }
}

#[tokio::test]
async fn r_uns_1_what_goes_with_its_folder_is_durable_before_it_is_told() {
    let fixture = Fixture::with(|root| {
        fs::create_dir_all(root.join("x/y")).expect("x/y");
        fs::write(root.join("x/y/a"), "one").expect("a");
    })
    .await;
    let id = fixture.id("x").await;
    let mut whole = delete(1, &fixture.observe(&id).await);
    if let Some(Action::Delete(delete)) = whole.action.as_mut() {
        delete.with_content = true;
    }
    let done = steps_of(&fixture, vec![work(whole, None)]).await;
    assert!(!fixture.path("x").exists());
    assert_versions_are_flushed(&fixture, &done);
    let root = fixture.path("").canonicalize().expect("the root");
    assert!(is_flushed(&done, &root), "{done:?}");
}

#[tokio::test]
async fn a_restored_version_is_durable_before_it_is_told() {
    let (fixture, seen) = files(1).await;
    steps_of(&fixture, vec![work(delete(1, &seen[0]), None)]).await;
    let directory = fixture.directory();
    let (versions, _) = directory.versions("", "", 10).await.expect("listed");
    let before = steps(&fixture).len();
    let restored = directory.restore_version(&seen[0].node_id, &versions[0].version_id);
    restored.await.expect("it is back");
    let done = since(&fixture, before);
    let root = fixture.path("").canonicalize().expect("the root");
    let (_, [from, _], after) = renames(&done).last().expect("it got its place");
    assert!(is_work(from) && is_flushed(after, &root), "{done:?}");
}

#[tokio::test]
async fn what_a_crash_took_out_of_its_place_is_durable_before_it_is_listed() {
    let (mut fixture, seen) = files(1).await;
    let stops = || panic!("the agent stops here, as the test wants it");
    let faults = &fixture.directory().core.faults;
    faults.set(super::super::faults::Point::Visible, Box::new(stops));
    let changed = update(1, &seen[0], document("0", "two"));
    let stopped = fixture.apply_all(vec![work(changed, Some("two"))]).await;
    assert!(stopped[0].answer.is_some());
    let before = steps(&fixture).len();
    fixture.reopen().await;
    let done = since(&fixture, before);
    let kept = done
        .iter()
        .position(|step| matches!(step, Step::FlushedAround(_)));
    let kept = kept.expect("versions are flushed");
    assert!(done[kept..].iter().any(is_commit), "{done:?}");
    let listed = fixture.directory().versions("", "", 10).await;
    assert_eq!(listed.expect("listed").0.len(), 1);
}

#[tokio::test]
async fn a_late_write_is_durable_before_it_is_listed() {
    let (fixture, seen) = files(1).await;
    let mut handle = fs::File::options()
        .append(true)
        .open(fixture.path("0"))
        .expect("somebody has it open");
    let changed = update(1, &seen[0], document("0", "two"));
    steps_of(&fixture, vec![work(changed, Some("two"))]).await;
    let before = steps(&fixture).len();
    handle.write_all(b" and late").expect("a late write");
    drop(handle);
    fixture.told().await;
    let (versions, _) = fixture
        .directory()
        .versions("", "", 10)
        .await
        .expect("listed");
    assert_eq!(versions.len(), 2);
    let done = since(&fixture, before);
    let late = fixture.home.path().join("state/versions/kept");
    let late = late.join(&versions[0].version_id);
    assert!(is_flushed(&done, &late), "{done:?}");
}
