//! What must hold after every step, and what must hold when everything has come to rest.

use std::collections::BTreeMap;

use tandem_server::domain::conflict::ConflictKind;
use tandem_server::domain::copy::{Copy, CopyState};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::ids::{MemberId, NodeId, SyncSetId};
use tandem_server::domain::member::{Hold, Member, MemberState, Obstacle};
use tandem_server::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use tandem_server::domain::projection::{Comparison, ContentRef, NodeKind, Side, State};
use tandem_server::domain::report::NodeTrait;
use tandem_server::domain::repository::comparison;
use tandem_server::domain::sync_set::{Counters, Gate, SyncSet};

use super::coordinator::repository_id;
use super::repository::{Node, token_of};
use super::store::Store;
use super::verdicts;
use super::world::World;

/// After every step.
///
/// # Errors
/// The first broken promise.
pub fn always(world: &World) -> Result<(), String> {
    let store = &world.coordinator.store;
    trees_are_trees(store)?;
    canaries_sing(world)?;
    counters_count(store)?;
    rows_fit_together(store)
}

/// I15: one parent, no folder inside itself, sibling names unique where both are there.
fn trees_are_trees(store: &Store) -> Result<(), String> {
    for (key, copy) in &store.copies {
        let mut at = copy;
        for _ in 0..=store.copies.len() {
            let above = store.copies.get(&(key.0, at.parent.clone()));
            let Some(above) = above.filter(|above| above.is_there()) else {
                at = copy;
                break;
            };
            if above.node == copy.node {
                return Err(format!("I15: {} lies below itself", copy.node));
            }
            at = above;
        }
        if at.node != copy.node {
            return Err(format!("I15: the folders above {} go round", copy.node));
        }
    }
    Ok(())
}

/// I17: nothing outside the sets is touched.
fn canaries_sing(world: &World) -> Result<(), String> {
    for side in Side::BOTH {
        let place = world.places.get(side);
        for (canary, revision) in &place.canaries {
            let found = place.repository.nodes.get(canary);
            if found.is_none_or(|node| node.revision != *revision) {
                return Err(format!("I17: {side:?} {canary} was touched"));
            }
        }
    }
    Ok(())
}

fn counters_count(store: &Store) -> Result<(), String> {
    let mut counted: BTreeMap<SyncSetId, Counters> = BTreeMap::new();
    for member in store.members.values() {
        let counters = counted.entry(member.set).or_default();
        counters.members += 1;
        counters.pending += i64::from(member.state == MemberState::Pending);
        counters.failed += i64::from(matches!(member.state, MemberState::Failed(_)));
        let base = member.base.as_ref();
        let content = base.and_then(|base| base.projection.content);
        counters.bytes += content.map_or(0, |content| content.size);
    }
    for (id, set) in &store.sets {
        let counted = counted.get(id).copied().unwrap_or_default();
        if counted != set.counters {
            return Err(format!("counters: {:?} but {counted:?}", set.counters));
        }
        let walks = store.walks.iter().filter(|(walk, _)| walk.set == *id);
        let walks = i64::try_from(walks.count()).unwrap_or(i64::MAX);
        if walks != set.guard.counting {
            return Err(format!(
                "guard: {} walks, {walks} there",
                set.guard.counting
            ));
        }
    }
    Ok(())
}

