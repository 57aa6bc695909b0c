//! Ending a set whose cloud copy is removed (R-UNS-1), told in a few sentences each.

use tandem_server::domain::copy::CopyState;
use tandem_server::domain::engine::Request;
use tandem_server::domain::ids::NodeId;
use tandem_server::domain::journal::JournalKind;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::stay::StayReason;
use tandem_server::domain::sync_set::{Gate, Options, Removal};
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::repository::Repository;

/// What is below the folder of the cloud that received the set.
fn on_cloud(lab: &Lab) -> Vec<String> {
    let place = lab.world().places.get(Cloud);
    let repository: &Repository = &place.repository;
    let top = repository.path(&place.target);
    let nodes = repository.nodes.keys();
    let below =
        nodes.filter(|node| **node != place.target && repository.is_within(node, &place.target));
    let paths = below.map(|node| repository.path(node));
    let mut paths: Vec<String> = paths
        .map(|path| path[top.len()..].trim_start_matches('/').to_owned())
        .filter(|path| path != "canary")
        .collect();
    paths.sort();
    paths
}

fn stays(lab: &Lab) -> Vec<(String, StayReason)> {
    let stays = lab.world().coordinator.store.stays.iter();
    let mut stays: Vec<_> = stays
        .map(|stay| {
            let name = stay.path.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), stay.reason)
        })
        .collect();
    stays.sort_by(|left, right| left.0.cmp(&right.0));
    stays
}

fn over(lab: &Lab) {
    assert!(lab.sync_set().is_none(), "the set is gone");
    assert!(lab.world().coordinator.store.members.is_empty());
}

fn on_premise(lab: &Lab) -> Vec<String> {
    let repository = lab.repository(OnPremise);
    let paths = repository.nodes.keys().map(|node| repository.path(node));
    let mut paths: Vec<String> = paths
        .filter_map(|path| path.split_once("root/").map(|(_, path)| path.to_owned()))
        .collect();
    paths.sort();
    paths
}

const TREE: [&str; 4] = ["a", "a/b", "a/b/x.txt", "y.txt"];

