//! What is known of a member, put together from its rows.

use std::sync::Arc;

use super::super::copy::{Absence, Copy, CopyState};
use super::super::ids::MemberId;
use super::super::member::Member;
use super::super::names::NameRule;
use super::super::policy::ConflictGrain;
use super::super::projection::{Comparison, NodeKind, Side, Sides, State};
use super::super::reconcile::{Decision, Sight, Situation, decide, is_pulled};
use super::super::repository::comparison;
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::Engine;
use super::aside::in_truth;

impl Engine<'_> {
    /// The copy of a member on a side, whatever its state.
    pub(super) fn copy_of(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<Option<Copy>, Miss> {
        match member.nodes.get(side) {
            None => Ok(None),
            Some(node) => self.view.copy(&(*set.repositories.get(side), node.clone())),
        }
    }

    /// A live copy as reconciling sees it: its place is named by the member whose folder it lies in.
    pub(super) fn state_of(&mut self, member: &Member, copy: &Copy) -> Result<State, Miss> {
        let parent = if member.direct {
            None
        } else {
            self.parent_member(copy)?
        };
        Ok(State {
            projection: in_truth(member, copy.projection.clone()),
            parent,
        })
    }

    /// The member whose folder a copy lies in.
    pub(super) fn parent_member(&mut self, copy: &Copy) -> Result<Option<MemberId>, Miss> {
        let parent = self.view.copy(&(copy.repository, copy.parent.clone()))?;
        Ok(parent.and_then(|parent| parent.member))
    }

    fn sight(&mut self, set: &SyncSet, member: &Member, side: Side) -> Result<Sight, Miss> {
        let Some(copy) = self.copy_of(set, member, side)? else {
            return Ok(Sight::Never);
        };
        if copy.member != Some(member.id) {
            // The node went on without this membership: it entered another set.
            return Ok(Sight::Gone(Absence::MovedOut));
        }
        Ok(match copy.state {
            CopyState::Live => Sight::Live(self.state_of(member, &copy)?),
            CopyState::Gone(absence) => Sight::Gone(absence),
            CopyState::Left | CopyState::Skipped(_) => Sight::Never,
        })
    }

    /// R-MEM-4: a copy lies in a folder that is no member any more, so its membership ends too.
    pub(super) fn is_stranded(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        if member.direct {
            return Ok(false);
        }
        for side in Side::BOTH {
            let copy = self.copy_of(set, member, side)?;
            let Some(copy) = copy.filter(|copy| copy.state == CopyState::Live) else {
                continue;
            };
            let folder = self.view.copy(&(copy.repository, copy.parent.clone()))?;
            let stands = folder.is_some_and(|folder| match folder.state {
                CopyState::Live | CopyState::Gone(_) => true,
                CopyState::Left | CopyState::Skipped(_) => false,
            });
            if !stands {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn sights(&mut self, set: &SyncSet, member: &Member) -> Result<Sides<Sight>, Miss> {
        let on_premise = self.sight(set, member, Side::OnPremise);
        let cloud = self.sight(set, member, Side::Cloud);
        Ok(Sides {
            on_premise: on_premise?,
            cloud: cloud?,
        })
    }

    pub(super) fn comparison(&self, set: &SyncSet) -> Comparison {
        let [left, right] =
            Side::BOTH.map(|side| self.view.repository(*set.repositories.get(side)));
        match (left, right) {
            (Some(left), Some(right)) => comparison(left, right),
            _ => Comparison::default(),
        }
    }

    pub(super) fn name_rule(&self, set: &SyncSet, side: Side) -> NameRule {
        let repository = self.view.repository(*set.repositories.get(side));
        repository
            .map(|repository| repository.name_rule)
            .unwrap_or_default()
    }

    /// What the table of SPEC §5 says of a member as it stands, without doing it. A copy that stepped aside is not equal
    /// to the other one before it has its name back.
    pub(super) fn decision(&mut self, set: &SyncSet, member: &Member) -> Result<Decision, Miss> {
        let decision = self.situation(set, member, decide)?;
        Ok(match decision {
            Decision::Agreed => self
                .side_aside(set, member)?
                .map_or(decision, Decision::Deliver),
            decision => decision,
        })
    }

    /// Whether the cloud copy holds nothing that the on-premise side never had (R-UNS-1).
    pub(super) fn is_pulled(&mut self, set: &SyncSet, member: &Member) -> Result<bool, Miss> {
        self.situation(set, member, is_pulled)
    }

    fn situation<T>(
        &mut self,
        set: &SyncSet,
        member: &Member,
        ask: impl Fn(&Situation<'_>) -> T,
    ) -> Result<T, Miss> {
        let sights = self.sights(set, member)?;
        let comparison = self.comparison(set);
        Ok(ask(&situation(set, member, &sights, &comparison)))
    }

    /// How a copy is to be, and where: as the other one; PER_FIELD with what only it has changed (R-CON-2).
    pub(super) fn desired(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<Option<State>, Miss> {
        if let Some(sibling) = &member.sibling {
            let on_premise = side == Side::OnPremise;
            return Ok(on_premise.then(|| sibling.named(sibling.number)));
        }
        let Some(source) = self.copy_of(set, member, side.other())? else {
            return Ok(None);
        };
        let is_there = source.is_there();
        let source = self.state_of(member, &source)?;
        let own = self.copy_of(set, member, side)?.filter(Copy::is_there);
        let Some(own) = own else {
            return Ok(Some(source));
        };
        if !is_there && member.is_given(&own.projection.name) {
            // Nothing is asked of it but to have a name of its own again.
            return self
                .renamed_back(set, member, (side, &own), &source)
                .map(Some);
        }
        if !is_there && is_locked_for_nobody(set, &own, side) {
            return self.state_of(member, &own).map(Some);
        }
        let comparison = self.comparison(set);
        let source = spelled_as(&comparison, source, &own.projection.name);
        let merged = member.base.as_ref().filter(|_| merges(set));
        let Some(base) = merged.filter(|_| own.state == CopyState::Live) else {
            return Ok(Some(source));
        };
        let own = self.state_of(member, &own)?;
        Ok(Some(comparison.merged(base, &own, &source)))
    }

    /// What people call the node.
    pub(super) fn name_of(&mut self, set: &SyncSet, member: &Member) -> Result<String, Miss> {
        for side in Side::BOTH {
            if let Some(copy) = self.copy_of(set, member, side)? {
                return Ok(copy.projection.name.clone());
            }
        }
        let sibling = member.sibling.as_ref();
        let named = sibling.map(|sibling| sibling.named(sibling.number));
        Ok(named.map_or_else(String::new, |named| named.projection.name.clone()))
    }

    pub(super) fn is_folder(member: &Member) -> bool {
        member.kind == NodeKind::Folder
    }
}

/// R-LCK-1: another set, which locks, had the node before.
pub(super) fn is_locked_for_nobody(set: &SyncSet, copy: &Copy, side: Side) -> bool {
    side == Side::OnPremise && copy.locked && !set.options.lock_on_premise_copy
}

/// R-REC-10: where names count as equal, their bytes are kept. The other spelling may even be taken by another node.
fn spelled_as(comparison: &Comparison, mut state: State, name: &str) -> State {
    if state.projection.name != name && comparison.equal_names(&state.projection.name, name) {
        name.clone_into(&mut Arc::make_mut(&mut state.projection).name);
    }
    state
}

/// Whether changes of both sides are put together where they do not collide.
pub(super) fn merges(set: &SyncSet) -> bool {
    set.options.conflict_grain == ConflictGrain::PerField
}

/// All that a decision about a member depends on.
pub(super) fn situation<'a>(
    set: &'a SyncSet,
    member: &'a Member,
    sights: &'a Sides<Sight>,
    comparison: &'a Comparison,
) -> Situation<'a> {
    Situation {
        base: member.base.as_ref(),
        sights,
        options: &set.options,
        comparison,
        choice: member.choice,
        deleting: member.deleting.map(|(side, _)| side),
        made: member.made,
    }
}
