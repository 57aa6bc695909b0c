//! What each side did since the base, and what follows from it: the table of SPEC §5 with §6 and §7.
//!
//! Pure, total, and blind to time and order (R-REC-5): the result depends on base, both sights, options and choices.

use super::conflict::ConflictKind;
use super::copy::Absence;
use super::failure::Reason;
use super::fields::Field;
use super::member::PeerChoice;
use super::planted::planted;
use super::policy::ConflictGrain;
use super::projection::{Comparison, Side, Sides, State};
use super::sync_set::Options;

/// What is known of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// There is none yet, or a new one is to be made.
    Never,
    /// It is there and looks so.
    Live(State),
    /// It was there.
    Gone(Absence),
}

/// All that a decision depends on.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// What both once agreed on.
    pub base: Option<&'a State>,
    /// What is known of the copies.
    pub sights: &'a Sides<Sight>,
    /// The options of the set.
    pub options: &'a Options,
    /// What counts as equal.
    pub comparison: &'a Comparison,
    /// The explicit choice that came with a deletion (SPEC §7).
    pub choice: Option<PeerChoice>,
    /// A deletion that was asked for through the API.
    pub deleting: Option<Side>,
    /// The side whose copy differs from the base only in what its repository made of a delivery (R-PRJ-5).
    pub made: Option<Side>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Both copies are equal.
    Agreed,
    /// The other side's state is delivered to this side.
    Deliver(Side),
    /// This side's copy is removed; `chosen` when somebody chose so explicitly.
    Remove {
        /// The side.
        side: Side,
        /// Not counted by the guard.
        chosen: bool,
    },
    /// The base moves to this state, and it is decided again: what differed from it is given up.
    Rebase(State),
    /// The copy on this side is to be made anew; then it is decided again.
    Revive(Side),
    /// A conflict: it is recorded, the base becomes the loser's state, and it is decided again (ARCHITECTURE, base (a)).
    Conflict {
        /// What collided.
        kind: ConflictKind,
        /// The side whose state holds; `None` = a person decides.
        winner: Option<Side>,
    },
    /// The cloud copy was deleted, and the on-premise one stays; nothing fails yet.
    CloudCopyDeleted,
    /// Somebody must act.
    Fail(Reason),
    /// The membership ends; what is there stays, unlinked.
    End,
}

/// Decides about one member.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    if let Some(side) = situation.deleting
        && matches!(situation.sights.get(side), Sight::Live(_))
    {
        return Decision::Remove { side, chosen: true };
    }
    match (&situation.sights.on_premise, &situation.sights.cloud) {
        (Sight::Live(on_premise), Sight::Live(cloud)) => both_live(situation, on_premise, cloud),
        (Sight::Live(_), Sight::Never) => Decision::Deliver(Side::Cloud),
        (Sight::Never, Sight::Live(_)) => Decision::Deliver(Side::OnPremise),
        (Sight::Gone(Absence::Deleted), Sight::Live(cloud)) => deleted_on_premise(situation, cloud),
        (Sight::Live(on_premise), Sight::Gone(Absence::Deleted)) => {
            deleted_on_cloud(situation, on_premise)
        }
        (Sight::Gone(Absence::MovedOut), Sight::Live(cloud)) => {
            moved_out_on_premise(situation, cloud)
        }
        // R-MOV-3: moved out on cloud, both copies stay. R-REC-4: gone on both sides.
        (Sight::Live(_), Sight::Gone(Absence::MovedOut))
        | (Sight::Never | Sight::Gone(_), Sight::Never | Sight::Gone(_)) => Decision::End,
    }
}

/// Whether nothing of the cloud copy would be lost with it: the on-premise side has, or had, all of it (R-UNS-1).
#[must_use]
pub fn is_pulled(situation: &Situation<'_>) -> bool {
    let Sight::Live(cloud) = &situation.sights.cloud else {
        return true;
    };
    let same = match &situation.sights.on_premise {
        Sight::Live(on_premise) => situation.comparison.equal(on_premise, cloud),
        Sight::Never | Sight::Gone(_) => false,
    };
    same || !situation.changed_on(Side::Cloud, cloud)
}

impl Situation<'_> {
    fn changed(&self, state: &State) -> bool {
        self.base
            .is_none_or(|base| !self.comparison.equal(base, state))
    }

    fn conflict(&self, kind: ConflictKind) -> Decision {
        Decision::Conflict {
            kind,
            winner: self.options.winner(kind),
        }
    }

    /// Changed by somebody: what a repository made of a delivery is never a side of a conflict (R-PRJ-5).
    fn changed_on(&self, side: Side, state: &State) -> bool {
        self.made != Some(side) && self.changed(state)
    }
}

