//! Deletes, conflicts, what a receiver makes of a delivery, and locks (SPEC §6, §7, R-PRJ-5, R-LCK-1).

use tandem_server::domain::conflict::ConflictKind;
use tandem_server::domain::copy::Absence;
use tandem_server::domain::engine::{Context, Input, Request};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::ids::{NodeId, ScanId};
use tandem_server::domain::member::MemberState;
use tandem_server::domain::policy::ConflictPolicy;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::report::{Answer, Item, Observation, ScanPage, Seen};
use tandem_server::domain::sync_set::{Gate, Options, Removal};
use tandem_tests::sim::apply::look;
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::random::Random;
use tandem_tests::sim::repository::content_ref;

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
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    let lost = lab.write(OnPremise, "x.txt");
    let won = lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    assert!(lab.repository(OnPremise).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_rec_2_a_change_on_the_cloud_beats_a_deletion_on_premise() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    let won = lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    let conflicts = &lab.world().coordinator.store.conflicts;
    assert_eq!(conflicts[0].kind, ConflictKind::DeleteChange);
}

#[test]
fn r_rec_3_a_deletion_on_the_cloud_beats_a_change_on_premise() {
    let mut lab = Lab::holding(follows(), &["x.txt"]);
    lab.delete(Cloud, "x.txt");
    let lost = lab.write(OnPremise, "x.txt");
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty());
    assert!(lab.repository(OnPremise).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_del_2_a_new_child_keeps_its_deleted_folders_and_they_are_restored() {
    let mut lab = Lab::holding(Options::default(), &["a", "a/b", "a/old.txt"]);
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
        .world()
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

/// Three documents on both sides, then the on-premise ones are deleted while the agent does not look.
fn lab_with_emptied_root(options: Options) -> Lab {
    let mut lab = Lab::holding(options, &["a.txt", "b.txt", "f", "f/c.txt"]);
    lab.away(OnPremise);
    for path in ["a.txt", "b.txt", "f"] {
        lab.delete(OnPremise, path);
    }
    restart_agent(&mut lab);
    lab.back(OnPremise);
    lab.settle();
    lab
}

/// It finds out what happened by comparing what is there with its index.
fn restart_agent(lab: &mut Lab) {
    let place = &mut lab.world_mut().places.on_premise;
    place.agent.crash(&mut place.repository, &mut place.link);
}

fn refuse_hold(lab: &mut Lab) {
    let members = lab.world().coordinator.store.members.keys();
    for member in members.copied().collect::<Vec<_>>() {
        lab.request(Request::RefuseRemoval(member));
    }
    lab.request(Request::RefusedHold(lab.set, by()));
}

#[test]
fn r_del_3_an_emptied_root_of_a_small_set_is_held_and_flows_when_it_is_confirmed() {
    for max_delete_percent in [50, 100] {
        let options = Options {
            max_delete_percent,
            ..Options::default()
        };
        let mut lab = lab_with_emptied_root(options);
        let guard = lab.sync_set().unwrap().guard;
        assert_eq!((guard.gate, guard.due), (Gate::Held, 4));
        assert_eq!(lab.tree(Cloud).len(), 4, "nothing was deleted yet");
        lab.make(Cloud, "new.txt");
        lab.settle();
        assert!(lab.find(OnPremise, "new.txt").is_some(), "all else flows");
        lab.request(Request::ConfirmHold(lab.set, by()));
        lab.converge();
        assert_eq!(lab.tree(Cloud), ["new.txt"]);
        lab.delete(OnPremise, "new.txt");
        lab.converge();
        assert!(lab.tree(Cloud).is_empty(), "a deletion seen live flows");
    }
}

#[test]
fn r_del_3_an_emptied_root_is_filled_again_when_its_hold_is_refused() {
    let mut lab = lab_with_emptied_root(Options::default());
    refuse_hold(&mut lab);
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a.txt", "b.txt", "f", "f/c.txt"]);
    let guard = lab.sync_set().unwrap().guard;
    assert_eq!((guard.gate, guard.emptied), (Gate::Open, None));
}

#[test]
fn r_del_3_a_root_that_is_gone_is_held_whole_and_made_again_when_it_is_refused() {
    let mut lab = Lab::holding(Options::default(), &["a.txt", "f", "f/c.txt"]);
    lab.away(OnPremise);
    lab.delete(OnPremise, "");
    restart_agent(&mut lab);
    lab.back(OnPremise);
    lab.settle();
    assert_eq!(lab.sync_set().unwrap().guard.gate, Gate::Held);
    assert_eq!(lab.tree(Cloud), ["a.txt", "f", "f/c.txt"]);
    refuse_hold(&mut lab);
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a.txt", "f", "f/c.txt"]);
}

#[test]
fn r_del_3_what_is_seen_again_is_released_by_itself_piece_by_piece() {
    let mut lab = Lab::holding(Options::default(), &["a.txt", "b.txt"]);
    let mounted = lab.repository(OnPremise).clone();
    lab.away(OnPremise);
    let nodes = ["a.txt", "b.txt"].map(|path| lab.find(OnPremise, path).unwrap());
    for path in ["a.txt", "b.txt"] {
        lab.delete(OnPremise, path);
    }
    restart_agent(&mut lab);
    lab.back(OnPremise);
    lab.settle();
    assert_eq!(lab.sync_set().unwrap().guard.gate, Gate::Held);
    lab.world_mut().places.on_premise.repository = mounted;
    for (node, gate) in nodes.into_iter().zip([Gate::Held, Gate::Open]) {
        lab.world_mut().notice(OnPremise, vec![node]);
        lab.settle();
        assert_eq!(lab.sync_set().unwrap().guard.gate, gate);
    }
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["a.txt", "b.txt"]);
}

#[test]
fn r_del_3_a_small_root_that_was_seen_to_be_emptied_is_not_held() {
    let mut lab = Lab::holding(Options::default(), &["a.txt", "b.txt"]);
    lab.delete(OnPremise, "a.txt");
    lab.delete(OnPremise, "b.txt");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    assert_eq!(lab.sync_set().unwrap().guard.gate, Gate::Open);
}

/// A page that lists nothing in a folder.
fn empty_page(lab: &Lab, folder: &str) -> Item {
    Item::ScanPage(ScanPage {
        scan: ScanId::default(),
        folder: lab.find(OnPremise, folder).unwrap(),
        after: NodeId::default(),
        through: NodeId::default(),
        readable: true,
        children: Vec::new(),
    })
}

/// Has the coordinator take in a batch of the on-premise agent.
fn take_in(lab: &mut Lab, items: Vec<Item>) {
    let input = Input::Batch(repository_id(OnPremise), items);
    let store = &mut lab.world_mut().coordinator.store;
    let done = store.execute(&Context::default(), &[input], &mut Random::new(1));
    done.unwrap();
}

#[test]
fn r_del_3_a_page_that_is_older_than_what_came_with_it_does_not_make_its_root_empty() {
    let mut lab = Lab::new(Options::default());
    lab.away(OnPremise);
    let node = lab.make(OnPremise, "a.txt");
    let seen = lab.repository(OnPremise).nodes[&node].presence();
    let observed = Item::Observed(Observation {
        node,
        seen: Seen::Present(seen),
    });
    let page = empty_page(&lab, "");
    take_in(&mut lab, vec![observed, page]);
    assert!(lab.member(OnPremise, "a.txt").is_some());
    assert_eq!(lab.sync_set().unwrap().guard.emptied, None);
}

#[test]
fn r_del_3_a_page_that_lists_an_empty_root_holds_what_its_suspects_turn_out_to_be() {
    for (folder, held) in [("", true), ("f", false)] {
        let mut lab = Lab::holding(Options::default(), &["a.txt", "f", "f/c.txt"]);
        let missing = ["a.txt", "f/c.txt"].map(|path| lab.find(OnPremise, path).unwrap());
        let gone = missing.map(|node| {
            Item::Observed(Observation {
                node,
                seen: Seen::Absent {
                    absence: Absence::Deleted,
                    choice: None,
                    root_emptied: false,
                },
            })
        });
        for items in [vec![empty_page(&lab, folder)], gone.to_vec()] {
            take_in(&mut lab, items);
        }
        let guard = lab.sync_set().unwrap().guard;
        assert_eq!(guard.gate == Gate::Held, held, "{folder:?} {guard:?}");
    }
}

#[test]
fn r_del_1_a_deleted_cloud_copy_is_marked_then_fails_then_is_made_anew_on_request() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
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
    let mut lab = Lab::holding(Options::default(), &["a"]);
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
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    lab.converge();
    for side in [OnPremise, Cloud] {
        let place = lab.world_mut().places.get_mut(side);
        place.agent.crash(&mut place.repository, &mut place.link);
    }
    lab.converge();
    assert!(lab.tree(OnPremise).is_empty() && lab.tree(Cloud).is_empty());
}

