//! State that is lost or comes back from a backup: nothing is deleted or undone because of it (R-AGT-4, R-AGT-10).

use tandem_server::domain::copy::CopyState;
use tandem_server::domain::ids::NodeId;
use tandem_server::domain::policy::ConflictPolicy;
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::sync_set::{Options, Removal};
use tandem_tests::sim::coordinator::repository_id;
use tandem_tests::sim::disaster::Disaster;
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::repository::{content_ref, library};

fn lab_with(paths: &[&str]) -> Lab {
    Lab::holding(Options::default(), paths)
}

/// The places around the synced folder, and the synced folder itself.
fn fixed(lab: &Lab, side: Side) -> Vec<NodeId> {
    let place = lab.world().places.get(side);
    let canaries = place.canaries.iter().map(|(node, _)| node.clone());
    let around = [library(), place.outside.clone(), place.target.clone()];
    around
        .into_iter()
        .chain(canaries)
        .chain([lab.root(side)])
        .collect()
}

/// Something happens to a side that nobody asked for.
pub(crate) fn suffer(lab: &mut Lab, disaster: Disaster, side: Side) {
    let fixed = fixed(lab, side);
    lab.world_mut().suffer(disaster, side, &fixed).unwrap();
}

/// How many deliveries were applied so far.
fn applied(lab: &Lab) -> usize {
    let lines = lab.world().trace.lines.iter();
    lines.filter(|line| line.contains("agent applies")).count()
}

/// Settles; nothing may have been transferred or found to be in conflict.
fn converges_quietly(lab: &mut Lab) {
    let before = (applied(lab), lab.conflicts());
    lab.converge();
    assert_eq!((applied(lab), lab.conflicts()), before);
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
}

#[test]
fn r_agt_10_a_repository_that_lost_its_ids_transfers_and_deletes_nothing() {
    for side in Side::BOTH {
        let mut lab = lab_with(&["a", "a/b", "a/b/x.txt", "y.txt"]);
        let tree = lab.tree(Cloud);
        let peer = lab.find(side.other(), "a/b/x.txt");
        suffer(&mut lab, Disaster::IdsLost, side);
        converges_quietly(&mut lab);
        assert_eq!(lab.tree(side), tree);
        assert_eq!(lab.find(side.other(), "a/b/x.txt"), peer);
        lab.write(side, "a/b/x.txt");
        lab.converge();
        assert_eq!(
            lab.content(Cloud, "a/b/x.txt"),
            lab.content(OnPremise, "a/b/x.txt")
        );
    }
}

#[test]
fn r_agt_10_ids_may_be_lost_again_before_everything_is_listed() {
    for seed in 0..40 {
        let mut lab = lab_with(&["a", "a/b", "a/b/x.txt", "a/y.txt", "z.txt"]);
        lab.draw_from(seed);
        for _ in 0..3 {
            suffer(&mut lab, Disaster::IdsLost, OnPremise);
            for _ in 0..seed {
                lab.world_mut().agent_step(OnPremise, 0);
                lab.world_mut().coordinator_step().unwrap();
            }
        }
        converges_quietly(&mut lab);
        assert_eq!(lab.tree(OnPremise).len(), 5);
    }
}

#[test]
fn r_agt_10_a_change_made_while_ids_were_lost_is_a_change_of_that_side() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    lab.away(OnPremise);
    let written = lab.write(OnPremise, "a/x.txt");
    suffer(&mut lab, Disaster::IdsLost, OnPremise);
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.content(Cloud, "a/x.txt"), written);
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_agt_10_a_moved_node_keeps_its_peer_and_what_took_its_place_is_new() {
    let mut lab = lab_with(&["z", "a.txt"]);
    let peer = lab.find(Cloud, "a.txt");
    lab.away(OnPremise);
    lab.relocate(OnPremise, "a.txt", "z");
    let made = lab.make(OnPremise, "a.txt");
    suffer(&mut lab, Disaster::StateLost, OnPremise);
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.find(Cloud, "z/a.txt"), peer);
    assert_eq!(lab.find(OnPremise, "a.txt"), Some(made));
    assert_eq!(lab.content(Cloud, "a.txt"), lab.content(OnPremise, "a.txt"));
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_agt_10_a_lost_index_transfers_nothing() {
    for side in Side::BOTH {
        let mut lab = lab_with(&["a", "a/x.txt", "y.txt"]);
        suffer(&mut lab, Disaster::StateLost, side);
        converges_quietly(&mut lab);
    }
}

#[test]
fn r_agt_4_absence_in_a_new_generation_is_no_deletion() {
    let mut lab = lab_with(&["a", "a/b", "a/b/x.txt", "y.txt"]);
    lab.away(OnPremise);
    lab.delete(OnPremise, "a");
    suffer(&mut lab, Disaster::StateLost, OnPremise);
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["a", "a/b", "a/b/x.txt", "y.txt"]);
    assert_eq!(lab.tree(Cloud), lab.tree(OnPremise));
}

