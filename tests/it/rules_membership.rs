//! What the synced folder is called on the other side, and where it lies there (R-MEM-3).

use tandem_server::domain::projection::Side::{Cloud, OnPremise};
use tandem_server::domain::sync_set::Options;
use tandem_tests::sim::lab::Lab;

#[test]
fn r_mem_3_the_pushed_folder_has_its_own_name_and_renames_of_it_are_mirrored_both_ways() {
    let mut lab = Lab::new(Options::default());
    lab.make(OnPremise, "x.txt");
    lab.converge();
    let name = |lab: &Lab, side| {
        let root = lab.root(side);
        lab.repository(side).nodes[&root].name.clone()
    };
    assert_eq!(name(&lab, Cloud), name(&lab, OnPremise));
    lab.rename(OnPremise, "", "renamed on-premise");
    lab.converge();
    assert_eq!(name(&lab, Cloud), "renamed on-premise");
    lab.rename(Cloud, "", "renamed on the cloud");
    lab.converge();
    assert_eq!(name(&lab, OnPremise), "renamed on the cloud");
    assert_eq!(lab.conflicts(), 0);
}

#[test]
fn r_mem_3_moves_of_the_pushed_folder_are_not_mirrored_and_updates_keep_flowing() {
    for side in [OnPremise, Cloud] {
        let mut lab = Lab::new(Options::default());
        lab.make(OnPremise, "x.txt");
        lab.converge();
        let other = side.other();
        let place = |lab: &Lab| lab.repository(other).path(&lab.root(other));
        let before = place(&lab);
        lab.relocate(side, "", "/outside");
        lab.converge();
        assert_eq!(place(&lab), before, "{side:?}");
        let written = lab.write(side, "x.txt");
        lab.make(other, "y.txt");
        lab.converge();
        assert_eq!(lab.content(other, "x.txt"), written, "{side:?}");
        assert_eq!(lab.tree(side), ["x.txt", "y.txt"], "{side:?}");
    }
}
