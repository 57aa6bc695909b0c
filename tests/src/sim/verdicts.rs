//! Conflicts as SPEC §6 tells them, written apart from the code that finds and decides them (I12, I13).

use tandem_server::domain::conflict::{Conflict, ConflictKind};
use tandem_server::domain::copy::CopyState;
use tandem_server::domain::member::MemberState;
use tandem_server::domain::policy::{ConflictGrain, ConflictPolicy};
use tandem_server::domain::projection::{Side, State};
use tandem_server::domain::sync_set::Options;

use super::ledger::Ledger;
use super::repository::token_of;
use super::store::Store;

/// I12, I13: each record tells of changes on both sides that collide, and of the winner that its policy names.
///
/// # Errors
/// The first one that does not.
pub fn are_just(store: &Store) -> Result<(), String> {
    for conflict in &store.conflicts {
        let options = store.sets.get(&conflict.set).map(|set| &set.options);
        let per_field = options.is_some_and(|set| set.conflict_grain == ConflictGrain::PerField);
        if !collides(conflict, per_field) {
            return Err(format!("I13: nothing collides in {conflict:?}"));
        }
        if !is_won_by_policy(conflict, options) {
            return Err(format!("I12: the wrong side won {conflict:?}"));
        }
    }
    Ok(())
}

fn collides(conflict: &Conflict, per_field: bool) -> bool {
    let states = [&conflict.states.on_premise, &conflict.states.cloud];
    let base = conflict.base.as_ref();
    match (conflict.kind, states) {
        (ConflictKind::ChangeChange, [Some(ours), Some(theirs)]) => {
            let (ours, theirs) = (parts(ours), parts(theirs));
            let Some(base) = base.map(parts) else {
                return ours != theirs;
            };
            let differ = |at: usize| {
                ours.get(at) != theirs.get(at)
                    && ours.get(at) != base.get(at)
                    && theirs.get(at) != base.get(at)
            };
            match per_field {
                true => (0..base.len()).any(differ),
                false => ours != theirs && ours != base && theirs != base,
            }
        }
        (ConflictKind::DeleteChange, [None, Some(changed)])
        | (ConflictKind::ChangeDelete, [Some(changed), None]) => base != Some(changed),
        (ConflictKind::MoveMove, [Some(_), Some(_)]) => true,
        _ => false,
    }
}

/// What is compared, each written down: name, content, place, and the one property that there is.
fn parts(state: &State) -> Vec<String> {
    let projection = &state.projection;
    vec![
        projection.name.clone(),
        format!("{:?}", projection.content),
        format!("{:?}", state.parent),
        format!("{:?}", projection.properties),
    ]
}

/// Without its set it is not known whether copies were locked.
fn is_won_by_policy(conflict: &Conflict, options: Option<&Options>) -> bool {
    let Some(options) = options else { return true };
    let cloud = Some(Side::Cloud);
    match conflict.policy {
        // R-LCK-1
        _ if options.lock_on_premise_copy => conflict.winner == cloud && !conflict.open,
        // R-CON-1
        ConflictPolicy::CloudWins => conflict.winner == cloud,
        // R-CON-3
        ConflictPolicy::OnPremiseWins => conflict.winner == Some(Side::OnPremise),
        ConflictPolicy::KeepBoth => match conflict.kind {
            ConflictKind::ChangeDelete => conflict.winner == Some(Side::OnPremise),
            _ => conflict.winner == cloud,
        },
        // R-MOV-5: a cycle never waits; all else does, until somebody decides or it is none any more.
        ConflictPolicy::Manual => match conflict.kind {
            ConflictKind::MoveMove => conflict.winner == cloud,
            _ => !conflict.open || conflict.winner.is_none(),
        },
    }
}

/// I12: content that lost holds nowhere in its member, and it lost once; R-REC-9: only equal nodes are paired. Where a disaster was, it may have come back.
///
/// # Errors
/// The first conflict that came to nothing, was found twice, or should not have been possible.
pub fn hold(store: &Store, ledger: &Ledger) -> Result<(), String> {
    let decided = store.conflicts.iter().filter(|conflict| {
        conflict.policy != ConflictPolicy::Manual && conflict.kind == ConflictKind::ChangeChange
    });
    let mut told = std::collections::BTreeSet::new();
    for conflict in decided {
        let Some((won, lost)) = contents(conflict) else {
            continue;
        };
        if conflict.base.is_none() {
            return Err(format!("R-REC-9: different, yet paired: {conflict:?}"));
        }
        if !told.insert((conflict.member, won, lost)) {
            return Err(format!("I12: found twice: {conflict:?}"));
        }
        let copies = store.copies.values();
        let own = copies
            .filter(|copy| copy.member == Some(conflict.member) && copy.state == CopyState::Live);
        let has_lost = own.map(|copy| copy.projection.content.map(token_of) == Some(lost));
        let has_lost: Vec<bool> = has_lost.collect();
        // Where the winner's copy was deleted before it was delivered, the other one may stay as it is (SPEC §7); so it
        // does while the winner's delivery fails.
        let member = store.members.get(&conflict.member);
        let synced = member.is_some_and(|member| member.state == MemberState::Synced);
        // And who deletes what won gives it up: then what lost may hold after all.
        let holds = synced && !ledger.is_over(won);
        if holds && has_lost.len() == 2 && has_lost.contains(&true) {
            return Err(format!("I12: what lost is there: {conflict:?}"));
        }
    }
    Ok(())
}

/// Whether both sides had written new content, each its own.
#[must_use]
pub fn is_of_content(conflict: &Conflict) -> bool {
    let content = |state: &Option<State>| state.as_ref()?.projection.content.map(token_of);
    let [ours, theirs] = Side::BOTH.map(|side| content(conflict.states.get(side)));
    let base = content(&conflict.base);
    ours.is_some() && theirs.is_some() && ours != theirs && ours != base && theirs != base
}

/// The winner's content and the loser's, of a conflict that is one of content.
fn contents(conflict: &Conflict) -> Option<(u64, u64)> {
    let content = |state: &Option<State>| state.as_ref()?.projection.content.map(token_of);
    let winner = conflict.winner?;
    let won = content(conflict.states.get(winner))?;
    let lost = content(conflict.states.get(winner.other()))?;
    is_of_content(conflict).then_some((won, lost))
}
