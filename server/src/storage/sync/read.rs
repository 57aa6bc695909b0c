//! Reads rows into what the domain works on.

use sea_orm::QueryResult;

use super::super::Error;
use super::codec;
use crate::domain::copy::{Absence, Copy, CopyState, SkipReason, Unfit};
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::member::Member;
use crate::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use crate::domain::projection::{NodeKind, Side, Sides};
use crate::domain::sync_set::{Counters, Gate, Guard, Options, Removal, SetKind, SyncSet};

/// The columns that [`copy`] reads, of a table called `c`.
pub(super) const COPY: &str = "c.repository, c.node, c.member, c.state, c.parent, c.name_key, \
                               c.revision, c.locked, c.actor, c.projection, c.past, c.unfit, \
                               c.edited";

/// Numbers of states: see the migration.
pub(super) fn state_number(state: CopyState) -> i32 {
    match state {
        CopyState::Live => 0,
        CopyState::Gone(Absence::Deleted) => 1,
        CopyState::Gone(Absence::MovedOut) => 2,
        CopyState::Left => 3,
        CopyState::Skipped(reason) => 10 + reason as i32,
    }
}

fn copy_state(number: i32) -> CopyState {
    match number {
        0 => CopyState::Live,
        1 => CopyState::Gone(Absence::Deleted),
        2 => CopyState::Gone(Absence::MovedOut),
        other => SkipReason::from_number(other - 10).map_or(CopyState::Left, CopyState::Skipped),
    }
}

pub(super) fn copy(row: &QueryResult) -> Result<Copy, Error> {
    let member: Option<Vec<u8>> = row.try_get_by_index(2)?;
    let projection: Vec<u8> = row.try_get_by_index(9)?;
    let past: Vec<u8> = row.try_get_by_index(10)?;
    let state = copy_state(row.try_get_by_index(3)?);
    // What is left is nobody's; while it is imported, the set stands there (`imports.rs`).
    let member = member.filter(|_| state != CopyState::Left);
    Ok(Copy {
        repository: RepositoryId(row.try_get_by_index(0)?),
        node: NodeId(row.try_get_by_index(1)?),
        member: member.and_then(|bytes| MemberId::from_bytes(&bytes)),
        state,
        parent: NodeId(row.try_get_by_index(4)?),
        name_key: row.try_get_by_index(5)?,
        revision: row.try_get_by_index(6)?,
        locked: row.try_get_by_index(7)?,
        actor: row.try_get_by_index(8)?,
        projection: codec::decode_projection(&projection)?,
        unfit: Unfit::from_number(row.try_get_by_index(11)?),
        past: codec::decode_past(&past),
        edited: row.try_get_by_index(12)?,
    })
}

/// The columns that [`member`] reads, of a table called `m`.
pub(in crate::storage) const MEMBER: &str = "m.id, m.set_id, m.kind, m.direct, m.state, m.on_premise_node, \
                                 m.cloud_node, m.version, m.body";

pub(in crate::storage) fn member(row: &QueryResult) -> Result<Member, Error> {
    let id: Vec<u8> = row.try_get_by_index(0)?;
    let set: Vec<u8> = row.try_get_by_index(1)?;
    let kind: i32 = row.try_get_by_index(2)?;
    let kind = if kind == 2 {
        NodeKind::Folder
    } else {
        NodeKind::Document
    };
    let id = MemberId::from_bytes(&id).ok_or(Error::Corrupt {
        what: "the id of a member",
    })?;
    let set = SyncSetId::from_bytes(&set).ok_or(Error::Corrupt {
        what: "the id of a set",
    })?;
    let mut member = Member::new(id, set, kind, row.try_get_by_index(3)?);
    let on_premise: Option<String> = row.try_get_by_index(5)?;
    let cloud: Option<String> = row.try_get_by_index(6)?;
    member.nodes = Sides {
        on_premise: on_premise.map(NodeId),
        cloud: cloud.map(NodeId),
    };
    member.version = row.try_get_by_index(7)?;
    let body: Vec<u8> = row.try_get_by_index(8)?;
    codec::decode_member(&mut member, row.try_get_by_index(4)?, &body)?;
    Ok(member)
}

