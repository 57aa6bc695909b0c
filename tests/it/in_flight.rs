//! What happens to a node while a delivery for it is on its way: each story is told at every moment of it.

use tandem_server::domain::ids::{Digest, NodeId};
use tandem_server::domain::policy::{ConflictPolicy, NameClashPolicy};
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::disaster::Disaster;
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::repository::content_ref;

use crate::rules_generations::suffer;

/// Moments at which a story goes on; beyond that everybody is at rest.
const MOMENTS: u64 = 24;
/// Draws of chance for each moment.
const DRAWS: u64 = 4;

/// Tells a story once for each moment and draw; `pass` lets everybody work up to the moment.
fn at_each_moment(tell: impl Fn(&mut dyn FnMut(&mut Lab))) {
    for moment in 0..MOMENTS {
        for draw in 0..DRAWS {
            tell(&mut |lab| {
                lab.draw_from(moment * DRAWS + draw);
                for _ in 0..moment {
                    lab.world_mut().agent_step(OnPremise, 0);
                    lab.world_mut().agent_step(Cloud, 0);
                    lab.world_mut().coordinator_step().unwrap();
                }
            });
        }
    }
}

fn locking() -> Options {
    Options {
        lock_on_premise_copy: true,
        ..Options::default()
    }
}

fn is_locked(lab: &Lab, node: &NodeId) -> bool {
    lab.repository(OnPremise).nodes[node].locked
}

fn is_kept(lab: &Lab, side: Side, content: u64) -> bool {
    let digest: Digest = content_ref(content).digest;
    let mut losers = lab.world().coordinator.store.losers.iter();
    losers.any(|(_, on, lost)| *on == side && *lost == digest)
}

#[test]
fn r_lck_1_a_copy_is_unlocked_whatever_was_on_its_way_when_its_membership_ended() {
    at_each_moment(|pass| {
        let mut lab = Lab::holding(locking(), &["a.txt"]);
        let copy = lab.find(OnPremise, "a.txt").unwrap();
        assert!(is_locked(&lab, &copy));
        lab.write(Cloud, "a.txt");
        pass(&mut lab);
        lab.relocate(Cloud, "a.txt", "/outside");
        lab.settle();
        assert_eq!(lab.member(OnPremise, "a.txt"), None);
        assert!(!is_locked(&lab, &copy));
    });
}

#[test]
fn r_lck_1_a_node_that_was_moved_to_a_set_without_locks_is_not_locked_by_what_was_on_its_way() {
    at_each_moment(|pass| {
        let mut lab = Lab::new(locking());
        let second = lab.second_set(Options::default());
        let copy = lab.make(OnPremise, "a.txt");
        pass(&mut lab);
        if is_locked(&lab, &copy) {
            return;
        }
        lab.relocate(OnPremise, "a.txt", second);
        lab.settle();
        let home = lab.repository(OnPremise).nodes[&copy].parent.clone();
        assert_eq!(is_locked(&lab, &copy), home == lab.root(OnPremise));
    });
}

#[test]
fn r_rec_10_a_name_that_was_stepped_aside_from_is_given_back() {
    at_each_moment(|pass| {
        let mut lab = Lab::holding(locking(), &["d", "e"]);
        lab.exchange(Cloud, &["d", "e"]);
        pass(&mut lab);
        lab.delete(Cloud, "d");
        lab.converge();
        let names = [lab.tree(OnPremise), lab.tree(Cloud)].concat();
        let aside = |name: &String| name.starts_with('~');
        assert!(!names.iter().any(aside), "{names:?}");
    });
}

#[test]
fn r_rec_9_an_edit_of_a_newcomer_that_is_renamed_is_not_taken_for_agreed_on() {
    at_each_moment(|pass| {
        let renaming = Options {
            name_clash_policy: NameClashPolicy::Rename,
            ..Options::default()
        };
        let mut lab = Lab::holding(renaming, &["e.txt"]);
        lab.write(Cloud, "e.txt");
        let newcomer = lab.make(OnPremise, "c.txt");
        pass(&mut lab);
        lab.exchange(OnPremise, &["e.txt", "c.txt"]);
        let written = lab.write(OnPremise, "e.txt");
        lab.converge();
        let now = lab.repository(OnPremise).nodes[&newcomer].content;
        assert!(
            now == written || lab.conflicts() > 0,
            "{written} became {now}"
        );
    });
}

#[test]
fn r_con_4_both_sides_of_an_open_conflict_are_kept_also_when_their_nodes_are_lost() {
    let manual = Options {
        conflict_policy: ConflictPolicy::Manual,
        ..Options::default()
    };
    let mut lab = Lab::choosing(manual, &["/d.txt"]);
    let ours = lab.write(OnPremise, "/d.txt");
    lab.write(Cloud, "/d.txt");
    lab.settle();
    assert_eq!(lab.conflicts(), 1);
    suffer(&mut lab, Disaster::IdsLost, OnPremise);
    lab.settle();
    assert!(is_kept(&lab, OnPremise, ours));
}