#[test]
fn r_uns_1_the_cloud_copy_goes_and_the_on_premise_copy_stays_whatever_the_options() {
    let locks = Options {
        lock_on_premise_copy: true,
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    let mut lab = Lab::holding(locks, &TREE);
    let content = lab.content(OnPremise, "a/b/x.txt");
    let node = lab.find(OnPremise, "a/b/x.txt").unwrap();
    lab.end_set(Removal::Everything);
    lab.end_set(Removal::Everything);
    lab.settle();
    over(&lab);
    assert_eq!(on_cloud(&lab), Vec::<String>::new());
    assert_eq!(on_premise(&lab), TREE);
    assert!(!lab.repository(OnPremise).nodes[&node].locked);
    assert!(lab.repository(Cloud).archive.contains(&content));
    assert_eq!(stays(&lab), []);
    let journal = lab.world().coordinator.store.journal.iter();
    let ended = journal.filter(|entry| entry.kind == JournalKind::SetEnded);
    assert_eq!(ended.count(), 1, "twice is once");
}

#[test]
fn r_uns_1_what_is_no_member_goes_too_but_not_members_of_other_sets() {
    let flat = Options {
        include_subfolders: false,
        ..Options::default()
    };
    let mut lab = Lab::holding(flat, &["x.txt"]);
    for path in ["sub", "sub/deep", "sub/deep/z.txt", "sub/w.txt", "link.txt"] {
        lab.make(Cloud, path);
    }
    let link = lab.find(Cloud, "link.txt").unwrap();
    let repository = &mut lab.world_mut().places.cloud.repository;
    repository.change(&link, |node| node.node_trait = NodeTrait::Link);
    lab.world_mut().notice(Cloud, vec![link]);
    lab.second_set(Options::default());
    lab.make(OnPremise, "/second/kept.txt");
    lab.settle();
    lab.relocate(Cloud, "/second", "sub/deep");
    lab.settle();
    lab.end_set(Removal::Everything);
    lab.settle();
    assert!(lab.sync_set().is_none());
    let left = [
        "root",
        "root/sub",
        "root/sub/deep",
        "root/sub/deep/second",
        "root/sub/deep/second/kept.txt",
    ];
    assert_eq!(on_cloud(&lab), left);
    assert_eq!(
        stays(&lab),
        [
            ("root".to_owned(), StayReason::Holds),
            ("sub".to_owned(), StayReason::Holds)
        ]
    );
    let second = lab.world().coordinator.store.members.len();
    assert_eq!(second, 2, "the other set goes on");
}

#[test]
fn r_uns_1_what_was_unlinked_in_it_goes_too() {
    let keeps = Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    let mut lab = Lab::holding(keeps, &TREE);
    lab.delete(OnPremise, "a");
    lab.settle();
    assert_eq!(lab.tree(Cloud), TREE, "left on the cloud");
    lab.end_set(Removal::Everything);
    lab.settle();
    over(&lab);
    assert_eq!(on_cloud(&lab), Vec::<String>::new());
    let copies = lab.world().coordinator.store.copies.values();
    let left = copies.filter(|copy| copy.state == CopyState::Left);
    assert_eq!(left.count(), 0, "nothing is remembered of them");
}

#[test]
fn r_uns_1_while_the_cloud_is_away_the_locks_go_at_once_and_what_changes_there_stays() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = Lab::holding(
        locks,
        &["a", "a/x.txt", "b", "b/y.txt", "z.txt", "moved.txt"],
    );
    let node = lab.find(OnPremise, "z.txt").unwrap();
    let before = lab.content(OnPremise, "a/x.txt");
    lab.away(Cloud);
    lab.end_set(Removal::Members);
    lab.settle();
    assert!(
        !lab.repository(OnPremise).nodes[&node].locked,
        "released at once"
    );
    assert!(lab.sync_set().is_some(), "the rest is queued");
    lab.write(Cloud, "a/x.txt");
    lab.make(Cloud, "b/new.txt");
    lab.relocate(Cloud, "moved.txt", "/outside");
    lab.back(Cloud);
    lab.settle();
    over(&lab);
    assert_eq!(
        lab.repository(OnPremise).nodes[&node].kind,
        tandem_server::domain::projection::NodeKind::Document
    );
    let left = ["root", "root/a", "root/a/x.txt", "root/b", "root/b/new.txt"];
    assert_eq!(on_cloud(&lab), left);
    let named: Vec<String> = stays(&lab).into_iter().map(|(name, _)| name).collect();
    for name in ["a", "b", "moved.txt", "new.txt", "root", "x.txt"] {
        assert!(named.contains(&name.to_owned()), "{name} of {named:?}");
    }
    let repository = lab.repository(OnPremise);
    let x = repository.nodes.values().find(|node| node.name == "x.txt");
    assert_eq!(x.unwrap().content, before, "nothing is pulled any more");
}

#[test]
fn r_uns_1_what_could_not_be_pulled_stays_and_is_listed() {
    let mut lab = Lab::holding(Options::default(), &["x.txt", "y.txt"]);
    lab.away(OnPremise);
    lab.world_mut().places.on_premise.link.cut();
    lab.write(Cloud, "x.txt");
    lab.make(Cloud, "new.txt");
    lab.settle();
    lab.end_set(Removal::Everything);
    lab.settle();
    assert_eq!(on_cloud(&lab), ["root", "root/new.txt", "root/x.txt"]);
    let not_pulled = StayReason::NotPulled;
    assert_eq!(
        stays(&lab),
        [
            ("new.txt".to_owned(), not_pulled),
            ("root".to_owned(), StayReason::Holds),
            ("x.txt".to_owned(), not_pulled),
        ]
    );
    lab.back(OnPremise);
    lab.settle();
    assert_eq!(on_premise(&lab), ["x.txt", "y.txt"]);
}