fn rows_fit_together(store: &Store) -> Result<(), String> {
    for member in store.members.values() {
        if !store.sets.contains_key(&member.set) {
            return Err(format!("{} has no set", member.id));
        }
        let failed = matches!(member.state, MemberState::Failed(_));
        if member.due.is_some() && member.blocked.is_some() && !failed {
            return Err(format!("{} is due and blocked", member.id));
        }
        disputes_are_recorded(store, member)?;
        let by_people = matches!(member.hold, Some(Hold::ManualConflict | Hold::Editing));
        if member.blocked.is_some() != member.hold.is_some() && !by_people {
            return Err(format!("{} is blocked without a hold, or held", member.id));
        }
    }
    for copy in store.copies.values() {
        let Some(id) = copy.member else { continue };
        let Some(member) = store.members.get(&id) else {
            return match copy.is_there() {
                true => Err(format!("{} belongs to no member", copy.node)),
                false => continue,
            };
        };
        let side = match copy.repository == repository_id(Side::OnPremise) {
            true => Side::OnPremise,
            false => Side::Cloud,
        };
        if copy.state == CopyState::Live && member.nodes.get(side).as_ref() != Some(&copy.node) {
            return Err(format!("{} is not the copy of its member", copy.node));
        }
        let content = copy.projection.content.map(|content| content.digest);
        let kept = store.versions.get(&(id, side)).copied();
        let recorded = content == kept || content.is_none();
        if copy.state == CopyState::Live && !recorded {
            return Err(format!(
                "I3: {} has content that no version names",
                copy.node
            ));
        }
    }
    Ok(())
}

/// R-CON-3: who waits for a person has an open record, which tells what is there; nothing else is open.
fn disputes_are_recorded(store: &Store, member: &Member) -> Result<(), String> {
    let of_member = store.conflicts.iter();
    let mut open = of_member.filter(|found| found.open && found.member == member.id);
    let found = open.next();
    if found.map(|found| found.id) != member.open || open.next().is_some() {
        return Err(format!("R-CON-3: {} and its record differ", member.id));
    }
    if member.open.is_some() && member.state == MemberState::Synced {
        return Err(format!("R-CON-3: {} is synced, yet disputed", member.id));
    }
    Ok(())
}

/// I1: both trees are equal, apart from what a person has to decide.
///
/// # Errors
/// The first difference that nobody answers for.
pub fn converged(world: &World) -> Result<(), String> {
    let store = &world.coordinator.store;
    for side in Side::BOTH {
        if !world.places.get(side).agent.is_idle() {
            return Err(format!("I2: the agent of {side:?} is not at rest"));
        }
        rows_are_true(world, side)?;
        everything_is_known(world, side)?;
        nothing_is_made_up(world, side)?;
    }
    losers_are_kept(store)?;
    verdicts::are_just(store)?;
    failures_are_told(store)?;
    only_what_may_is_synced(world)?;
    locks_end_with_membership(world)?;
    for member in store.members.values() {
        member_is_settled(world, member)?;
    }
    Ok(())
}

/// I4: nothing is there that nobody wrote.
fn nothing_is_made_up(world: &World, side: Side) -> Result<(), String> {
    let nodes = world.places.get(side).repository.nodes.values();
    let mut contents = nodes.map(|node| node.content);
    match contents.find(|content| !world.ledger.is_known(*content)) {
        Some(content) => Err(format!("I4: nobody wrote {content} on {side:?}")),
        None => Ok(()),
    }
}

/// I3, I12: what lost a conflict is kept.
fn losers_are_kept(store: &Store) -> Result<(), String> {
    for conflict in &store.conflicts {
        let Some(winner) = conflict.winner else {
            continue;
        };
        let loser = winner.other();
        let lost = conflict.states.get(loser).as_ref();
        let content = lost.and_then(|state| state.projection.content);
        let key = |content: ContentRef| (conflict.member, loser, content.digest);
        if content.is_some_and(|content| !store.losers.contains(&key(content))) {
            return Err(format!("I3: the loser of {:?} is not kept", conflict.id));
        }
    }
    Ok(())
}

/// I28: who fails says why, since when, and how often.
fn failures_are_told(store: &Store) -> Result<(), String> {
    for member in store.members.values() {
        if let MemberState::Failed(failure) = &member.state
            && (failure.message.is_empty() || failure.since <= 0 || failure.attempts < 1)
        {
            return Err(format!("I28: {} does not say why: {failure:?}", member.id));
        }
    }
    Ok(())
}

