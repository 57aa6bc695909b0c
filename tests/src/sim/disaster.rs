//! What administrators fear: state that is lost, copied, or comes back from a backup (R-AGT-2, R-AGT-4, R-AGT-10).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tandem_server::domain::ids::NodeId;
use tandem_server::domain::projection::{Side, Sides};
use tandem_server::domain::session::Greeting;

use super::agent::Durable;
use super::coordinator::repository_id;
use super::repository::Repository;
use super::store::Store;
use super::world::World;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disaster {
    /// An agent loses its state.
    StateLost,
    /// A repository loses the ids of its nodes, and its agent the state that knew them.
    IdsLost,
    /// The coordinator comes back from its backup.
    CoordinatorRestored,
    /// An agent's state comes back from a backup.
    StateRestored,
    /// A repository and its agent's state come back from a backup.
    RepositoryRestored,
    /// Somebody starts an old copy of an agent's state.
    Cloned,
}

impl Disaster {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::StateLost,
        Self::IdsLost,
        Self::CoordinatorRestored,
        Self::StateRestored,
        Self::RepositoryRestored,
        Self::Cloned,
    ];
}

/// Backups, each of one moment of its own.
#[derive(Debug, Clone, Default)]
pub struct Backups {
    coordinator: Option<Store>,
    sides: Sides<Option<(Repository, Durable)>>,
}

impl World {
    /// Backs up the coordinator.
    pub fn back_up_coordinator(&mut self) {
        self.backups.coordinator = Some(self.coordinator.store.clone());
        self.trace.tell("the coordinator is backed up".to_owned());
    }

    /// Backs up a repository with its agent's state.
    pub fn back_up(&mut self, side: Side) {
        let place = self.places.get(side);
        let backup = (place.repository.clone(), place.agent.state());
        *self.backups.sides.get_mut(side) = Some(backup);
        self.trace.tell(format!("{side:?} is backed up"));
    }

    /// Lets it happen, if it can; `fixed` nodes keep their ids.
    ///
    /// # Errors
    /// An old copy of an agent's state was let in.
    pub fn suffer(
        &mut self,
        disaster: Disaster,
        side: Side,
        fixed: &[NodeId],
    ) -> Result<(), String> {
        self.trace.tell(format!("{side:?} {disaster:?}"));
        let number = self.random.draw();
        let place = self.places.get_mut(side);
        match disaster {
            Disaster::StateLost => {
                place
                    .agent
                    .forget(number, &mut place.repository, &mut place.link);
            }
            Disaster::IdsLost => {
                let fixed: BTreeSet<&NodeId> = fixed.iter().collect();
                place.repository.lose_ids(&fixed);
                place
                    .agent
                    .forget(number, &mut place.repository, &mut place.link);
            }
            Disaster::CoordinatorRestored => self.restore_coordinator(number),
            Disaster::StateRestored => self.restore_state(side),
            Disaster::RepositoryRestored => self.restore_repository(side),
            Disaster::Cloned => return self.start_clone(side),
        }
        Ok(())
    }

    /// As `tandemd restore` does, which marks every repository; or by hand, where both agents show that they are ahead.
    fn restore_coordinator(&mut self, number: u64) {
        let Some(mut store) = self.backups.coordinator.clone() else {
            return;
        };
        if number.is_multiple_of(2) || !self.is_noticed(&store) {
            for remembered in store.remembered.values_mut() {
                remembered.restored = true;
            }
        }
        self.coordinator.crash();
        self.coordinator.store = store;
        for side in Side::BOTH {
            self.places.get_mut(side).link.cut();
        }
    }

    fn is_noticed(&self, store: &Store) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let remembered = store.remembered.get(&repository_id(side));
            let last = remembered.map_or(0, |remembered| remembered.batch_number);
            self.places.get(side).agent.state().greeting().batch_number > last
        })
    }

    fn restore_state(&mut self, side: Side) {
        let place = self.places.get_mut(side);
        if let Some((then, state)) = self.backups.sides.get(side).clone() {
            for (id, node) in &mut place.repository.nodes {
                // The marks are a part of the state.
                let then = then.nodes.get(id);
                node.mark = then.and_then(|then| then.mark.clone());
                node.unreported = None;
            }
            place
                .agent
                .restore(state, &place.repository, &mut place.link);
        }
    }

    fn restore_repository(&mut self, side: Side) {
        if let Some((then, state)) = self.backups.sides.get(side).clone() {
            self.note_unheard(side, &then);
            let place = self.places.get_mut(side);
            place.repository.go_back(then);
            place
                .agent
                .restore(state, &place.repository, &mut place.link);
        }
    }

    /// R-AGT-4: a state that the copy had before is no change; but one that the coordinator never heard of looks like an
    /// edit of the newer one.
    fn note_unheard(&mut self, side: Side, then: &Repository) {
        let repository = repository_id(side);
        let copies = &self.coordinator.store.copies;
        for (id, now) in &self.places.get(side).repository.nodes {
            let copy = copies.get(&(repository, id.clone()));
            let before = then.nodes.get(id);
            let (Some(copy), Some(before)) = (copy, before) else {
                continue;
            };
            let presence = before.presence();
            let heard = copy.looked_so(&presence.projection, &presence.parent);
            if !heard && before.content != now.content {
                self.ledger.rewrite(now.content, before.content);
            }
        }
    }

    /// I21: a used key is refused, and what was never a session's has no effect.
    fn start_clone(&mut self, side: Side) -> Result<(), String> {
        let Some((_, state)) = self.backups.sides.get(side) else {
            return Ok(());
        };
        let old = state.greeting();
        let other = Greeting {
            installation: "a copy".to_owned(),
            ..old.clone()
        };
        if self.coordinator.knows_another(side, &other)
            && self.coordinator.would_admit(side, &other)
        {
            return Err(format!(
                "I21: {side:?} let another installation in: {other:?}"
            ));
        }
        match self.coordinator.has_used(side, &old) && self.coordinator.would_admit(side, &old) {
            true => Err(format!("I21: {side:?} let a clone in: {old:?}")),
            false => Ok(()),
        }
    }
}
