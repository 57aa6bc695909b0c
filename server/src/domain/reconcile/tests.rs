//! One case for each row of the tables of SPEC §5 and §7, named by its rule.

use std::sync::Arc;

use super::super::policy::ConflictPolicy;
use super::super::projection::{NodeKind, Projection};
use super::*;

fn state(name: &str) -> State {
    State {
        projection: Arc::new(Projection {
            kind: NodeKind::Document,
            name: name.to_owned(),
            content: None,
            properties: Default::default(),
            node_type: String::new(),
        }),
        parent: None,
    }
}

fn live(name: &str) -> Sight {
    Sight::Live(state(name))
}

const DELETED: Sight = Sight::Gone(Absence::Deleted);
const MOVED_OUT: Sight = Sight::Gone(Absence::MovedOut);

/// A case: the base is always `base`, unless both are new.
struct Case {
    on_premise: Sight,
    cloud: Sight,
    is_new: bool,
    options: Options,
    choice: Option<PeerChoice>,
    deleting: Option<Side>,
    made: Option<Side>,
}

fn case(on_premise: Sight, cloud: Sight) -> Case {
    Case {
        on_premise,
        cloud,
        is_new: false,
        options: Options::default(),
        choice: None,
        deleting: None,
        made: None,
    }
}

impl Case {
    fn new_on_both(mut self) -> Self {
        self.is_new = true;
        self
    }

    fn with(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    fn made_on(mut self, side: Side) -> Self {
        self.made = Some(side);
        self
    }

    fn chosen(mut self, choice: PeerChoice) -> Self {
        self.choice = Some(choice);
        self
    }

    fn decision(self) -> Decision {
        let base = state("base");
        decide(&Situation {
            base: (!self.is_new).then_some(&base),
            sights: &Sides {
                on_premise: self.on_premise,
                cloud: self.cloud,
            },
            options: &self.options,
            comparison: &Comparison::default(),
            choice: self.choice,
            deleting: self.deleting,
            made: self.made,
        })
    }
}

fn keeps_cloud() -> Options {
    Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    }
}

fn deletes_on_premise() -> Options {
    Options {
        delete_on_premise: true,
        ..Options::default()
    }
}

fn locks() -> Options {
    Options {
        lock_on_premise_copy: true,
        ..Options::default()
    }
}

fn mirrored(options: Options) -> Options {
    Options {
        conflict_policy: ConflictPolicy::OnPremiseWins,
        ..options
    }
}

fn remove(side: Side, chosen: bool) -> Decision {
    Decision::Remove { side, chosen }
}

fn conflict(kind: ConflictKind) -> Decision {
    Decision::Conflict {
        kind,
        winner: Some(Side::Cloud),
    }
}

#[test]
fn equal_copies_need_nothing_and_one_sided_changes_flow() {
    assert_eq!(
        case(live("base"), live("base")).decision(),
        Decision::Agreed
    );
    assert_eq!(
        case(live("a"), live("base")).decision(),
        Decision::Deliver(Side::Cloud)
    );
    assert_eq!(
        case(live("base"), live("a")).decision(),
        Decision::Deliver(Side::OnPremise)
    );
}

#[test]
fn r_rec_1_equal_changes_converge_without_a_conflict() {
    assert_eq!(case(live("a"), live("a")).decision(), Decision::Agreed);
    let new = case(live("a"), live("a")).new_on_both();
    assert_eq!(new.decision(), Decision::Agreed);
}

#[test]
fn r_con_1_different_changes_are_a_conflict_that_the_cloud_wins() {
    let expected = conflict(ConflictKind::ChangeChange);
    assert_eq!(case(live("a"), live("b")).decision(), expected);
    assert_eq!(
        case(live("a"), live("b")).new_on_both().decision(),
        expected
    );
}

#[test]
fn what_is_new_on_one_side_is_created_on_the_other() {
    assert_eq!(
        case(live("a"), Sight::Never).new_on_both().decision(),
        Decision::Deliver(Side::Cloud)
    );
    assert_eq!(
        case(Sight::Never, live("a")).new_on_both().decision(),
        Decision::Deliver(Side::OnPremise)
    );
}