#[test]
fn r_agt_4_a_coordinator_from_a_backup_pairs_again_what_was_made_since() {
    let mut lab = lab_with(&["a", "a/x.txt"]);
    lab.world_mut().back_up_coordinator();
    lab.make(OnPremise, "a/new.txt");
    lab.make(Cloud, "c");
    lab.make(Cloud, "c/new.txt");
    lab.write(Cloud, "a/x.txt");
    lab.converge();
    suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
    converges_quietly(&mut lab);
    assert_eq!(
        lab.tree(Cloud),
        ["a", "a/new.txt", "a/x.txt", "c", "c/new.txt"]
    );
    lab.write(OnPremise, "c/new.txt");
    lab.converge();
    assert_eq!(
        lab.content(Cloud, "c/new.txt"),
        lab.content(OnPremise, "c/new.txt")
    );
}

#[test]
fn r_agt_4_what_went_on_both_sides_since_the_backup_stays_away() {
    let mut lab = lab_with(&["a", "a/x.txt", "y.txt", "z.txt"]);
    lab.world_mut().back_up_coordinator();
    lab.delete(OnPremise, "a");
    lab.delete(OnPremise, "y.txt");
    lab.rename(OnPremise, "z.txt", "renamed.txt");
    lab.converge();
    suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
    converges_quietly(&mut lab);
    assert_eq!(lab.tree(Cloud), ["renamed.txt"]);
}

#[test]
fn r_agt_4_a_repository_from_a_backup_is_brought_forward_again() {
    for side in Side::BOTH {
        let mut lab = lab_with(&["x.txt", "moved.txt", "folder"]);
        lab.world_mut().back_up(side);
        let newest = lab.write(side, "x.txt");
        lab.rename(side, "x.txt", "renamed.txt");
        lab.relocate(side, "moved.txt", "folder");
        lab.make(side, "folder/since.txt");
        lab.converge();
        let tree = lab.tree(side.other());
        suffer(&mut lab, Disaster::RepositoryRestored, side);
        lab.converge();
        assert_eq!(lab.tree(side), tree, "{side:?}");
        assert_eq!(lab.tree(side.other()), tree);
        assert_eq!(lab.content(side, "renamed.txt"), newest);
        assert_eq!(lab.conflicts(), 0);
    }
}

#[test]
fn r_del_4_what_a_restored_repository_lists_again_is_left() {
    let mut lab = lab_with(&["x.txt", "y.txt"]);
    lab.world_mut().back_up(OnPremise);
    lab.delete(OnPremise, "x.txt");
    lab.converge();
    suffer(&mut lab, Disaster::RepositoryRestored, OnPremise);
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["y.txt"]);
    let node = lab.find(OnPremise, "x.txt").unwrap();
    let copy = &lab.world().coordinator.store.copies[&(repository_id(OnPremise), node)];
    assert_eq!(copy.state, CopyState::Left);
}

#[test]
fn r_agt_4_an_agents_state_from_a_backup_is_refused_and_rebound_without_any_effect() {
    for side in Side::BOTH {
        let mut lab = lab_with(&["x.txt"]);
        lab.world_mut().back_up(side);
        for _ in 0..3 {
            lab.world_mut().places.get_mut(side).link.cut();
            lab.write(side, "x.txt");
            lab.converge();
        }
        lab.make(OnPremise, "since.txt");
        lab.converge();
        suffer(&mut lab, Disaster::StateRestored, side);
        converges_quietly(&mut lab);
    }
}

