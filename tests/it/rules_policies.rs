//! What a set does where its sides differ: every policy for conflicts, and what collides (R-CON-2, R-CON-3).

use tandem_server::domain::conflict::ConflictKind;
use tandem_server::domain::engine::Request;
use tandem_server::domain::failure::Reason;
use tandem_server::domain::member::Hold;
use tandem_server::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::lab::Lab;
use tandem_tests::sim::repository::content_ref;

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
    let conflicts = &lab.world().coordinator.store.conflicts;
    assert_eq!(conflicts[0].kind, ConflictKind::DeleteChange);
    assert_eq!(conflicts[0].winner, Some(OnPremise));
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
    let conflicts = &lab.world().coordinator.store.conflicts;
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

fn per_field(conflict_policy: ConflictPolicy) -> Options {
    Options {
        conflict_grain: ConflictGrain::PerField,
        ..with(conflict_policy)
    }
}

fn entitle(lab: &mut Lab, side: Side, path: &str, title: &str) {
    let node = lab.find(side, path).unwrap();
    let repository = &mut lab.world_mut().places.get_mut(side).repository;
    repository.change(&node, |node| node.title = Some(title.to_owned()));
    lab.world_mut().notice(side, vec![node]);
}

fn title(lab: &Lab, side: Side, path: &str) -> Option<String> {
    let node = lab.find(side, path).unwrap();
    lab.repository(side).nodes[&node].title.clone()
}

#[test]
fn r_con_2_changes_of_different_fields_are_put_together_and_are_no_conflict() {
    let mut lab = Lab::holding(per_field(ConflictPolicy::CloudWins), &["f", "x.txt"]);
    let written = lab.write(OnPremise, "x.txt");
    lab.relocate(OnPremise, "x.txt", "f");
    lab.rename(Cloud, "x.txt", "y.txt");
    entitle(&mut lab, Cloud, "y.txt", "theirs");
    lab.converge();
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.tree(side), ["f", "f/y.txt"], "{side:?}");
        assert_eq!(lab.content(side, "f/y.txt"), written);
        assert_eq!(title(&lab, side, "f/y.txt").as_deref(), Some("theirs"));
    }
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_con_2_of_two_changes_of_one_field_the_policy_decides_and_the_other_fields_stay() {
    for (policy, winner) in [
        (ConflictPolicy::CloudWins, Cloud),
        (ConflictPolicy::OnPremiseWins, OnPremise),
    ] {
        let mut lab = Lab::holding(per_field(policy), &["x.txt"]);
        let contents = [lab.write(OnPremise, "x.txt"), lab.write(Cloud, "x.txt")];
        lab.rename(winner.other(), "x.txt", "y.txt");
        lab.converge();
        for side in [OnPremise, Cloud] {
            assert_eq!(lab.tree(side), ["y.txt"], "{policy:?} {side:?}");
            assert_eq!(lab.content(side, "y.txt"), contents[winner as usize]);
        }
        let lost = contents[winner.other() as usize];
        assert!(lab.repository(winner.other()).archive.contains(&lost));
        assert_eq!(lab.conflicts(), 1);
    }
}

