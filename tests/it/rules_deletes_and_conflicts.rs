//! Deletes, conflicts, what a receiver makes of a delivery, and locks (SPEC §6, §7, R-PRJ-5, R-LCK-1).

use tandem_server::domain::conflict::ConflictKind;
use tandem_server::domain::engine::{Context, Input, Request};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::member::MemberState;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::report::{Answer, Item};
use tandem_server::domain::sync_set::{Gate, Options};
use tandem_tests::sim::apply::look;
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::random::Random;
use tandem_tests::sim::repository::content_ref;

fn lab_with(options: Options, paths: &[&str]) -> Lab {
    let mut lab = Lab::new(options);
    for path in paths {
        lab.make(OnPremise, path);
    }
    lab.converge();
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
    lab
}

fn follows() -> Options {
    Options {
        delete_on_premise: true,
        ..Options::default()
    }
}

fn by() -> String {
    "somebody".to_owned()
}

#[test]
fn r_con_1_the_clouds_change_wins_and_the_losers_bytes_are_archived() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    let lost = lab.write(OnPremise, "x.txt");
    let won = lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    assert!(lab.repository(OnPremise).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_rec_2_a_change_on_the_cloud_beats_a_deletion_on_premise() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    let won = lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    let conflicts = &lab.world.coordinator.store.conflicts;
    assert_eq!(conflicts[0].kind, ConflictKind::DeleteChange);
}

#[test]
fn r_rec_3_a_deletion_on_the_cloud_beats_a_change_on_premise() {
    let mut lab = lab_with(follows(), &["x.txt"]);
    lab.delete(Cloud, "x.txt");
    let lost = lab.write(OnPremise, "x.txt");
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty());
    assert!(lab.repository(OnPremise).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_del_2_a_new_child_keeps_its_deleted_folders_and_they_are_restored() {
    let mut lab = lab_with(Options::default(), &["a", "a/b", "a/old.txt"]);
    lab.make(Cloud, "a/b/new.txt");
    lab.delete(OnPremise, "a");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a", "a/b", "a/b/new.txt"]);
    assert_eq!(lab.tree(Cloud), lab.tree(OnPremise));
}

fn many(lab: &mut Lab, count: usize) {
    for number in 0..count {
        lab.make(OnPremise, &format!("{number}.txt"));
    }
    lab.converge();
}

fn lab_with_held_deletions() -> Lab {
    let mut lab = Lab::new(Options::default());
    many(&mut lab, 24);
    for number in 0..20 {
        lab.delete(OnPremise, &format!("{number}.txt"));
    }
    lab.away(Cloud);
    lab.settle();
    lab.back(Cloud);
    lab.settle();
    assert_eq!(lab.sync_set().unwrap().guard.gate, Gate::Held);
    lab
}

#[test]
fn r_del_3_too_many_deletions_are_held_and_flow_when_they_are_confirmed() {
    let mut lab = lab_with_held_deletions();
    lab.make(OnPremise, "new.txt");
    lab.settle();
    assert!(lab.find(Cloud, "new.txt").is_some(), "all else flows");
    lab.request(Request::ConfirmHold(lab.set, by()));
    lab.converge();
    assert_eq!(lab.tree(Cloud), lab.tree(OnPremise));
}

#[test]
fn r_del_3_refused_deletions_are_restored() {
    let mut lab = lab_with_held_deletions();
    let held = lab.tree(Cloud);
    let members: Vec<_> = lab
        .world
        .coordinator
        .store
        .members
        .keys()
        .copied()
        .collect();
    for member in members {
        lab.request(Request::RefuseRemoval(member));
    }
    lab.request(Request::RefusedHold(lab.set, by()));
    lab.converge();
    assert_eq!(lab.tree(OnPremise), held);
    assert_eq!(lab.tree(Cloud), held);
}

#[test]
fn r_del_1_a_deleted_cloud_copy_is_marked_then_fails_then_is_made_anew_on_request() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    lab.delete(Cloud, "x.txt");
    lab.converge();
    let member = lab.member(OnPremise, "x.txt").unwrap();
    assert!(member.cloud_copy_deleted);
    assert_eq!(member.state, MemberState::Synced);
    lab.write(OnPremise, "x.txt");
    lab.converge();
    let failure = lab.failure(OnPremise, "x.txt");
    assert_eq!(failure, Some(Reason::TargetNodeNoLongerExists));
    lab.request(Request::Sync(member.id, by()));
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["x.txt"]);
}