#[test]
fn r_prj_5_two_quick_edits_through_a_rule_that_adds_a_title_are_no_conflict() {
    let mut lab = Lab::holding(Options::default(), &[]);
    lab.world_mut().places.cloud.repository.adds_title = true;
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
    let mut lab = Lab::holding(Options::default(), &[]);
    lab.world_mut().places.cloud.repository.adds_title = true;
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
fn r_prj_5_copies_that_answer_each_delivery_at_once_are_a_loop_and_people_who_take_turns_none() {
    for (pause, looping) in [(0, true), (6_000_000, false)] {
        let mut lab = Lab::holding(Options::default(), &["x.txt"]);
        let mut turns = 0;
        for side in [OnPremise, Cloud].into_iter().cycle().take(30) {
            lab.world_mut().coordinator.now += pause;
            lab.write(side, "x.txt");
            lab.settle();
            turns += 1;
            if lab.failure(OnPremise, "x.txt").is_some() {
                break;
            }
        }
        let failure = lab.failure(OnPremise, "x.txt");
        assert_eq!(failure, looping.then_some(Reason::LoopDetected));
        assert!(!looping || turns > 10, "{turns}");
        lab.world_mut().coordinator.now += 6_000_000;
        lab.write(OnPremise, "x.txt");
        lab.converge();
        assert_eq!(lab.failure(OnPremise, "x.txt"), None);
        assert_eq!(lab.content(Cloud, "x.txt"), lab.content(OnPremise, "x.txt"));
    }
}

#[test]
fn r_prj_5_a_copy_that_is_stale_again_and_again_fails_as_a_loop_until_request_sync() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
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
        let store = &mut lab.world_mut().coordinator.store;
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
    let mut lab = Lab::holding(Options::default(), &[]);
    lab.world_mut().places.cloud.repository.adds_title = true;
    lab.away(Cloud);
    lab.make(OnPremise, "x.txt");
    lab.settle();
    let made = lab.make(Cloud, "y.txt");
    let member = lab.member(OnPremise, "x.txt").unwrap();
    let name = "x.txt".to_owned();
    let source = lab.repository(OnPremise).nodes.values();
    let content = source.map(|node| node.content).max().unwrap();
    let place = &mut lab.world_mut().places.cloud;
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
    let mut lab = Lab::holding(locks, &["x.txt"]);
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
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
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
    let mut lab = Lab::holding(locks, &["a", "a/x.txt"]);
    let node = lab.find(OnPremise, "a/x.txt").unwrap();
    lab.end_set(Removal::None);
    lab.settle();
    assert!(lab.sync_set().is_none());
    assert!(lab.world().coordinator.store.members.is_empty());
    assert!(!lab.repository(OnPremise).nodes[&node].locked);
}

