//! Runs one seed: a stormy time in which users act and everything fails, then calm, then judgement.

use tandem_server::domain::engine::{Ending, Request};
use tandem_server::domain::ids::{ConflictId, MemberId, NodeId};
use tandem_server::domain::policy::NameClashPolicy;
use tandem_server::domain::projection::{NodeKind, Side};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::sync_set::{Gate, Options, Removal};

use super::apply::marked;
use super::oracle;
use super::plan::Plan;
use super::random::Random;
use super::users::User;
use super::world::World;

/// Steps of the stormy time for each action of users.
const STEPS_PER_EDIT: usize = 12;
/// Steps after which calm should have come.
const CALM_STEPS_MAX: usize = 20_000;
/// How often an hour passes before the judgement.
const HOURS: usize = 6;
/// An hour and a minute, in microseconds.
const HOUR: i64 = 3_660_000_000;

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// What happened.
    pub trace: Vec<String>,
    /// A number that stands for it.
    pub hash: u64,
    /// The broken promise, if there is one.
    pub broken: Option<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    let mut storm = Storm {
        world: World::new(random, plan.name_rules),
        plan,
        roots: Vec::new(),
        fixed: Vec::new(),
        suffered: false,
        clears: false,
        recorded: (0, 0),
    };
    storm.world.trace.tell(format!("{:?}", storm.plan));
    let broken = storm.play().err();
    if broken.is_some() {
        let members = storm.world.coordinator.store.members.values();
        let told = members.map(|member| format!("at the end {member:?}"));
        storm.world.trace.lines.extend(told);
    }
    Report {
        hash: storm.world.trace.hash,
        trace: storm.world.trace.lines,
        broken,
    }
}

struct Storm {
    world: World,
    plan: Plan,
    roots: Vec<NodeId>,
    fixed: Vec<NodeId>,
    suffered: bool,
    /// A set was ended that removes its cloud copy (R-UNS-1).
    clears: bool,
    recorded: (usize, usize),
}

impl Storm {
    fn play(&mut self) -> Result<(), String> {
        self.prepare()?;
        for _ in 0..self.plan.edits {
            for _ in 0..self.world.random.below(STEPS_PER_EDIT) {
                self.step()?;
            }
            self.edit();
        }
        self.calm()?;
        self.judge()
    }

