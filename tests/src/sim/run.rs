//! Runs one seed: a stormy time in which users act and everything fails, then calm, then judgement.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tandem_server::domain::engine::{Ending, Request};
use tandem_server::domain::ids::{ConflictId, MemberId, NodeId, SyncSetId};
use tandem_server::domain::member::Leaving;
use tandem_server::domain::policy::NameClashPolicy;
use tandem_server::domain::projection::{NodeKind, Side};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Gate, Options, Removal, SetKind};

use super::apply::marked;
use super::census::Census;
use super::disaster::Disaster;
use super::oracle;
use super::plan::Plan;
use super::random::Random;
use super::script::{Act, Script};
use super::users::User;
use super::verdicts;
use super::world::World;

/// Steps after which calm should have come.
const CALM_STEPS_MAX: usize = 20_000;
/// How often an hour passes before the judgement.
const HOURS: usize = 6;
/// An hour and a minute, in microseconds.
const HOUR: i64 = 3_660_000_000;

/// What became of a run.
#[derive(Debug)]
pub struct Report {
    /// What happened.
    pub trace: Vec<String>,
    /// A number that stands for it.
    pub hash: u64,
    /// The broken promise, if there is one.
    pub broken: Option<String>,
    /// The conflicts that were found.
    pub conflicts: Census,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    play(&Script::draw(seed))
}