/// R-CON-3: under KEEP_BOTH on-premise content that lost is a node, unless somebody wrote over that or gave it up.
///
/// # Errors
/// Content that is nowhere.
pub fn both_are_kept(world: &World) -> Result<(), String> {
    let store = &world.coordinator.store;
    for conflict in &store.conflicts {
        let content = |state: &Option<State>| {
            let state = state.as_ref()?;
            Some(token_of(state.projection.content?))
        };
        let base = content(&conflict.base);
        let (Some(lost), won) = (
            content(&conflict.states.on_premise),
            content(&conflict.states.cloud),
        ) else {
            continue;
        };
        let ended = !store.sets.contains_key(&conflict.set);
        let set = store.sets.get(&conflict.set).map(|set| set.options);
        let merged = set.is_some_and(|options| options.conflict_grain == ConflictGrain::PerField)
            && base == won;
        let keeps = conflict.policy == ConflictPolicy::KeepBoth;
        let both = conflict.kind == ConflictKind::ChangeChange && !merged;
        if !keeps || !both || ended || won == Some(lost) || base == Some(lost) {
            continue;
        }
        let there = Side::BOTH.iter().any(|side| {
            let mut nodes = world.places.get(*side).repository.nodes.values();
            nodes.any(|node| node.content == lost)
        });
        // The folder that it is to be made in may be gone: that is for people.
        let waits = store.members.values().any(|member| {
            let state = member.sibling.as_ref().map(|sibling| &sibling.state);
            content(&state.cloned()) == Some(lost)
        });
        if !there && !waits && !world.ledger.is_over(lost) {
            return Err(format!(
                "R-CON-3: {lost} is nowhere, it lost {:?}",
                conflict.id
            ));
        }
    }
    Ok(())
}

/// R-MEM-1: what is never a member is none, and subfolders only where they are included.
fn only_what_may_is_synced(world: &World) -> Result<(), String> {
    let store = &world.coordinator.store;
    for member in store.members.values().filter(|member| !member.direct) {
        let set = store.sets.get(&member.set);
        let flat = set.is_some_and(|set| !set.options.include_subfolders);
        if flat && member.kind == NodeKind::Folder {
            return Err(format!("R-MEM-1: {} is a subfolder", member.id));
        }
        for side in Side::BOTH {
            let nodes = &world.places.get(side).repository.nodes;
            let node = member.nodes.get(side).as_ref().and_then(|id| nodes.get(id));
            if node.is_some_and(|node| never_member(node.node_trait)) {
                return Err(format!("R-MEM-1: {} is never synced", member.id));
            }
        }
    }
    Ok(())
}

fn never_member(node_trait: NodeTrait) -> bool {
    use NodeTrait::{Link, SmartFolder, Special, WorkingCopy};
    matches!(node_trait, WorkingCopy | SmartFolder | Link | Special)
}

/// R-LCK-1: what is locked on-premise is a member, of a set that locks, or waits for what unlocks it.
fn locks_end_with_membership(world: &World) -> Result<(), String> {
    let store = &world.coordinator.store;
    let nodes = &world.places.on_premise.repository.nodes;
    // A synced folder lies where nothing is known; README, "Not yet".
    let known = |node: &Node| {
        let folder = (repository_id(Side::OnPremise), node.parent.clone());
        store.copies.contains_key(&folder)
    };
    let locked = nodes.iter().filter(|(_, node)| node.locked && known(node));
    for (id, _) in locked {
        let copy = store
            .copies
            .get(&(repository_id(Side::OnPremise), id.clone()));
        let member = copy.and_then(|copy| store.members.get(&copy.member?));
        let set = member.and_then(|member| store.sets.get(&member.set));
        if member.is_some_and(|member| member.state != MemberState::Synced) {
            continue;
        }
        if set.is_none_or(|set| !set.options.lock_on_premise_copy) {
            return Err(format!("R-LCK-1: {id} is locked for nobody"));
        }
    }
    Ok(())
}