#[test]
fn r_uns_1_failed_conflicted_and_moved_members_go_too() {
    let mut lab = Lab::holding(Options::default(), &["c.txt", "d", "m.txt", "r.txt"]);
    // A record fails, what both sides wrote is a conflict, and two nodes are moved.
    let record = lab.find(Cloud, "r.txt").unwrap();
    let repository = &mut lab.world_mut().places.cloud.repository;
    repository.change(&record, |node| node.node_trait = NodeTrait::Record);
    lab.world_mut().notice(Cloud, vec![record]);
    lab.relocate(Cloud, "m.txt", "d");
    lab.write(OnPremise, "c.txt");
    lab.write(Cloud, "c.txt");
    lab.relocate(Cloud, "", "/outside");
    lab.settle();
    assert_eq!(lab.conflicts(), 1);
    lab.end_set(Removal::Everything);
    lab.settle();
    over(&lab);
    let outside = lab.world().places.cloud.outside.clone();
    let repository = lab.repository(Cloud);
    let left = repository.children(&outside).len();
    assert_eq!(left, 1, "only the canary");
    assert_eq!(stays(&lab), []);
}

#[test]
fn r_uns_1_what_is_on_its_way_when_the_set_ends_goes_with_the_rest() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.away(Cloud);
    lab.write(OnPremise, "x.txt");
    lab.make(OnPremise, "new.txt");
    lab.settle();
    lab.end_set(Removal::Everything);
    lab.settle();
    lab.back(Cloud);
    lab.settle();
    over(&lab);
    assert_eq!(on_cloud(&lab), Vec::<String>::new());
    assert_eq!(on_premise(&lab), ["new.txt", "x.txt"]);
}

#[test]
fn r_uns_1_a_removal_that_is_refused_for_a_while_is_tried_again_and_survives_crashes() {
    let mut lab = Lab::holding(Options::default(), &TREE);
    lab.world_mut().places.cloud.repository.refusals = 3;
    lab.end_set(Removal::Everything);
    lab.world_mut().coordinator.crash();
    lab.world_mut().places.on_premise.link.cut();
    lab.world_mut().places.cloud.link.cut();
    for _ in 0..6 {
        lab.settle();
        lab.world_mut().coordinator.now += 3_660_000_000;
    }
    over(&lab);
    assert_eq!(on_cloud(&lab), Vec::<String>::new());
}

#[test]
fn r_uns_1_a_request_to_sync_changes_nothing_of_a_set_that_ends() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let member = lab.member(OnPremise, "x.txt").unwrap().id;
    lab.away(Cloud);
    lab.end_set(Removal::Everything);
    lab.settle();
    lab.request(Request::Sync(member, "somebody".to_owned()));
    lab.back(Cloud);
    lab.settle();
    over(&lab);
    assert_eq!(on_cloud(&lab), Vec::<String>::new());
}

#[test]
fn r_uns_1_the_cloud_copy_goes_while_the_agent_of_a_locked_on_premise_copy_is_away() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = Lab::holding(locks, &TREE);
    let changed = lab.find(OnPremise, "y.txt").unwrap();
    let still = lab.find(OnPremise, "a/b/x.txt").unwrap();
    let locked = |lab: &Lab, node: &NodeId| lab.repository(OnPremise).nodes[node].locked;
    lab.away(OnPremise);
    let written = lab.write(Cloud, "y.txt");
    lab.settle();
    lab.end_set(Removal::Everything);
    lab.settle();
    assert_eq!(
        on_cloud(&lab),
        ["root", "root/y.txt"],
        "not pulled, so it waits"
    );
    assert!(locked(&lab, &still), "its agent is away");
    assert!(lab.sync_set().is_some_and(|set| set.ending));
    lab.back(OnPremise);
    lab.settle();
    over(&lab);
    assert_eq!(on_cloud(&lab), ["root", "root/y.txt"]);
    let left = lab.find(Cloud, "/root/y.txt").unwrap();
    assert_eq!(lab.repository(Cloud).nodes[&left].content, written);
    assert!(!locked(&lab, &still) && !locked(&lab, &changed));
    let rest = [
        ("root", StayReason::Holds),
        ("y.txt", StayReason::NotPulled),
    ];
    assert_eq!(stays(&lab), rest.map(|(name, why)| (name.to_owned(), why)));
}

