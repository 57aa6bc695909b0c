//! Sets of documents: names, moves, deletes, conflicts, and synced folders around them (R-SET-1, R-MOV-1, R-MOV-4).

use tandem_server::domain::copy::CopyState;
use tandem_server::domain::engine::{Ending, Request};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::member::{Leaving, MemberState};
use tandem_server::domain::policy::NameClashPolicy;
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Options, Removal};
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::lab::Lab;

fn sync(lab: &mut Lab, path: &str) {
    let member = lab.member(OnPremise, path).unwrap().id;
    lab.request(Request::Sync(member, "somebody".to_owned()));
    lab.converge();
}

/// Whether a node is there.
fn there(lab: &Lab, side: Side, path: &str) -> bool {
    lab.find(side, path).is_some()
}

#[test]
fn r_set_1_each_document_is_pushed_into_the_target_under_its_own_name() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt", "/outside/b.txt"]);
    for (here, there) in [("/a.txt", "/a.txt"), ("/outside/b.txt", "/b.txt")] {
        assert_eq!(lab.content(OnPremise, here), lab.content(Cloud, there));
        let member = lab.member(OnPremise, here).unwrap();
        assert!(member.direct && member.state == MemberState::Synced);
    }
    lab.make(OnPremise, "/c.txt");
    lab.converge();
    assert!(!there(&lab, Cloud, "/c.txt"), "membership is frozen");
    let written = lab.write(Cloud, "/b.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "/outside/b.txt"), written);
}

#[test]
fn r_mov_1_renames_are_mirrored_and_moves_are_not_while_updates_keep_flowing() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt"]);
    lab.rename(OnPremise, "/a.txt", "b.txt");
    lab.converge();
    lab.rename(Cloud, "/b.txt", "c.txt");
    lab.converge();
    assert!(there(&lab, OnPremise, "/c.txt"));
    lab.relocate(OnPremise, "/c.txt", "/outside");
    lab.converge();
    assert!(there(&lab, Cloud, "/c.txt"), "it stays where it is");
    lab.relocate(Cloud, "/c.txt", "/outside");
    lab.converge();
    assert!(there(&lab, OnPremise, "/outside/c.txt"));
    for side in Side::BOTH {
        let written = lab.write(side, "/outside/c.txt");
        lab.converge();
        assert_eq!(lab.content(side.other(), "/outside/c.txt"), written);
    }
    lab.rename(Cloud, "/outside/c.txt", "d.txt");
    lab.converge();
    assert!(there(&lab, OnPremise, "/outside/d.txt"));
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_set_1_deletes_follow_the_options_and_the_set_goes_with_its_last_member() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt", "/b.txt"]);
    lab.delete(OnPremise, "/a.txt");
    lab.converge();
    assert!(!there(&lab, Cloud, "/a.txt") && there(&lab, Cloud, "/b.txt"));
    assert!(lab.sync_set().is_some());
    lab.delete(OnPremise, "/b.txt");
    lab.converge();
    assert!(!there(&lab, Cloud, "/b.txt"));
    assert!(lab.sync_set().is_none());
    let keeps = Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    let mut lab = Lab::choosing(keeps, &["/a.txt"]);
    lab.delete(OnPremise, "/a.txt");
    lab.converge();
    assert!(there(&lab, Cloud, "/a.txt"));
    assert!(lab.sync_set().is_none());
    let removes = Options {
        delete_on_premise: true,
        ..Options::default()
    };
    let mut lab = Lab::choosing(removes, &["/a.txt"]);
    lab.delete(Cloud, "/a.txt");
    lab.converge();
    assert!(!there(&lab, OnPremise, "/a.txt"));
    assert!(lab.sync_set().is_none());
}

/// Ends the membership of one document alone.
fn unsync(lab: &mut Lab, path: &str, removal: Removal) {
    let member = lab.member(OnPremise, path).unwrap().id;
    let actor = "owner".to_owned();
    lab.request(Request::Unsync(member, Leaving { removal, actor }));
}

