//! ConflictService: what lost, and how it comes back (SPEC §6).

use tandem_proto::v1 as wire;
use tandem_proto::v1::conflict_service_server::ConflictService;
use tonic::{Request, Response, Status};

use super::auth::principal;
use super::content::{parse_version_id, version_id};
use super::exchange::encode;
use super::tokens::{List, fitting_page, page_size};
use super::{convert, names, scopes};
use crate::domain::access::{Role, Side};
use crate::domain::conflict::{Conflict, ConflictKind};
use crate::domain::ids::{ConflictId, MemberId, Position, SyncSetId};
use crate::domain::projection::{ContentRef, State};
use crate::service::conflicts::{Kept, VersionKey};
use crate::service::{Coordinator, Error, Principal, UserScope};

/// Answers the calls of ConflictService.
#[derive(Debug)]
pub struct Handler {
    coordinator: Coordinator,
}

impl Handler {
    /// Answers for this coordinator.
    #[must_use]
    pub const fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    /// The scope and the id of a conflict that is named.
    async fn conflict(
        &self,
        caller: &Principal,
        name: &str,
        role: Role,
    ) -> Result<(UserScope, ConflictId), Error> {
        let (network, id) = names::uid_in_network("name", name, "conflicts")?;
        let scope = self.coordinator.for_user(caller, network, role).await?;
        Ok((scope, ConflictId(id)))
    }
}

