//! Writes what a run of the engine changed, in the transaction of its group.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, Value};

use super::super::{Error, sql};
use super::rows::{Insert, json};
use super::scans::{self, ScanKind};
use super::walks::SetJobKind;
use super::{codec, conflicts, generations, journal, load, read, sets, stays, versions};
use crate::domain::copy::Copy;
use crate::domain::engine::{Effects, Walk};
use crate::domain::failure::Failure;
use crate::domain::ids::{Digest, MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::member::{Member, MemberState};
use crate::domain::projection::{NodeKind, Side};
use crate::domain::sync_set::SyncSet;
use crate::domain::view::Loaded;
use crate::storage::content_index;

const COPIES: Insert = Insert {
    head: "INSERT OR REPLACE INTO copy (repository, node, member, state, parent, name_key, \
           revision, digest, locked, actor, projection, past, unfit, edited) VALUES",
    columns: 14,
    tail: "",
};
const MEMBERS: Insert = Insert {
    head: "INSERT OR REPLACE INTO member (id, set_id, kind, direct, state, reason, \
           on_premise_node, cloud_node, version, body) VALUES",
    columns: 10,
    tail: "",
};
const DUE: Insert = Insert {
    head: "INSERT OR REPLACE INTO due (repository, member, since, set_id, lane, not_before) VALUES",
    columns: 6,
    tail: "",
};
const BLOCKED: Insert = Insert {
    head: "INSERT OR REPLACE INTO blocked (repository, obstacle, member) VALUES",
    columns: 3,
    tail: "",
};
const SETS: Insert = Insert {
    head: "INSERT OR REPLACE INTO sync_set (id, network, on_premise_repository, cloud_repository, root, \
           target, source_folder, include_subfolders, lock_on_premise_copy, allow_delete_on_cloud, \
           delete_on_premise, max_delete_percent, owner, ending, members, pending, failed, bytes, gate, \
           deletions, guard_since, counting, removals, emptied, outside, paused, removal, \
           conflict_policy, conflict_grain, name_clash_policy, kind) VALUES",
    columns: 31,
    tail: "",
};
const WALKS: Insert = Insert {
    head: "INSERT INTO walk (network, repository, folder, set_id, absence, choice) VALUES",
    columns: 6,
    tail: "",
};
// By repository: for pairs of keys SQLite would read every row of the repository.
const DELETE_COPIES: &str =
    "DELETE FROM copy WHERE repository = ? AND node IN (SELECT value FROM json_each(?))";
const DELETE_MEMBERS: &str =
    "DELETE FROM member WHERE id IN (SELECT unhex(value) FROM json_each(?))";
const DELETE_DUE: &str =
    "DELETE FROM due WHERE repository = ? AND member IN (SELECT unhex(value) FROM json_each(?))";
const DELETE_BLOCKED: &str = "DELETE FROM blocked WHERE repository = ?1 \
                              AND obstacle IN (SELECT value->>0 FROM json_each(?2)) \
                              AND (obstacle, member) IN \
                              (SELECT value->>0, unhex(value->>1) FROM json_each(?2))";

/// What others have to be told once the transaction is committed.
#[derive(Debug, Default, Clone)]
pub struct Wake {
    /// Repositories for which something became due.
    pub repositories: BTreeSet<RepositoryId>,
    /// Repositories whose roots, scans or nodes to be looked at changed.
    pub watching: BTreeSet<RepositoryId>,
    /// Something happened at all, so readers of journal and members look again.
    pub any: bool,
}

/// Writes all effects; `now` is the time of the transaction.
///
/// # Errors
/// Whatever the database answers.
pub async fn save<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    loaded: &Loaded,
    effects: &Effects,
    now: i64,
) -> Result<Wake, Error> {
    let mark = journal::append_in(tx, network, &effects.journal, now).await?;
    save_copies(tx, effects).await?;
    let mut wake = save_members(tx, loaded, effects, mark.position).await?;
    save_sets(tx, effects).await?;
    end_members(tx, network, effects).await?;
    wake.repositories.extend(opened(loaded, effects));
    wake.watching = watching(loaded, effects);
    save_walks(tx, network, &effects.walks).await?;
    generations::take_in(tx, effects).await?;
    wake.watching.extend(ask(tx, effects).await?);
    conflicts::insert_in(tx, network, &effects.conflicts).await?;
    conflicts::close_in(tx, &effects.closed).await?;
    versions::change_in(tx, &effects.versions, &effects.losers, mark.position, now).await?;
    share(tx, effects, now).await?;
    stays::insert_in(tx, &effects.stays).await?;
    wake.any = !effects.journal.is_empty() || !effects.changes.members.is_empty();
    for set in effects.changes.sets.values() {
        if set.ending && set.counters.members == 0 {
            wake.watching
                .extend(sets::remove_if_empty_in(tx, set).await?);
        }
    }
    Ok(wake)
}