#[test]
fn r_con_2_a_whole_node_collides_where_its_fields_would_not() {
    let mut lab = Lab::holding(with(ConflictPolicy::CloudWins), &["x.txt"]);
    let lost = lab.write(OnPremise, "x.txt");
    lab.rename(Cloud, "x.txt", "y.txt");
    lab.converge();
    assert_ne!(lab.content(OnPremise, "y.txt"), lost);
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_con_2_a_merge_needs_names_that_others_leave_on_both_sides() {
    let options = per_field(ConflictPolicy::CloudWins);
    let mut lab = Lab::holding(options, &["a.txt", "b.txt"]);
    let (a, b) = (lab.write(Cloud, "a.txt"), lab.write(Cloud, "b.txt"));
    lab.exchange(OnPremise, &["a.txt", "b.txt"]);
    lab.converge();
    for side in [OnPremise, Cloud] {
        let found = (lab.content(side, "a.txt"), lab.content(side, "b.txt"));
        assert_eq!(found, (b, a), "{side:?}");
    }
    assert_eq!(lab.conflicts(), 0);
}

fn manual() -> Options {
    with(ConflictPolicy::Manual)
}

fn resolve(lab: &mut Lab, winner: Side) {
    let conflicts = &lab.world().coordinator.store.conflicts;
    let open = conflicts.iter().find(|conflict| conflict.open).unwrap();
    let (member, id) = (open.member, open.id);
    lab.request(Request::Resolve(member, id, winner, "owner".to_owned()));
    lab.converge();
}

#[test]
fn r_con_3_manual_keeps_both_copies_until_a_person_decides_about_what_is_there_then() {
    for winner in [OnPremise, Cloud] {
        let mut lab = Lab::holding(manual(), &["x.txt"]);
        lab.write(OnPremise, "x.txt");
        let theirs = lab.write(Cloud, "x.txt");
        lab.converge();
        let later = lab.write(OnPremise, "x.txt");
        lab.converge();
        assert_eq!(lab.content(OnPremise, "x.txt"), later);
        assert_eq!(lab.content(Cloud, "x.txt"), theirs);
        let hold = lab.member(OnPremise, "x.txt").unwrap().hold;
        assert_eq!(hold, Some(Hold::ManualConflict));
        resolve(&mut lab, winner);
        let (held, lost) = match winner {
            OnPremise => (later, theirs),
            Cloud => (theirs, later),
        };
        assert_eq!(lab.content(OnPremise, "x.txt"), held);
        assert_eq!(lab.content(Cloud, "x.txt"), held);
        assert!(lab.repository(winner.other()).archive.contains(&lost));
        assert_eq!(lab.conflicts(), 1);
    }
}

#[test]
fn r_con_3_manual_is_over_when_the_copies_are_equal_or_one_side_takes_its_change_back() {
    for equal in [true, false] {
        let mut lab = Lab::holding(manual(), &["x.txt"]);
        lab.rename(OnPremise, "x.txt", "y.txt");
        lab.rename(Cloud, "x.txt", "z.txt");
        lab.converge();
        lab.rename(Cloud, "z.txt", if equal { "y.txt" } else { "x.txt" });
        lab.converge();
        for side in [OnPremise, Cloud] {
            assert_eq!(lab.tree(side), ["y.txt"], "{side:?}");
        }
        let conflict = &lab.world().coordinator.store.conflicts[0];
        assert!(!conflict.open);
        assert_eq!(conflict.winner, (!equal).then_some(OnPremise));
    }
}

#[test]
fn r_con_3_manual_leaves_a_deletion_against_a_change_to_a_person() {
    for winner in [OnPremise, Cloud] {
        let mut lab = Lab::holding(manual(), &["a", "a/x.txt", "a/y.txt"]);
        lab.delete(OnPremise, "a");
        lab.write(Cloud, "a/x.txt");
        lab.converge();
        assert_eq!(lab.tree(Cloud), ["a", "a/x.txt"]);
        resolve(&mut lab, winner);
        let tree: &[&str] = match winner {
            OnPremise => &[],
            Cloud => &["a", "a/x.txt"],
        };
        for side in [OnPremise, Cloud] {
            assert_eq!(lab.tree(side), tree, "{winner:?} {side:?}");
        }
    }
}

#[test]
fn r_con_2_manual_waits_only_where_a_field_collides() {
    let mut lab = Lab::holding(per_field(ConflictPolicy::Manual), &["x.txt", "y.txt"]);
    let written = lab.write(OnPremise, "x.txt");
    lab.rename(Cloud, "x.txt", "z.txt");
    lab.rename(OnPremise, "y.txt", "p.txt");
    lab.rename(Cloud, "y.txt", "c.txt");
    let content = lab.write(Cloud, "c.txt");
    lab.converge();
    assert_eq!(lab.content(Cloud, "z.txt"), written);
    assert_eq!(lab.tree(OnPremise), ["p.txt", "z.txt"]);
    resolve(&mut lab, OnPremise);
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.tree(side), ["p.txt", "z.txt"], "{side:?}");
        assert_eq!(lab.content(side, "p.txt"), content);
    }
}