/// Plays a script; a panic on the way is a broken promise, too.
#[must_use]
pub fn play(script: &Script) -> Report {
    let plan = script.plan();
    let mut storm = Storm {
        world: World::new(Random::new(script.seed), plan.name_rules),
        plan,
        roots: BTreeMap::new(),
        fixed: Vec::new(),
        suffered: false,
        clears: false,
        recorded: (0, 0),
    };
    storm.world.trace.tell(format!("{:?}", storm.plan));
    let played = catch_unwind(AssertUnwindSafe(|| storm.play(script)));
    let broken = match played {
        Ok(done) => done.err(),
        Err(panic) => Some(format!("panic: {}", words(&*panic))),
    };
    if broken.is_some() {
        let members = storm.world.coordinator.store.members.values();
        let told = members.map(|member| format!("at the end {member:?}"));
        storm.world.trace.lines.extend(told);
    }
    Report {
        conflicts: Census::take(&storm.world.coordinator.store),
        hash: storm.world.trace.hash,
        trace: storm.world.trace.lines,
        broken,
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without words")
}

pub(super) struct Storm {
    pub(super) world: World,
    pub(super) plan: Plan,
    roots: BTreeMap<usize, NodeId>,
    fixed: Vec<NodeId>,
    pub(super) suffered: bool,
    /// A set was ended that removes its cloud copy (R-UNS-1).
    pub(super) clears: bool,
    recorded: (usize, usize),
}

impl Storm {
    fn play(&mut self, script: &Script) -> Result<(), String> {
        self.prepare();
        for one in &script.moves {
            self.world.random = Random::new(one.draw);
            self.perform(one.act)?;
        }
        self.world.random = Random::new(script.seed);
        self.calm()?;
        self.judge()
    }

    fn prepare(&mut self) {
        for side in Side::BOTH {
            let place = self.world.places.get_mut(side);
            place.agent.tells_move_out = self.plan.tells_move_out;
            place.repository.adds_title = self.plan.adds_title == Some(side);
            self.fixed.push(super::repository::library());
            self.fixed.push(place.outside.clone());
            self.fixed.push(place.target.clone());
            self.fixed
                .extend(place.canaries.iter().map(|(id, _)| id.clone()));
        }
    }

    fn make_folder(&mut self, set: usize) {
        let library = super::repository::library();
        let repository = &mut self.world.places.on_premise.repository;
        let made = repository.create(&library, NodeKind::Folder, &format!("set{set}"));
        let Some(folder) = made else { return };
        if !self.plan.touches_roots {
            self.fixed.push(folder.clone());
        }
        self.roots.insert(set, folder);
    }

    fn sync_folder(&mut self, set: usize) -> Result<(), String> {
        let nodes = &self.world.places.on_premise.repository.nodes;
        let folder = self.roots.get(&set).filter(|id| nodes.contains_key(id));
        match (folder.cloned(), self.plan.sets.get(set).copied()) {
            (Some(folder), Some(options)) => self.world.sync_folder(&folder, options).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Some documents outside what is going to be synced, and some inside, become a set of their own (R-MOV-4).
    fn choose_documents(&mut self) -> Result<(), String> {
        let Some(options) = self.plan.documents else {
            return Ok(());
        };
        let place = &mut self.world.places.on_premise;
        for name in ["d", "e"] {
            let made = place
                .repository
                .create(&place.outside, NodeKind::Document, name);
            let made = made.ok_or("the document cannot be made")?;
            let content = self.world.ledger.write(0);
            place
                .repository
                .change(&made, |node| node.content = content);
        }
        let nodes = place.repository.nodes.iter();
        let free: Vec<NodeId> = nodes
            .filter(|(id, node)| {
                let ordinary = node.node_trait == NodeTrait::Ordinary;
                ordinary && node.kind == NodeKind::Document && !self.fixed.contains(id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        let random = &mut self.world.random;
        let mut chosen: Vec<NodeId> = free.iter().filter(|_| random.chance(70)).cloned().collect();
        if chosen.is_empty() {
            chosen.extend(free.first().cloned());
        }
        self.world.sync_documents(&chosen, options).map(|_| ())
    }

    /// Users of both sides change the two copies of one node, neither in sight of the other's change.
    fn collide(&mut self) {
        let store = &self.world.coordinator.store;
        let pairs: Vec<[NodeId; 2]> = store
            .members
            .values()
            .filter_map(|member| {
                let nodes = &member.nodes;
                Some([nodes.on_premise.clone()?, nodes.cloud.clone()?])
            })
            .filter(|pair| self.may_change(pair))
            .collect();
        let Some(pair) = self.world.random.pick(&pairs).cloned() else {
            return;
        };
        let writes = self.world.random.chance(50);
        for (side, node) in Side::BOTH.into_iter().zip(pair) {
            self.act_as_user(side, |user| match writes {
                true => user.rewrite(&node),
                false => user.revise(&node),
            });
        }
    }

    /// Whether both nodes are there, and users may touch them.
    fn may_change(&self, pair: &[NodeId; 2]) -> bool {
        let mut sides = Side::BOTH.into_iter().zip(pair);
        sides.all(|(side, id)| {
            let found = self.world.places.get(side).repository.nodes.get(id);
            found.is_some_and(|node| !node.locked && !self.fixed.contains(id))
        })
    }

    fn edit_on(&mut self, side: Side) {
        let actions = self.plan.actions.clone();
        self.act_as_user(side, |user| user.act(&actions));
    }

    fn act_as_user(
        &mut self,
        side: Side,
        act: impl FnOnce(&mut User<'_>) -> Option<(String, Vec<NodeId>)>,
    ) {
        let mut fixed = self.fixed.clone();
        let roots = self.root_nodes();
        if !self.plan.touches_roots {
            fixed.extend(roots.iter().cloned());
        }
        let world = &mut self.world;
        let mut user = User {
            repository: &mut world.places.get_mut(side).repository,
            ledger: &mut world.ledger,
            random: &mut world.random,
            fixed: &fixed,
            roots: &roots,
        };
        if let Some((told, changed)) = act(&mut user) {
            world.trace.tell(format!("{side:?} user {told}"));
            world.notice(side, changed);
        }
    }

    fn root_nodes(&self) -> Vec<NodeId> {
        let store = &self.world.coordinator.store;
        let roots = store
            .sets
            .values()
            .filter_map(|set| store.members.get(&set.root));
        let nodes = roots.flat_map(|root| {
            // One that the agent has just made is a synced folder before the coordinator hears of it.
            let made =
                Side::BOTH.map(|side| marked(&self.world.places.get(side).repository, root.id));
            let known = Side::BOTH.map(|side| root.nodes.get(side).clone());
            made.into_iter().chain(known)
        });
        nodes
            .flatten()
            .chain(self.roots.values().cloned())
            .collect()
    }

    /// One move; faults take no time, all else a tenth of a second.
    fn perform(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::MakeFolder(set) => self.make_folder(set),
            Act::SyncFolder(set) => return self.sync_folder(set),
            Act::Edit(side) => self.edit_on(side),
            Act::Collide => self.collide(),
            Act::Rest => return self.settle().map(|_| ()),
            Act::ChooseDocuments => return self.choose_documents(),
            Act::Cut(side) => self.cut(side),
            Act::CrashAgent(side) => self.crash_agent(side),
            Act::CrashCoordinator => self.crash_coordinator(),
            Act::Refuse(side) => self.refuse(side),
            Act::BackUp(side) => self.world.back_up(side),
            Act::BackUpCoordinator => self.world.back_up_coordinator(),
            Act::Suffer(disaster, side) => return self.suffer(disaster, side),
            Act::Request => return self.request(),
            Act::PauseOrResume => return self.pause_or_resume(),
            Act::EndASet => return self.end_a_set(),
            Act::ResolveConflict => return self.resolve_conflict(),
            Act::Agent(_) | Act::AgentCrashes(_) | Act::Coordinator | Act::Wait => {
                return self.step(act);
            }
        }
        Ok(())
    }

    fn step(&mut self, act: Act) -> Result<(), String> {
        self.world.coordinator.now += 100_000;
        if self.plan.disaster_permille > 0 && self.world.coordinator.rebind() {
            self.world.trace.tell("an admin rebinds".to_owned());
        }
        match act {
            Act::Agent(side) => {
                self.agent_step(side, 0)?;
            }
            Act::AgentCrashes(side) => {
                self.agent_step(side, 100)?;
            }
            Act::Wait => self.world.coordinator.now += 1_000_000,
            _ => {
                self.world.coordinator_step()?;
            }
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        let store = &self.world.coordinator.store;
        let recorded = (store.journal.len(), store.conflicts.len());
        if recorded.0 < self.recorded.0 || recorded.1 < self.recorded.1 {
            return Err("I30: journal or conflicts lost entries".to_owned());
        }
        self.recorded = recorded;
        oracle::always(&self.world)
    }

    fn agent_step(&mut self, side: Side, crash_percent: usize) -> Result<bool, String> {
        let before = self.world.places.get(side).repository.clone();
        let moved = self.world.agent_step(side, crash_percent);
        self.audit(side, &before)?;
        Ok(moved)
    }

    fn cut(&mut self, side: Side) {
        self.world.places.get_mut(side).link.cut();
        let told = format!("the connection of {side:?} is cut");
        self.world.trace.tell(told);
    }

    fn crash_agent(&mut self, side: Side) {
        let place = self.world.places.get_mut(side);
        place.agent.crash(&mut place.repository, &mut place.link);
        let told = format!("the agent of {side:?} crashes");
        self.world.trace.tell(told);
    }

    fn crash_coordinator(&mut self) {
        self.world.coordinator.crash();
        self.world.places.on_premise.link.cut();
        self.world.places.cloud.link.cut();
        let told = "the coordinator crashes".to_owned();
        self.world.trace.tell(told);
    }

    fn refuse(&mut self, side: Side) {
        let refusals = 1 + self.world.random.below(3);
        self.world.places.get_mut(side).repository.refusals = refusals;
    }

    fn suffer(&mut self, disaster: Disaster, side: Side) -> Result<(), String> {
        self.suffered = true;
        // A coordinator from a backup has forgotten entries.
        self.recorded = (0, 0);
        let mut fixed = self.fixed.clone();
        fixed.extend(self.root_nodes());
        self.world.suffer(disaster, side, &fixed)
    }

    fn request(&mut self) -> Result<(), String> {
        let members: Vec<MemberId> = self
            .world
            .coordinator
            .store
            .members
            .keys()
            .copied()
            .collect();
        let Some(member) = self.world.random.pick(&members).copied() else {
            return Ok(());
        };
        self.world
            .request(Request::Sync(member, "somebody".to_owned()))
    }

    /// R-SET-7: whatever happens meanwhile, a pause only delays.
    fn pause_or_resume(&mut self) -> Result<(), String> {
        let sets = self.world.coordinator.store.sets.values();
        let sets: Vec<_> = sets.map(|set| (set.id, set.paused)).collect();
        let Some((set, paused)) = self.world.random.pick(&sets).copied() else {
            return Ok(());
        };
        let request = Request::Pause(set, !paused, "owner".to_owned());
        self.world.request(request)
    }

    /// R-UNS-1: at any moment, with and without its cloud copy.
    fn end_a_set(&mut self) -> Result<(), String> {
        let sets = self.world.coordinator.store.sets.values();
        let sets: Vec<_> = sets.map(|set| set.id).collect();
        let Some(set) = self.world.random.pick(&sets).copied() else {
            return Ok(());
        };
        let removals = [Removal::None, Removal::Members, Removal::Everything];
        let removal = removals[self.world.random.below(3)];
        self.clears |= removal != Removal::None;
        if let Some(member) = self.one_of_several(set) {
            if self.world.random.below(2) == 0 {
                self.world.request(Request::LastPull(member))?;
                return Ok(());
            }
            let actor = "owner".to_owned();
            let leaving = Leaving { removal, actor };
            return self.world.request(Request::Unsync(member, leaving));
        }
        self.world.request(Request::EndSet(Ending {
            set,
            removal,
            actor: "owner".to_owned(),
            forced: false,
        }))
    }

    /// R-SET-1: a document that leaves alone, of a set of documents, in half of all cases.
    fn one_of_several(&mut self, set: SyncSetId) -> Option<MemberId> {
        let store = &self.world.coordinator.store;
        let kind = store.sets.get(&set)?.kind;
        if kind != SetKind::Documents || self.world.random.below(2) == 0 {
            return None;
        }
        let store = &self.world.coordinator.store;
        // What lost a conflict is not given up before it is made.
        let members = store.members.values();
        let members = members.filter(|member| member.set == set && member.sibling.is_none());
        let members: Vec<_> = members.map(|member| member.id).collect();
        self.world.random.pick(&members).copied()
    }

    fn resume_all(&mut self) -> Result<(), String> {
        let sets = self.world.coordinator.store.sets.values();
        let paused: Vec<_> = sets.filter(|set| set.paused).map(|set| set.id).collect();
        for set in paused {
            let request = Request::Pause(set, false, "owner".to_owned());
            self.world.request(request)?;
        }
        Ok(())
    }

    /// Somebody decides one of the conflicts that are open.
    fn resolve_conflict(&mut self) -> Result<(), String> {
        let conflicts = &self.world.coordinator.store.conflicts;
        let open: Vec<(MemberId, ConflictId)> = conflicts
            .iter()
            .filter(|conflict| conflict.open)
            .map(|conflict| (conflict.member, conflict.id))
            .collect();
        let Some((member, conflict)) = self.world.random.pick(&open).copied() else {
            return Ok(());
        };
        let winner = Side::BOTH[self.world.random.below(2)];
        let by = "owner".to_owned();
        self.world
            .request(Request::Resolve(member, conflict, winner, by))
    }

    fn calm(&mut self) -> Result<(), String> {
        self.resume_all()?;
        for side in Side::BOTH {
            self.world.places.get_mut(side).repository.refusals = 0;
            self.world.make_fit(side);
        }
        for _ in 0..HOURS {
            self.settle()?;
            self.resolve_holds()?;
            self.resolve_conflict()?;
            self.world.coordinator.now += HOUR;
            self.world.trace.tell("an hour passes".to_owned());
        }
        self.settle().map(|_| ())
    }

    fn settle(&mut self) -> Result<usize, String> {
        for steps in 0..CALM_STEPS_MAX {
            let mut moved = false;
            for side in Side::BOTH {
                moved |= self.agent_step(side, 0)?;
            }
            moved |= self.world.coordinator_step()?;
            moved |= self.world.coordinator.rebind();
            self.world.coordinator.now += 1_000;
            if !moved {
                return Ok(steps);
            }
            self.check()?;
        }
        Err("I2: it never comes to rest".to_owned())
    }

    fn resolve_holds(&mut self) -> Result<(), String> {
        let store = &self.world.coordinator.store;
        let held = store.sets.values().find(|set| set.guard.gate == Gate::Held);
        let Some(set) = held.map(|set| set.id) else {
            return Ok(());
        };
        let by = "owner".to_owned();
        if self.world.random.chance(50) {
            return self.world.request(Request::ConfirmHold(set, by));
        }
        let members: Vec<MemberId> = store
            .members
            .values()
            .filter(|member| member.set == set)
            .map(|member| member.id)
            .collect();
        for member in members {
            self.world.request(Request::RefuseRemoval(member))?;
        }
        self.world.request(Request::RefusedHold(set, by))
    }

    fn judge(&mut self) -> Result<(), String> {
        oracle::converged(&self.world)?;
        if !self.suffered {
            oracle::both_are_kept(&self.world)?;
            verdicts::hold(&self.world.coordinator.store, &self.world.ledger)?;
        }
        self.one_sided_runs_are_one_sided()
    }

    /// I13: where only one side acts, there is no conflict.
    fn one_sided_runs_are_one_sided(&self) -> Result<(), String> {
        let [side] = self.plan.sides.as_slice() else {
            return Ok(());
        };
        let store = &self.world.coordinator.store;
        // What a rule adds, and a copy that is put back after it was deleted, are changes of the other side; so is what
        // a coordinator from a backup does not know. A folder that is adopted may be another one than it was.
        let adopts = |set: &Options| set.name_clash_policy == NameClashPolicy::AdoptIdentical;
        let answers = self.suffered
            || self.plan.adds_title.is_some()
            || self.plan.options().any(adopts)
            || self.plan.options().any(|set| !set.allow_delete_on_cloud);
        match store.conflicts.first().filter(|_| !answers) {
            Some(conflict) => Err(format!("I13: only {side:?} acted, yet {conflict:?}")),
            None => Ok(()),
        }
    }
}
