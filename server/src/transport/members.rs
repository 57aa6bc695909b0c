//! Members as the wire shows them.

use tandem_proto::v1 as wire;

use super::convert;
use super::exchange::encode;
use crate::domain::failure::{Failure, Reason, RetryClass};
use crate::domain::member::{Hold, Member, MemberState, PeerChoice};
use crate::domain::projection::NodeKind;
use crate::domain::report::NodeTrait;
use crate::service::command::NodeInfo;
use crate::service::member_watch::MemberChange;
use crate::service::members::{
    CopyView, Filter, MemberView, STATE_FAILED, STATE_PENDING, STATE_SYNCED, ShownHold,
};
use crate::service::skipped::Skipped;
use crate::service::{Error, UserScope};

/// The filter of a list.
///
/// # Errors
/// [`Error::InvalidField`] for a state or reason that is not known.
pub(super) fn filter(state: i32, reason: i32) -> Result<Filter, Error> {
    let state = match wire::MemberState::try_from(state) {
        Ok(wire::MemberState::Unspecified) => None,
        Ok(wire::MemberState::Pending) => Some(STATE_PENDING),
        Ok(wire::MemberState::Synced) => Some(STATE_SYNCED),
        Ok(wire::MemberState::Failed) => Some(STATE_FAILED),
        Err(_) => {
            return Err(Error::invalid(
                "state",
                "is not known; leave it out for all",
            ));
        }
    };
    if wire::FailureReason::try_from(reason).is_err() {
        return Err(Error::invalid(
            "reason",
            "is not known; leave it out for all",
        ));
    }
    Ok(Filter {
        state,
        reason: (reason != 0).then_some(reason),
    })
}

/// What is to become of the other copy; must be said.
///
/// # Errors
/// [`Error::InvalidField`].
pub(super) fn peer_choice(peer: i32) -> Result<PeerChoice, Error> {
    match wire::PeerChoice::try_from(peer) {
        Ok(wire::PeerChoice::Remove) => Ok(PeerChoice::Remove),
        Ok(wire::PeerChoice::Keep) => Ok(PeerChoice::Keep),
        Ok(wire::PeerChoice::Unspecified) | Err(_) => Err(Error::invalid(
            "peer",
            "must be PEER_CHOICE_REMOVE or PEER_CHOICE_KEEP",
        )),
    }
}

/// A member as it is shown.
pub(super) fn wire_member(scope: &UserScope, view: MemberView) -> wire::Member {
    let member = view.member;
    let shown = |failure: &Failure| wire_failure(&member, failure);
    let (state, failure) = match &member.state {
        MemberState::Pending => (wire::MemberState::Pending, None),
        MemberState::Synced => (wire::MemberState::Synced, None),
        MemberState::Failed(failure) => (wire::MemberState::Failed, Some(shown(failure))),
    };
    wire::Member {
        name: scope.member_name(member.set, member.id),
        uid: member.id.to_string(),
        kind: convert::wire_kind(member.kind).into(),
        direct: member.direct,
        state: state.into(),
        failure,
        transient_error: member.transient.as_ref().map(shown),
        hold: view.hold.map_or(wire::Hold::Unspecified, wire_hold).into(),
        cloud_copy_deleted: member.cloud_copy_deleted,
        on_premise: view.copies.on_premise.map(wire_copy),
        cloud: view.copies.cloud.map(wire_copy),
        last_synced_at: member.last_synced_at.map(convert::timestamp),
        conflict: member
            .conflict
            .map_or_else(String::new, |id| scope.conflict_name(id)),
    }
}

fn wire_hold(hold: ShownHold) -> wire::Hold {
    match hold {
        ShownHold::Own(Hold::Editing) => wire::Hold::Editing,
        ShownHold::Own(Hold::ManualConflict) => wire::Hold::ManualConflict,
        ShownHold::Own(Hold::Parent) => wire::Hold::Parent,
        ShownHold::Own(Hold::Name) => wire::Hold::Name,
        ShownHold::MassDelete => wire::Hold::MassDelete,
        ShownHold::Paused => wire::Hold::Paused,
    }
}

fn wire_failure(member: &Member, failure: &Failure) -> wire::Failure {
    let reason: Reason = failure.reason;
    let class = match reason.class() {
        RetryClass::Fix => wire::RetryClass::Fix,
        RetryClass::Decision => wire::RetryClass::Decision,
        RetryClass::Retry => wire::RetryClass::Retry,
    };
    let due = member.due.map(|due| due.side);
    let side = due.or_else(|| member.blocked.as_ref().map(|(side, _)| *side));
    let next_try = member.due.map(|due| due.not_before);
    wire::Failure {
        reason: reason as i32,
        message: failure.message.clone(),
        detail: failure.detail.clone(),
        since: Some(convert::timestamp(failure.since)),
        attempts: failure.attempts,
        remedy: reason.remedy().to_owned(),
        side: side.map_or(0, |side| convert::wire_side(side).into()),
        next_try: next_try.filter(|at| *at > 0).map(convert::timestamp),
        retry_class: class.into(),
    }
}

/// A skipped node as it is shown.
pub(super) fn wire_skipped(skipped: Skipped) -> wire::SkippedCopy {
    wire::SkippedCopy {
        side: convert::wire_side(skipped.side).into(),
        node_id: skipped.node.0,
        path: skipped.path,
        kind: convert::wire_kind(skipped.kind).into(),
        reason: skipped.reason.to_owned(),
    }
}

fn wire_copy(view: CopyView) -> wire::MemberCopy {
    wire::MemberCopy {
        node_id: view.copy.node.0,
        name: view.copy.projection.name.clone(),
        path: view.path,
        content: view.copy.projection.content.map(encode::content),
        revision: view.copy.revision,
    }
}

/// What a watcher is told.
pub(super) fn wire_change(scope: &UserScope, change: MemberChange) -> wire::WatchMembersResponse {
    let mut message = wire::WatchMembersResponse::default();
    match change {
        MemberChange::Is(view) => message.member = Some(wire_member(scope, *view)),
        MemberChange::Ended(member) => message.removed_uid = member.to_string(),
        MemberChange::Current => message.current = true,
    }
    message
}

/// What an agent told of a node.
pub(super) fn wire_info(info: NodeInfo) -> wire::NodeInfo {
    let node_trait = match info.node_trait {
        NodeTrait::Ordinary => wire::NodeTrait::Unspecified,
        NodeTrait::WorkingCopy => wire::NodeTrait::WorkingCopy,
        NodeTrait::SmartFolder => wire::NodeTrait::SmartFolder,
        NodeTrait::Link => wire::NodeTrait::Link,
        NodeTrait::Record => wire::NodeTrait::Record,
        NodeTrait::Special | NodeTrait::IllegalName => wire::NodeTrait::Special,
        NodeTrait::OutsideLibrary => wire::NodeTrait::OutsideLibrary,
        NodeTrait::TooLarge => wire::NodeTrait::TooLarge,
    };
    let kind: NodeKind = info.kind;
    wire::NodeInfo {
        node_id: info.node.0,
        missing: info.missing,
        kind: convert::wire_kind(kind).into(),
        name: info.name,
        path: info.path,
        node_trait: node_trait.into(),
        library_root: info.library_root,
        in_library: info.in_library,
        writable: info.writable,
        size: info.size,
        locked_for_editing: info.locked_for_editing,
        checked_out: info.checked_out,
        illegal_name: info.node_trait == NodeTrait::IllegalName,
    }
}