/// What the coordinator holds of a copy is what is there.
fn rows_are_true(world: &World, side: Side) -> Result<(), String> {
    let repository = &world.places.get(side).repository;
    for copy in world.coordinator.store.copies.values() {
        if copy.repository != repository_id(side) || copy.state != CopyState::Live {
            continue;
        }
        let Some(node) = repository.nodes.get(&copy.node) else {
            return Err(format!("I1: {} is held, but not there", copy.node));
        };
        let there = node.presence();
        if there.projection != copy.projection
            || there.parent != copy.parent
            || there.revision != copy.revision
            || there.edited != copy.edited
        {
            return Err(format!(
                "I1: {} is not as it is held: {there:?} {copy:?}",
                copy.node
            ));
        }
    }
    Ok(())
}

/// R-MEM-1: every node in a synced folder is a member, left, skipped, or below such a one.
fn everything_is_known(world: &World, side: Side) -> Result<(), String> {
    let store = &world.coordinator.store;
    let repository = &world.places.get(side).repository;
    for (id, node) in &repository.nodes {
        let key = (repository_id(side), node.parent.clone());
        let Some(folder) = store.copies.get(&key) else {
            continue;
        };
        let key = (repository_id(side), id.clone());
        let known = store.copies.get(&key).is_some_and(Copy::is_there);
        let in_member = folder.state == CopyState::Live && folder.member.is_some();
        if in_member && !known {
            return Err(format!("I1: {id} lies in a synced folder, unknown"));
        }
    }
    Ok(())
}

fn member_is_settled(world: &World, member: &Member) -> Result<(), String> {
    let store = &world.coordinator.store;
    let Some(set) = store.sets.get(&member.set) else {
        return Ok(());
    };
    let id = member.id;
    match &member.state {
        MemberState::Failed(_) => return clash_is_for_people(store, set, member),
        MemberState::Pending => return pending_has_a_reason(store, member),
        MemberState::Synced => {}
    }
    if member.due.is_some() || member.blocked.is_some() {
        return Err(format!("I1: {id} is synced, yet due or blocked"));
    }
    if member.cloud_copy_deleted {
        return Ok(());
    }
    let comparison = match Side::BOTH.map(|side| store.repositories.get(&repository_id(side))) {
        [Some(left), Some(right)] => comparison(left, right),
        _ => Comparison::default(),
    };
    let states = Side::BOTH.map(|side| {
        let node = member.nodes.get(side).clone()?;
        let repository = *set.repositories.get(side);
        let copy = store.copies.get(&(repository, node))?;
        let parent = store.copies.get(&(repository, copy.parent.clone()));
        (copy.state == CopyState::Live && copy.member == Some(id)).then(|| State {
            projection: copy.projection.clone(),
            parent: parent
                .and_then(|parent| parent.member)
                .filter(|_| !member.direct),
        })
    });
    match states {
        [Some(left), Some(right)] if comparison.equal(&left, &right) => Ok(()),
        states => Err(format!("I1: {id} is synced, but different: {states:?}")),
    }
}

/// R-REC-9: what the policy of a set settles does not fail.
fn clash_is_for_people(store: &Store, set: &SyncSet, member: &Member) -> Result<(), String> {
    let MemberState::Failed(failure) = &member.state else {
        return Ok(());
    };
    let is_clash = failure.reason == Reason::TargetFolderNameClash;
    let renamed = set.options.name_clash_policy == NameClashPolicy::Rename;
    let newcomer = member.nodes.cloud.is_none() && (!member.direct || renamed);
    if !is_clash || !newcomer {
        return Ok(());
    }
    let id = member.id;
    match set.options.name_clash_policy {
        NameClashPolicy::Fail => Ok(()),
        NameClashPolicy::Rename => Err(format!("R-REC-9: {id} has no free name")),
        NameClashPolicy::AdoptIdentical => match equal_holder(store, member) {
            Some(node) => Err(format!("R-REC-9: {id} is not paired with {node}")),
            None => Ok(()),
        },
    }
}

