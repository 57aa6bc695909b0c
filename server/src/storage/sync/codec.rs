//! The bodies of rows: messages private to the coordinator, never those of the wire.

use std::sync::Arc;

use prost::Message;

use super::super::Error;
use crate::domain::failure::{Failure, Reason};
use crate::domain::free_name::{Renaming, Sibling};
use crate::domain::ids::{ConflictId, Digest, MemberId, NodeId};
use crate::domain::member::{
    Due, Hold, Lane, Leaving, Member, MemberState, Obstacle, PeerChoice, Restlessness,
};
use crate::domain::projection::{
    ContentRef, NodeKind, Projection, Properties, PropertyValue, Side, Sides, State,
};
use crate::domain::sync_set::Removal;

#[derive(Clone, PartialEq, Message)]
struct ProjectionBody {
    #[prost(bool, tag = "1")]
    folder: bool,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
    #[prost(int64, tag = "4")]
    size: i64,
    #[prost(message, repeated, tag = "5")]
    properties: Vec<PropertyBody>,
    #[prost(string, tag = "6")]
    node_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct PropertyBody {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(oneof = "ValueBody", tags = "2, 3, 4, 5, 6, 7")]
    value: Option<ValueBody>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ValueBody {
    #[prost(string, tag = "2")]
    Text(String),
    #[prost(bool, tag = "3")]
    Flag(bool),
    #[prost(int64, tag = "4")]
    Integer(i64),
    #[prost(fixed64, tag = "5")]
    Number(u64),
    #[prost(message, tag = "6")]
    Timestamp(TimestampBody),
    #[prost(message, tag = "7")]
    TextList(TextListBody),
}

#[derive(Clone, PartialEq, Message)]
struct TimestampBody {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TextListBody {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StateBody {
    #[prost(message, optional, tag = "1")]
    projection: Option<ProjectionBody>,
    #[prost(bytes = "vec", tag = "2")]
    parent: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct FailureBody {
    #[prost(int32, tag = "1")]
    reason: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, tag = "3")]
    detail: String,
    #[prost(int64, tag = "4")]
    since: i64,
    #[prost(int32, tag = "5")]
    attempts: i32,
}

#[derive(Clone, PartialEq, Message)]
struct DueBody {
    #[prost(bool, tag = "1")]
    cloud: bool,
    #[prost(int32, tag = "2")]
    lane: i32,
    #[prost(int64, tag = "3")]
    not_before: i64,
}

#[derive(Clone, PartialEq, Message)]
struct BlockedBody {
    #[prost(bool, tag = "1")]
    cloud: bool,
    #[prost(string, tag = "2")]
    node: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bytes = "vec", tag = "4")]
    folder: Vec<u8>,
}