#[test]
fn deleted_on_cloud_is_what_a_new_child_of_a_deleted_cloud_folder_says_until_request_sync() {
    let mut lab = lab_with(Options::default(), &["a"]);
    lab.delete(Cloud, "a");
    lab.converge();
    lab.make(OnPremise, "a/new.txt");
    lab.converge();
    let failure = lab.failure(OnPremise, "a/new.txt");
    assert_eq!(failure, Some(Reason::DeletedOnCloud));
    let folder = lab.member(OnPremise, "a").unwrap();
    lab.request(Request::Sync(folder.id, by()));
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a", "a/new.txt"]);
}

#[test]
fn r_del_4_a_deletion_that_both_sides_know_never_comes_back() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    lab.converge();
    for side in [OnPremise, Cloud] {
        let place = lab.world.places.get_mut(side);
        place.agent.crash(&mut place.repository, &mut place.link);
    }
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty() && lab.tree(Cloud).is_empty());
}

#[test]
fn r_prj_5_two_quick_edits_through_a_rule_that_adds_a_title_are_no_conflict() {
    let mut lab = lab_with(Options::default(), &[]);
    lab.world.places.cloud.repository.adds_title = true;
    lab.make(OnPremise, "x.txt");
    lab.settle();
    let title = |lab: &Lab| {
        let node = lab.find(OnPremise, "x.txt").unwrap();
        lab.repository(OnPremise).nodes[&node].title.clone()
    };
    assert_eq!(title(&lab).as_deref(), Some("by rule"));
    lab.away(Cloud);
    lab.make(OnPremise, "y.txt");
    lab.settle();
    lab.write(OnPremise, "y.txt");
    lab.back(Cloud);
    let last = lab.write(OnPremise, "y.txt");
    lab.converge();
    assert_eq!(lab.content(Cloud, "y.txt"), last);
    assert_eq!(lab.conflicts(), 0);
}

/// A document of which the cloud's rule made something that on-premise has not seen yet.
fn lab_with_a_title_on_its_way() -> Lab {
    let mut lab = lab_with(Options::default(), &[]);
    lab.world.places.cloud.repository.adds_title = true;
    lab.away(Cloud);
    lab.make(OnPremise, "x.txt");
    lab.settle();
    lab.away(OnPremise);
    lab.back(Cloud);
    lab.settle();
    let made = lab.find(Cloud, "x.txt").unwrap();
    assert!(lab.repository(Cloud).nodes[&made].title.is_some());
    lab
}