#[test]
fn r_agt_4_what_a_change_on_an_older_state_replaces_is_kept_for_ever() {
    let mut lab = Lab::holding(Options::default(), &["a.txt"]);
    lab.world_mut().back_up(OnPremise);
    let unseen = lab.write(OnPremise, "a.txt");
    lab.converge();
    suffer(&mut lab, Disaster::RepositoryRestored, OnPremise);
    let written = lab.write(OnPremise, "a.txt");
    lab.settle();
    assert_eq!(lab.content(Cloud, "a.txt"), written);
    assert!(is_kept(&lab, Cloud, unseen));
}

#[test]
fn r_mov_4_a_chosen_node_keeps_its_set_also_where_nobody_knows_any_more_for_whom_it_was_made() {
    let mut lab = Lab::new(Options::default());
    let document = lab.make(OnPremise, "/d.txt");
    lab.away(Cloud);
    let chosen = lab
        .world_mut()
        .sync_documents(&[document], Options::default());
    let chosen = chosen.unwrap();
    lab.settle();
    lab.world_mut().back_up_coordinator();
    lab.back(Cloud);
    lab.settle();
    suffer(&mut lab, Disaster::CoordinatorRestored, Cloud);
    lab.relocate(Cloud, "/d.txt", "");
    lab.settle();
    let member = lab.member(Cloud, "d.txt").unwrap();
    assert_eq!(member.set, chosen);
    assert_eq!(lab.tree(OnPremise).len(), 0, "it entered no other set");
}

#[test]
fn r_agt_6_what_was_made_and_moved_out_is_made_again_once_and_not_for_ever() {
    at_each_moment(|pass| {
        let keeping = Options {
            allow_delete_on_cloud: false,
            ..Options::default()
        };
        let mut lab = Lab::new(keeping);
        lab.make(Cloud, "e");
        lab.make(Cloud, "e/a");
        lab.settle();
        lab.make(Cloud, "e/a/b");
        lab.relocate(Cloud, "e/a", "/outside");
        pass(&mut lab);
        lab.make(Cloud, "b.txt");
        lab.relocate(Cloud, "e", "/outside/a");
        lab.settle();
    });
}

#[test]
fn r_del_2_what_comes_into_a_folder_while_it_is_removed_keeps_it() {
    at_each_moment(|pass| {
        let mut lab = Lab::holding(Options::default(), &["d"]);
        lab.delete(OnPremise, "d");
        pass(&mut lab);
        if lab.find(Cloud, "d").is_none() {
            return;
        }
        lab.make(Cloud, "d/new.txt");
        lab.converge();
        assert_eq!(lab.tree(OnPremise), ["d", "d/new.txt"]);
    });
}

#[test]
fn r_agt_6_a_create_that_is_answered_again_undoes_no_edit() {
    at_each_moment(|pass| {
        let mut lab = Lab::new(Options::default());
        lab.world_mut().places.cloud.repository.forgets_deliveries = true;
        lab.make(OnPremise, "a.txt");
        pass(&mut lab);
        // What was not answered by now is asked for again, under another version.
        lab.world_mut().places.cloud.link.cut();
        let written = lab.write(OnPremise, "a.txt");
        lab.converge();
        assert_eq!(lab.content(Cloud, "a.txt"), written);
    });
}

#[test]
fn r_rec_10_an_edit_of_a_copy_that_stepped_aside_is_not_taken_for_agreed_on() {
    at_each_moment(|pass| {
        let mut lab = Lab::holding(Options::default(), &["a.txt", "b.txt"]);
        let ours = lab.find(OnPremise, "a.txt").unwrap();
        let theirs = lab.find(Cloud, "a.txt").unwrap();
        lab.exchange(Cloud, &["a.txt", "b.txt"]);
        pass(&mut lab);
        let trash = lab.repository(Cloud).nodes[&theirs].clone();
        lab.delete(Cloud, "b.txt");
        let name = lab.repository(OnPremise).nodes[&ours].name.clone();
        let written = lab.write(OnPremise, &name);
        lab.settle();
        let repository = &mut lab.world_mut().places.cloud.repository;
        repository.nodes.insert(theirs.clone(), trash);
        lab.world_mut().notice(Cloud, vec![theirs]);
        lab.settle();
        let now = lab.repository(OnPremise).nodes[&ours].content;
        assert!(
            now == written || lab.conflicts() > 0,
            "{written} became {now}"
        );
    });
}
