//! Membership, the rows of reconciling and deleting, moves, and what ends a failure (SPEC §3, §5, §7, §8, §9), told in
//! a few sentences each.

use tandem_server::domain::copy::{CopyState, SkipReason};
use tandem_server::domain::engine::Request;
use tandem_server::domain::failure::Reason;
use tandem_server::domain::member::{Hold, MemberState};
use tandem_server::domain::names::NameRule;
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::projection::Sides;
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::lab::Lab;

fn keeps_cloud() -> Options {
    Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    }
}

fn sync(lab: &mut Lab, path: &str) {
    let member = lab.member(OnPremise, path).unwrap().id;
    lab.request(Request::Sync(member, "somebody".to_owned()));
}

fn copy_state(lab: &Lab, side: Side, path: &str) -> Option<CopyState> {
    let key = (repository_id(side), lab.find(side, path)?);
    let copy = lab.world().coordinator.store.copies.get(&key);
    copy.map(|copy| copy.state)
}

#[test]
fn r_mem_1_links_and_the_like_are_skipped_until_they_are_ordinary() {
    for (node_trait, reason) in [
        (NodeTrait::Link, SkipReason::Link),
        (NodeTrait::WorkingCopy, SkipReason::WorkingCopy),
        (NodeTrait::SmartFolder, SkipReason::SmartFolder),
        (NodeTrait::Special, SkipReason::Special),
    ] {
        let mut lab = Lab::holding(Options::default(), &[]);
        lab.make(OnPremise, "x.txt");
        lab.becomes(OnPremise, "x.txt", node_trait);
        lab.converge();
        let state = copy_state(&lab, OnPremise, "x.txt");
        assert_eq!(state, Some(CopyState::Skipped(reason)));
        assert!(lab.tree(Cloud).is_empty());
        lab.becomes(OnPremise, "x.txt", NodeTrait::Ordinary);
        lab.converge();
        assert_eq!(lab.tree(Cloud), ["x.txt"]);
    }
}

#[test]
fn r_mem_1_a_record_is_a_failed_member_and_goes_nowhere_whoever_changes_it() {
    let mut lab = Lab::holding(Options::default(), &["old.txt"]);
    lab.make(OnPremise, "new.txt");
    for path in ["new.txt", "old.txt"] {
        lab.becomes(OnPremise, path, NodeTrait::Record);
    }
    lab.converge();
    let before = lab.content(Cloud, "old.txt");
    lab.write(OnPremise, "new.txt");
    let record = lab.write(OnPremise, "old.txt");
    sync(&mut lab, "old.txt");
    lab.converge();
    for path in ["new.txt", "old.txt"] {
        let failure = lab.failure(OnPremise, path);
        assert_eq!(failure, Some(Reason::UnsupportedNode), "{path}");
    }
    assert_eq!(lab.tree(Cloud), ["old.txt"]);
    assert_eq!(lab.content(Cloud, "old.txt"), before);
    lab.write(Cloud, "old.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "old.txt"), record);
    for path in ["new.txt", "old.txt"] {
        lab.becomes(OnPremise, path, NodeTrait::Ordinary);
    }
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["new.txt", "old.txt"]);
    assert_eq!(lab.failure(OnPremise, "new.txt"), None);
    lab.delete(OnPremise, "new.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["old.txt"]);
}

#[test]
fn r_mem_1_a_record_that_is_deleted_ends_its_membership() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.becomes(OnPremise, "x.txt", NodeTrait::Record);
    lab.converge();
    lab.delete(OnPremise, "x.txt");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
}

#[test]
fn r_mem_2_a_folder_that_is_moved_in_brings_its_content() {
    let mut lab = Lab::holding(Options::default(), &[]);
    for path in ["/outside/a", "/outside/a/b", "/outside/a/b/x.txt"] {
        lab.make(OnPremise, path);
    }
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    lab.relocate(OnPremise, "/outside/a", "");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/b", "a/b/x.txt"]);
}

