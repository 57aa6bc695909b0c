//! What a set does where its sides differ: every policy for conflicts, and what collides (R-CON-2, R-CON-3).

use tandem_server::domain::conflict::ConflictKind;
use tandem_server::domain::policy::ConflictPolicy;
use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::lab::Lab;

fn with(conflict_policy: ConflictPolicy) -> Options {
    Options {
        conflict_policy,
        ..Options::default()
    }
}

fn on_premise_wins() -> Options {
    with(ConflictPolicy::OnPremiseWins)
}

#[test]
fn r_con_3_the_on_premise_change_wins_and_the_clouds_bytes_are_archived_there() {
    let mut lab = Lab::holding(on_premise_wins(), &["x.txt"]);
    let won = lab.write(OnPremise, "x.txt");
    let lost = lab.write(Cloud, "x.txt");
    lab.converge();
    assert_eq!(lab.content(OnPremise, "x.txt"), won);
    assert_eq!(lab.content(Cloud, "x.txt"), won);
    assert!(lab.repository(Cloud).archive.contains(&lost));
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_con_3_a_deletion_on_premise_beats_a_change_on_the_cloud() {
    let mut lab = Lab::holding(on_premise_wins(), &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    let lost = lab.write(Cloud, "x.txt");
    lab.converge();
    assert!(lab.tree(Cloud).is_empty());
    assert!(lab.repository(Cloud).archive.contains(&lost));
    let conflicts = &lab.world.coordinator.store.conflicts;
    assert_eq!(conflicts[0].kind, ConflictKind::DeleteChange);
    assert_eq!(conflicts[0].winner, OnPremise);
}

#[test]
fn r_con_3_a_change_on_premise_beats_a_deletion_on_the_cloud() {
    let follows = Options {
        delete_on_premise: true,
        ..on_premise_wins()
    };
    let mut lab = Lab::holding(follows, &["a", "a/x.txt"]);
    lab.delete(Cloud, "a");
    let won = lab.write(OnPremise, "a/x.txt");
    lab.converge();
    assert_eq!(lab.content(Cloud, "a/x.txt"), won);
    assert_eq!(lab.tree(OnPremise), ["a", "a/x.txt"]);
    let conflicts = &lab.world.coordinator.store.conflicts;
    assert_eq!(conflicts[0].kind, ConflictKind::ChangeDelete);
}

#[test]
fn r_mov_5_of_moves_that_make_a_cycle_the_winners_holds() {
    for (policy, tree) in [
        (ConflictPolicy::CloudWins, ["b", "b/a"]),
        (ConflictPolicy::OnPremiseWins, ["a", "a/b"]),
    ] {
        let mut lab = Lab::holding(with(policy), &["a", "b"]);
        lab.relocate(OnPremise, "b", "a");
        lab.relocate(Cloud, "a", "b");
        lab.converge();
        assert_eq!(lab.tree(OnPremise), tree, "{policy:?}");
        assert_eq!(lab.tree(Cloud), tree, "{policy:?}");
        assert_eq!(lab.conflicts(), 1);
    }
}
