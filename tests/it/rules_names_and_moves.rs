//! Names that are taken, and nodes that move (R-REC-9, R-REC-10, R-MOV).

use tandem_server::domain::copy::CopyState;
use tandem_server::domain::engine::Request;
use tandem_server::domain::failure::Reason;
use tandem_server::domain::names::NameRule;
use tandem_server::domain::policy::{ConflictPolicy, NameClashPolicy};
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::projection::Sides;
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::lab::Lab;

fn lab_with(paths: &[&str]) -> Lab {
    Lab::holding(Options::default(), paths)
}

#[test]
fn r_rec_10_two_names_swapped_while_the_peer_is_away_are_swapped_there() {
    let mut lab = lab_with(&["a.txt", "b.txt"]);
    let (a, b) = (lab.content(Cloud, "a.txt"), lab.content(Cloud, "b.txt"));
    lab.away(Cloud);
    lab.exchange(OnPremise, &["a.txt", "b.txt"]);
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(
        (lab.content(Cloud, "a.txt"), lab.content(Cloud, "b.txt")),
        (b, a)
    );
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_rec_10_three_names_rotate() {
    let mut lab = lab_with(&["a.txt", "b.txt", "c.txt"]);
    let b = lab.content(Cloud, "b.txt");
    lab.away(Cloud);
    lab.exchange(OnPremise, &["a.txt", "b.txt", "c.txt"]);
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.content(Cloud, "c.txt"), b);
    assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt", "c.txt"]);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_rec_10_a_folder_turned_inside_out_is_turned_there_too() {
    let mut lab = lab_with(&["a", "a/b", "a/b/x.txt"]);
    lab.away(Cloud);
    lab.relocate(OnPremise, "a/b", "");
    lab.relocate(OnPremise, "a", "b");
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["b", "b/a", "b/x.txt"]);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_rec_10_a_node_steps_aside_for_the_folder_that_it_moves_into() {
    let mut lab = lab_with(&["a.txt"]);
    lab.away(Cloud);
    lab.rename(OnPremise, "a.txt", "b.txt");
    let folder = lab.make(OnPremise, "a");
    lab.relocate(OnPremise, "b.txt", "a");
    lab.rename(OnPremise, "a/b.txt", "a.txt");
    lab.rename(OnPremise, "a", "a.txt");
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.find(OnPremise, "a.txt"), Some(folder));
    assert_eq!(lab.tree(Cloud), ["a.txt", "a.txt/a.txt"]);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_mov_5_moves_that_together_make_a_cycle_end_as_the_cloud_has_it() {
    let mut lab = lab_with(&["a", "b", "a/x.txt"]);
    lab.relocate(OnPremise, "a", "b");
    lab.relocate(Cloud, "b", "a");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a", "a/b", "a/x.txt"]);
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
    assert!(lab.conflicts() > 0);
}

#[test]
fn r_mov_5_different_parents_are_a_conflict_that_the_cloud_wins() {
    let mut lab = lab_with(&["a", "b", "x.txt"]);
    lab.relocate(OnPremise, "x.txt", "a");
    lab.relocate(Cloud, "x.txt", "b");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a", "b", "b/x.txt"]);
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_rec_9_new_on_both_sides_under_one_name_fails_both_and_either_rename_heals() {
    for renaming in [OnPremise, Cloud] {
        let mut lab = lab_with(&[]);
        lab.make(OnPremise, "a.txt");
        lab.make(Cloud, "a.txt");
        lab.converge();
        for side in [OnPremise, Cloud] {
            let failure = lab.failure(side, "a.txt");
            assert_eq!(failure, Some(Reason::TargetFolderNameClash), "{side:?}");
        }
        lab.rename(renaming, "a.txt", "b.txt");
        lab.converge();
        assert_eq!(lab.tree(OnPremise), ["a.txt", "b.txt"], "{renaming:?}");
        assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt"], "{renaming:?}");
    }
}

#[test]
fn r_mov_3_moved_out_on_premise_takes_the_cloud_copy_away_and_moved_in_brings_it_back() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    lab.relocate(OnPremise, "a", "/outside");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    lab.relocate(OnPremise, "/outside/a", "");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/x.txt"]);
}

#[test]
fn r_mov_3_moved_out_on_the_cloud_keeps_both_copies_unlinked() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    lab.relocate(Cloud, "a", "/outside");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a", "a/x.txt"]);
    assert!(lab.find(Cloud, "/outside/a/x.txt").is_some());
    assert!(lab.member(OnPremise, "a/x.txt").is_none());
}

#[test]
fn r_mov_4_a_folder_moved_to_another_set_takes_its_peer_and_content_along() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    let second = lab.second_set(Options::default());
    let (folder, document) = (lab.find(Cloud, "a"), lab.find(Cloud, "a/x.txt"));
    lab.relocate(OnPremise, "a", second);
    lab.converge();
    assert_eq!(lab.find(Cloud, "/second/a"), folder);
    assert_eq!(lab.find(Cloud, "/second/a/x.txt"), document);
    let member = lab.member(OnPremise, "/second/a/x.txt").unwrap();
    assert_ne!(member.set, lab.set);
}