#[test]
fn r_mem_3_renames_of_the_synced_folder_are_mirrored_and_r_mov_1_moves_of_it_are_not() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let cloud = lab.root(Cloud);
    let before = lab.repository(Cloud).nodes[&cloud].clone();
    lab.rename(OnPremise, "", "renamed");
    lab.converge();
    assert_eq!(lab.repository(Cloud).nodes[&cloud].name, "renamed");
    lab.relocate(OnPremise, "", "/outside");
    lab.relocate(Cloud, "", "/outside");
    lab.converge();
    lab.make(OnPremise, "y.txt");
    lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["x.txt", "y.txt"]);
    assert_eq!(lab.content(OnPremise, "x.txt"), lab.content(Cloud, "x.txt"));
    assert_ne!(lab.repository(Cloud).nodes[&cloud].parent, before.parent);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_rec_4_what_both_sides_deleted_ends_without_a_conflict() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    lab.delete(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.world().coordinator.store.members.len(), 1, "the root");
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_rec_11_moved_out_here_and_changed_there_ends_the_membership_and_both_copies_stay() {
    for (mover, changer) in [(OnPremise, Cloud), (Cloud, OnPremise)] {
        let mut lab = Lab::holding(Options::default(), &["x.txt"]);
        lab.relocate(mover, "x.txt", "/outside");
        let written = lab.write(changer, "x.txt");
        lab.converge();
        assert!(lab.find(mover, "/outside/x.txt").is_some());
        assert_eq!(lab.content(changer, "x.txt"), written);
        assert!(lab.member(changer, "x.txt").is_none());
        assert_eq!(lab.conflicts(), 0);
    }
}

#[test]
fn r_rec_7_a_child_whose_folder_failed_waits_and_does_not_fail() {
    let mut lab = Lab::holding(Options::default(), &[]);
    lab.make(OnPremise, "a");
    lab.make(OnPremise, "a/x.txt");
    lab.make(Cloud, "a");
    lab.converge();
    let child = lab.member(OnPremise, "a/x.txt").unwrap();
    assert_eq!(child.state, MemberState::Pending);
    assert_eq!(child.hold, Some(Hold::Parent));
    lab.rename(Cloud, "a", "b");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/x.txt", "b"]);
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
}

#[test]
fn r_rec_8_a_failed_member_delays_no_other_and_r_err_2_its_failure_goes_with_its_cause() {
    let mut lab = Lab::holding(Options::default(), &[]);
    lab.make(OnPremise, "a.txt");
    lab.make(Cloud, "a.txt");
    lab.make(OnPremise, "b.txt");
    lab.make(Cloud, "c.txt");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a.txt", "b.txt", "c.txt"]);
    assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt", "c.txt"]);
    let MemberState::Failed(failure) = lab.member(OnPremise, "a.txt").unwrap().state else {
        panic!("it did not fail");
    };
    assert!(!failure.message.is_empty() && failure.since > 0 && failure.attempts > 0);
    lab.rename(OnPremise, "a.txt", "d.txt");
    lab.converge();
    let member = lab.member(OnPremise, "d.txt").unwrap();
    assert_eq!(
        (member.state, member.transient),
        (MemberState::Synced, None)
    );
}

#[test]
fn target_node_already_synced_is_what_a_member_of_another_set_in_the_way_says() {
    let mut lab = Lab::holding(Options::default(), &[]);
    let second = lab.second_set(Options::default());
    lab.relocate(OnPremise, second, "/outside");
    lab.rename(OnPremise, "/outside/second", "root");
    lab.converge();
    let failure = lab.failure(OnPremise, "/outside/root");
    assert_eq!(failure, Some(Reason::TargetNodeAlreadySynced));
    lab.rename(OnPremise, "", "first");
    lab.converge();
    assert_eq!(lab.failure(OnPremise, "/outside/root"), None);
    assert!(lab.find(Cloud, "/root").is_some() && lab.find(Cloud, "/first").is_some());
}