    fn prepare(&mut self) -> Result<(), String> {
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
        for options in self.plan.sets.clone() {
            let library = super::repository::library();
            let repository = &mut self.world.places.on_premise.repository;
            let name = format!("set{}", self.roots.len());
            let folder = repository
                .create(&library, NodeKind::Folder, &name)
                .ok_or("the synced folder cannot be made")?;
            self.roots.push(folder.clone());
            if !self.plan.touches_roots {
                self.fixed.push(folder.clone());
            }
            let early = self.plan.sides.contains(&Side::OnPremise);
            for _ in 0..self.world.random.below(6) * usize::from(early) {
                self.edit_on(Side::OnPremise);
            }
            if self.roots.len() == 1 {
                self.choose_documents()?;
            }
            if self
                .world
                .places
                .on_premise
                .repository
                .nodes
                .contains_key(&folder)
            {
                self.world.sync_folder(&folder, options)?;
            }
        }
        Ok(())
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

    fn edit(&mut self) {
        let sides = self.plan.sides.clone();
        if sides.len() > 1 && self.world.random.chance(self.plan.collisions_percent) {
            return self.collide();
        }
        if let Some(side) = self.world.random.pick(&sides) {
            self.edit_on(*side);
        }
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
            .collect();
        let Some(pair) = self.world.random.pick(&pairs).cloned() else {
            return;
        };
        for (side, node) in Side::BOTH.into_iter().zip(pair) {
            self.act_as_user(side, |user| user.revise(&node));
        }
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
        nodes.flatten().chain(self.roots.iter().cloned()).collect()
    }

    fn step(&mut self) -> Result<(), String> {
        self.world.coordinator.now += 100_000;
        self.fault();
        self.disaster()?;
        match self.world.random.below(5) {
            0 | 1 => {
                let side = Side::BOTH[self.world.random.below(2)];
                self.agent_step(side)?;
            }
            2 => self.world.coordinator.now += 1_000_000,
            _ => {
                self.world.coordinator_step()?;
            }
        }
        if self.world.random.chance(self.plan.requests_percent) {
            self.request()?;
        }
        if self.world.random.below(1_000) < self.plan.pauses_permille {
            self.pause_or_resume()?;
        }
        if self.world.random.below(1_000) < self.plan.ends_permille {
            self.end_a_set()?;
        }
        if self.world.random.chance(2) {
            self.resolve_conflict()?;
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

    fn agent_step(&mut self, side: Side) -> Result<bool, String> {
        let before = self.world.places.get(side).repository.clone();
        let moved = self.world.agent_step(side, self.plan.agent_crash_percent);
        self.audit(side, &before)?;
        Ok(moved)
    }

    /// What the agent did to the repository destroys nothing that nobody gave up, and obeys the options.
    fn audit(&self, side: Side, before: &super::repository::Repository) -> Result<(), String> {
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
        // R-LCK-1: a forced change is not pushed; the copy follows the cloud's deletion, archived first.
        let follows = |old: u64| put_back && now.archive.contains(&old);
        for (id, old) in &before.nodes {
            match now.nodes.get(id) {
                Some(new) if new.content != old.content => {
                    let fine = world.ledger.may_overwrite(store, old.content, new.content);
                    if !fine && !put_back && !taken_for_other(old.content) {
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

    fn fault(&mut self) {
        let side = Side::BOTH[self.world.random.below(2)];
        let plan = &self.plan;
        let world = &mut self.world;
        let place = world.places.get_mut(side);
        if world.random.chance(plan.cut_percent) {
            place.link.cut();
            world
                .trace
                .tell(format!("the connection of {side:?} is cut"));
        }
        let place = world.places.get_mut(side);
        if world.random.chance(plan.agent_crash_percent) {
            place.agent.crash(&mut place.repository, &mut place.link);
            world.trace.tell(format!("the agent of {side:?} crashes"));
        }
        let place = world.places.get_mut(side);
        if world.random.chance(plan.refusal_percent) {
            place.repository.refusals = 1 + world.random.below(3);
        }
        if world.random.chance(plan.coordinator_crash_percent) {
            world.coordinator.crash();
            world.places.on_premise.link.cut();
            world.places.cloud.link.cut();
            world.trace.tell("the coordinator crashes".to_owned());
        }
    }

    /// Backups are made twice as often as something goes wrong.
    fn disaster(&mut self) -> Result<(), String> {
        let permille = self.plan.disaster_permille;
        let drawn = match permille {
            0 => return Ok(()),
            _ => self.world.random.below(1000),
        };
        let side = Side::BOTH[self.world.random.below(2)];
        if self.world.coordinator.rebind() {
            self.world.trace.tell("an admin rebinds".to_owned());
        }
        if drawn < permille {
            let Some(disaster) = self.world.random.pick(&self.plan.disasters).copied() else {
                return Ok(());
            };
            self.suffered = true;
            // A coordinator from a backup has forgotten entries.
            self.recorded = (0, 0);
            let mut fixed = self.fixed.clone();
            fixed.extend(self.root_nodes());
            return self.world.suffer(disaster, side, &fixed);
        }
        match drawn - permille {
            over if over < permille => self.world.back_up(side),
            over if over < 2 * permille => self.world.back_up_coordinator(),
            _ => {}
        }
        Ok(())
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
        self.world.request(Request::EndSet(Ending {
            set,
            removal,
            actor: "owner".to_owned(),
            forced: false,
        }))
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
        self.plan.agent_crash_percent = 0;
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
                moved |= self.agent_step(side)?;
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