#[test]
fn r_agt_4_a_rolled_back_outbox_that_sends_other_batches_begins_a_new_generation() {
    let mut lab = lab_with(&["x.txt"]);
    lab.world_mut().back_up(OnPremise);
    lab.write(OnPremise, "x.txt");
    lab.converge();
    let generation = lab.world().places.on_premise.agent.greeting().generation;
    suffer(&mut lab, Disaster::StateRestored, OnPremise);
    lab.write(OnPremise, "x.txt");
    lab.converge();
    assert!(lab.world().places.on_premise.agent.greeting().generation > generation);
    assert_eq!(lab.content(Cloud, "x.txt"), lab.content(OnPremise, "x.txt"));
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_agt_2_an_old_copy_of_an_agents_state_is_refused() {
    let mut lab = lab_with(&["x.txt"]);
    let old = lab.world().places.on_premise.agent.greeting();
    for _ in 0..3 {
        lab.world_mut().places.on_premise.link.cut();
        lab.write(OnPremise, "x.txt");
        lab.converge();
    }
    assert!(lab.world().coordinator.has_used(OnPremise, &old));
    assert!(!lab.world().coordinator.would_admit(OnPremise, &old));
}

#[test]
fn r_agt_4_both_sides_and_the_coordinator_may_lose_what_they_know_at_once() {
    for seed in 0..40 {
        let mut lab = lab_with(&["a", "a/x.txt", "y.txt"]);
        lab.draw_from(seed);
        lab.world_mut().back_up_coordinator();
        lab.make(Cloud, "a/new.txt");
        lab.converge();
        for disaster in [Disaster::CoordinatorRestored, Disaster::IdsLost] {
            suffer(&mut lab, disaster, OnPremise);
        }
        suffer(&mut lab, Disaster::StateLost, Cloud);
        converges_quietly(&mut lab);
        assert_eq!(lab.tree(Cloud).len(), 4);
    }
}

#[test]
fn r_agt_4_an_outcome_that_a_restored_coordinator_never_asked_for_deletes_nothing() {
    for seed in 0..80 {
        let mut lab = lab_with(&["a"]);
        lab.draw_from(seed);
        lab.world_mut().back_up_coordinator();
        lab.make(OnPremise, "a/x.txt");
        for _ in 0..seed / 2 {
            lab.world_mut().agent_step(OnPremise, 0);
            lab.world_mut().agent_step(Cloud, 0);
            lab.world_mut().coordinator_step().unwrap();
        }
        suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
        lab.converge();
        assert_eq!(lab.tree(OnPremise), ["a", "a/x.txt"], "seed {seed}");
        assert_eq!(lab.tree(Cloud), lab.tree(OnPremise), "seed {seed}");
        let deletes = |line: &String| line.contains("agent applies Delete");
        assert!(!lab.world().trace.lines.iter().any(deletes), "seed {seed}");
    }
}

#[test]
fn r_agt_4_content_that_a_restored_repository_has_again_is_named_by_a_version() {
    let wins = Options {
        allow_delete_on_cloud: false,
        conflict_policy: ConflictPolicy::OnPremiseWins,
        ..Options::default()
    };
    for seed in 0..20 {
        let mut lab = Lab::choosing(wins, &["/x.txt", "/y.txt"]);
        lab.draw_from(seed);
        lab.world_mut().back_up(Cloud);
        let newest = lab.write(OnPremise, "/x.txt");
        lab.delete(Cloud, "/x.txt");
        lab.converge();
        assert_eq!(lab.content(Cloud, "/x.txt"), newest);
        suffer(&mut lab, Disaster::RepositoryRestored, Cloud);
        lab.converge();
        assert_eq!(lab.content(Cloud, "/x.txt"), newest, "seed {seed}");
    }
}

#[test]
fn r_agt_4_edits_of_what_a_restored_coordinator_does_not_know_are_kept() {
    for seed in 0..20 {
        let mut lab = lab_with(&["y.txt"]);
        lab.draw_from(seed);
        lab.away(OnPremise);
        lab.make(Cloud, "x.txt");
        lab.settle();
        lab.world_mut().back_up_coordinator();
        lab.back(OnPremise);
        lab.converge();
        let written = lab.write(OnPremise, "x.txt");
        lab.write(Cloud, "x.txt");
        suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
        lab.converge();
        assert_eq!(lab.content(OnPremise, "x.txt"), lab.content(Cloud, "x.txt"));
        let there = lab.content(OnPremise, "x.txt") == written;
        let mut kept = lab.world().coordinator.store.losers.iter();
        let kept = kept.any(|(_, _, digest)| *digest == content_ref(written).digest);
        assert!(there || kept, "seed {seed}");
    }
}

#[test]
fn r_agt_4_a_set_that_was_ended_since_the_backup_is_listed_anew() {
    for (seed, side) in (0..20).flat_map(|seed| Side::BOTH.map(|side| (seed, side))) {
        let mut lab = lab_with(&["x.txt", "y.txt"]);
        lab.draw_from(seed);
        lab.world_mut().back_up_coordinator();
        lab.end_set(Removal::None);
        lab.settle();
        let written = lab.write(side, "/root/x.txt");
        lab.delete(side, "/root/y.txt");
        lab.settle();
        suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
        lab.converge();
        assert_eq!(lab.content(side.other(), "x.txt"), written, "seed {seed}");
        assert_eq!(lab.tree(side), ["x.txt", "y.txt"], "seed {seed}");
    }
}

#[test]
fn r_agt_4_chosen_documents_that_were_unsynced_since_the_backup_are_looked_at() {
    for (seed, side) in (0..20).flat_map(|seed| Side::BOTH.map(|side| (seed, side))) {
        let mut lab = Lab::choosing(Options::default(), &["/x.txt", "/y.txt"]);
        lab.draw_from(seed);
        lab.world_mut().back_up_coordinator();
        lab.end_set(Removal::None);
        lab.settle();
        let written = lab.write(side, "/x.txt");
        lab.settle();
        suffer(&mut lab, Disaster::CoordinatorRestored, OnPremise);
        lab.converge();
        assert_eq!(lab.content(side.other(), "/x.txt"), written, "seed {seed}");
    }
}
