//! While somebody edits a document online its changes wait, on both sides; they go out when that ends (R-LCK-2).

use tandem_server::domain::member::{Hold, MemberState};
use tandem_server::domain::policy::ConflictPolicy;
use tandem_server::domain::projection::Side::{self, Cloud, OnPremise};
use tandem_server::domain::sync_set::{Options, Removal};
use tandem_tests::sim::lab::Lab;

fn hold(lab: &Lab, side: Side, path: &str) -> Option<Hold> {
    lab.member(side, path).and_then(|member| member.hold)
}

fn is_synced(lab: &Lab, side: Side, path: &str) -> bool {
    let member = lab.member(side, path);
    member.is_some_and(|member| member.state == MemberState::Synced)
}

#[test]
fn r_lck_2_what_is_written_during_an_online_edit_goes_out_when_it_ends() {
    for side in [OnPremise, Cloud] {
        let mut lab = Lab::holding(Options::default(), &["x.txt", "y.txt"]);
        let before = lab.content(side, "x.txt");
        lab.edit_online(side, "x.txt", true);
        lab.settle();
        assert!(is_synced(&lab, side, "x.txt"), "nothing waits yet");
        lab.write(side, "x.txt");
        let written = lab.write(side, "x.txt");
        let other = lab.write(side, "y.txt");
        lab.settle();
        assert_eq!(hold(&lab, side, "x.txt"), Some(Hold::Editing), "{side:?}");
        assert_eq!(lab.content(side.other(), "x.txt"), before);
        assert_eq!(lab.content(side.other(), "y.txt"), other, "R-REC-8");
        lab.edit_online(side, "x.txt", false);
        lab.converge();
        assert_eq!(lab.content(side.other(), "x.txt"), written);
        assert_eq!(lab.conflicts(), 0);
    }
}

#[test]
fn r_lck_2_nothing_is_delivered_to_a_copy_that_is_edited_online() {
    for side in [OnPremise, Cloud] {
        let mut lab = Lab::holding(Options::default(), &["x.txt"]);
        let before = lab.content(side, "x.txt");
        lab.edit_online(side, "x.txt", true);
        lab.settle();
        let written = lab.write(side.other(), "x.txt");
        lab.settle();
        assert_eq!(hold(&lab, side, "x.txt"), Some(Hold::Editing), "{side:?}");
        assert_eq!(lab.content(side, "x.txt"), before);
        lab.edit_online(side, "x.txt", false);
        lab.converge();
        assert_eq!(lab.content(side, "x.txt"), written, "{side:?}");
        assert_eq!(lab.conflicts(), 0, "nobody wrote in the end");
    }
}

#[test]
fn r_lck_2_whether_both_changed_is_decided_when_the_online_edit_ends() {
    for policy in [ConflictPolicy::CloudWins, ConflictPolicy::Manual] {
        let options = Options {
            conflict_policy: policy,
            ..Options::default()
        };
        let mut lab = Lab::holding(options, &["x.txt"]);
        lab.edit_online(Cloud, "x.txt", true);
        lab.write(Cloud, "x.txt");
        lab.write(OnPremise, "x.txt");
        lab.settle();
        assert_eq!(lab.conflicts(), 0, "{policy:?}: not before it ends");
        assert_eq!(hold(&lab, Cloud, "x.txt"), Some(Hold::Editing));
        let written = lab.write(Cloud, "x.txt");
        lab.edit_online(Cloud, "x.txt", false);
        lab.converge();
        assert_eq!(lab.conflicts(), 1, "{policy:?}");
        assert_eq!(lab.content(Cloud, "x.txt"), written);
        match policy {
            ConflictPolicy::Manual => {
                assert_eq!(hold(&lab, Cloud, "x.txt"), Some(Hold::ManualConflict));
            }
            _ => assert_eq!(lab.content(OnPremise, "x.txt"), written),
        }
    }
}

#[test]
fn r_lck_2_a_deletion_waits_for_the_online_edit_of_the_other_copy() {
    let mut lab = Lab::holding(Options::default(), &["x.txt", "y.txt"]);
    for path in ["x.txt", "y.txt"] {
        lab.edit_online(Cloud, path, true);
        lab.settle();
        lab.delete(OnPremise, path);
    }
    lab.settle();
    assert_eq!(lab.tree(Cloud), ["x.txt", "y.txt"]);
    let written = lab.write(Cloud, "x.txt");
    for path in ["x.txt", "y.txt"] {
        lab.edit_online(Cloud, path, false);
    }
    lab.converge();
    assert_eq!(lab.tree(Cloud), ["x.txt"], "what was written is restored");
    assert_eq!(lab.content(OnPremise, "x.txt"), written, "R-REC-2");
}

#[test]
fn r_lck_2_a_document_that_is_made_in_an_online_edit_enters_when_that_ends() {
    let mut lab = Lab::holding(Options::default(), &["f"]);
    lab.make(Cloud, "f/new.txt");
    lab.edit_online(Cloud, "f/new.txt", true);
    lab.settle();
    assert_eq!(hold(&lab, Cloud, "f/new.txt"), Some(Hold::Editing));
    assert_eq!(lab.tree(OnPremise), ["f"]);
    let written = lab.write(Cloud, "f/new.txt");
    lab.edit_online(Cloud, "f/new.txt", false);
    lab.converge();
    assert_eq!(lab.content(OnPremise, "f/new.txt"), written);
}

#[test]
fn r_lck_2_a_set_that_ends_removes_its_cloud_copy_once_nobody_edits_it_online() {
    let mut lab = Lab::holding(Options::default(), &["x.txt"]);
    lab.edit_online(Cloud, "x.txt", true);
    lab.settle();
    lab.end_set(Removal::Everything);
    lab.settle();
    assert!(lab.find(Cloud, "/root/x.txt").is_some());
    lab.edit_online(Cloud, "/root/x.txt", false);
    lab.world_mut().coordinator.now += 600_000_000;
    lab.settle();
    assert_eq!(lab.find(Cloud, "/root"), None);
    assert!(lab.find(OnPremise, "/root/x.txt").is_some());
}