async fn save_copies<C: ConnectionTrait>(tx: &C, effects: &Effects) -> Result<(), Error> {
    let mut rows = Vec::new();
    let mut gone = Gone::new();
    for ((repository, node), copy) in &effects.changes.copies {
        match copy {
            Some(copy) => rows.push(copy_row(copy)),
            None => gone.entry(*repository).or_default().push(node.0.as_str()),
        }
    }
    delete(tx, DELETE_COPIES, &gone).await?;
    COPIES.rows(tx, rows).await
}

/// What is to be removed, by repository.
type Gone<T> = BTreeMap<RepositoryId, Vec<T>>;

async fn delete<C: ConnectionTrait, T: serde::Serialize>(
    tx: &C,
    text: &'static str,
    gone: &Gone<T>,
) -> Result<(), Error> {
    for (repository, keys) in gone {
        sql::execute(tx, text, [repository.0.into(), json(keys)]).await?;
    }
    Ok(())
}

fn copy_row(copy: &Copy) -> Vec<Value> {
    vec![
        copy.repository.0.into(),
        copy.node.0.clone().into(),
        copy.member.map(MemberId::to_bytes).into(),
        read::state_number(copy.state).into(),
        copy.parent.0.clone().into(),
        copy.name_key.clone().into(),
        copy.revision.clone().into(),
        copy.projection
            .content
            .map(|content| content.digest.0.to_vec())
            .into(),
        copy.locked.into(),
        copy.actor.clone().into(),
        codec::encode_projection(&copy.projection).into(),
        codec::encode_past(&copy.past).into(),
        copy.unfit.map_or(0, |unfit| unfit as i32).into(),
        copy.edited.into(),
    ]
}

fn member_row(member: &Member) -> Vec<Value> {
    let (state, reason) = match &member.state {
        MemberState::Pending => (0, 0),
        MemberState::Synced => (1, 0),
        MemberState::Failed(Failure { reason, .. }) => (2, *reason as i32),
    };
    let node = |side: Side| member.nodes.get(side).as_ref().map(|node| node.0.clone());
    vec![
        member.id.to_bytes().into(),
        member.set.to_bytes().into(),
        (if member.kind == NodeKind::Folder {
            2
        } else {
            1
        })
        .into(),
        member.direct.into(),
        state.into(),
        reason.into(),
        node(Side::OnPremise).into(),
        node(Side::Cloud).into(),
        member.version.into(),
        codec::encode_member(member).into(),
    ]
}

/// Members, and what is derived from them: who owes what, and who waits for what.
async fn save_members<C: ConnectionTrait>(
    tx: &C,
    loaded: &Loaded,
    effects: &Effects,
    position: i64,
) -> Result<Wake, Error> {
    let mut derived = Derived::default();
    let mut rows = Vec::new();
    let mut ended = Vec::new();
    for (id, now) in &effects.changes.members {
        let before = loaded.members.get(id).and_then(Option::as_ref);
        derived.clear(loaded, before, now.as_ref());
        match now {
            Some(member) => {
                rows.push(member_row(member));
                derived.set(loaded, effects, member, position);
            }
            None => ended.push(id.0.simple().to_string()),
        }
    }
    if !ended.is_empty() {
        sql::execute(tx, DELETE_MEMBERS, [json(&ended)]).await?;
    }
    MEMBERS.rows(tx, rows).await?;
    delete(tx, DELETE_DUE, &derived.due_gone).await?;
    delete(tx, DELETE_BLOCKED, &derived.blocked_gone).await?;
    DUE.rows(tx, derived.due).await?;
    BLOCKED.rows(tx, derived.blocked).await?;
    Ok(Wake {
        repositories: derived.woken,
        ..Wake::default()
    })
}