/// The unpaired cloud node that has the name of a member, and looks like it.
fn equal_holder(store: &Store, member: &Member) -> Option<NodeId> {
    let Some((Side::Cloud, Obstacle::Name(folder, key))) = &member.blocked else {
        return None;
    };
    let own = member.nodes.on_premise.clone()?;
    let own = store.copies.get(&(repository_id(Side::OnPremise), own))?;
    let mut holders = store.in_folder(repository_id(Side::Cloud), folder);
    let holder = holders.find(|copy| copy.name_key == *key)?;
    let other = holder.member.and_then(|other| store.members.get(&other));
    let unpaired = other.is_some_and(|other| {
        other.set == member.set && other.nodes.on_premise.is_none() && !other.direct
    });
    let (ours, theirs) = (&own.projection, &holder.projection);
    let alike = ours.kind == theirs.kind
        && ours.content == theirs.content
        && (ours.kind == NodeKind::Folder || ours.properties == theirs.properties);
    (unpaired && alike).then(|| holder.node.clone())
}

fn pending_has_a_reason(store: &Store, member: &Member) -> Result<(), String> {
    let held = store
        .sets
        .get(&member.set)
        .is_some_and(|set| set.guard.gate == Gate::Held);
    if held || waits_for_failure(store, member.id, 0) {
        return Ok(());
    }
    Err(format!("I1: nobody answers for {member:?}"))
}

/// Whether what a member waits for failed or is disputed, so that a person has to act.
fn waits_for_failure(store: &Store, id: MemberId, depth: usize) -> bool {
    let Some(member) = store.members.get(&id) else {
        return false;
    };
    if matches!(member.state, MemberState::Failed(_)) || member.open.is_some() {
        return true;
    }
    if depth > 20 {
        return false;
    }
    match &member.blocked {
        Some((_, Obstacle::Folder(on))) if *on == id => {
            // A folder that waits to become empty: something in it waits or failed.
            let inside = store.members.values().filter(|other| {
                Side::BOTH.iter().any(|side| {
                    let node = other.nodes.get(*side).clone();
                    let copy =
                        node.and_then(|node| store.copies.get(&(repository_id(*side), node)));
                    copy.is_some_and(|copy| {
                        copy.is_there() && Some(&copy.parent) == member.nodes.get(*side).as_ref()
                    })
                })
            });
            let mut inside = inside.filter(|other| other.id != id);
            inside.any(|other| waits_for_failure(store, other.id, depth + 1))
        }
        Some((_, Obstacle::Folder(on))) => waits_for_failure(store, *on, depth + 1),
        Some((side, Obstacle::Name(folder, name))) => {
            let set = store.sets.get(&member.set);
            let Some(repository) = set.map(|set| *set.repositories.get(*side)) else {
                return false;
            };
            store
                .in_folder(repository, folder)
                .filter(|copy| copy.name_key == *name)
                .filter_map(|copy| copy.member)
                .any(|holder| waits_for_failure(store, holder, depth + 1))
        }
        None => parent_failed(store, member, depth),
    }
}

/// A child whose folder cannot be made.
fn parent_failed(store: &Store, member: &Member, depth: usize) -> bool {
    let Some(due) = member.due else { return false };
    let source = due.side.other();
    let node = member.nodes.get(source).clone();
    let copy = node.and_then(|node| store.copies.get(&(repository_id(source), node)));
    let parent = copy.and_then(|copy| {
        store
            .copies
            .get(&(repository_id(source), copy.parent.clone()))
    });
    let parent = parent.and_then(|parent| parent.member);
    parent.is_some_and(|parent| waits_for_failure(store, parent, depth + 1))
}