/// R-REC-1, push, pull, R-CON-1, R-CON-3, R-LCK-1.
fn both_live(situation: &Situation<'_>, on_premise: &State, cloud: &State) -> Decision {
    if situation.comparison.equal(on_premise, cloud) && !planted("equal-changes-conflict") {
        return Decision::Agreed;
    }
    let locked = situation.options.lock_on_premise_copy && situation.base.is_some();
    let locked = locked && !planted("locked-copy-pushed");
    match (situation.changed(on_premise), situation.changed(cloud)) {
        (true, _) if locked => Decision::Rebase(on_premise.clone()),
        (true, true) if situation.options.conflict_grain == ConflictGrain::PerField => {
            per_field(situation, on_premise, cloud)
        }
        (true, true) => match situation.made {
            Some(Side::OnPremise) => Decision::Rebase(on_premise.clone()),
            Some(Side::Cloud) => Decision::Rebase(cloud.clone()),
            None => situation.conflict(ConflictKind::ChangeChange),
        },
        (true, false) => Decision::Deliver(Side::Cloud),
        (false, _) => Decision::Deliver(Side::OnPremise),
    }
}

/// R-CON-2: what does not collide is merged, and a merge goes to on-premise first (ARCHITECTURE, base (b)).
fn per_field(situation: &Situation<'_>, on_premise: &State, cloud: &State) -> Decision {
    let comparison = situation.comparison;
    let collisions = comparison.collisions(situation.base, on_premise, cloud);
    if !collisions.is_empty() || planted("merge-is-a-conflict") {
        let given_up = match situation.made {
            Some(Side::OnPremise) => on_premise,
            Some(Side::Cloud) => cloud,
            None => return situation.conflict(ConflictKind::ChangeChange),
        };
        let base = situation.base.unwrap_or(given_up);
        return Decision::Rebase(base.with(&collisions, given_up));
    }
    let is_merged = situation.base.is_some_and(|base| {
        let merged = comparison.merged(base, on_premise, cloud);
        comparison.equal(&merged, on_premise)
    });
    Decision::Deliver(match is_merged {
        true => Side::Cloud,
        false => Side::OnPremise,
    })
}

/// What the base becomes when a conflict of two live copies is decided: the loser's state, or of it what collided
/// (ARCHITECTURE, base (a)).
#[must_use]
pub fn given_up(
    situation: &Situation<'_>,
    kind: ConflictKind,
    (lost, won): (&State, Option<&State>),
) -> State {
    let whole = situation.options.conflict_grain == ConflictGrain::WholeNode;
    let (Some(base), Some(won), false) = (situation.base, won, whole) else {
        return lost.clone();
    };
    match kind {
        ConflictKind::MoveMove => base.with(&[Field::Parent], lost),
        _ => {
            let collisions = situation.comparison.collisions(Some(base), lost, won);
            base.with(&collisions, lost)
        }
    }
}

/// §7 rows 1 and 2, R-REC-2 (or R-CON-3, where the deletion wins); under a lock the copy is put back (R-LCK-1).
fn deleted_on_premise(situation: &Situation<'_>, cloud: &State) -> Decision {
    if situation.options.lock_on_premise_copy && situation.choice.is_none() {
        return Decision::Revive(Side::OnPremise);
    }
    let removes = match situation.choice {
        Some(choice) => choice == PeerChoice::Remove,
        None => situation.options.allow_delete_on_cloud || planted("cloud-copy-always-removed"),
    };
    if !removes {
        return Decision::End;
    }
    if situation.changed_on(Side::Cloud, cloud) && !planted("deletion-beats-change") {
        return situation.conflict(ConflictKind::DeleteChange);
    }
    Decision::Remove {
        side: Side::Cloud,
        chosen: situation.choice.is_some(),
    }
}

/// §7 rows 3 to 6, R-REC-3 (or R-CON-3, where the change wins).
fn deleted_on_cloud(situation: &Situation<'_>, on_premise: &State) -> Decision {
    if !situation.options.allow_delete_on_cloud && !planted("cloud-deletion-allowed") {
        return Decision::Revive(Side::Cloud);
    }
    let removes = match situation.choice {
        Some(PeerChoice::Keep) => return Decision::End,
        Some(PeerChoice::Remove) => true,
        None => situation.options.delete_on_premise || planted("on-premise-always-deleted"),
    };
    match (removes, situation.changed_on(Side::OnPremise, on_premise)) {
        (true, true) => situation.conflict(ConflictKind::ChangeDelete),
        (true, false) => Decision::Remove {
            side: Side::OnPremise,
            chosen: situation.choice.is_some(),
        },
        (false, true) => Decision::Fail(Reason::TargetNodeNoLongerExists),
        (false, false) => Decision::CloudCopyDeleted,
    }
}

/// R-MOV-3, R-REC-11.
fn moved_out_on_premise(situation: &Situation<'_>, cloud: &State) -> Decision {
    let unchanged = !situation.changed_on(Side::Cloud, cloud) || planted("moved-out-beats-change");
    if situation.options.allow_delete_on_cloud && unchanged {
        Decision::Remove {
            side: Side::Cloud,
            chosen: false,
        }
    } else {
        Decision::End
    }
}

#[cfg(test)]
mod tests;