#[test]
fn r_del_2_what_is_made_in_a_folder_that_was_just_moved_out_is_kept() {
    for seed in 0..60 {
        let mut lab = Lab::holding(follows(), &["a"]);
        lab.draw_from(seed);
        lab.world_mut().places.on_premise.agent.tells_move_out = seed % 2 == 0;
        lab.away(OnPremise);
        lab.make(Cloud, "a/new.txt");
        lab.settle();
        lab.relocate(OnPremise, "a", "/outside");
        lab.back(OnPremise);
        lab.converge();
        assert_eq!(lab.tree(Cloud), ["a", "a/new.txt"], "seed {seed}");
        assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
    }
}

#[test]
fn r_con_4_a_node_that_comes_back_while_its_peer_is_removed_is_no_conflict() {
    for seed in 0..80 {
        let mut lab = Lab::holding(follows(), &["a", "b", "a/x.txt"]);
        lab.draw_from(seed);
        lab.world_mut().places.cloud.agent.tells_move_out = false;
        lab.relocate(Cloud, "a/x.txt", "/outside");
        for _ in 0..seed / 2 {
            lab.world_mut().agent_step(OnPremise, 0);
            lab.world_mut().agent_step(Cloud, 0);
            lab.world_mut().coordinator_step().unwrap();
        }
        lab.relocate(Cloud, "/outside/x.txt", "b");
        lab.converge();
        assert_eq!(lab.conflicts(), 0, "seed {seed}");
        assert_eq!(lab.tree(OnPremise), ["a", "b", "b/x.txt"], "seed {seed}");
        assert_eq!(lab.tree(Cloud), lab.tree(OnPremise));
    }
}