#[test]
fn r_con_4_bytes_that_wait_for_a_decision_are_kept_when_their_copy_is_deleted() {
    let follows = Options {
        delete_on_premise: true,
        ..manual()
    };
    let mut lab = Lab::choosing(follows, &["/a.txt"]);
    let ours = lab.write(OnPremise, "/a.txt");
    let theirs = lab.write(Cloud, "/a.txt");
    lab.converge();
    lab.delete(Cloud, "/a.txt");
    lab.converge();
    resolve(&mut lab, OnPremise);
    let member = lab.member(OnPremise, "/a.txt").unwrap();
    assert_eq!(lab.content(Cloud, "/a.txt"), ours);
    let lost = content_ref(theirs).digest;
    let kept = &lab.world().coordinator.store.losers;
    assert!(kept.contains(&(member.id, Cloud, lost)));
}

fn keep_both() -> Options {
    with(ConflictPolicy::KeepBoth)
}

#[test]
fn r_con_3_keep_both_makes_a_sibling_of_the_losing_content_on_both_sides() {
    let mut lab = Lab::holding(keep_both(), &["f", "f/x.txt"]);
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(lab.write(OnPremise, "f/x.txt"));
        let won = lab.write(Cloud, "f/x.txt");
        lab.converge();
        for side in [OnPremise, Cloud] {
            assert_eq!(lab.content(side, "f/x.txt"), won);
        }
    }
    let siblings = [
        "f/x (on-premise conflict 1).txt",
        "f/x (on-premise conflict 2).txt",
    ];
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.tree(side), ["f", siblings[0], siblings[1], "f/x.txt"]);
        assert_eq!(siblings.map(|path| lab.content(side, path)), lost[..]);
    }
    assert_eq!(lab.conflicts(), 2);
    let member = lab.member(OnPremise, siblings[0]).unwrap();
    assert_ne!(member.id, lab.member(OnPremise, "f/x.txt").unwrap().id);
}

#[test]
fn r_con_3_of_a_chosen_document_the_losing_content_is_kept_beside_it_unsynced() {
    let mut lab = Lab::choosing(keep_both(), &["/outside/x.txt"]);
    lab.make(OnPremise, "/outside/x (on-premise conflict 1).txt");
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(lab.write(OnPremise, "/outside/x.txt"));
        let won = lab.write(Cloud, "/x.txt");
        lab.converge();
        assert_eq!(lab.content(OnPremise, "/outside/x.txt"), won);
    }
    // Who has a name there is not known: the first one was taken.
    let siblings = [
        "/outside/x (on-premise conflict 2).txt",
        "/outside/x (on-premise conflict 3).txt",
    ];
    assert_eq!(siblings.map(|path| lab.content(OnPremise, path)), lost[..]);
    for path in siblings {
        assert_eq!(lab.member(OnPremise, path), None, "{path}");
        lab.write(OnPremise, path);
    }
    lab.converge();
    let target = lab.find(Cloud, "/").unwrap();
    let inside = lab.repository(Cloud).children(&target);
    assert_eq!(inside.len(), 2, "the document and the canary");
    let set = lab.sync_set().unwrap();
    assert_eq!(set.counters.members, 1, "R-SET-1: membership is frozen");
    assert_eq!(lab.conflicts(), 2);
}

#[test]
fn r_con_3_what_is_kept_beside_a_chosen_document_in_a_synced_folder_enters_there() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.make(OnPremise, "/d.txt");
    lab.choose(keep_both(), &["/d.txt"]);
    lab.relocate(OnPremise, "/d.txt", "");
    lab.converge();
    let lost = lab.write(OnPremise, "d.txt");
    lab.write(Cloud, "/d.txt");
    lab.converge();
    let sibling = "d (on-premise conflict 1).txt";
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.content(side, sibling), lost, "R-MEM-1: {side:?}");
    }
    let member = lab.member(OnPremise, sibling).unwrap();
    assert!(!member.direct && member.set == lab.set);
}