#[test]
fn section_7_a_deletion_on_premise_follows_the_choice_and_else_the_option() {
    let deleted = || case(DELETED, live("base"));
    assert_eq!(deleted().decision(), remove(Side::Cloud, false));
    assert_eq!(deleted().with(keeps_cloud()).decision(), Decision::End);
    let chosen = deleted().with(keeps_cloud()).chosen(PeerChoice::Remove);
    assert_eq!(chosen.decision(), remove(Side::Cloud, true));
    let kept = deleted().chosen(PeerChoice::Keep);
    assert_eq!(kept.decision(), Decision::End);
}

#[test]
fn r_rec_2_the_clouds_change_beats_a_deletion_on_premise() {
    let expected = conflict(ConflictKind::DeleteChange);
    assert_eq!(case(DELETED, live("a")).decision(), expected);
    let kept = case(DELETED, live("a")).with(keeps_cloud());
    assert_eq!(kept.decision(), Decision::End);
}

#[test]
fn section_7_a_deletion_on_the_cloud_that_is_not_allowed_is_undone() {
    for on_premise in ["base", "a"] {
        let deleted = case(live(on_premise), DELETED).with(keeps_cloud());
        assert_eq!(deleted.decision(), Decision::Revive(Side::Cloud));
    }
}

#[test]
fn section_7_a_deletion_on_the_cloud_follows_the_choice_and_else_the_option() {
    let deleted = || case(live("base"), DELETED);
    assert_eq!(deleted().decision(), Decision::CloudCopyDeleted);
    let follows = deleted().with(deletes_on_premise());
    assert_eq!(follows.decision(), remove(Side::OnPremise, false));
    let chosen = deleted().chosen(PeerChoice::Remove);
    assert_eq!(chosen.decision(), remove(Side::OnPremise, true));
    let kept = deleted()
        .with(deletes_on_premise())
        .chosen(PeerChoice::Keep);
    assert_eq!(kept.decision(), Decision::End);
}

#[test]
fn section_7_the_next_change_after_the_cloud_copy_was_deleted_fails() {
    assert_eq!(
        case(live("a"), DELETED).decision(),
        Decision::Fail(Reason::TargetNodeNoLongerExists)
    );
}

#[test]
fn r_rec_3_a_deletion_on_the_cloud_beats_a_change_on_premise() {
    let changed = case(live("a"), DELETED).with(deletes_on_premise());
    assert_eq!(changed.decision(), conflict(ConflictKind::ChangeDelete));
}

#[test]
fn r_mov_3_moved_out_on_premise_removes_the_cloud_copy_if_allowed() {
    let moved = || case(MOVED_OUT, live("base"));
    assert_eq!(moved().decision(), remove(Side::Cloud, false));
    assert_eq!(moved().with(keeps_cloud()).decision(), Decision::End);
}

#[test]
fn r_mov_3_moved_out_on_the_cloud_keeps_both_copies() {
    assert_eq!(case(live("base"), MOVED_OUT).decision(), Decision::End);
}

#[test]
fn r_rec_11_moved_out_on_one_side_and_changed_on_the_other_ends_the_membership() {
    assert_eq!(case(MOVED_OUT, live("a")).decision(), Decision::End);
    assert_eq!(case(live("a"), MOVED_OUT).decision(), Decision::End);
}

#[test]
fn r_rec_4_gone_on_both_sides_ends_the_membership() {
    for on_premise in [DELETED, MOVED_OUT, Sight::Never] {
        for cloud in [DELETED, MOVED_OUT, Sight::Never] {
            let gone = case(on_premise.clone(), cloud);
            assert_eq!(gone.decision(), Decision::End);
        }
    }
}

#[test]
fn r_lck_1_a_forced_change_or_deletion_of_a_locked_copy_is_put_back() {
    let changed = case(live("a"), live("base")).with(locks());
    assert_eq!(changed.decision(), Decision::Rebase(state("a")));
    let deleted = case(DELETED, live("base")).with(locks());
    assert_eq!(deleted.decision(), Decision::Revive(Side::OnPremise));
}

#[test]
fn section_7_a_deletion_that_was_asked_for_is_done_first() {
    let mut asked = case(live("a"), live("b"));
    asked.deleting = Some(Side::OnPremise);
    assert_eq!(asked.decision(), remove(Side::OnPremise, true));
}

