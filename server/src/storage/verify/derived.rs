//! What is derived from members: who owes what, and who waits for what. It is derived again, and compared.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;

use super::{Fault, Found};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::member::Member;
use crate::domain::projection::Sides;
use crate::storage::sync::load::obstacle_text;
use crate::storage::sync::read;
use crate::storage::{Error, sql};

/// What a repository owes a member: the set, the kind of work, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owed {
    set: SyncSetId,
    lane: i32,
    not_before: i64,
}

impl Owed {
    /// What waited for an agent only is due at once when that comes, without a change of the member.
    fn may_be(self, row: Self) -> bool {
        self == row
            || Self {
                not_before: 0,
                ..self
            } == row
    }
}

/// By repository and member.
type Due = BTreeMap<(i64, MemberId), Owed>;
/// By repository, obstacle and member.
type Blocked = BTreeSet<(i64, String, MemberId)>;

/// Derives again what is derived from members, in steps of so many rows, and compares.
///
/// # Errors
/// Whatever the database answers.
pub async fn derived<C: ConnectionTrait>(
    connection: &C,
    rows_max: usize,
) -> Result<Vec<Found>, Error> {
    let sets = repositories_of_sets(connection).await?;
    let (mut found, mut blocked) = (Vec::new(), Blocked::new());
    let mut after: Option<MemberId> = None;
    loop {
        let members = members_behind(connection, after, rows_max).await?;
        let last = members.last().map(|member| member.id);
        let mut due = Due::new();
        for member in &members {
            // A set that is being imported comes last.
            if let Some(repositories) = sets.get(&member.set) {
                owed(member, *repositories, &mut due, &mut blocked);
            }
        }
        let kept = due_between(connection, after, last).await?;
        compare_due(&due, &kept, &mut found);
        let Some(last) = last else { break };
        after = Some(last);
    }
    compare_blocked(&blocked, &all_blocked(connection).await?, &mut found);
    Ok(found)
}

fn owed(member: &Member, repositories: Sides<i64>, due: &mut Due, blocked: &mut Blocked) {
    if let Some(work) = member.due {
        let owed = Owed {
            set: member.set,
            lane: work.lane as i32,
            not_before: work.not_before,
        };
        due.insert((*repositories.get(work.side), member.id), owed);
    }
    if let Some((side, obstacle)) = &member.blocked {
        let repository = *repositories.get(*side);
        blocked.insert((repository, obstacle_text(obstacle), member.id));
    }
}

async fn repositories_of_sets<C: ConnectionTrait>(
    connection: &C,
) -> Result<BTreeMap<SyncSetId, Sides<i64>>, Error> {
    let text = "SELECT id, on_premise_repository, cloud_repository FROM sync_set";
    let mut sets = BTreeMap::new();
    for row in sql::all(connection, text, []).await? {
        let id: Vec<u8> = row.try_get_by_index(0)?;
        let sides = Sides {
            on_premise: row.try_get_by_index(1)?,
            cloud: row.try_get_by_index(2)?,
        };
        sets.extend(SyncSetId::from_bytes(&id).map(|id| (id, sides)));
    }
    Ok(sets)
}

async fn members_behind<C: ConnectionTrait>(
    connection: &C,
    after: Option<MemberId>,
    rows_max: usize,
) -> Result<Vec<Member>, Error> {
    let text = format!(
        "SELECT {} FROM member m WHERE m.id > ? ORDER BY m.id LIMIT ?",
        read::MEMBER
    );
    let after = after.map_or_else(Vec::new, MemberId::to_bytes);
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let rows = sql::all(connection, &text, [after.into(), limit.into()]).await?;
    rows.iter().map(read::member).collect()
}

/// What is due of members behind one and up to another, or of all behind it.
async fn due_between<C: ConnectionTrait>(
    connection: &C,
    after: Option<MemberId>,
    last: Option<MemberId>,
) -> Result<Due, Error> {
    let text = "SELECT member, set_id, lane, not_before FROM due \
                WHERE repository = ? AND member > ? AND member <= ?";
    let from = after.map_or_else(Vec::new, MemberId::to_bytes);
    // Longer than any id, so behind all of them.
    let to = last.map_or_else(|| vec![0xff; 17], MemberId::to_bytes);
    let mut due = Due::new();
    for repository in sql::all(connection, "SELECT id FROM repository", []).await? {
        let repository: i64 = repository.try_get_by_index(0)?;
        let values = [repository.into(), from.clone().into(), to.clone().into()];
        for row in sql::all(connection, text, values).await? {
            let member: Vec<u8> = row.try_get_by_index(0)?;
            let set: Vec<u8> = row.try_get_by_index(1)?;
            let owed = Owed {
                set: SyncSetId::from_bytes(&set).unwrap_or_default(),
                lane: row.try_get_by_index(2)?,
                not_before: row.try_get_by_index(3)?,
            };
            due.extend(MemberId::from_bytes(&member).map(|member| ((repository, member), owed)));
        }
    }
    Ok(due)
}

fn compare_due(derived: &Due, kept: &Due, found: &mut Vec<Found>) {
    let keys: BTreeSet<_> = derived.keys().chain(kept.keys()).collect();
    for key in keys {
        let what = match (derived.get(key), kept.get(key)) {
            (Some(owed), Some(row)) if owed.may_be(*row) => continue,
            (Some(_), Some(_)) => "another delivery than follows from it",
            (Some(_), None) => "no delivery, and one follows from it",
            (None, _) => "a delivery that does not follow from it",
        };
        found.push(Found {
            fault: Fault::DueWrong,
            at: format!("member {}, repository {}: {what}", key.1, key.0),
        });
    }
}

async fn all_blocked<C: ConnectionTrait>(connection: &C) -> Result<Blocked, Error> {
    let text = "SELECT repository, obstacle, member FROM blocked";
    let mut blocked = Blocked::new();
    for row in sql::all(connection, text, []).await? {
        let member: Vec<u8> = row.try_get_by_index(2)?;
        let member = MemberId::from_bytes(&member).unwrap_or_default();
        blocked.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?, member));
    }
    Ok(blocked)
}

fn compare_blocked(derived: &Blocked, kept: &Blocked, found: &mut Vec<Found>) {
    for key @ (repository, _, member) in derived.symmetric_difference(kept) {
        let what = match kept.contains(key) {
            true => "waits for something without a reason",
            false => "nobody knows what it waits for",
        };
        found.push(Found {
            fault: Fault::BlockedWrong,
            at: format!("member {member}, repository {repository}: {what}"),
        });
    }
}