#[test]
fn r_set_1_documents_are_unsynced_one_by_one_and_the_set_goes_with_its_last_member() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt", "/b.txt"]);
    unsync(&mut lab, "/a.txt", Removal::None);
    lab.converge();
    let before = lab.content(Cloud, "/a.txt");
    lab.write(OnPremise, "/a.txt");
    let written = lab.write(OnPremise, "/b.txt");
    lab.converge();
    assert_eq!(lab.content(Cloud, "/a.txt"), before, "it is synced no more");
    assert_eq!(lab.content(Cloud, "/b.txt"), written);
    assert!(lab.member(OnPremise, "/a.txt").is_none());
    unsync(&mut lab, "/b.txt", Removal::None);
    lab.converge();
    assert!(lab.sync_set().is_none());
    assert!(there(&lab, Cloud, "/a.txt") && there(&lab, Cloud, "/b.txt"));
    // Chosen again, it meets its old copy (R-UNS-2).
    lab.choose(Options::default(), &["/b.txt"]);
    let failure = lab.failure(OnPremise, "/b.txt");
    assert_eq!(failure, Some(Reason::TargetFolderNameClash));
}

#[test]
fn r_uns_1_the_cloud_copy_of_one_document_goes_while_those_of_the_others_stay() {
    let locks = Options {
        lock_on_premise_copy: true,
        ..Options::default()
    };
    let mut lab = Lab::choosing(locks, &["/a.txt", "/b.txt", "/c.txt"]);
    let locked = |lab: &Lab, path: &str| {
        let node = lab.find(OnPremise, path).unwrap();
        lab.repository(OnPremise).nodes[&node].locked
    };
    assert!(locked(&lab, "/a.txt") && locked(&lab, "/b.txt"));
    lab.away(Cloud);
    unsync(&mut lab, "/a.txt", Removal::Everything);
    unsync(&mut lab, "/c.txt", Removal::Everything);
    lab.settle();
    assert!(!locked(&lab, "/a.txt"), "released while the cloud is away");
    assert!(lab.member(OnPremise, "/a.txt").is_none());
    let changed = lab.write(Cloud, "/c.txt");
    lab.back(Cloud);
    lab.converge();
    assert!(!there(&lab, Cloud, "/a.txt"));
    assert_eq!(lab.content(Cloud, "/c.txt"), changed, "what changed stays");
    assert!(there(&lab, OnPremise, "/a.txt") && locked(&lab, "/b.txt"));
    let written = lab.write(Cloud, "/b.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "/b.txt"), written);
    unsync(&mut lab, "/b.txt", Removal::Everything);
    lab.converge();
    assert!(!there(&lab, Cloud, "/b.txt") && there(&lab, OnPremise, "/b.txt"));
    assert!(lab.sync_set().is_none());
}

#[test]
fn r_del_1_a_cloud_copy_that_was_deleted_is_made_anew_in_the_target_when_somebody_asks() {
    let mut lab = Lab::choosing(Options::default(), &["/outside/a.txt"]);
    lab.relocate(Cloud, "/a.txt", "/outside");
    lab.converge();
    lab.delete(Cloud, "/outside/a.txt");
    lab.converge();
    assert!(
        lab.member(OnPremise, "/outside/a.txt")
            .unwrap()
            .cloud_copy_deleted
    );
    lab.write(OnPremise, "/outside/a.txt");
    lab.converge();
    let failure = lab.failure(OnPremise, "/outside/a.txt");
    assert_eq!(failure, Some(Reason::TargetNodeNoLongerExists));
    sync(&mut lab, "/outside/a.txt");
    let content = lab.content(OnPremise, "/outside/a.txt");
    assert_eq!(lab.content(Cloud, "/a.txt"), content);
}

#[test]
fn r_con_1_the_cloud_wins_and_the_loser_is_archived() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt"]);
    let lost = lab.write(OnPremise, "/a.txt");
    let won = lab.write(Cloud, "/a.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "/a.txt"), won);
    assert!(lab.repository(OnPremise).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_rec_2_a_document_deleted_here_and_changed_there_is_restored_where_it_was() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt", "/b.txt"]);
    lab.relocate(OnPremise, "/a.txt", "/outside");
    lab.converge();
    let written = lab.write(Cloud, "/a.txt");
    lab.delete(OnPremise, "/outside/a.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "/outside/a.txt"), written);
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_rec_9_the_second_of_two_documents_of_one_name_fails_until_one_is_renamed() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt", "/outside/a.txt"]);
    let failed: Vec<&str> = ["/a.txt", "/outside/a.txt"]
        .into_iter()
        .filter(|path| lab.failure(OnPremise, path) == Some(Reason::TargetFolderNameClash))
        .collect();
    assert_eq!(failed.len(), 1);
    lab.rename(OnPremise, failed[0], "b.txt");
    lab.converge();
    assert!(there(&lab, Cloud, "/a.txt") && there(&lab, Cloud, "/b.txt"));
}

#[test]
fn r_mov_4_a_chosen_document_keeps_its_own_set_in_a_synced_folder_once_per_side() {
    for side in Side::BOTH {
        let mut lab = Lab::holding(Options::default(), &["x.txt"]);
        lab.make(OnPremise, "/d.txt");
        let set = lab.choose(Options::default(), &["/d.txt"]);
        lab.relocate(side, "/d.txt", "");
        lab.converge();
        assert_eq!(lab.tree(side), ["d.txt", "x.txt"]);
        assert_eq!(lab.tree(side.other()), ["x.txt"], "no second copy");
        let member = lab.member(side, "d.txt").unwrap();
        assert!(member.direct && member.set == set);
        let written = lab.write(side, "d.txt");
        lab.converge();
        assert_eq!(lab.content(side.other(), "/d.txt"), written);
        // The folder goes, with the chosen document in it: that is a deletion of the document, too.
        lab.delete(OnPremise, "");
        lab.converge();
        let kept = side == Cloud;
        assert_eq!(there(&lab, OnPremise, "/d.txt"), kept, "{side:?}");
        assert_eq!(lab.world().coordinator.store.sets.contains_key(&set), kept);
    }
}

#[test]
fn r_mov_4_a_folder_that_is_chosen_around_a_document_does_not_take_it() {
    let mut lab = Lab::choosing(Options::default(), &["/outside/d.txt"]);
    let outside = lab.find(OnPremise, "/outside").unwrap();
    lab.world_mut()
        .sync_folder(&outside, Options::default())
        .unwrap();
    lab.converge();
    assert!(lab.member(OnPremise, "/outside/d.txt").unwrap().direct);
    assert!(there(&lab, Cloud, "/d.txt"));
}

#[test]
fn r_sta_1_a_chosen_document_that_becomes_a_link_fails_until_it_is_one_no_more() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt"]);
    let becomes = |lab: &mut Lab, node_trait| {
        let node = lab.find(OnPremise, "/a.txt").unwrap();
        let repository = &mut lab.world_mut().places.on_premise.repository;
        repository.change(&node, |node| node.node_trait = node_trait);
        lab.world_mut().notice(OnPremise, vec![node]);
        lab.converge();
    };
    let before = lab.content(Cloud, "/a.txt");
    becomes(&mut lab, NodeTrait::Link);
    let failure = lab.failure(OnPremise, "/a.txt");
    assert_eq!(failure, Some(Reason::UnsupportedNode));
    lab.write(OnPremise, "/a.txt");
    lab.converge();
    assert_eq!(
        lab.content(Cloud, "/a.txt"),
        before,
        "a link is never followed"
    );
    becomes(&mut lab, NodeTrait::Ordinary);
    assert_eq!(lab.failure(OnPremise, "/a.txt"), None);
    assert_eq!(
        lab.content(Cloud, "/a.txt"),
        lab.content(OnPremise, "/a.txt")
    );
}

#[test]
fn r_set_3_a_document_that_goes_before_it_is_looked_at_ends_its_membership() {
    let mut lab = Lab::choosing(Options::default(), &["/a.txt"]);
    lab.make(OnPremise, "/b.txt");
    let node = lab.find(OnPremise, "/b.txt").unwrap();
    let set = lab.world_mut().sync_documents(&[node], Options::default());
    lab.delete(OnPremise, "/b.txt");
    lab.converge();
    assert!(!there(&lab, Cloud, "/b.txt"));
    assert!(
        !lab.world()
            .coordinator
            .store
            .sets
            .contains_key(&set.unwrap())
    );
}

#[test]
fn r_mem_4_what_a_set_that_ended_leaves_in_another_synced_folder_is_known_as_left_there() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.make(OnPremise, "/d.txt");
    let set = lab.choose(Options::default(), &["/d.txt"]);
    lab.away(Cloud);
    lab.relocate(Cloud, "/d.txt", "");
    lab.request(Request::EndSet(Ending {
        set,
        removal: Removal::Everything,
        actor: "owner".to_owned(),
        forced: false,
    }));
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    assert_eq!(
        lab.tree(Cloud),
        ["d.txt", "x.txt"],
        "it was moved, so it stays"
    );
    let left = lab.find(Cloud, "d.txt").unwrap();
    let copies = &lab.world().coordinator.store.copies;
    assert_eq!(copies[&(repository_id(Cloud), left)].state, CopyState::Left);
}

#[test]
fn r_mem_4_a_copy_that_was_unlinked_while_it_was_moved_is_known_where_it_came_to_lie() {
    let keeps = Options {
        allow_delete_on_cloud: false,
        name_clash_policy: NameClashPolicy::Rename,
        ..Options::default()
    };
    let mut lab = Lab::holding(keeps, &["f", "e.txt"]);
    lab.relocate(OnPremise, "e.txt", "f");
    while lab.find(Cloud, "f/e.txt").is_none() {
        let moved =
            lab.world_mut().agent_step(OnPremise, 0) | lab.world_mut().coordinator_step().unwrap();
        assert!(moved | lab.world_mut().agent_step(Cloud, 0));
    }
    // The cloud has moved it, and nobody has heard so when it is unlinked.
    lab.away(Cloud);
    lab.delete(OnPremise, "f/e.txt");
    lab.settle();
    lab.back(Cloud);
    lab.converge();
    let left = lab.find(Cloud, "f/e.txt").unwrap();
    let folder = lab.find(Cloud, "f").unwrap();
    let copies = &lab.world().coordinator.store.copies;
    assert_eq!(copies[&(repository_id(Cloud), left)].parent, folder);
    lab.make(OnPremise, "f/e.txt");
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["f", "f/e (1).txt", "f/e.txt"]);
}

