//! What the synced folder is called on the other side, and where it lies there (R-MEM-3).

use tandem_server::domain::engine::{Ending, Request};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Options, Removal};
use tandem_tests::sim::lab::Lab;

#[test]
fn r_mem_3_the_pushed_folder_has_its_own_name_and_renames_of_it_are_mirrored_both_ways() {
    let mut lab = Lab::new(Options::default());
    lab.make(OnPremise, "x.txt");
    lab.converge();
    let name = |lab: &Lab, side| {
        let root = lab.root(side);
        lab.repository(side).nodes[&root].name.clone()
    };
    assert_eq!(name(&lab, Cloud), name(&lab, OnPremise));
    lab.rename(OnPremise, "", "renamed on-premise");
    lab.converge();
    assert_eq!(name(&lab, Cloud), "renamed on-premise");
    lab.rename(Cloud, "", "renamed on the cloud");
    lab.converge();
    assert_eq!(name(&lab, OnPremise), "renamed on the cloud");
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_mem_3_moves_of_the_pushed_folder_are_not_mirrored_and_updates_keep_flowing() {
    for side in [OnPremise, Cloud] {
        let mut lab = Lab::new(Options::default());
        lab.make(OnPremise, "x.txt");
        lab.converge();
        let other = side.other();
        let place = |lab: &Lab| lab.repository(other).path(&lab.root(other));
        let before = place(&lab);
        lab.relocate(side, "", "/outside");
        lab.converge();
        assert_eq!(place(&lab), before, "{side:?}");
        let written = lab.write(side, "x.txt");
        lab.make(other, "y.txt");
        lab.converge();
        assert_eq!(lab.content(other, "x.txt"), written, "{side:?}");
        assert_eq!(lab.tree(side), ["x.txt", "y.txt"], "{side:?}");
    }
}

#[test]
fn r_mov_1_a_synced_folder_outside_every_library_fails_with_all_below_it_until_it_is_back() {
    for side in [OnPremise, Cloud] {
        let other = side.other();
        let mut lab = Lab::holding(Options::default(), &["x.txt", "gone.txt"]);
        lab.becomes(side, "", NodeTrait::OutsideLibrary);
        lab.settle();
        assert_eq!(
            lab.failure(side, ""),
            Some(Reason::UnsupportedNode),
            "{side:?}"
        );
        let before = lab.content(other, "x.txt");
        let written = lab.write(side, "x.txt");
        lab.make(other, "y.txt");
        lab.rename(side, "", "renamed");
        lab.delete(OnPremise, "gone.txt");
        lab.settle();
        assert_eq!(
            lab.content(other, "x.txt"),
            before,
            "{side:?}: nothing is delivered"
        );
        assert_eq!(lab.find(side, "y.txt"), None, "{side:?}");
        assert!(lab.find(Cloud, "gone.txt").is_some(), "{side:?}");
        lab.becomes(side, "", NodeTrait::Ordinary);
        lab.converge();
        assert_eq!(lab.failure(side, ""), None, "{side:?}");
        assert_eq!(lab.content(other, "x.txt"), written, "{side:?}");
        assert_eq!(lab.tree(side), ["x.txt", "y.txt"], "{side:?}");
        assert_eq!(
            lab.repository(other).nodes[&lab.root(other)].name,
            "renamed"
        );
    }
}

#[test]
fn r_mov_1_back_on_one_side_only_is_not_back() {
    for first in [OnPremise, Cloud] {
        let mut lab = Lab::holding(Options::default(), &["x.txt"]);
        for side in [OnPremise, Cloud] {
            lab.becomes(side, "", NodeTrait::OutsideLibrary);
        }
        lab.settle();
        lab.becomes(first, "", NodeTrait::Ordinary);
        lab.write(OnPremise, "x.txt");
        lab.settle();
        assert_eq!(lab.failure(OnPremise, ""), Some(Reason::UnsupportedNode));
        assert_ne!(lab.content(Cloud, "x.txt"), lab.content(OnPremise, "x.txt"));
        lab.becomes(first.other(), "", NodeTrait::Ordinary);
        lab.converge();
        assert_eq!(lab.failure(OnPremise, ""), None);
    }
}

#[test]
fn r_mov_1_a_synced_folder_that_is_deleted_outside_lies_nowhere_and_holds_nothing_back() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.becomes(OnPremise, "", NodeTrait::OutsideLibrary);
    lab.settle();
    lab.delete(OnPremise, "");
    lab.settle();
    let held = lab.sync_set().map(|set| set.outside);
    assert!(
        held.is_none_or(|outside| !outside.on_premise),
        "a folder that is gone lies nowhere"
    );
}

#[test]
fn r_mem_2_a_folder_of_a_set_that_ends_brings_what_was_skipped_in_it_into_another() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let flat = Options {
        include_subfolders: false,
        ..Options::default()
    };
    let second = lab.second_set(flat);
    lab.make(OnPremise, "/second/in");
    lab.make(OnPremise, "/second/in/y.txt");
    lab.converge();
    let sets = lab.world().coordinator.store.sets.keys();
    let ends = sets.copied().find(|set| *set != lab.set);
    // The agent does not know yet that the folder is none of its roots any more.
    lab.away(OnPremise);
    lab.request(Request::EndSet(Ending {
        set: ends.expect("there are two sets"),
        removal: Removal::None,
        actor: "owner".to_owned(),
        forced: false,
    }));
    lab.settle();
    lab.relocate(OnPremise, second, "");
    lab.back(OnPremise);
    lab.converge();
    let brought = ["second", "second/in", "second/in/y.txt", "x.txt"];
    assert_eq!(lab.tree(Cloud), brought);
}