#[test]
fn r_rec_10_of_two_newcomers_to_one_name_the_first_in_the_journal_gets_it() {
    let folded = NameRule {
        case_insensitive: true,
        ..NameRule::default()
    };
    let names = Sides {
        on_premise: NameRule::default(),
        cloud: folded,
    };
    let mut lab = Lab::with_names(Options::default(), names);
    lab.away(Cloud);
    for path in ["x.txt", "X.txt"] {
        lab.make(OnPremise, path);
        lab.settle();
    }
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["x.txt"]);
    let failure = lab.failure(OnPremise, "X.txt");
    assert_eq!(failure, Some(Reason::TargetFolderNameClash));
    lab.rename(OnPremise, "x.txt", "y.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["X.txt", "y.txt"]);
}

#[test]
fn r_err_1_a_repository_that_is_away_is_a_passing_fault_and_heals_by_itself() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.world_mut().places.cloud.repository.refusals = 1;
    let written = lab.write(OnPremise, "x.txt");
    while lab.member(OnPremise, "x.txt").unwrap().transient.is_none() {
        assert!(
            lab.world_mut().agent_step(OnPremise, 0)
                | lab.world_mut().agent_step(Cloud, 0)
                | lab.world_mut().coordinator_step().unwrap()
        );
    }
    let member = lab.member(OnPremise, "x.txt").unwrap();
    assert_eq!(member.state, MemberState::Pending);
    assert_eq!(member.transient.unwrap().reason, Reason::Unreachable);
    lab.settle();
    lab.world_mut().coordinator.now += 2_000_000;
    lab.converge();
    assert_eq!(lab.content(Cloud, "x.txt"), written);
    assert_eq!(lab.member(OnPremise, "x.txt").unwrap().transient, None);
}

#[test]
fn a_deletion_on_premise_where_the_cloud_copy_may_not_go_unlinks_it_for_good() {
    let mut lab = Lab::holding(keeps_cloud(), &["f", "f/x.txt"]);
    lab.delete(OnPremise, "f");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["f", "f/x.txt"]);
    assert_eq!(copy_state(&lab, Cloud, "f/x.txt"), Some(CopyState::Left));
    lab.write(Cloud, "f/x.txt");
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty(), "it is never pulled back");
}

#[test]
fn a_deletion_on_the_cloud_where_that_is_not_allowed_is_restored() {
    let mut lab = Lab::holding(keeps_cloud(), &["f", "f/x.txt"]);
    lab.delete(Cloud, "f");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["f", "f/x.txt"]);
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
}

#[test]
fn a_deletion_on_the_cloud_that_is_followed_archives_the_on_premise_copy() {
    let follows = Options {
        delete_on_premise: true,
        ..Options::default()
    };
    let mut lab = Lab::holding(follows, &["f", "f/x.txt"]);
    let content = lab.content(OnPremise, "f/x.txt");
    lab.delete(Cloud, "f");
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty());
    assert!(lab.repository(OnPremise).archive.contains(&content));
}

#[test]
fn a_cloud_copy_taken_out_of_the_trash_resumes_its_pairing() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let node = lab.find(Cloud, "x.txt").unwrap();
    let trash = lab.repository(Cloud).nodes[&node].clone();
    lab.delete(Cloud, "x.txt");
    lab.converge();
    assert!(lab.member(OnPremise, "x.txt").unwrap().cloud_copy_deleted);
    let repository = &mut lab.world_mut().places.cloud.repository;
    repository.nodes.insert(node.clone(), trash);
    lab.world_mut().notice(Cloud, vec![node.clone()]);
    lab.converge();
    assert!(!lab.member(OnPremise, "x.txt").unwrap().cloud_copy_deleted);
    let written = lab.write(OnPremise, "x.txt");
    lab.converge();
    assert_eq!(lab.content(Cloud, "x.txt"), written);
    assert_eq!(lab.find(Cloud, "x.txt"), Some(node));
}