/// Two documents are chosen; the cloud has just made its copy of the second one, and nobody has heard so.
fn just_made(options: Options) -> Lab {
    let mut lab = Lab::choosing(options, &["/z.txt"]);
    let nodes = ["/a.txt", "/b.txt"].map(|path| lab.make(OnPremise, path));
    lab.world_mut().sync_documents(&nodes, options).unwrap();
    while !there(&lab, Cloud, "/b.txt") {
        let moved =
            lab.world_mut().agent_step(OnPremise, 0) | lab.world_mut().coordinator_step().unwrap();
        assert!(moved | lab.world_mut().agent_step(Cloud, 0));
    }
    lab.away(Cloud);
    lab
}

#[test]
fn r_uns_1_a_cloud_copy_that_was_on_its_way_when_its_document_was_unsynced_goes_too() {
    for (removal, stays) in [(Removal::None, true), (Removal::Everything, false)] {
        let mut lab = just_made(Options::default());
        unsync(&mut lab, "/b.txt", removal);
        lab.settle();
        assert!(lab.member(OnPremise, "/b.txt").is_none(), "ended at once");
        lab.back(Cloud);
        lab.converge();
        assert_eq!(there(&lab, Cloud, "/b.txt"), stays, "{removal:?}");
        assert!(there(&lab, OnPremise, "/b.txt"));
        let written = lab.write(OnPremise, "/a.txt");
        lab.converge();
        assert_eq!(lab.content(Cloud, "/a.txt"), written, "the set goes on");
    }
}

#[test]
fn r_uns_1_what_somebody_wrote_into_a_copy_that_was_on_its_way_stays() {
    let mut lab = just_made(Options::default());
    unsync(&mut lab, "/b.txt", Removal::Everything);
    lab.settle();
    let node = lab.find(Cloud, "/b.txt").unwrap();
    let written = lab.world_mut().ledger.write(0);
    let repository = &mut lab.world_mut().places.cloud.repository;
    repository.change(&node, |node| node.content = written);
    lab.back(Cloud);
    lab.settle();
    lab.converge();
    assert_eq!(lab.content(Cloud, "/b.txt"), written);
}

#[test]
fn r_set_1_a_cloud_copy_that_was_on_its_way_when_its_document_was_deleted_follows_the_options() {
    for allow_delete_on_cloud in [true, false] {
        let mut lab = just_made(Options {
            allow_delete_on_cloud,
            ..Options::default()
        });
        lab.delete(OnPremise, "/b.txt");
        lab.settle();
        lab.back(Cloud);
        lab.converge();
        let stays = !allow_delete_on_cloud;
        assert_eq!(there(&lab, Cloud, "/b.txt"), stays);
        assert!(there(&lab, Cloud, "/a.txt"));
    }
}