#[derive(Default)]
struct Derived {
    due: Vec<Vec<Value>>,
    due_gone: Gone<String>,
    blocked: Vec<Vec<Value>>,
    blocked_gone: Gone<(String, String)>,
    woken: BTreeSet<RepositoryId>,
}

impl Derived {
    fn clear(&mut self, loaded: &Loaded, before: Option<&Member>, now: Option<&Member>) {
        let Some(before) = before else { return };
        let Some(Some(set)) = loaded.sets.get(&before.set) else {
            return;
        };
        let hex = before.id.0.simple().to_string();
        let same_set = now.is_some_and(|now| now.set == before.set);
        if let Some(due) = before.due
            && (!same_set
                || now
                    .and_then(|now| now.due)
                    .is_none_or(|now| now.side != due.side))
        {
            let gone = self.due_gone.entry(*set.repositories.get(due.side));
            gone.or_default().push(hex.clone());
        }
        if let Some((side, obstacle)) = &before.blocked
            && now.is_none_or(|now| now.blocked != before.blocked)
        {
            let gone = self.blocked_gone.entry(*set.repositories.get(*side));
            gone.or_default().push((load::obstacle_text(obstacle), hex));
        }
    }

    fn set(&mut self, loaded: &Loaded, effects: &Effects, member: &Member, position: i64) {
        let known = effects.changes.sets.get(&member.set);
        let Some(set) = known.or_else(|| loaded.sets.get(&member.set).and_then(Option::as_ref))
        else {
            return;
        };
        if let Some(due) = member.due {
            let repository = *set.repositories.get(due.side);
            // Within a transaction ids grow with time, so parents, which enter first, come first.
            self.due.push(vec![
                repository.0.into(),
                member.id.to_bytes().into(),
                position.into(),
                member.set.to_bytes().into(),
                (due.lane as i32).into(),
                due.not_before.into(),
            ]);
            self.woken.insert(repository);
        }
        if let Some((side, obstacle)) = &member.blocked {
            self.blocked.push(vec![
                set.repositories.get(*side).0.into(),
                load::obstacle_text(obstacle).into(),
                member.id.to_bytes().into(),
            ]);
        }
    }
}

/// Repositories of sets that came, end, or one of whose chosen nodes has another copy now, or is no member any more.
fn watching(loaded: &Loaded, effects: &Effects) -> BTreeSet<RepositoryId> {
    let mut anew: BTreeSet<SyncSetId> = BTreeSet::new();
    for (id, now) in &effects.changes.members {
        let before = loaded.members.get(id).and_then(Option::as_ref);
        let chosen = now.as_ref().or(before).filter(|member| member.direct);
        let moved = now.as_ref().map(|now| &now.nodes) != before.map(|before| &before.nodes);
        anew.extend(chosen.filter(|_| moved).map(|member| member.set));
    }
    for set in effects.changes.sets.values() {
        let before = loaded.sets.get(&set.id).and_then(Option::as_ref);
        if before.is_none_or(|before| before.ending != set.ending) {
            anew.insert(set.id);
        }
    }
    let sets = anew.iter().filter_map(|id| {
        let now = effects.changes.sets.get(id);
        now.or_else(|| loaded.sets.get(id).and_then(Option::as_ref))
    });
    sets.flat_map(|set| [set.repositories.on_premise, set.repositories.cloud])
        .collect()
}

/// A gate that opens, a synced folder that is back in a library, or a pause that ends lets work flow that was due before
/// (R-DEL-3, R-MOV-1, R-SET-7).
fn opened<'a>(loaded: &'a Loaded, effects: &'a Effects) -> impl Iterator<Item = RepositoryId> + 'a {
    let changed = effects.changes.sets.values().filter(|set| {
        let before = loaded.sets.get(&set.id).and_then(Option::as_ref);
        before.is_none_or(|before| {
            before.guard.gate != set.guard.gate
                || before.outside != set.outside
                || before.paused != set.paused
        })
    });
    changed.flat_map(|set| [set.repositories.on_premise, set.repositories.cloud])
}

/// Sets that changed; one that ended goes with its last member (R-SET-1).
async fn save_sets<C: ConnectionTrait>(tx: &C, effects: &Effects) -> Result<(), Error> {
    let sets = effects.changes.sets.values();
    SETS.rows(tx, sets.clone().map(set_row).collect()).await?;
    for set in sets.filter(|set| set.ending && set.counters.members == 0) {
        sets::remove_if_empty_in(tx, set).await?;
    }
    Ok(())
}

