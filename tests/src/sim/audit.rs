//! What an agent may do to its repository: nothing that destroys what nobody gave up, or that an option forbids.

use tandem_server::domain::projection::Side;

use super::repository::{Repository, content_ref};
use super::run::Storm;

impl Storm {
    /// What the agent did to the repository destroys nothing that nobody gave up, and obeys the options.
    pub(super) fn audit(&self, side: Side, before: &Repository) -> Result<(), String> {
        let world = &self.world;
        let store = &world.coordinator.store;
        let now = &world.places.get(side).repository;
        let locks = self.plan.options().any(|set| set.lock_on_premise_copy);
        // What goes with a cloud copy may be known to nobody else; its agent keeps it.
        let clears = self.clears && side == Side::Cloud;
        // Nodes that exchanged their names while their ids were lost are taken for each other (R-AGT-10).
        let other = world.places.get(side.other()).repository.nodes.values();
        let newer = |old: u64, new: u64| world.ledger.may_overwrite(store, old, new);
        let put_back = locks && side == Side::OnPremise;
        let taken_for_other =
            |old: u64| self.suffered && other.clone().any(|node| newer(old, node.content));
        // R-AGT-4: what a restored repository had forgotten when somebody edited it is kept for ever.
        let kept = |old: u64| {
            let digest = content_ref(old).digest;
            let mut losers = store.losers.iter();
            self.suffered && losers.any(|(_, on, lost)| *on == side && *lost == digest)
        };
        // R-LCK-1: a forced change is not pushed; the copy follows the cloud's deletion, archived first.
        let follows = |old: u64| put_back && now.archive.contains(&old);
        for (id, old) in &before.nodes {
            let new = now.nodes.get(id).map(|new| new.content);
            if new != Some(old.content) && old.content != 0 && !now.archive.contains(&old.content) {
                return Err(format!(
                    "R-AGT-6: {side:?} {id} was not archived: {}",
                    old.content
                ));
            }
            match now.nodes.get(id) {
                Some(new) if new.content != old.content => {
                    let fine = world.ledger.may_overwrite(store, old.content, new.content);
                    let unseen = taken_for_other(old.content) || kept(old.content);
                    if !fine && !put_back && !unseen {
                        return Err(format!(
                            "I3: {side:?} {id} lost {} to {}",
                            old.content, new.content
                        ));
                    }
                }
                None if clears && now.archive.contains(&old.content) => {}
                None if !world.ledger.may_remove(store, old.content) && !follows(old.content) => {
                    return Err(format!(
                        "I3: {side:?} {id} was removed with {}",
                        old.content
                    ));
                }
                None if self.never_deletes(side) => {
                    return Err(format!("I18: {side:?} {id} was removed"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn never_deletes(&self, side: Side) -> bool {
        self.plan.options().all(|set| match side {
            Side::OnPremise => !set.delete_on_premise,
            Side::Cloud => !set.allow_delete_on_cloud,
        })
    }
}
