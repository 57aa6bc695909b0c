//! Conflicts as they are kept (R-CON-4).

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::super::{Error, Store, sql};
use super::codec;
use super::rows::{Insert, json};
use crate::domain::conflict::{Conflict, ConflictKind};
use crate::domain::ids::{ConflictId, MemberId, NetworkId, SyncSetId};
use crate::domain::planted::planted;
use crate::domain::policy::ConflictPolicy;
use crate::domain::projection::{Side, Sides, State};

const INSERT: Insert = Insert {
    head: "INSERT INTO conflict (id, network, set_id, member, kind, winner, on_premise_digest, \
           cloud_digest, at, body, policy, open) VALUES",
    columns: 12,
    tail: " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, winner = excluded.winner, \
           on_premise_digest = excluded.on_premise_digest, cloud_digest = excluded.cloud_digest, \
           body = excluded.body, open = excluded.open",
};
const CLOSE: &str = "UPDATE conflict SET open = 0, winner = c.value->>1 FROM json_each(?) c \
                     WHERE conflict.id = unhex(c.value->>0)";
const COLUMNS: &str = "SELECT id, set_id, member, kind, winner, at, body, policy, open \
                       FROM conflict";

/// Keeps conflicts; one that is open, and known already, as it is now.
///
/// # Errors
/// Whatever the database answers.
pub async fn insert_in<C: ConnectionTrait>(
    tx: &C,
    network: NetworkId,
    conflicts: &[Conflict],
) -> Result<(), Error> {
    // No statement of PostgreSQL changes one row twice.
    let last: BTreeMap<ConflictId, &Conflict> = conflicts.iter().map(|one| (one.id, one)).collect();
    let rows: Vec<_> = last
        .into_values()
        .map(|conflict| row(network, conflict))
        .collect();
    let any = !rows.is_empty();
    INSERT.rows(tx, rows).await?;
    if any {
        tandem_crash::at("S8");
    }
    Ok(())
}

/// Notes which open conflicts are over, and whose state holds.
///
/// # Errors
/// Whatever the database answers.
pub async fn close_in<C: ConnectionTrait>(
    tx: &C,
    closed: &[(ConflictId, Option<Side>)],
) -> Result<(), Error> {
    if closed.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, &str)> = closed
        .iter()
        .map(|(id, winner)| (id.0.simple().to_string(), winner.map_or("", Side::name)))
        .collect();
    sql::execute(tx, CLOSE, [json(&rows)]).await?;
    Ok(())
}

fn row(network: NetworkId, conflict: &Conflict) -> Vec<Value> {
    let digest = |side: Side| {
        let state = conflict.states.get(side).as_ref();
        state
            .and_then(|state| state.projection.content)
            .map(|content| content.digest.0.to_vec())
    };
    let states: [Option<&State>; 3] = [
        conflict.base.as_ref(),
        conflict.states.on_premise.as_ref(),
        conflict.states.cloud.as_ref(),
    ];
    let actors = [
        conflict.actors.on_premise.as_str(),
        conflict.actors.cloud.as_str(),
    ];
    vec![
        conflict.id.to_bytes().into(),
        network.0.into(),
        conflict.set.to_bytes().into(),
        conflict.member.to_bytes().into(),
        (conflict.kind as i32).into(),
        conflict.winner.map_or("", Side::name).into(),
        digest(Side::OnPremise).into(),
        digest(Side::Cloud).into(),
        conflict.at.into(),
        codec::encode_conflict(states, actors).into(),
        (conflict.policy as i32).into(),
        conflict.open.into(),
    ]
}

fn read(row: &QueryResult) -> Result<Conflict, Error> {
    let corrupt = || Error::Corrupt { what: "a conflict" };
    let bytes = |index: usize| row.try_get_by_index::<Vec<u8>>(index);
    let winner: String = row.try_get_by_index(4)?;
    let ([base, on_premise, cloud], [on_premise_actor, cloud_actor]) =
        codec::decode_conflict(&bytes(6)?)?;
    Ok(Conflict {
        id: ConflictId::from_bytes(&bytes(0)?).ok_or_else(corrupt)?,
        set: SyncSetId::from_bytes(&bytes(1)?).ok_or_else(corrupt)?,
        member: MemberId::from_bytes(&bytes(2)?).ok_or_else(corrupt)?,
        kind: ConflictKind::from_number(row.try_get_by_index(3)?).ok_or_else(corrupt)?,
        base,
        states: Sides { on_premise, cloud },
        actors: Sides {
            on_premise: on_premise_actor,
            cloud: cloud_actor,
        },
        policy: ConflictPolicy::from_number(row.try_get_by_index(7)?).ok_or_else(corrupt)?,
        winner: Side::from_name(&winner),
        open: row.try_get_by_index(8)?,
        at: row.try_get_by_index(5)?,
    })
}

impl Store {
    /// A conflict of a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn conflict(
        &self,
        network: NetworkId,
        id: ConflictId,
    ) -> Result<Option<Conflict>, Error> {
        let text = match planted("conflict-of-any-network") {
            true => format!("{COLUMNS} WHERE (network = ? OR TRUE) AND id = ?"),
            false => format!("{COLUMNS} WHERE network = ? AND id = ?"),
        };
        let row = sql::one(
            self.reader(),
            &text,
            [network.0.into(), id.to_bytes().into()],
        )
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Conflicts, newest first, behind one of them; of one member or of all.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn conflicts(
        &self,
        network: NetworkId,
        member: Option<MemberId>,
        before: Option<ConflictId>,
        limit: usize,
    ) -> Result<Vec<Conflict>, Error> {
        let before = before.map_or_else(|| vec![0xff; 17], ConflictId::to_bytes);
        let limit: Value = i64::try_from(limit).unwrap_or(i64::MAX).into();
        let rows = match member {
            None => {
                let text =
                    format!("{COLUMNS} WHERE network = ? AND id < ? ORDER BY id DESC LIMIT ?");
                sql::all(
                    self.reader(),
                    &text,
                    [network.0.into(), before.into(), limit],
                )
                .await?
            }
            Some(member) => {
                let text = format!(
                    "{COLUMNS} WHERE network = ? AND member = ? AND id < ? ORDER BY id DESC LIMIT ?"
                );
                let values = [
                    network.0.into(),
                    member.to_bytes().into(),
                    before.into(),
                    limit,
                ];
                sql::all(self.reader(), &text, values).await?
            }
        };
        rows.iter().map(read).collect()
    }
}