#[test]
fn r_con_3_keep_both_without_content_that_loses_is_as_cloud_wins() {
    let mut lab = Lab::holding(keep_both(), &["x.txt"]);
    lab.rename(OnPremise, "x.txt", "y.txt");
    let content = lab.write(Cloud, "x.txt");
    lab.converge();
    for side in [OnPremise, Cloud] {
        assert_eq!(lab.tree(side), ["x.txt"]);
        assert_eq!(lab.content(side, "x.txt"), content);
    }
    assert_eq!(lab.conflicts(), 1);
}

#[test]
fn r_con_3_keep_both_lets_a_change_beat_a_deletion_on_either_side() {
    for deleted_on in [OnPremise, Cloud] {
        let options = Options {
            delete_on_premise: true,
            ..keep_both()
        };
        let mut lab = Lab::holding(options, &["x.txt"]);
        lab.delete(deleted_on, "x.txt");
        let content = lab.write(deleted_on.other(), "x.txt");
        lab.converge();
        for side in [OnPremise, Cloud] {
            assert_eq!(lab.tree(side), ["x.txt"], "{deleted_on:?}");
            assert_eq!(lab.content(side, "x.txt"), content);
        }
    }
}

#[test]
fn r_con_3_a_siblings_name_is_one_that_is_free_on_both_sides_whoever_took_it() {
    let mut lab = Lab::holding(keep_both(), &["x.txt"]);
    lab.away(OnPremise);
    lab.make(Cloud, "x (on-premise conflict 1).txt");
    lab.write(OnPremise, "x.txt");
    lab.write(Cloud, "x.txt");
    lab.make(OnPremise, "x (on-premise conflict 2).txt");
    lab.settle();
    lab.back(OnPremise);
    lab.converge();
    assert_eq!(lab.tree(Cloud).len(), 4);
    assert!(lab.find(Cloud, "x (on-premise conflict 3).txt").is_some());
    assert_eq!(lab.tree(OnPremise), lab.tree(Cloud));
}

#[test]
fn r_con_3_a_sibling_is_made_also_when_the_loser_had_moved_into_another_set() {
    for cloud_moves in [false, true] {
        let mut lab = Lab::holding(keep_both(), &["f", "f/x.txt"]);
        let second = lab.second_set(keep_both());
        lab.make(OnPremise, "/second/g");
        lab.converge();
        lab.away(Cloud);
        if cloud_moves {
            lab.relocate(Cloud, "f/x.txt", "");
        } else {
            lab.rename(Cloud, "f/x.txt", "y.txt");
        }
        lab.relocate(OnPremise, "f/x.txt", "/second/g");
        let lost = lab.write(OnPremise, "/second/g/x.txt");
        lab.settle();
        lab.back(Cloud);
        lab.converge();
        let nodes = lab.repository(OnPremise).nodes.values();
        let kept = nodes.filter(|node| node.content == lost).count();
        assert_eq!(kept, 1, "{second} {cloud_moves}");
    }
}

fn clashing(name_clash_policy: NameClashPolicy) -> Options {
    Options {
        name_clash_policy,
        ..Options::default()
    }
}

/// Gives a node the content and no title of another one on the other side.
fn make_equal(lab: &mut Lab, side: Side, path: &str) {
    let content = lab.content(side.other(), path);
    lab.fill(side, path, content);
}

#[test]
fn r_rec_9_equal_newcomers_are_paired_and_folders_with_what_is_in_them() {
    for seed in 0..40 {
        let mut lab = Lab::new(clashing(NameClashPolicy::AdoptIdentical));
        lab.draw_from(seed);
        for side in [OnPremise, Cloud] {
            lab.make(side, "f");
            lab.make(side, "f/x.txt");
        }
        make_equal(&mut lab, Cloud, "f/x.txt");
        let nodes = [OnPremise, Cloud].map(|side| lab.find(side, "f/x.txt"));
        lab.converge();
        for (side, node) in [OnPremise, Cloud].into_iter().zip(nodes) {
            assert_eq!(lab.tree(side), ["f", "f/x.txt"], "seed {seed}");
            assert_eq!(lab.find(side, "f/x.txt"), node, "seed {seed}");
        }
        assert_eq!(lab.failure(OnPremise, "f/x.txt"), None, "seed {seed}");
        let ids = [OnPremise, Cloud].map(|side| lab.member(side, "f/x.txt").unwrap().id);
        assert_eq!(ids[0], ids[1], "seed {seed}");
        assert_eq!(lab.conflicts(), 0, "seed {seed}");
        let written = lab.write(Cloud, "f/x.txt");
        lab.converge();
        assert_eq!(lab.content(OnPremise, "f/x.txt"), written);
    }
}