#[test]
fn r_prj_5_what_a_repository_made_of_a_delivery_is_never_a_side_of_a_conflict() {
    let both = || case(live("edited"), live("by rule"));
    assert!(matches!(both().decision(), Decision::Conflict { .. }));
    let given_up = Decision::Rebase(state("by rule"));
    assert_eq!(both().made_on(Side::Cloud).decision(), given_up);
    let flows = case(live("base"), live("by rule")).made_on(Side::Cloud);
    assert_eq!(flows.decision(), Decision::Deliver(Side::OnPremise));
    let deleted = case(DELETED, live("by rule")).made_on(Side::Cloud);
    assert!(matches!(deleted.decision(), Decision::Remove { .. }));
    let moved_out = case(MOVED_OUT, live("by rule")).made_on(Side::Cloud);
    assert!(matches!(moved_out.decision(), Decision::Remove { .. }));
    let marked = case(live("by rule"), DELETED).made_on(Side::OnPremise);
    assert_eq!(marked.decision(), Decision::CloudCopyDeleted);
}

#[test]
fn r_con_3_on_premise_wins_mirrors_each_conflict() {
    let cases = [
        (
            case(live("a"), live("b")),
            Options::default(),
            ConflictKind::ChangeChange,
        ),
        (
            case(DELETED, live("b")),
            Options::default(),
            ConflictKind::DeleteChange,
        ),
        (
            case(live("a"), DELETED),
            deletes_on_premise(),
            ConflictKind::ChangeDelete,
        ),
    ];
    for (case, options, kind) in cases {
        let winner = Some(Side::OnPremise);
        let decision = case.with(mirrored(options)).decision();
        assert_eq!(decision, Decision::Conflict { kind, winner });
    }
}

#[test]
fn r_lck_1_a_lock_decides_for_the_cloud_whatever_the_policy() {
    let decision = |on_premise, cloud| {
        let locked = mirrored(Options {
            lock_on_premise_copy: true,
            ..deletes_on_premise()
        });
        case(on_premise, cloud).with(locked)
    };
    assert_eq!(
        decision(live("a"), live("b")).decision(),
        Decision::Rebase(state("a"))
    );
    assert_eq!(
        decision(live("a"), live("b")).new_on_both().decision(),
        conflict(ConflictKind::ChangeChange)
    );
    assert_eq!(
        decision(live("a"), DELETED).decision(),
        conflict(ConflictKind::ChangeDelete)
    );
}

#[test]
fn r_con_3_manual_leaves_every_conflict_to_a_person() {
    let manual = |options| Options {
        conflict_policy: ConflictPolicy::Manual,
        ..options
    };
    let cases = [
        (
            case(live("a"), live("b")).with(manual(Options::default())),
            ConflictKind::ChangeChange,
        ),
        (
            case(DELETED, live("b")).with(manual(Options::default())),
            ConflictKind::DeleteChange,
        ),
        (
            case(live("a"), DELETED).with(manual(deletes_on_premise())),
            ConflictKind::ChangeDelete,
        ),
    ];
    for (case, kind) in cases {
        let winner = None;
        assert_eq!(case.decision(), Decision::Conflict { kind, winner });
    }
    let alone = case(live("a"), live("base")).with(manual(Options::default()));
    assert_eq!(alone.decision(), Decision::Deliver(Side::Cloud));
}

#[test]
fn r_con_3_keep_both_is_as_cloud_wins_but_a_change_beats_a_deletion() {
    let keep_both = |options| Options {
        conflict_policy: ConflictPolicy::KeepBoth,
        ..options
    };
    let decision = |case: Case| case.with(keep_both(deletes_on_premise())).decision();
    assert_eq!(
        decision(case(live("a"), live("b"))),
        conflict(ConflictKind::ChangeChange)
    );
    assert_eq!(
        decision(case(DELETED, live("b"))),
        conflict(ConflictKind::DeleteChange)
    );
    let kind = ConflictKind::ChangeDelete;
    let winner = Some(Side::OnPremise);
    assert_eq!(
        decision(case(live("a"), DELETED)),
        Decision::Conflict { kind, winner }
    );
}
