//! Only the end of a membership unlocks, and it always does (R-LCK-1).

use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::lab::Lab;

#[test]
fn r_lck_1_a_folder_that_stays_because_of_what_is_in_it_is_unlocked() {
    let options = Options {
        lock_on_premise_copy: true,
        delete_on_premise: true,
        ..Options::default()
    };
    let mut lab = Lab::holding(options, &["f", "f/a.txt"]);
    let folder = lab.find(OnPremise, "f").unwrap();
    assert!(lab.repository(OnPremise).nodes[&folder].locked);
    let working_copy = lab.make(OnPremise, "f/w.txt");
    let repository = &mut lab.world_mut().places.on_premise.repository;
    repository.change(&working_copy, |node| {
        node.node_trait = NodeTrait::WorkingCopy;
    });
    lab.settle();
    lab.delete(Cloud, "f");
    lab.converge();
    assert_eq!(lab.tree(OnPremise), ["f", "f/w.txt"]);
    assert_eq!(lab.member(OnPremise, "f"), None);
    assert!(!lab.repository(OnPremise).nodes[&folder].locked);
}