#[test]
fn r_agt_6_a_second_answer_to_a_delivery_that_came_twice_is_no_conflict() {
    for seed in 0..80 {
        let mut lab = Lab::new(Options::default());
        lab.draw_from(seed);
        lab.make(OnPremise, "a");
        for step in 0..seed {
            lab.world_mut().agent_step(OnPremise, 0);
            lab.world_mut().agent_step(Cloud, 0);
            lab.world_mut().coordinator_step().unwrap();
            if step % 8 == 7 {
                lab.world_mut().places.cloud.link.cut();
            }
            if lab.find(Cloud, "a").is_some() && step % 5 == 0 {
                lab.rename(Cloud, "a", "b");
                lab.rename(Cloud, "b", "a");
            }
        }
        lab.converge();
        assert_eq!(lab.conflicts(), 0, "seed {seed}");
    }
}

#[test]
fn r_con_2_a_node_that_comes_back_after_its_deletion_lost_gets_the_change_that_won() {
    let wins = Options {
        conflict_policy: ConflictPolicy::OnPremiseWins,
        ..follows()
    };
    for seed in 0..40 {
        let mut lab = Lab::holding(wins, &["x.txt"]);
        lab.draw_from(seed);
        lab.world_mut().places.cloud.agent.tells_move_out = false;
        let node = lab.find(Cloud, "x.txt");
        lab.away(OnPremise);
        let written = lab.write(OnPremise, "x.txt");
        lab.relocate(Cloud, "x.txt", "/outside");
        lab.settle();
        lab.away(Cloud);
        lab.back(OnPremise);
        lab.settle();
        assert_eq!(lab.conflicts(), 1, "a deletion against a change");
        lab.relocate(Cloud, "/outside/x.txt", "");
        lab.back(Cloud);
        lab.converge();
        assert_eq!(lab.find(Cloud, "x.txt"), node);
        assert_eq!(lab.content(Cloud, "x.txt"), written);
        assert_eq!(lab.content(OnPremise, "x.txt"), written);
        assert_eq!(lab.conflicts(), 1, "seed {seed}");
    }
}