/// A choice as a number: 0 none, 1 remove, 2 keep.
#[derive(Clone, PartialEq, Message)]
struct MemberBody {
    #[prost(message, optional, tag = "1")]
    base: Option<StateBody>,
    #[prost(message, optional, tag = "2")]
    failure: Option<FailureBody>,
    #[prost(message, optional, tag = "3")]
    transient: Option<FailureBody>,
    #[prost(int32, tag = "4")]
    hold: i32,
    #[prost(bool, tag = "5")]
    cloud_copy_deleted: bool,
    #[prost(bytes = "vec", tag = "6")]
    conflict: Vec<u8>,
    #[prost(int32, tag = "7")]
    deleting_on_premise: i32,
    #[prost(int32, tag = "8")]
    deleting_on_cloud: i32,
    #[prost(bytes = "vec", tag = "9")]
    restoring_digest: Vec<u8>,
    #[prost(int64, tag = "10")]
    restoring_size: i64,
    #[prost(int32, tag = "11")]
    choice: i32,
    #[prost(message, optional, tag = "12")]
    due: Option<DueBody>,
    #[prost(message, optional, tag = "13")]
    blocked: Option<BlockedBody>,
    #[prost(int64, optional, tag = "14")]
    last_synced_at: Option<i64>,
    #[prost(int32, tag = "15")]
    stale: i32,
    #[prost(int32, tag = "16")]
    flips: i32,
    #[prost(int64, tag = "17")]
    flips_since: i64,
    #[prost(string, repeated, tag = "18")]
    former_on_premise: Vec<String>,
    #[prost(string, repeated, tag = "19")]
    former_on_cloud: Vec<String>,
    #[prost(int64, tag = "20")]
    answered_on_premise: i64,
    #[prost(int64, tag = "21")]
    answered_on_cloud: i64,
    #[prost(bool, optional, tag = "22")]
    made_on_cloud: Option<bool>,
    #[prost(bool, tag = "40")]
    clearing: bool,
    #[prost(bytes = "vec", tag = "50")]
    open_conflict: Vec<u8>,
    #[prost(message, optional, tag = "51")]
    sibling: Option<StateBody>,
    #[prost(uint32, tag = "52")]
    sibling_number: u32,
    #[prost(string, tag = "53")]
    renamed_from: String,
    #[prost(uint32, tag = "54")]
    rename_number: u32,
    #[prost(string, optional, tag = "70")]
    home: Option<String>,
    #[prost(int32, optional, tag = "95")]
    leaving: Option<i32>,
    #[prost(string, tag = "96")]
    leaving_actor: String,
    #[prost(string, optional, tag = "120")]
    true_name: Option<String>,
    #[prost(int64, repeated, tag = "121")]
    name_only: Vec<i64>,
    #[prost(string, optional, tag = "122")]
    given_name: Option<String>,
    #[prost(message, optional, tag = "110")]
    delivered: Option<DeliveredBody>,
}

/// The last delivery to a copy that nobody changed since.
#[derive(Clone, PartialEq, Message)]
struct DeliveredBody {
    #[prost(bool, tag = "1")]
    cloud: bool,
    #[prost(int64, tag = "2")]
    at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ConflictBody {
    #[prost(message, optional, tag = "1")]
    base: Option<StateBody>,
    #[prost(message, optional, tag = "2")]
    on_premise: Option<StateBody>,
    #[prost(message, optional, tag = "3")]
    cloud: Option<StateBody>,
    #[prost(string, tag = "4")]
    on_premise_actor: String,
    #[prost(string, tag = "5")]
    cloud_actor: String,
}

fn side(cloud: bool) -> Side {
    if cloud { Side::Cloud } else { Side::OnPremise }
}

fn corrupt<E>(_: E) -> Error {
    Error::Corrupt {
        what: "the body of a row",
    }
}

impl From<&Projection> for ProjectionBody {
    fn from(projection: &Projection) -> Self {
        Self {
            folder: projection.kind == NodeKind::Folder,
            name: projection.name.clone(),
            digest: projection
                .content
                .map(|content| content.digest.0.to_vec())
                .unwrap_or_default(),
            size: projection.content.map_or(0, |content| content.size),
            properties: projection.properties.iter().map(property_body).collect(),
            node_type: projection.node_type.clone(),
        }
    }
}

fn property_body((name, value): (&String, &PropertyValue)) -> PropertyBody {
    let value = match value.clone() {
        PropertyValue::Text(text) => ValueBody::Text(text),
        PropertyValue::Flag(flag) => ValueBody::Flag(flag),
        PropertyValue::Integer(integer) => ValueBody::Integer(integer),
        PropertyValue::Number(bits) => ValueBody::Number(bits),
        PropertyValue::Timestamp(seconds, nanos) => {
            ValueBody::Timestamp(TimestampBody { seconds, nanos })
        }
        PropertyValue::TextList(texts) => ValueBody::TextList(TextListBody { texts }),
    };
    PropertyBody {
        name: name.clone(),
        value: Some(value),
    }
}

fn property(body: PropertyBody) -> Option<(String, PropertyValue)> {
    let value = match body.value? {
        ValueBody::Text(text) => PropertyValue::Text(text),
        ValueBody::Flag(flag) => PropertyValue::Flag(flag),
        ValueBody::Integer(integer) => PropertyValue::Integer(integer),
        ValueBody::Number(bits) => PropertyValue::Number(bits),
        ValueBody::Timestamp(time) => PropertyValue::Timestamp(time.seconds, time.nanos),
        ValueBody::TextList(list) => PropertyValue::TextList(list.texts),
    };
    Some((body.name, value))
}

impl From<ProjectionBody> for Projection {
    fn from(body: ProjectionBody) -> Self {
        let size = body.size;
        Self {
            kind: if body.folder {
                NodeKind::Folder
            } else {
                NodeKind::Document
            },
            name: body.name,
            content: Digest::from_bytes(&body.digest).map(|digest| ContentRef { digest, size }),
            properties: body
                .properties
                .into_iter()
                .filter_map(property)
                .collect::<Properties>(),
            node_type: body.node_type,
        }
    }
}

/// Writes a projection.
#[must_use]
pub fn encode_projection(projection: &Projection) -> Vec<u8> {
    ProjectionBody::from(projection).encode_to_vec()
}

/// Reads what [`encode_projection`] wrote.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode_projection(bytes: &[u8]) -> Result<Arc<Projection>, Error> {
    Ok(Arc::new(
        ProjectionBody::decode(bytes).map_err(corrupt)?.into(),
    ))
}