#[test]
fn r_rec_9_newcomers_that_differ_are_not_adopted() {
    let mut lab = Lab::new(clashing(NameClashPolicy::AdoptIdentical));
    for side in [OnPremise, Cloud] {
        lab.make(side, "x.txt");
    }
    lab.converge();
    for side in [OnPremise, Cloud] {
        let failure = lab.failure(side, "x.txt");
        assert_eq!(failure, Some(Reason::TargetFolderNameClash), "{side:?}");
    }
}

#[test]
fn r_rec_9_a_newcomer_is_paired_with_an_equal_node_that_was_unlinked() {
    let options = Options {
        allow_delete_on_cloud: false,
        ..clashing(NameClashPolicy::AdoptIdentical)
    };
    let mut lab = Lab::holding(options, &["x.txt"]);
    lab.delete(OnPremise, "x.txt");
    lab.converge();
    assert_eq!(lab.member(Cloud, "x.txt"), None);
    lab.away(OnPremise);
    lab.make(OnPremise, "x.txt");
    make_equal(&mut lab, OnPremise, "x.txt");
    lab.back(OnPremise);
    lab.converge();
    let ids = [OnPremise, Cloud].map(|side| lab.member(side, "x.txt").unwrap().id);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn r_rec_9_the_on_premise_newcomer_gets_a_free_name_whichever_comes_first() {
    for seed in 0..40 {
        let mut lab = Lab::new(clashing(NameClashPolicy::Rename));
        lab.draw_from(seed);
        lab.make(Cloud, "x (1).txt");
        lab.converge();
        let ours = [lab.make(OnPremise, "x.txt"), lab.make(OnPremise, "f")];
        lab.make(OnPremise, "f/y.txt");
        let theirs = [lab.make(Cloud, "x.txt"), lab.make(Cloud, "f")];
        lab.converge();
        for side in [OnPremise, Cloud] {
            let tree = [
                "f",
                "f (1)",
                "f (1)/y.txt",
                "x (1).txt",
                "x (2).txt",
                "x.txt",
            ];
            assert_eq!(lab.tree(side), tree, "seed {seed} {side:?}");
        }
        let kept = ["x.txt", "f"].map(|path| lab.find(Cloud, path).unwrap());
        assert_eq!(kept, theirs, "seed {seed}");
        let renamed = ["x (2).txt", "f (1)"].map(|path| lab.find(OnPremise, path).unwrap());
        assert_eq!(renamed, ours, "seed {seed}");
    }
}

#[test]
fn r_rec_9_a_synced_folder_whose_name_is_taken_in_the_target_gets_a_free_one() {
    let mut lab = Lab::choosing(clashing(NameClashPolicy::Rename), &["/d.txt"]);
    let canaries = ["/second", "/e.txt", "/e (1).txt"].map(|path| {
        let node = lab.make(Cloud, path);
        (node, path)
    });
    lab.second_set(clashing(NameClashPolicy::Rename));
    lab.make(OnPremise, "/e.txt");
    lab.choose(clashing(NameClashPolicy::Rename), &["/e.txt"]);
    for (node, path) in canaries {
        assert_eq!(
            lab.find(Cloud, path),
            Some(node.clone()),
            "nothing of it is touched"
        );
        assert_eq!(lab.repository(Cloud).children(&node), []);
    }
    for side in [OnPremise, Cloud] {
        lab.find(side, "/second (1)")
            .expect("it was renamed before its push");
        lab.find(side, "/e (1) (1).txt")
            .expect("so are chosen documents");
    }
    lab.make(OnPremise, "/second (1)/x.txt");
    lab.converge();
    assert!(lab.find(Cloud, "/second (1)/x.txt").is_some());
    lab.rename(OnPremise, "/second (1)", "third");
    lab.converge();
    assert!(lab.find(Cloud, "/third/x.txt").is_some());
}
