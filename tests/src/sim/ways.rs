//! The ways in which a scenario can be played: the result must be the same in each (R-REC-5, I11).

use std::cell::Cell;
use std::collections::BTreeMap;

use tandem_server::domain::copy::CopyState;
use tandem_server::domain::member::MemberState;
use tandem_server::domain::projection::Side;

use super::agent::BatchSize;
use super::world::World;

/// Names the [`Way`] in which the scenarios of a process are played; without it, the first of [`WAYS`].
pub const WAY: &str = "TANDEM_WAY";
/// The directory in which each scenario says how it ended.
pub const ENDS: &str = "TANDEM_ENDS";

/// Who has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The agent of a side.
    Agent(Side),
    /// The coordinator.
    Coordinator,
}

/// How long a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// One thing.
    Once,
    /// All that can be done.
    All,
}

/// An order of delivery, a size of batches, and whether somebody is restarted now and then.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Its name.
    pub name: &'static str,
    /// What chance draws from.
    pub seed: u64,
    /// The turns of a round.
    pub turns: [(Actor, Turn); 3],
    /// How much of what agents have to tell goes together.
    pub batches: BatchSize,
    /// Steps between two restarts; 0 = none.
    pub restarts_every: usize,
}

const ON_PREMISE: Actor = Actor::Agent(Side::OnPremise);
const CLOUD: Actor = Actor::Agent(Side::Cloud);
const FAIR: [(Actor, Turn); 3] = [
    (ON_PREMISE, Turn::Once),
    (CLOUD, Turn::Once),
    (Actor::Coordinator, Turn::Once),
];
const ON_PREMISE_FIRST: [(Actor, Turn); 3] = [
    (ON_PREMISE, Turn::All),
    (Actor::Coordinator, Turn::All),
    (CLOUD, Turn::Once),
];
const CLOUD_FIRST: [(Actor, Turn); 3] = [
    (CLOUD, Turn::All),
    (Actor::Coordinator, Turn::All),
    (ON_PREMISE, Turn::Once),
];
const COORDINATOR_LAST: [(Actor, Turn); 3] = [
    (CLOUD, Turn::All),
    (ON_PREMISE, Turn::All),
    (Actor::Coordinator, Turn::Once),
];

const fn way(name: &'static str, turns: [(Actor, Turn); 3], batches: BatchSize) -> Way {
    Way {
        name,
        seed: 1,
        turns,
        batches,
        restarts_every: 0,
    }
}

impl Way {
    /// The same with somebody restarted every so many steps, and another chance.
    const fn restarting(self, name: &'static str, restarts_every: usize, seed: u64) -> Self {
        Self {
            name,
            seed,
            restarts_every,
            ..self
        }
    }
}

/// All of them; the first is the one of a test that is run by itself.
pub const WAYS: [Way; 9] = [
    way("fair", FAIR, BatchSize::Any),
    way("one by one", FAIR, BatchSize::One),
    way("on-premise first", ON_PREMISE_FIRST, BatchSize::All),
    way("cloud first", CLOUD_FIRST, BatchSize::All),
    way("coordinator last", COORDINATOR_LAST, BatchSize::All),
    way("", FAIR, BatchSize::Any).restarting("restarts", 5, 2),
    way("", FAIR, BatchSize::One).restarting("restarts, one by one", 3, 3),
    way("", CLOUD_FIRST, BatchSize::Any).restarting("restarts, cloud first", 4, 4),
    way("", ON_PREMISE_FIRST, BatchSize::One).restarting("restarts, on-premise first", 7, 5),
];

impl Way {
    /// The way that this process is asked for.
    ///
    /// # Panics
    /// There is none of that name.
    #[must_use]
    pub fn asked_for() -> Self {
        let Ok(name) = std::env::var(WAY) else {
            return WAYS[0];
        };
        let found = WAYS.into_iter().find(|way| way.name == name);
        found.unwrap_or_else(|| panic!("{WAY}: there is no way `{name}`"))
    }
}

thread_local! {
    static ENDED: Cell<usize> = const { Cell::new(0) };
}

/// The name of the scenario of this thread, each time another one.
#[must_use]
pub fn scenario_name() -> Option<String> {
    let count = ENDED.replace(ENDED.get() + 1);
    let thread = std::thread::current();
    let name = thread.name()?.replace("::", ".");
    Some(format!("{name}.{count}"))
}

/// Everything that must be the same, in words: both repositories, the members, and the conflicts.
#[must_use]
pub fn end_of(world: &World) -> String {
    let mut told = Vec::new();
    let store = &world.coordinator.store;
    for side in Side::BOTH {
        let repository = &world.places.get(side).repository;
        for (id, node) in &repository.nodes {
            let (path, content, title) = (repository.path(id), node.content, &node.title);
            let key = (super::coordinator::repository_id(side), id.clone());
            let state = store.copies.get(&key).map(|copy| &copy.state);
            let state = state.filter(|state| **state != CopyState::Live);
            told.push(format!(
                "{side:?} {path}: {content} {title:?} locked {} {state:?}",
                node.locked
            ));
        }
    }
    for member in store.members.values() {
        let paths = Side::BOTH.map(|side| {
            let node = member.nodes.get(side).as_ref()?;
            let repository = &world.places.get(side).repository;
            let there = repository.nodes.contains_key(node);
            there.then(|| repository.path(node))
        });
        let state = match &member.state {
            MemberState::Failed(failure) => format!("failed: {:?}", failure.reason),
            other => format!("{other:?}"),
        };
        told.push(format!("member {paths:?}: {state}, hold {:?}", member.hold));
    }
    told.sort();
    let mut conflicts: BTreeMap<String, usize> = BTreeMap::new();
    for conflict in &store.conflicts {
        let (kind, winner) = (conflict.kind, conflict.winner);
        let what = format!(
            "conflict {kind:?} won by {winner:?}, open {}",
            conflict.open
        );
        *conflicts.entry(what).or_default() += 1;
    }
    told.extend(
        conflicts
            .iter()
            .map(|(what, count)| format!("{count} × {what}")),
    );
    told.join("\n")
}