fn former(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(|node| node.0.clone()).collect()
}

/// Writes marks of former states.
#[must_use]
pub fn encode_past(past: &[u64]) -> Vec<u8> {
    past.iter().flat_map(|mark| mark.to_be_bytes()).collect()
}

/// Reads what [`encode_past`] wrote.
#[must_use]
pub fn decode_past(bytes: &[u8]) -> Vec<u64> {
    let (marks, _) = bytes.as_chunks::<8>();
    marks.iter().copied().map(u64::from_be_bytes).collect()
}

fn state_body(state: &State) -> StateBody {
    StateBody {
        projection: Some(ProjectionBody::from(&*state.projection)),
        parent: state.parent.map(MemberId::to_bytes).unwrap_or_default(),
    }
}

fn state(body: StateBody) -> Option<State> {
    Some(State {
        projection: Arc::new(body.projection?.into()),
        parent: MemberId::from_bytes(&body.parent),
    })
}

fn failure_body(failure: &Failure) -> FailureBody {
    FailureBody {
        reason: failure.reason as i32,
        message: failure.message.clone(),
        detail: failure.detail.clone(),
        since: failure.since,
        attempts: failure.attempts,
    }
}

fn failure(body: FailureBody) -> Failure {
    Failure {
        reason: Reason::from_number(body.reason),
        message: body.message,
        detail: body.detail,
        since: body.since,
        attempts: body.attempts,
    }
}

/// A choice as tables keep it: 0 none, 1 remove, 2 keep.
#[must_use]
pub fn choice_number(choice: Option<PeerChoice>) -> i32 {
    match choice {
        None => 0,
        Some(PeerChoice::Remove) => 1,
        Some(PeerChoice::Keep) => 2,
    }
}

/// Reads what [`choice_number`] gave.
#[must_use]
pub fn choice(number: i32) -> Option<PeerChoice> {
    match number {
        1 => Some(PeerChoice::Remove),
        2 => Some(PeerChoice::Keep),
        _ => None,
    }
}

fn blocked_body((on, obstacle): &(Side, Obstacle)) -> BlockedBody {
    let cloud = *on == Side::Cloud;
    match obstacle {
        Obstacle::Name(node, name) => BlockedBody {
            cloud,
            node: node.0.clone(),
            name: name.clone(),
            folder: Vec::new(),
        },
        Obstacle::Folder(member) => BlockedBody {
            cloud,
            node: String::new(),
            name: String::new(),
            folder: member.to_bytes(),
        },
    }
}