#[test]
fn r_mov_4_a_peer_that_was_not_moved_yet_does_not_move_its_member_back() {
    let first = Options {
        conflict_policy: ConflictPolicy::OnPremiseWins,
        ..Options::default()
    };
    let mut lab = Lab::holding(first, &["x.txt"]);
    let second = lab.second_set(Options::default());
    lab.away(OnPremise);
    lab.write(OnPremise, "x.txt");
    let written = lab.write(Cloud, "x.txt");
    lab.relocate(Cloud, "x.txt", second);
    lab.settle();
    lab.back(OnPremise);
    lab.converge();
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.content(side, "/second/x.txt"), written);
    }
    let member = lab.member(OnPremise, "/second/x.txt").unwrap();
    let conflicts = &lab.world().coordinator.store.conflicts;
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].set, member.set);
    assert_eq!(conflicts[0].winner, Some(Cloud), "as the second set says");
}

#[test]
fn r_mem_4_what_was_unlinked_stays_so_until_it_is_moved_out_and_in() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    lab.relocate(Cloud, "a", "/outside");
    lab.converge();
    lab.write(OnPremise, "a/x.txt");
    lab.make(OnPremise, "a/y.txt");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    let left = lab.find(OnPremise, "a").unwrap();
    let key = (repository_id(OnPremise), left);
    let copy = &lab.world().coordinator.store.copies[&key];
    assert_eq!(copy.state, CopyState::Left);
    lab.relocate(OnPremise, "a", "/outside");
    lab.converge();
    lab.relocate(OnPremise, "/outside/a", "");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/x.txt", "a/y.txt"]);
}

#[test]
fn r_mem_4_request_sync_on_the_folder_brings_back_what_was_unlinked_in_it() {
    let mut lab = lab_with(&["p", "p/a", "p/a/x.txt"]);
    lab.relocate(Cloud, "p/a", "/outside");
    lab.converge();
    lab.write(OnPremise, "p/a/x.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["p"]);
    let folder = lab.member(OnPremise, "p").unwrap().id;
    lab.request(Request::Sync(folder, "somebody".to_owned()));
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["p", "p/a", "p/a/x.txt"]);
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
}

#[test]
fn r_mem_1_without_subfolders_they_are_skipped_and_moving_there_is_moving_out() {
    let mut lab = Lab::new(Options {
        include_subfolders: false,
        ..Options::default()
    });
    for path in ["a", "a/x.txt", "y.txt"] {
        lab.make(OnPremise, path);
    }
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["y.txt"]);
    lab.relocate(OnPremise, "y.txt", "a");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    lab.relocate(OnPremise, "a/x.txt", "");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["x.txt"]);
}

#[test]
fn r_mem_1_what_an_unsynced_folder_brings_with_it_enters_though_nothing_in_it_changed() {
    let mut lab = lab_with(&["a", "a/b"]);
    lab.make(OnPremise, "a/b/x.txt");
    lab.make(OnPremise, "a/b/c");
    lab.make(OnPremise, "a/b/c/y.txt");
    lab.converge();
    lab.relocate(Cloud, "a", "/outside");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    lab.relocate(OnPremise, "a/b", "");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["b", "b/c", "b/c/y.txt", "b/x.txt"]);
}

#[test]
fn r_agt_5_a_gone_folder_that_is_no_member_takes_the_synced_folder_inside_it_along() {
    let mut lab = Lab::new(Options {
        include_subfolders: false,
        ..Options::default()
    });
    lab.make(OnPremise, "skipped");
    let second = lab.second_set(Options::default());
    lab.make(OnPremise, "/second/x.txt");
    lab.converge();
    lab.relocate(OnPremise, second, "skipped");
    lab.converge();
    assert!(lab.find(Cloud, "/second/x.txt").is_some(), "R-MOV-1");
    lab.delete(OnPremise, "skipped");
    lab.converge();
    assert!(lab.find(Cloud, "/second").is_none());
}

#[test]
fn r_rec_10_a_replaced_folder_steps_aside_for_what_moved_from_it_into_its_successor() {
    let mut lab = lab_with(&["a", "a/x.txt", "b"]);
    let moved = lab.find(Cloud, "a/x.txt");
    lab.away(Cloud);
    lab.relocate(OnPremise, "a/x.txt", "b");
    lab.delete(OnPremise, "a");
    lab.make(OnPremise, "a");
    lab.relocate(OnPremise, "b/x.txt", "a");
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/x.txt", "b"]);
    assert_eq!(lab.find(Cloud, "a/x.txt"), moved);
}

#[test]
fn r_rec_10_a_name_keeps_the_bytes_of_its_own_side_also_when_the_other_spelling_is_taken_there() {
    let names = Sides {
        on_premise: NameRule::default(),
        cloud: NameRule {
            unicode_insensitive: true,
            ..NameRule::default()
        },
    };
    let adopting = Options {
        name_clash_policy: NameClashPolicy::AdoptIdentical,
        ..Options::default()
    };
    let (composed, decomposed) = ("\u{e9}.txt", "e\u{301}.txt");
    let mut lab = Lab::with_names(adopting, names);
    lab.make(OnPremise, composed);
    lab.converge();
    lab.rename(OnPremise, composed, decomposed);
    lab.converge();
    assert_eq!(lab.tree(Cloud), [composed], "the same name to the cloud");
    lab.make(OnPremise, composed);
    lab.converge();
    let failure = lab.failure(OnPremise, composed);
    assert_eq!(failure, Some(Reason::TargetFolderNameClash));
    let written = lab.write(Cloud, composed);
    lab.converge();
    assert_eq!(lab.content(OnPremise, decomposed), written);
    assert_eq!(lab.failure(OnPremise, decomposed), None);
}
