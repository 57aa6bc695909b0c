//! What happens in one run, move by move, so that a failing run can be kept in a file, made smaller and played again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tandem_server::domain::names::NameRule;
use tandem_server::domain::projection::{Side, Sides};

use super::disaster::Disaster;
use super::plan::Plan;
use super::random::Random;

/// Documents and folders at most in a folder before it is synced.
const EARLY_EDITS: usize = 6;
/// Steps of everybody else for each action of users, at most.
const STEPS_PER_EDIT: usize = 12;
/// How often, in a thousand steps, somebody decides an open conflict.
const DECISIONS_PERMILLE: usize = 20;

/// A run before it is played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Names the plan, which is drawn from it.
    pub seed: u64,
    /// What of the plan was made ordinary when the script was shrunk.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ordinary: BTreeSet<Ordinary>,
    /// What happens, in order; afterwards everything comes to rest by itself.
    pub moves: Vec<Move>,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What.
    pub act: Act,
    /// All its chance: what one move draws depends on no other, so that any of them can be left out.
    pub draw: u64,
}

/// What a move does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A user makes the folder of this set.
    MakeFolder(usize),
    /// It is synced.
    SyncFolder(usize),
    /// A user does something.
    Edit(Side),
    /// Users of both sides change the two copies of one node at the same time.
    Collide,
    /// Everybody works until all is done.
    Rest,
    /// Some documents become a set of their own, if the plan has one.
    ChooseDocuments,
    /// An agent does one thing.
    Agent(Side),
    /// It does, and if that is applying a delivery, it crashes before the outcome is recorded.
    AgentCrashes(Side),
    /// The coordinator does one thing.
    Coordinator,
    /// A second passes.
    Wait,
    /// Somebody uses Request Sync.
    Request,
    /// A set is paused, or resumed.
    PauseOrResume,
    /// A set is ended.
    EndASet,
    /// Somebody decides an open conflict.
    ResolveConflict,
    /// The connection of an agent is cut.
    Cut(Side),
    /// An agent loses its memory.
    CrashAgent(Side),
    /// The coordinator loses its memory.
    CrashCoordinator,
    /// A repository refuses the next deliveries.
    Refuse(Side),
    /// A repository and its agent's state are backed up.
    BackUp(Side),
    /// The coordinator is backed up.
    BackUpCoordinator,
    /// State is lost or comes back from a backup.
    Suffer(Disaster, Side),
}

/// A way to make a plan ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ordinary {
    /// Both repositories compare names byte by byte.
    Names,
    /// No repository gives new documents a title.
    Titles,
    /// Agents tell moves out from deletions.
    MovesOut,
}

impl Ordinary {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Names, Self::Titles, Self::MovesOut];

    fn apply(self, plan: &mut Plan) {
        match self {
            Self::Names => plan.name_rules = Sides::<NameRule>::default(),
            Self::Titles => plan.adds_title = None,
            Self::MovesOut => plan.tells_move_out = true,
        }
    }
}

impl Script {
    /// The run of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut writer = Writer {
            random,
            plan,
            moves: Vec::new(),
        };
        writer.beginning();
        writer.storm();
        Self {
            seed,
            ordinary: BTreeSet::new(),
            moves: writer.moves,
        }
    }

    /// The plan that it is played by.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::draw(&mut Random::new(self.seed));
        self.ordinary.iter().for_each(|way| way.apply(&mut plan));
        plan
    }
}

struct Writer {
    random: Random,
    plan: Plan,
    moves: Vec<Move>,
}

impl Writer {
    fn add(&mut self, act: Act) {
        let draw = self.random.draw();
        self.moves.push(Move { act, draw });
    }

    fn any_side(&mut self) -> Side {
        Side::BOTH[self.random.below(2)]
    }

    fn beginning(&mut self) {
        let early = self.plan.sides.contains(&Side::OnPremise);
        for set in 0..self.plan.sets.len() {
            self.add(Act::MakeFolder(set));
            for _ in 0..self.random.below(EARLY_EDITS) * usize::from(early) {
                self.add(Act::Edit(Side::OnPremise));
            }
            if set == 0 && self.plan.documents.is_some() {
                self.add(Act::ChooseDocuments);
            }
            self.add(Act::SyncFolder(set));
        }
    }

    fn storm(&mut self) {
        for _ in 0..self.plan.edits {
            for _ in 0..self.random.below(STEPS_PER_EDIT) {
                self.step();
            }
            if self.random.chance(self.plan.rests_percent) {
                self.add(Act::Rest);
            }
            let sides = self.plan.sides.len();
            if sides > 1 && self.random.chance(self.plan.collisions_percent) {
                self.add(Act::Collide);
                continue;
            }
            let side = self.plan.sides[self.random.below(sides)];
            self.add(Act::Edit(side));
        }
    }

    fn step(&mut self) {
        self.faults();
        self.disaster();
        let act = match self.random.below(5) {
            0 | 1 => {
                let side = self.any_side();
                match self.random.chance(self.plan.agent_crash_percent) {
                    true => Act::AgentCrashes(side),
                    false => Act::Agent(side),
                }
            }
            2 => Act::Wait,
            _ => Act::Coordinator,
        };
        self.add(act);
        self.requests();
    }

    /// What people ask for.
    fn requests(&mut self) {
        for (permille, act) in [
            (self.plan.requests_percent * 10, Act::Request),
            (self.plan.pauses_permille, Act::PauseOrResume),
            (self.plan.ends_permille, Act::EndASet),
            (DECISIONS_PERMILLE, Act::ResolveConflict),
        ] {
            if self.random.below(1_000) < permille {
                self.add(act);
            }
        }
    }

    fn faults(&mut self) {
        let side = self.any_side();
        for (percent, act) in [
            (self.plan.cut_percent, Act::Cut(side)),
            (self.plan.agent_crash_percent, Act::CrashAgent(side)),
            (self.plan.refusal_percent, Act::Refuse(side)),
            (self.plan.coordinator_crash_percent, Act::CrashCoordinator),
        ] {
            if self.random.chance(percent) {
                self.add(act);
            }
        }
    }

    /// Backups are made twice as often as something goes wrong.
    fn disaster(&mut self) {
        let permille = self.plan.disaster_permille;
        if permille == 0 {
            return;
        }
        let drawn = self.random.below(1000);
        let side = self.any_side();
        if drawn < permille {
            if let Some(disaster) = self.random.pick(&self.plan.disasters).copied() {
                self.add(Act::Suffer(disaster, side));
            }
        } else if drawn < 2 * permille {
            self.add(Act::BackUp(side));
        } else if drawn < 3 * permille {
            self.add(Act::BackUpCoordinator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_survives_its_file() {
        let mut script = Script::draw(7);
        script.ordinary.insert(Ordinary::Names);
        let text = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&text).unwrap(), script);
        assert_eq!(script.plan().name_rules, Sides::default());
    }
}
