//! A pause delays and loses nothing (R-SET-7), in the lab and through real processes.

use serde_json::Value;
use tandem_server::domain::engine::Request;
use tandem_server::domain::journal::JournalKind;
use tandem_server::domain::member::Leaving;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::sync_set::{Options, Removal};
use tandem_tests::pair::{PATIENCE, Pair, write};
use tandem_tests::sim::lab::Lab;
use tandem_tests::wait::poll;

fn pause(lab: &mut Lab, paused: bool) {
    lab.request(Request::Pause(lab.set, paused, "owner".to_owned()));
}

#[test]
fn r_set_7_what_happens_on_both_sides_in_a_pause_is_synced_after_it() {
    let mut lab = Lab::holding(Options::default(), &["a.txt", "b.txt", "c.txt", "gone.txt"]);
    pause(&mut lab, true);
    let before = lab.content(Cloud, "a.txt");
    lab.write(OnPremise, "a.txt");
    let a = lab.write(OnPremise, "a.txt");
    let b = lab.write(Cloud, "b.txt");
    lab.write(OnPremise, "c.txt");
    let c = lab.write(Cloud, "c.txt");
    lab.make(OnPremise, "new.txt");
    lab.delete(OnPremise, "gone.txt");
    let noted = lab.world().coordinator.store.journal.len();
    lab.settle();
    let journal = &lab.world().coordinator.store.journal[noted..];
    let observed = journal.iter();
    let observed = observed
        .filter(|entry| entry.kind == JournalKind::Observed)
        .count();
    assert!(observed >= 3, "{journal:?}");
    assert_eq!(lab.content(Cloud, "a.txt"), before);
    assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt", "c.txt", "gone.txt"]);
    assert_ne!(lab.content(OnPremise, "b.txt"), b);
    pause(&mut lab, false);
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt", "c.txt", "new.txt"]);
    for (path, content) in [("a.txt", a), ("b.txt", b), ("c.txt", c)] {
        assert_eq!(lab.content(OnPremise, path), content, "{path}");
        assert_eq!(lab.content(Cloud, path), content, "{path}");
    }
    assert_eq!(lab.conflicts(), 1, "c.txt changed on both sides");
}

#[test]
fn r_uns_1_a_document_leaves_a_paused_set_with_its_last_change_and_nothing_else_flows() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = Lab::choosing(locks, &["/a.txt", "/b.txt", "/c.txt"]);
    let leaves = |lab: &Lab, path: &str| lab.member(OnPremise, path).unwrap().id;
    let (first, second) = (leaves(&lab, "/a.txt"), leaves(&lab, "/c.txt"));
    pause(&mut lab, true);
    let [a, b, _] = ["/a.txt", "/b.txt", "/c.txt"].map(|path| lab.write(Cloud, path));
    lab.settle();
    assert_ne!(lab.content(OnPremise, "/a.txt"), a, "the pause holds it");
    lab.request(Request::LastPull(first));
    lab.settle();
    assert_eq!(lab.content(OnPremise, "/a.txt"), a);
    assert_ne!(lab.content(OnPremise, "/b.txt"), b);
    let later = lab.write(Cloud, "/a.txt");
    lab.settle();
    assert_eq!(lab.content(OnPremise, "/a.txt"), a, "it waits again");
    lab.request(Request::LastPull(first));
    lab.settle();
    for member in [first, second] {
        let actor = "owner".to_owned();
        let removal = Removal::Everything;
        lab.request(Request::Unsync(member, Leaving { removal, actor }));
    }
    lab.settle();
    assert_eq!(lab.content(OnPremise, "/a.txt"), later);
    assert!(lab.find(Cloud, "/a.txt").is_none(), "removed in the pause");
    assert!(lab.find(Cloud, "/c.txt").is_some(), "it was not pulled");
    for (path, locked) in [("/a.txt", false), ("/b.txt", true), ("/c.txt", false)] {
        let node = lab.find(OnPremise, path).unwrap();
        let is_locked = lab.repository(OnPremise).nodes[&node].locked;
        assert_eq!(is_locked, locked, "{path}");
    }
    assert_ne!(lab.content(OnPremise, "/b.txt"), b);
    pause(&mut lab, false);
    lab.converge();
    assert_eq!(lab.content(OnPremise, "/b.txt"), b);
}

#[test]
fn r_set_7_what_is_in_flight_when_a_pause_begins_may_end() {
    let mut lab = Lab::holding(Options::default(), &["a.txt"]);
    lab.away(Cloud);
    let content = lab.write(OnPremise, "a.txt");
    lab.settle();
    pause(&mut lab, true);
    lab.back(Cloud);
    lab.settle();
    assert_eq!(lab.content(Cloud, "a.txt"), content);
}

async fn hold_of(pair: &mut Pair, name: &str) -> Option<Value> {
    let members = pair.tandem(&["member", "list"]).await.ok()?;
    let mut members = members.as_array()?.iter();
    let found = members.find(|member| member["on_premise"]["name"] == name)?;
    Some(found["hold"].clone())
}

/// Pauses, changes both sides, waits until both are noted, and resumes.
async fn pauses_and_resumes(noun: &str) {
    let mut pair = Pair::new().unwrap();
    write(&pair.contracts().join("kept.txt"), "first").unwrap();
    pair.start_in_sync(&[]).await.unwrap();
    let set = pair.set().await.unwrap();
    let what = match noun {
        "set" => set["uid"].as_str().unwrap().to_owned(),
        _ => "cloud".to_owned(),
    };
    for _ in 0..2 {
        let shown = pair.tandem(&[noun, "pause", &what]).await.unwrap();
        assert_eq!(shown["paused"], true, "{shown}");
    }
    write(&pair.contracts().join("new.txt"), "made in the pause").unwrap();
    write(&pair.mirror().join("kept.txt"), "second").unwrap();
    for name in ["new.txt", "kept.txt"] {
        let held = poll(PATIENCE, "the change shows as held", async || {
            let hold = hold_of(&mut pair, name).await?;
            (hold == "PAUSED").then_some(())
        });
        held.await.unwrap();
    }
    let kept = std::fs::read_to_string(pair.contracts().join("kept.txt"));
    assert_eq!(kept.unwrap(), "first");
    assert!(!pair.mirror().join("new.txt").exists());
    let shown = pair.tandem(&[noun, "resume", &what]).await.unwrap();
    assert_eq!(shown["paused"], false, "{shown}");
    pair.same().await.unwrap();
    let kept = std::fs::read_to_string(pair.contracts().join("kept.txt"));
    assert_eq!(kept.unwrap(), "second");
    let journal = pair.tandem(&["journal", "list"]).await.unwrap();
    for kind in ["PAUSED", "RESUMED"] {
        let of_kind = journal.as_array().unwrap().iter();
        let of_kind = of_kind.filter(|entry| entry["kind"] == kind).count();
        assert_eq!(of_kind, 1, "{kind}");
    }
    pair.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_set_7_a_set_is_paused_and_resumed_from_the_command_line() {
    pauses_and_resumes("set").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_set_7_a_repository_is_paused_and_resumed_from_the_command_line() {
    pauses_and_resumes("repository").await;
}