/// What is left in a set whose synced folder is no member any more ends in steps.
async fn end_members<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    effects: &Effects,
) -> Result<(), Error> {
    let sets = effects.ended.iter();
    let left = sets.filter_map(|id| effects.changes.sets.get(id));
    for set in left.filter(|set| set.counters.members > 0) {
        let owner = set.owner.as_str();
        super::walks::begin_set_job_in(tx, network, set.id, SetJobKind::End, owner).await?;
    }
    Ok(())
}

fn set_row(set: &SyncSet) -> Vec<Value> {
    vec![
        set.id.to_bytes().into(),
        set.network.0.into(),
        set.repositories.on_premise.0.into(),
        set.repositories.cloud.0.into(),
        set.root.to_bytes().into(),
        set.target.0.clone().into(),
        set.source_folder.0.clone().into(),
        set.options.include_subfolders.into(),
        set.options.lock_on_premise_copy.into(),
        set.options.allow_delete_on_cloud.into(),
        set.options.delete_on_premise.into(),
        set.options.max_delete_percent.into(),
        set.owner.clone().into(),
        set.ending.into(),
        set.counters.members.into(),
        set.counters.pending.into(),
        set.counters.failed.into(),
        set.counters.bytes.into(),
        (set.guard.gate as i32).into(),
        set.guard.deletions.into(),
        set.guard.since.into(),
        set.guard.counting.into(),
        set.guard.due.into(),
        set.guard.emptied.map(|side| side.name().to_owned()).into(),
        read::sides_number(set.outside).into(),
        set.paused.into(),
        (set.removal as i32).into(),
        (set.options.conflict_policy as i32).into(),
        (set.options.conflict_grain as i32).into(),
        (set.options.name_clash_policy as i32).into(),
        (set.kind as i32).into(),
    ]
}

async fn save_walks<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    walks: &[Walk],
) -> Result<(), Error> {
    let row = |walk: &Walk| {
        vec![
            network.0.into(),
            walk.repository.0.into(),
            walk.folder.0.clone().into(),
            walk.set.to_bytes().into(),
            super::walks::absence_number(walk.absence).into(),
            codec::choice_number(walk.choice).into(),
        ]
    };
    WALKS.rows(tx, walks.iter().map(row).collect()).await
}

/// Asks agents to look at nodes, or to list synced folders again; answers whom to wake.
async fn ask<C: ConnectionTrait>(
    tx: &C,
    effects: &Effects,
) -> Result<BTreeSet<RepositoryId>, Error> {
    let mut by_repository: BTreeMap<RepositoryId, Vec<NodeId>> = BTreeMap::new();
    for (repository, node) in &effects.observe {
        let nodes = by_repository.entry(*repository).or_default();
        nodes.push(node.clone());
    }
    for (repository, nodes) in &by_repository {
        scans::ask_to_observe_in(tx, *repository, nodes).await?;
    }
    let roots: BTreeSet<&(RepositoryId, NodeId)> = effects.scans.iter().collect();
    for (repository, root) in &roots {
        scans::ask_in(tx, *repository, root, ScanKind::Demand, false).await?;
    }
    for (repository, root) in &effects.new_roots {
        scans::ask_in(tx, *repository, root, ScanKind::First, false).await?;
    }
    let listed = roots.iter().map(|(repository, _)| *repository);
    let made = effects.new_roots.iter().map(|(repository, _)| *repository);
    let listed = listed
        .chain(made)
        .chain(effects.doubted.iter().map(|(repository, _)| *repository));
    Ok(by_repository.into_keys().chain(listed).collect())
}

/// What a repository was delivered, it has received (R-CNT-1).
async fn share<C: ConnectionTrait>(tx: &C, effects: &Effects, now: i64) -> Result<(), Error> {
    let mut by_pair: BTreeMap<(RepositoryId, RepositoryId), Vec<Digest>> = BTreeMap::new();
    for (from, to, digest) in &effects.shared {
        by_pair.entry((*from, *to)).or_default().push(*digest);
    }
    for ((from, to), digests) in by_pair {
        content_index::share_in(tx, from, to, &digests, now).await?;
    }
    Ok(())
}

/// The sets that a run touched, for whoever shows them.
#[must_use]
pub fn touched_sets(effects: &Effects) -> BTreeSet<SyncSetId> {
    effects.changes.sets.keys().copied().collect()
}