#[test]
fn r_prj_5_an_edit_made_before_the_rules_title_is_seen_is_no_conflict_and_not_lost() {
    let mut lab = lab_with_a_title_on_its_way();
    let last = lab.write(OnPremise, "x.txt");
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), last);
    assert_eq!(lab.content(Cloud, "x.txt"), last);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_prj_5_a_deletion_made_before_the_rules_title_is_seen_is_no_conflict_and_holds() {
    let mut lab = lab_with_a_title_on_its_way();
    lab.delete(OnPremise, "x.txt");
    lab.back(OnPremise);
    lab.converge();
    assert!(lab.tree(Cloud).is_empty() && lab.tree(OnPremise).is_empty());
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_prj_5_a_users_edit_of_what_a_rule_made_is_a_side_of_a_conflict_again() {
    let mut lab = lab_with_a_title_on_its_way();
    lab.write(OnPremise, "x.txt");
    let won = lab.write(Cloud, "x.txt");
    lab.settle();
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_prj_5_a_copy_that_is_stale_again_and_again_fails_as_a_loop_until_request_sync() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    lab.away(Cloud);
    lab.write(OnPremise, "x.txt");
    lab.settle();
    let member = lab.member(OnPremise, "x.txt").unwrap();
    let node = lab.find(Cloud, "x.txt").unwrap();
    let stale = Item::Outcome {
        member: member.id,
        version: member.version,
        answer: Answer::Stale(look(lab.repository(Cloud), &node)),
    };
    for answers in 1..=11 {
        let input = Input::Batch(repository_id(Cloud), vec![stale.clone()]);
        let store = &mut lab.world.coordinator.store;
        store
            .execute(&Context::default(), &[input], &mut Random::new(answers))
            .unwrap();
        let failure = lab.failure(OnPremise, "x.txt");
        assert_eq!(failure.is_some(), answers > 10, "{answers}");
    }
    assert_eq!(lab.failure(OnPremise, "x.txt"), Some(Reason::LoopDetected));
    lab.back(Cloud);
    lab.request(Request::Sync(member.id, by()));
    lab.converge();
    assert_eq!(lab.failure(OnPremise, "x.txt"), None);
    assert_eq!(lab.content(Cloud, "x.txt"), lab.content(OnPremise, "x.txt"));
}

#[test]
fn r_agt_6_a_create_that_was_observed_before_its_outcome_is_one_member_and_no_conflict() {
    let mut lab = lab_with(Options::default(), &[]);
    lab.world.places.cloud.repository.adds_title = true;
    lab.away(Cloud);
    lab.make(OnPremise, "x.txt");
    lab.settle();
    let made = lab.make(Cloud, "y.txt");
    let member = lab.member(OnPremise, "x.txt").unwrap();
    let place = &mut lab.world.places.cloud;
    let name = "x.txt".to_owned();
    let source = lab.world.places.on_premise.repository.nodes.values();
    let content = source.map(|node| node.content).max().unwrap();
    place.repository.change(&made, |node| {
        node.name = name;
        node.content = content;
        node.title = Some("by rule".to_owned());
        node.mark = Some(tandem_tests::sim::repository::Trace {
            member: member.id,
            version: member.version,
            delivered: node.projection(),
        });
    });
    lab.back(Cloud);
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["x.txt"]);
    assert_eq!(lab.tree(Cloud), ["x.txt"]);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_lck_1_a_forced_change_of_a_locked_copy_is_put_back() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = lab_with(locks, &["x.txt"]);
    let node = lab.find(OnPremise, "x.txt").unwrap();
    assert!(lab.repository(OnPremise).nodes[&node].locked);
    let before = lab.content(Cloud, "x.txt");
    let forced = lab.write(OnPremise, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), before);
    assert!(lab.repository(OnPremise).archive.contains(&forced));
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_con_5_a_restored_loser_is_an_ordinary_change_on_both_sides() {
    let mut lab = lab_with(Options::default(), &["x.txt"]);
    let lost = lab.write(OnPremise, "x.txt");
    lab.write(Cloud, "x.txt");
    lab.converge();
    let member = lab.member(OnPremise, "x.txt").unwrap();
    lab.request(Request::Restore(member.id, content_ref(lost), by()));
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), lost);
    assert_eq!(lab.content(Cloud, "x.txt"), lost);
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_uns_1_an_ended_set_leaves_both_copies_and_releases_the_locks() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = lab_with(locks, &["a", "a/x.txt"]);
    let node = lab.find(OnPremise, "a/x.txt").unwrap();
    lab.request(Request::EndSet(lab.set, by()));
    lab.settle();
    assert!(lab.sync_set().is_none());
    assert!(lab.world.coordinator.store.members.is_empty());
    assert!(!lab.repository(OnPremise).nodes[&node].locked);
}