fn blocked(body: BlockedBody) -> (Side, Obstacle) {
    let obstacle = match MemberId::from_bytes(&body.folder) {
        Some(member) => Obstacle::Folder(member),
        None => Obstacle::Name(NodeId(body.node), body.name),
    };
    (side(body.cloud), obstacle)
}

/// No node has an empty name, so that stands for none.
fn renamed_from(member: &Member) -> String {
    let renaming = member.renaming.as_ref();
    renaming.map_or_else(String::new, |renaming| renaming.from.clone())
}

/// Writes what of a member has no column of its own.
#[must_use]
pub fn encode_member(member: &Member) -> Vec<u8> {
    let deleting = |on: Side| {
        choice_number(
            member
                .deleting
                .filter(|(side, _)| *side == on)
                .map(|(_, c)| c),
        )
    };
    let failed = match &member.state {
        MemberState::Failed(failed) => Some(failure_body(failed)),
        _ => None,
    };
    let leaving = member.leaving.as_ref();
    MemberBody {
        base: member.base.as_ref().map(state_body),
        failure: failed,
        transient: member.transient.as_ref().map(failure_body),
        hold: member.hold.map_or(0, |hold| hold as i32),
        cloud_copy_deleted: member.cloud_copy_deleted,
        conflict: member
            .conflict
            .map(ConflictId::to_bytes)
            .unwrap_or_default(),
        deleting_on_premise: deleting(Side::OnPremise),
        deleting_on_cloud: deleting(Side::Cloud),
        restoring_digest: member
            .restoring
            .map(|c| c.digest.0.to_vec())
            .unwrap_or_default(),
        restoring_size: member.restoring.map_or(0, |content| content.size),
        choice: choice_number(member.choice),
        due: member.due.map(|due| DueBody {
            cloud: due.side == Side::Cloud,
            lane: due.lane as i32,
            not_before: due.not_before,
        }),
        blocked: member.blocked.as_ref().map(blocked_body),
        last_synced_at: member.last_synced_at,
        stale: member.restlessness.stale,
        flips: member.restlessness.flips,
        flips_since: member.restlessness.flips_since,
        delivered: (member.restlessness.delivered).map(|(side, at)| DeliveredBody {
            cloud: side == Side::Cloud,
            at,
        }),
        former_on_premise: former(&member.former.on_premise),
        former_on_cloud: former(&member.former.cloud),
        answered_on_premise: member.answered.on_premise,
        answered_on_cloud: member.answered.cloud,
        made_on_cloud: member.made.map(|side| side == Side::Cloud),
        clearing: member.clearing,
        sibling: member.sibling.as_ref().map(|one| state_body(&one.state)),
        sibling_number: member.sibling.as_ref().map_or(0, |one| one.number),
        renamed_from: renamed_from(member),
        rename_number: member.renaming.as_ref().map_or(0, |one| one.number),
        open_conflict: member.open.map(ConflictId::to_bytes).unwrap_or_default(),
        home: member.home.as_ref().map(|home| home.0.clone()),
        leaving: leaving.map(|leaving| leaving.removal as i32),
        leaving_actor: leaving.map_or_else(String::new, |leaving| leaving.actor.clone()),
        true_name: member.true_name.clone(),
        given_name: member.given_name.clone(),
        name_only: member
            .name_only
            .map_or_else(Vec::new, |(from, to)| vec![from, to]),
    }
    .encode_to_vec()
}

fn decode_names(member: &mut Member, body: &mut MemberBody) {
    member.true_name = body.true_name.take();
    member.given_name = body.given_name.take();
    member.name_only = match body.name_only[..] {
        [from, to] => Some((from, to)),
        _ => None,
    };
}