/// A folder is chosen, with documents in it; so many turns later its set ends.
fn ended_after(turns: usize, removal: Option<Removal>) -> Lab {
    let mut lab = Lab::choosing(Options::default(), &["/z.txt"]);
    let folder = lab.make(OnPremise, "/late");
    lab.make(OnPremise, "/late/sub");
    lab.make(OnPremise, "/late/sub/x.txt");
    let made = lab.world_mut().sync_folder(&folder, Options::default());
    lab.set = made.unwrap();
    for _ in 0..turns {
        lab.world_mut().agent_step(OnPremise, 0);
        lab.world_mut().agent_step(Cloud, 0);
        lab.world_mut().coordinator_step().unwrap();
    }
    lab.away(Cloud);
    match removal {
        Some(removal) => lab.end_set(removal),
        None => lab.delete(OnPremise, "/late"),
    }
    lab.settle();
    lab
}

/// Moments at which a set ends; beyond that everybody is at rest.
const MOMENTS: usize = 24;

#[test]
fn r_uns_1_what_was_on_its_way_when_a_folder_was_unsynced_goes_too() {
    let mut late = 0;
    for turns in 0..MOMENTS {
        for removal in [Removal::Everything, Removal::Members] {
            let mut lab = ended_after(turns, Some(removal));
            late += usize::from(lab.sync_set().is_none() && lab.find(Cloud, "/late").is_some());
            lab.back(Cloud);
            lab.settle();
            assert_eq!(on_cloud(&lab), ["z.txt"], "{turns} turns, {removal:?}");
            assert!(lab.sync_set().is_none());
            assert!(lab.find(OnPremise, "/late/sub/x.txt").is_some());
        }
    }
    assert!(late > 0, "at some moment nobody had heard of it");
}

#[test]
fn r_uns_1_what_was_on_its_way_stays_where_the_cloud_copy_was_to_stay() {
    for turns in 0..MOMENTS {
        let mut lab = ended_after(turns, Some(Removal::None));
        let made = on_cloud(&lab);
        lab.back(Cloud);
        lab.settle();
        for path in made {
            assert!(on_cloud(&lab).contains(&path), "{turns} turns: {path}");
        }
        assert!(lab.sync_set().is_none());
    }
}

#[test]
fn r_del_2_what_was_on_its_way_when_its_folder_was_deleted_goes_but_not_what_lies_beside_it() {
    for turns in 0..MOMENTS {
        for beside in [false, true] {
            let mut lab = ended_after(turns, None);
            let made = lab.find(Cloud, "/late").is_some();
            if made && beside {
                lab.make(Cloud, "/late/mine.txt");
            }
            lab.back(Cloud);
            lab.settle();
            // R-DEL-3: where the first scan finds the folder gone, somebody has to confirm.
            if lab
                .sync_set()
                .is_some_and(|set| set.guard.gate == Gate::Held)
            {
                lab.request(Request::ConfirmHold(lab.set, "owner".to_owned()));
                lab.settle();
            }
            let left = on_cloud(&lab);
            match made && beside {
                true => assert!(
                    left.contains(&"late/mine.txt".to_owned()),
                    "{turns} turns: {left:?}"
                ),
                false => assert_eq!(left, ["z.txt"], "{turns} turns"),
            }
        }
    }
}

#[test]
fn r_uns_1_what_was_on_its_way_when_the_last_document_left_goes_too() {
    for (removal, stays) in [
        (Some(Removal::Everything), false),
        (Some(Removal::None), true),
        (None, false),
    ] {
        let mut lab = Lab::choosing(Options::default(), &["/z.txt"]);
        let node = lab.make(OnPremise, "/b.txt");
        let made = lab.world_mut().sync_documents(&[node], Options::default());
        lab.set = made.unwrap();
        while lab.find(Cloud, "/b.txt").is_none() {
            lab.world_mut().agent_step(OnPremise, 0);
            lab.world_mut().coordinator_step().unwrap();
            lab.world_mut().agent_step(Cloud, 0);
        }
        lab.away(Cloud);
        match removal {
            Some(removal) => lab.end_set(removal),
            None => lab.delete(OnPremise, "/b.txt"),
        }
        lab.settle();
        assert!(lab.sync_set().is_none(), "it ended at once");
        lab.back(Cloud);
        lab.converge();
        assert_eq!(lab.find(Cloud, "/b.txt").is_some(), stays, "{removal:?}");
        assert!(lab.sync_set().is_none());
    }
}
