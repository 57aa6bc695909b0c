//! Who an agent is to the coordinator, and what it makes of what that one remembers (R-AGT-3, R-AGT-4).

use std::collections::BTreeMap;

use tandem_server::domain::ids::{BatchId, Generation};
use tandem_server::domain::session::Greeting;

use super::super::link::Link;
use super::super::repository::Repository;
use super::{Agent, Durable, Memory};

impl Agent {
    /// What it shows in its next handshake.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        self.durable.greeting()
    }

    /// What would come back from a backup of its state.
    #[must_use]
    pub fn state(&self) -> Durable {
        self.durable.clone()
    }

    /// Its state is that of a backup; what it had in memory is gone.
    pub fn restore(&mut self, state: Durable, repository: &Repository, link: &mut Link) {
        link.cut();
        self.durable = state;
        self.memory = Memory::default();
        let known = self.durable.index.keys();
        self.memory.dirty = repository.nodes.keys().chain(known).cloned().collect();
    }

    /// Its state is lost, and with it the marks of what it made (R-AGT-10).
    pub fn forget(&mut self, number: u64, repository: &mut Repository, link: &mut Link) {
        let state = Durable {
            index_number: number,
            ..Durable::default()
        };
        for node in repository.nodes.values_mut() {
            node.mark = None;
            node.unreported = None;
        }
        self.restore(state, repository, link);
    }

    /// Brings the outbox in line with what the coordinator remembers; false when a session cannot go on so.
    pub(super) fn stand(&mut self, generation: Generation, last: (i64, Option<BatchId>)) -> bool {
        self.memory.sent = 0;
        if generation != self.durable.generation {
            self.begin_generation(generation, last);
            return true;
        }
        let mut waiting = self.durable.batches.iter();
        let known = last == self.durable.answered
            || waiting.any(|batch| (batch.number, Some(batch.id)) == last);
        if !known {
            self.doubt();
        }
        known
    }

    /// Both remember different things: the next handshake shows no generation.
    pub(super) fn doubt(&mut self) {
        self.durable.generation = Generation(0);
        self.durable.items.clear();
        self.durable.batches.clear();
    }

    /// Outbox and reported state are void; everything is going to be listed.
    fn begin_generation(&mut self, generation: Generation, last: (i64, Option<BatchId>)) {
        let durable = &mut self.durable;
        durable.generation = generation;
        durable.answered = last;
        durable.items.clear();
        durable.batches.clear();
        durable.index = BTreeMap::new();
        durable.ended_scans.clear();
        durable.made.clear();
        self.memory.deliveries.clear();
        self.memory.asked.clear();
    }
}

impl Durable {
    /// What an agent with this state shows.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        Greeting {
            installation: "only".to_owned(),
            index: format!("index {}", self.index_number),
            generation: self.generation,
            key: self.key,
            batch_number: self.answered.0,
            batch_id: self.answered.1,
            protocol_min: 1,
            protocol_max: 1,
        }
    }
}