/// The columns that [`sync_set`] reads, of a table called `s`.
pub(super) const SET: &str = "s.id, s.network, s.on_premise_repository, s.cloud_repository, \
     s.root, s.target, s.source_folder, s.include_subfolders, s.lock_on_premise_copy, \
     s.allow_delete_on_cloud, s.delete_on_premise, s.max_delete_percent, s.owner, s.ending, \
     s.members, s.pending, s.failed, s.bytes, s.gate, s.deletions, s.guard_since, s.counting, \
     s.removals, s.emptied, s.outside, s.paused, \
     EXISTS (SELECT 1 FROM repository p WHERE p.paused = 1 \
     AND p.id IN (s.on_premise_repository, s.cloud_repository)), s.removal, s.conflict_policy, \
     s.conflict_grain, s.name_clash_policy, s.kind, \
     COALESCE((SELECT a.account FROM account_link a WHERE a.repository = s.cloud_repository \
     AND a.owner = s.owner), '')";

pub(super) fn sync_set(row: &QueryResult) -> Result<SyncSet, Error> {
    let id: Vec<u8> = row.try_get_by_index(0)?;
    let root: Vec<u8> = row.try_get_by_index(4)?;
    let emptied: Option<String> = row.try_get_by_index(23)?;
    let corrupt = || Error::Corrupt {
        what: "the options of a set",
    };
    Ok(SyncSet {
        id: SyncSetId::from_bytes(&id).ok_or(Error::Corrupt {
            what: "the id of a set",
        })?,
        network: NetworkId(row.try_get_by_index(1)?),
        repositories: Sides {
            on_premise: RepositoryId(row.try_get_by_index(2)?),
            cloud: RepositoryId(row.try_get_by_index(3)?),
        },
        kind: SetKind::from_number(row.try_get_by_index(31)?),
        root: MemberId::from_bytes(&root).ok_or(Error::Corrupt {
            what: "the root of a set",
        })?,
        target: NodeId(row.try_get_by_index(5)?),
        source_folder: NodeId(row.try_get_by_index(6)?),
        options: Options {
            include_subfolders: row.try_get_by_index(7)?,
            lock_on_premise_copy: row.try_get_by_index(8)?,
            allow_delete_on_cloud: row.try_get_by_index(9)?,
            delete_on_premise: row.try_get_by_index(10)?,
            conflict_policy: ConflictPolicy::from_number(row.try_get_by_index(28)?)
                .ok_or_else(corrupt)?,
            conflict_grain: ConflictGrain::from_number(row.try_get_by_index(29)?)
                .ok_or_else(corrupt)?,
            name_clash_policy: NameClashPolicy::from_number(row.try_get_by_index(30)?)
                .ok_or_else(corrupt)?,
            max_delete_percent: row.try_get_by_index(11)?,
        },
        owner: row.try_get_by_index(12)?,
        account: row.try_get_by_index(32)?,
        ending: row.try_get_by_index(13)?,
        outside: sides(row.try_get_by_index(24)?),
        paused: row.try_get_by_index(25)?,
        repository_paused: row.try_get_by_index(26)?,
        removal: Removal::from_number(row.try_get_by_index(27)?),
        counters: Counters {
            members: row.try_get_by_index(14)?,
            pending: row.try_get_by_index(15)?,
            failed: row.try_get_by_index(16)?,
            bytes: row.try_get_by_index(17)?,
        },
        guard: Guard {
            gate: gate(row.try_get_by_index(18)?),
            deletions: row.try_get_by_index(19)?,
            since: row.try_get_by_index(20)?,
            counting: row.try_get_by_index(21)?,
            due: row.try_get_by_index(22)?,
            emptied: emptied.as_deref().and_then(Side::from_name),
        },
    })
}

/// A set of sides as a number: 1 on-premise, 2 cloud.
pub(super) fn sides_number(sides: Sides<bool>) -> i32 {
    i32::from(sides.on_premise) + 2 * i32::from(sides.cloud)
}

fn sides(number: i32) -> Sides<bool> {
    Sides {
        on_premise: number & 1 != 0,
        cloud: number & 2 != 0,
    }
}

fn gate(number: i32) -> Gate {
    [Gate::Counting, Gate::Held]
        .into_iter()
        .find(|gate| *gate as i32 == number)
        .unwrap_or(Gate::Open)
}
