//! What a seed draws: options, name rules, who acts, and which faults there are.

use tandem_server::domain::names::NameRule;
use tandem_server::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use tandem_server::domain::projection::{Side, Sides};
use tandem_server::domain::sync_set::Options;

use super::disaster::Disaster;
use super::random::Random;

/// Kinds of actions that users have.
const ACTIONS: usize = 13;
/// One more, of few plans: opening documents for online edits, and closing them.
const EDIT_ONLINE: usize = 13;

/// The plan of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Options of each set; one or two sets.
    pub sets: Vec<Options>,
    /// Options of a set of documents, if there is one.
    pub documents: Option<Options>,
    /// How names are compared.
    pub name_rules: Sides<NameRule>,
    /// The sides on which users act.
    pub sides: Vec<Side>,
    /// What users do.
    pub actions: Vec<usize>,
    /// Actions of users.
    pub edits: usize,
    /// How often, in a hundred actions, all that is under way is done first.
    pub rests_percent: usize,
    /// A rule of this side gives new documents a title.
    pub adds_title: Option<Side>,
    /// How often, of a hundred actions, users of both sides change one node at the same time.
    pub collisions_percent: usize,
    /// Agents tell moves out from deletions.
    pub tells_move_out: bool,
    /// Users touch the synced folders themselves.
    pub touches_roots: bool,
    /// How often, in a hundred steps, a connection is cut.
    pub cut_percent: usize,
    /// How often an agent crashes.
    pub agent_crash_percent: usize,
    /// How often the coordinator crashes.
    pub coordinator_crash_percent: usize,
    /// How often a repository refuses.
    pub refusal_percent: usize,
    /// People use Request Sync.
    pub requests_percent: usize,
    /// How often, in a thousand steps, a set is paused, or resumed.
    pub pauses_permille: usize,
    /// How often, in a thousand steps, a set is ended.
    pub ends_permille: usize,
    /// How often, in a thousand steps, state is lost or comes back from a backup.
    pub disaster_permille: usize,
    /// The disasters that happen.
    pub disasters: Vec<Disaster>,
}

impl Plan {
    /// The options of every set.
    pub fn options(&self) -> impl Iterator<Item = &Options> {
        self.sets.iter().chain(&self.documents)
    }

    /// Draws a plan.
    pub fn draw(random: &mut Random) -> Self {
        let sets = (0..1 + usize::from(random.chance(25)))
            .map(|_| options(random))
            .collect();
        let sides = match random.below(4) {
            0 => vec![Side::OnPremise],
            1 => vec![Side::Cloud],
            _ => Side::BOTH.to_vec(),
        };
        let mut actions: Vec<usize> = (0..ACTIONS).filter(|_| random.chance(60)).collect();
        actions.extend([0, 1, 2]);
        let mut sometimes = |percent: usize, most: usize| match random.chance(percent) {
            true => random.below(most) + 1,
            false => 0,
        };
        let cut_percent = sometimes(50, 5);
        let agent_crash_percent = sometimes(40, 6);
        let coordinator_crash_percent = sometimes(30, 3);
        let refusal_percent = sometimes(20, 4);
        let requests_percent = sometimes(15, 3);
        let disaster_permille = sometimes(20, 12);
        let collisions_percent = sometimes(70, 60);
        let rests_percent = sometimes(70, 60);
        let disasters = Disaster::ALL.into_iter().filter(|_| random.chance(50));
        let disasters = disasters.collect();
        let ends_permille = if random.chance(20) {
            1 + random.below(8)
        } else {
            0
        };
        let pauses_permille = if random.chance(20) {
            1 + random.below(20)
        } else {
            0
        };
        let documents = random.chance(30).then(|| options(random));
        // Drawn aside, so that all other plans are what they were before.
        if Random::new(random.clone().draw()).chance(25) {
            actions.extend([EDIT_ONLINE; 2]);
        }
        Self {
            sets,
            documents,
            name_rules: Sides {
                on_premise: name_rule(random),
                cloud: name_rule(random),
            },
            requests_percent: if sides.len() > 1 { requests_percent } else { 0 },
            sides,
            actions,
            edits: 3 + random.below(30),
            collisions_percent,
            rests_percent,
            adds_title: random.chance(20).then(|| Side::BOTH[random.below(2)]),
            tells_move_out: random.chance(70),
            touches_roots: random.chance(20),
            cut_percent,
            agent_crash_percent,
            coordinator_crash_percent,
            refusal_percent,
            pauses_permille,
            ends_permille,
            disaster_permille,
            disasters,
        }
    }
}

fn options(random: &mut Random) -> Options {
    let allow_delete_on_cloud = random.chance(75);
    Options {
        include_subfolders: random.chance(85),
        lock_on_premise_copy: random.chance(15),
        allow_delete_on_cloud,
        delete_on_premise: allow_delete_on_cloud && random.chance(50),
        conflict_policy: conflict_policy(random),
        conflict_grain: match random.chance(40) {
            true => ConflictGrain::PerField,
            false => ConflictGrain::WholeNode,
        },
        name_clash_policy: match random.below(5) {
            0 => NameClashPolicy::AdoptIdentical,
            1 => NameClashPolicy::Rename,
            _ => NameClashPolicy::Fail,
        },
        max_delete_percent: if random.chance(80) { 100 } else { 50 },
    }
}

fn conflict_policy(random: &mut Random) -> ConflictPolicy {
    match random.below(6) {
        0 | 1 => ConflictPolicy::CloudWins,
        2 => ConflictPolicy::Manual,
        3 => ConflictPolicy::KeepBoth,
        _ => ConflictPolicy::OnPremiseWins,
    }
}

fn name_rule(random: &mut Random) -> NameRule {
    NameRule {
        case_insensitive: random.chance(25),
        unicode_insensitive: random.chance(25),
    }
}