/// Fills in what [`encode_member`] wrote; `state` is 0 pending, 1 synced, 2 failed.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode_member(member: &mut Member, state_number: i32, bytes: &[u8]) -> Result<(), Error> {
    let mut body = MemberBody::decode(bytes).map_err(corrupt)?;
    decode_names(member, &mut body);
    member.base = body.base.and_then(state);
    member.state = match (state_number, body.failure) {
        (1, _) => MemberState::Synced,
        (2, Some(failed)) => MemberState::Failed(failure(failed)),
        _ => MemberState::Pending,
    };
    member.transient = body.transient.map(failure);
    member.answered = Sides {
        on_premise: body.answered_on_premise,
        cloud: body.answered_on_cloud,
    };
    member.former = Sides {
        on_premise: body.former_on_premise.into_iter().map(NodeId).collect(),
        cloud: body.former_on_cloud.into_iter().map(NodeId).collect(),
    };
    member.hold = [
        Hold::Editing,
        Hold::ManualConflict,
        Hold::Parent,
        Hold::Name,
    ]
    .into_iter()
    .find(|hold| *hold as i32 == body.hold);
    member.cloud_copy_deleted = body.cloud_copy_deleted;
    member.conflict = ConflictId::from_bytes(&body.conflict);
    member.renaming = (!body.renamed_from.is_empty()).then_some(Renaming {
        from: body.renamed_from,
        number: body.rename_number,
    });
    let number = body.sibling_number;
    member.sibling = body
        .sibling
        .and_then(state)
        .map(|state| Sibling { state, number });
    member.open = ConflictId::from_bytes(&body.open_conflict);
    member.deleting = choice(body.deleting_on_premise)
        .map(|chosen| (Side::OnPremise, chosen))
        .or_else(|| choice(body.deleting_on_cloud).map(|chosen| (Side::Cloud, chosen)));
    let size = body.restoring_size;
    member.restoring =
        Digest::from_bytes(&body.restoring_digest).map(|digest| ContentRef { digest, size });
    member.choice = choice(body.choice);
    member.due = body.due.and_then(|due| {
        let lane = Lane::from_number(due.lane)?;
        Some(Due {
            side: side(due.cloud),
            lane,
            not_before: due.not_before,
        })
    });
    member.blocked = body.blocked.map(blocked);
    member.last_synced_at = body.last_synced_at;
    member.restlessness = Restlessness {
        stale: body.stale,
        flips: body.flips,
        flips_since: body.flips_since,
        delivered: body.delivered.map(|last| (side(last.cloud), last.at)),
    };
    member.made = body.made_on_cloud.map(side);
    member.clearing = body.clearing;
    member.home = body.home.map(NodeId);
    let actor = body.leaving_actor;
    member.leaving = body.leaving.map(|number| Leaving {
        removal: Removal::from_number(number),
        actor,
    });
    Ok(())
}

/// The states and actors of a conflict.
pub type ConflictParts = ([Option<State>; 3], [String; 2]);

/// Writes base, on-premise and cloud state of a conflict, and its actors.
#[must_use]
pub fn encode_conflict(states: [Option<&State>; 3], actors: [&str; 2]) -> Vec<u8> {
    let [base, on_premise, cloud] = states.map(|state| state.map(state_body));
    let [on_premise_actor, cloud_actor] = actors.map(ToOwned::to_owned);
    ConflictBody {
        base,
        on_premise,
        cloud,
        on_premise_actor,
        cloud_actor,
    }
    .encode_to_vec()
}

/// Reads what [`encode_conflict`] wrote.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode_conflict(bytes: &[u8]) -> Result<ConflictParts, Error> {
    let body = ConflictBody::decode(bytes).map_err(corrupt)?;
    let states = [body.base, body.on_premise, body.cloud].map(|body| body.and_then(state));
    Ok((states, [body.on_premise_actor, body.cloud_actor]))
}

#[cfg(test)]
mod tests;