#[tonic::async_trait]
impl ConflictService for Handler {
    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_conflict(
        &self,
        request: Request<wire::GetConflictRequest>,
    ) -> Result<Response<wire::GetConflictResponse>, Status> {
        let caller = principal(&request)?;
        let name = &request.get_ref().name;
        let (scope, id) = self.conflict(&caller, name, Role::Viewer).await?;
        let found = scope.conflict(id).await?;
        Ok(Response::new(wire::GetConflictResponse {
            conflict: Some(wire_conflict(&scope, &found)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn list_conflicts(
        &self,
        request: Request<wire::ListConflictsRequest>,
    ) -> Result<Response<wire::ListConflictsResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::Viewer).await?;
        let member = member_filter(network, &request.member)?;
        let list = List {
            call: "ListConflicts",
            scope: &[network, &request.member],
        };
        let size = page_size(request.page_size)?;
        let before: Option<ConflictId> = list.position(&request.page_token)?;
        let found = scope.conflicts(member, before, size + 1).await?;
        let shown = found
            .iter()
            .map(|one| (one.id, wire_conflict(&scope, one)))
            .collect();
        let (conflicts, next_page_token) = fitting_page(list, shown, size)?;
        Ok(Response::new(wire::ListConflictsResponse {
            conflicts,
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn resolve_conflict(
        &self,
        request: Request<wire::ResolveConflictRequest>,
    ) -> Result<Response<wire::ResolveConflictResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, id) = self.conflict(&caller, &request.name, Role::User).await?;
        let winner = match request.winner() {
            wire::Side::OnPremise => Side::OnPremise,
            wire::Side::Cloud => Side::Cloud,
            wire::Side::Unspecified => {
                let rule = "must be SIDE_ON_PREMISE or SIDE_CLOUD";
                return Err(Error::invalid("winner", rule).into());
            }
        };
        let decided = scope.resolve_conflict(id, winner).await?;
        Ok(Response::new(wire::ResolveConflictResponse {
            conflict: Some(wire_conflict(&scope, &decided)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn list_versions(
        &self,
        request: Request<wire::ListVersionsRequest>,
    ) -> Result<Response<wire::ListVersionsResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (network, set, member) =
            names::uid_in_uid("parent", &request.parent, "syncSets", "members")?;
        let scope = self
            .coordinator
            .for_user(&caller, network, Role::Viewer)
            .await?;
        let list = List {
            call: "ListVersions",
            scope: &[&request.parent],
        };
        let size = page_size(request.page_size)?;
        let below: Option<VersionKey> = list.position(&request.page_token)?;
        let (set, member) = (SyncSetId(set), MemberId(member));
        let found = scope.versions(set, member, below, size + 1).await?;
        let shown = found
            .into_iter()
            .map(|kept| {
                let key: VersionKey = (kept.position, kept.side);
                (key, wire_version(&request.parent, &kept))
            })
            .collect();
        let (versions, next_page_token) = fitting_page(list, shown, size)?;
        Ok(Response::new(wire::ListVersionsResponse {
            versions,
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn restore_version(
        &self,
        request: Request<wire::RestoreVersionRequest>,
    ) -> Result<Response<wire::RestoreVersionResponse>, Status> {
        use wire::restore_version_request::Source;
        let caller = principal(&request)?;
        let for_user = |network: String| async move {
            let coordinator = &self.coordinator;
            coordinator.for_user(&caller, &network, Role::User).await
        };
        let member = match request.into_inner().source {
            Some(Source::Version(name)) => {
                let named = version("version", &name)?;
                let scope = for_user(named.network).await?;
                let (set, member, key) = (named.set, named.member, named.key);
                scope.restore_version(set, member, key, &name).await?;
                scope.member_name(set, member)
            }
            Some(Source::Conflict(name)) => {
                let (network, id) = names::uid_in_network("conflict", &name, "conflicts")?;
                let scope = for_user(network.to_owned()).await?;
                let (set, member) = scope.restore_loser(ConflictId(id)).await?;
                scope.member_name(set, member)
            }
            None => {
                let rule = "must be `version` or `conflict`";
                return Err(Error::invalid("source", rule).into());
            }
        };
        Ok(Response::new(wire::RestoreVersionResponse { member }))
    }
}

fn member_filter(network: &str, member: &str) -> Result<Option<MemberId>, Error> {
    if member.is_empty() {
        return Ok(None);
    }
    let (of, _, id) = names::uid_in_uid("member", member, "syncSets", "members")?;
    if of != network {
        return Err(Error::invalid("member", "must belong to `parent`"));
    }
    Ok(Some(MemberId(id)))
}

/// What the name of a version says.
struct NamedVersion {
    network: String,
    set: SyncSetId,
    member: MemberId,
    key: VersionKey,
}

fn version(field: &str, name: &str) -> Result<NamedVersion, Error> {
    let wrong = || {
        let form =
            "networks/{network}/syncSets/{set}/members/{member}/versions/{version}".to_owned();
        let rule = format!("must have the form `{form}`, each id as the coordinator gave it");
        Error::invalid(field, rule)
    };
    let (member, version) = name.split_once("/versions/").ok_or_else(wrong)?;
    let (network, set, member) = names::uid_in_uid(field, member, "syncSets", "members")?;
    let (Position(position), side) = parse_version_id(version).ok_or_else(wrong)?;
    Ok(NamedVersion {
        network: network.to_owned(),
        set: SyncSetId(set),
        member: MemberId(member),
        key: (position, side),
    })
}

fn wire_version(member: &str, kept: &Kept) -> wire::Version {
    let id = version_id(Position(kept.position), kept.side);
    let reason = match kept.reason.as_str() {
        "CURRENT" => wire::VersionReason::Current,
        "SUPERSEDED" => wire::VersionReason::Superseded,
        "LOSER" => wire::VersionReason::ConflictLoser,
        _ => wire::VersionReason::Unspecified,
    };
    wire::Version {
        name: format!("{member}/versions/{id}"),
        content: Some(encode::content(ContentRef {
            digest: kept.digest,
            size: kept.size,
        })),
        side: convert::wire_side(kept.side).into(),
        reason: reason.into(),
        create_time: Some(convert::timestamp(kept.created_at)),
        keep_until: kept.keep_until.map(convert::timestamp),
    }
}

fn wire_conflict(scope: &UserScope, conflict: &Conflict) -> wire::Conflict {
    let projection = |state: &Option<State>| {
        state
            .as_ref()
            .map(|state| encode::projection(&state.projection, None))
    };
    wire::Conflict {
        name: scope.conflict_name(conflict.id),
        uid: conflict.id.to_string(),
        member: scope.member_name(conflict.set, conflict.member),
        kind: wire_kind(conflict.kind).into(),
        base: projection(&conflict.base),
        on_premise: projection(conflict.states.get(Side::OnPremise)),
        cloud: projection(conflict.states.get(Side::Cloud)),
        on_premise_actor: conflict.actors.on_premise.clone(),
        cloud_actor: conflict.actors.cloud.clone(),
        // The numbers are the same.
        policy: conflict.policy as i32,
        winner: conflict
            .winner
            .map_or(wire::Side::Unspecified, convert::wire_side)
            .into(),
        state: match conflict.open {
            true => wire::ConflictState::Open,
            false => wire::ConflictState::Resolved,
        }
        .into(),
        create_time: Some(convert::timestamp(conflict.at)),
    }
}

fn wire_kind(kind: ConflictKind) -> wire::ConflictKind {
    match kind {
        ConflictKind::ChangeChange => wire::ConflictKind::ChangeChange,
        ConflictKind::DeleteChange => wire::ConflictKind::DeleteChange,
        ConflictKind::ChangeDelete => wire::ConflictKind::ChangeDelete,
        ConflictKind::MoveMove => wire::ConflictKind::MoveMove,
    }
}