#[test]
fn r_del_1_request_sync_makes_the_folders_above_again_up_to_the_root() {
    let mut lab = Lab::holding(Options::default(), &["f", "f/g", "f/g/x.txt", "f/y.txt"]);
    lab.delete(Cloud, "f");
    lab.converge();
    sync(&mut lab, "f/g/x.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["f", "f/g", "f/g/x.txt"]);
    assert!(lab.member(OnPremise, "f/y.txt").unwrap().cloud_copy_deleted);
}

#[test]
fn r_del_1_so_does_request_sync_on_a_newcomer_in_a_folder_that_was_deleted_there() {
    let mut lab = Lab::holding(Options::default(), &["f", "f/g"]);
    lab.delete(Cloud, "f");
    lab.converge();
    lab.make(OnPremise, "f/g/new.txt");
    lab.converge();
    let failure = lab.failure(OnPremise, "f/g/new.txt");
    assert_eq!(failure, Some(Reason::DeletedOnCloud));
    sync(&mut lab, "f/g/new.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["f", "f/g", "f/g/new.txt"]);
}

#[test]
fn r_del_2_a_folder_kept_only_for_what_is_no_member_becomes_left() {
    let mut lab = Lab::holding(Options::default(), &["a", "a/x.txt"]);
    lab.make(Cloud, "a/link.txt");
    lab.becomes(Cloud, "a/link.txt", NodeTrait::Link);
    lab.converge();
    lab.delete(OnPremise, "a");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/link.txt"]);
    assert_eq!(copy_state(&lab, Cloud, "a"), Some(CopyState::Left));
    assert!(lab.tree(OnPremise).is_empty());
}

#[test]
fn r_mov_2_a_moved_folder_is_one_move_however_much_is_in_it() {
    let entries = |children: usize| {
        let mut lab = Lab::holding(Options::default(), &["f", "g"]);
        for child in 0..children {
            lab.make(OnPremise, &format!("f/{child}.txt"));
        }
        lab.converge();
        let before = lab.world().coordinator.store.journal.len();
        let peer = lab.find(Cloud, "f");
        lab.relocate(OnPremise, "f", "g");
        lab.converge();
        assert_eq!(lab.tree(Cloud), lab.tree(OnPremise));
        assert_eq!(lab.find(Cloud, "g/f"), peer);
        lab.world().coordinator.store.journal.len() - before
    };
    assert_eq!(entries(0), entries(7));
}

#[test]
fn r_mov_4_a_synced_folder_moved_into_another_one_keeps_its_own_set() {
    let mut lab = Lab::holding(Options::default(), &[]);
    let second = lab.second_set(Options::default());
    lab.make(OnPremise, "/second/x.txt");
    lab.converge();
    let set = lab.member(OnPremise, second).unwrap().set;
    lab.relocate(OnPremise, second, "");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    lab.make(OnPremise, "second/y.txt");
    lab.converge();
    assert!(lab.find(Cloud, "/second/y.txt").is_some());
    assert_eq!(lab.member(OnPremise, "second/y.txt").unwrap().set, set);
}

#[test]
fn r_cpy_1_a_copy_is_a_new_node_synced_only_inside_a_synced_folder() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let content = lab.content(OnPremise, "x.txt");
    for path in ["copy.txt", "/outside/copy.txt"] {
        lab.make(OnPremise, path);
        lab.fill(OnPremise, path, content);
    }
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["copy.txt", "x.txt"]);
    assert_eq!(lab.content(Cloud, "copy.txt"), content);
    let members = ["x.txt", "copy.txt"].map(|path| lab.member(OnPremise, path).unwrap().id);
    assert_ne!(members[0], members[1]);
}
