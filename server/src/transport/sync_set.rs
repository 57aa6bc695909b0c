//! SyncSetService: what "Sync to Cloud" makes (SPEC §2).

use futures::StreamExt;
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};
use tandem_proto::v1 as wire;
use tandem_proto::v1::sync_set_service_server::SyncSetService;
use tonic::{Request, Response, Status, Streaming};

use super::auth::principal;
use super::definition::{definition, new_set};
use super::tokens::{List, fitting_page, page_size};
use super::{names, portable, scopes, status};
use crate::domain::access::Role;
use crate::domain::ids::SyncSetId;
use crate::domain::limits::SYNC_NAMES_MAX;
use crate::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use crate::domain::sync_set::{Options, SetKind};
use crate::service::choice::LeftOut;
use crate::service::owners::Answers;
use crate::service::preview::{Clash, Preview};
use crate::service::sync_sets::{HoldDecision, SetState, SetView, created_at};
use crate::service::{AdminScope, Coordinator, Error, Principal, UserScope};
use crate::transport::convert;

/// Answers the calls of SyncSetService.
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

    /// The scope and the id of a set that is named.
    async fn set(
        &self,
        caller: &Principal,
        name: &str,
        role: Role,
    ) -> Result<(UserScope, SyncSetId), Error> {
        let (network, id) = names::uid_in_network("name", name, "syncSets")?;
        let scope = self.coordinator.for_user(caller, network, role).await?;
        Ok((scope, SyncSetId(id)))
    }

    /// The scope of an admin, and the ids of several sets of one network.
    async fn sets(
        &self,
        caller: &Principal,
        parent: &str,
        named: &[String],
    ) -> Result<(AdminScope, Vec<SyncSetId>), Error> {
        let network = names::network("parent", parent)?;
        let scope = self.coordinator.for_admin(caller, network).await?;
        if !(1..=SYNC_NAMES_MAX).contains(&named.len()) {
            let rule = format!("must be 1 to {SYNC_NAMES_MAX} sets; ask in several calls");
            return Err(Error::invalid("names", rule));
        }
        let sets = names::sets_of("names", network, named)?;
        Ok((scope, sets))
    }
}

#[tonic::async_trait]
impl SyncSetService for Handler {
    /// Status: as `create_sync_set`.
    async fn preview_sync_set(
        &self,
        request: Request<wire::PreviewSyncSetRequest>,
    ) -> Result<Response<wire::PreviewSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::User).await?;
        let definition = definition(network, request.definition.as_ref())?;
        let preview = scope.preview_set(&definition).await?;
        Ok(Response::new(wire_preview(preview)))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED,
    /// FAILED_PRECONDITION.
    async fn create_sync_set(
        &self,
        request: Request<wire::CreateSyncSetRequest>,
    ) -> Result<Response<wire::CreateSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::User).await?;
        let new = new_set(network, &request)?;
        let made = scope.create_set(&new).await?;
        let accepted = made.set.nodes.iter().map(ToString::to_string).collect();
        Ok(Response::new(wire::CreateSyncSetResponse {
            sync_set: Some(wire_set(&scope, &made.set)),
            accepted,
            skipped: made.skipped.into_iter().map(wire_left_out).collect(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_sync_set(
        &self,
        request: Request<wire::GetSyncSetRequest>,
    ) -> Result<Response<wire::GetSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let name = &request.get_ref().name;
        let (scope, id) = self.set(&caller, name, Role::Viewer).await?;
        let found = scope.sync_set(id).await?;
        Ok(Response::new(wire::GetSyncSetResponse {
            sync_set: Some(wire_set(&scope, &found)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn list_sync_sets(
        &self,
        request: Request<wire::ListSyncSetsRequest>,
    ) -> Result<Response<wire::ListSyncSetsResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::Viewer).await?;
        let list = List {
            call: "ListSyncSets",
            scope: &[network],
        };
        let size = page_size(request.page_size)?;
        let after: Option<SyncSetId> = list.position(&request.page_token)?;
        let found = scope.sync_sets(after, size + 1).await?;
        let shown = found
            .iter()
            .map(|view| (view.set.id, wire_set(&scope, view)))
            .collect();
        let (sync_sets, next_page_token) = fitting_page(list, shown, size)?;
        Ok(Response::new(wire::ListSyncSetsResponse {
            sync_sets,
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn pause_sync_set(
        &self,
        request: Request<wire::PauseSyncSetRequest>,
    ) -> Result<Response<wire::PauseSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let name = &request.get_ref().name;
        let (scope, id) = self.set(&caller, name, Role::User).await?;
        let set = scope.pause_set(id, true).await?;
        Ok(Response::new(wire::PauseSyncSetResponse {
            sync_set: Some(wire_set(&scope, &set)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn resume_sync_set(
        &self,
        request: Request<wire::ResumeSyncSetRequest>,
    ) -> Result<Response<wire::ResumeSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let name = &request.get_ref().name;
        let (scope, id) = self.set(&caller, name, Role::User).await?;
        let set = scope.pause_set(id, false).await?;
        Ok(Response::new(wire::ResumeSyncSetResponse {
            sync_set: Some(wire_set(&scope, &set)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn resolve_hold(
        &self,
        request: Request<wire::ResolveHoldRequest>,
    ) -> Result<Response<wire::ResolveHoldResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, id) = self.set(&caller, &request.name, Role::User).await?;
        let decision = match wire::HoldDecision::try_from(request.decision) {
            Ok(wire::HoldDecision::Confirm) => HoldDecision::Confirm,
            Ok(wire::HoldDecision::Refuse) => HoldDecision::Refuse,
            Ok(wire::HoldDecision::Unspecified) | Err(_) => {
                let rule = "must be HOLD_DECISION_CONFIRM or HOLD_DECISION_REFUSE";
                return Err(Error::invalid("decision", rule).into());
            }
        };
        let (set, resolved) = scope.resolve_hold(id, decision).await?;
        Ok(Response::new(wire::ResolveHoldResponse {
            sync_set: Some(wire_set(&scope, &set)),
            resolved,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, UNIMPLEMENTED.
    async fn unsync_sync_set(
        &self,
        request: Request<wire::UnsyncSyncSetRequest>,
    ) -> Result<Response<wire::UnsyncSyncSetResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, id) = self.set(&caller, &request.name, Role::User).await?;
        scope.unsync_set(id, request.remove_cloud_copy).await?;
        Ok(Response::new(wire::UnsyncSyncSetResponse {}))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn transfer_ownership(
        &self,
        request: Request<wire::TransferOwnershipRequest>,
    ) -> Result<Response<wire::TransferOwnershipResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, sets) = self.sets(&caller, &request.parent, &request.names).await?;
        let answers = scope.transfer_ownership(&sets, &request.owner).await?;
        Ok(Response::new(wire::TransferOwnershipResponse {
            answers: wire_answers(&scope.user, answers),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn force_unsync(
        &self,
        request: Request<wire::ForceUnsyncRequest>,
    ) -> Result<Response<wire::ForceUnsyncResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, sets) = self.sets(&caller, &request.parent, &request.names).await?;
        let answers = scope.force_unsync(&sets).await;
        Ok(Response::new(wire::ForceUnsyncResponse {
            answers: wire_answers(&scope.user, answers),
        }))
    }

    type ExportSyncSetsStream = BoxStream<'static, Result<wire::ExportSyncSetsResponse, Status>>;

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn export_sync_sets(
        &self,
        request: Request<wire::ExportSyncSetsRequest>,
    ) -> Result<Response<Self::ExportSyncSetsStream>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let network = names::network("parent", &request.parent)?;
        let scope = self.coordinator.for_admin(&caller, network).await?;
        let sets = portable::named(network, &request.names)?;
        let lines = portable::export(&scope, &sets).await?;
        Ok(Response::new(lines.boxed()))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED.
    async fn import_sync_sets(
        &self,
        request: Request<Streaming<wire::ImportSyncSetsRequest>>,
    ) -> Result<Response<wire::ImportSyncSetsResponse>, Status> {
        let caller = principal(&request)?;
        let coordinator = self.coordinator.clone();
        // The task owns the stream, so that half a set is removed also when the client goes away.
        let imported = self.coordinator.uncancelled(async move {
            portable::import(&coordinator, &caller, request.into_inner()).await
        });
        let imported = imported.await?;
        Ok(Response::new(wire::ImportSyncSetsResponse {
            sync_sets: imported.sync_sets,
            members: imported.members,
            already_there: imported.already_there,
        }))
    }
}

fn wire_answers(scope: &UserScope, answers: Answers) -> Vec<wire::SetAnswer> {
    let answer = |(set, result): (SyncSetId, Result<(), Error>)| {
        let refused = result.err();
        let reason = refused.as_ref().map(status::reason);
        wire::SetAnswer {
            name: scope.set_name(set),
            reason: reason.unwrap_or(wire::ErrorReason::Unspecified).into(),
            message: refused.map(|error| error.to_string()).unwrap_or_default(),
        }
    };
    answers.into_iter().map(answer).collect()
}

/// R-SET-2; what is not known is refused by name rather than ignored.
pub(super) fn options(given: Option<&wire::SyncSetOptions>) -> Result<Options, Error> {
    let Some(given) = given else {
        return Ok(Options::default());
    };
    let default = Options::default();
    Ok(Options {
        include_subfolders: given
            .include_subfolders
            .unwrap_or(default.include_subfolders),
        lock_on_premise_copy: given.lock_on_premise_copy,
        allow_delete_on_cloud: given
            .allow_delete_on_cloud
            .unwrap_or(default.allow_delete_on_cloud),
        delete_on_premise: given.delete_on_premise,
        conflict_policy: conflict_policy(given.conflict_policy)?,
        conflict_grain: conflict_grain(given.conflict_grain)?,
        name_clash_policy: name_clash_policy(given.name_clash_policy)?,
        max_delete_percent: given
            .max_delete_percent
            .unwrap_or(default.max_delete_percent),
    })
}

/// 0 is the default.
fn conflict_policy(number: i32) -> Result<ConflictPolicy, Error> {
    match number {
        0 => Ok(ConflictPolicy::default()),
        number => ConflictPolicy::from_number(number).ok_or_else(|| unknown("conflict_policy")),
    }
}

/// 0 is the default.
fn conflict_grain(number: i32) -> Result<ConflictGrain, Error> {
    match number {
        0 => Ok(ConflictGrain::default()),
        number => ConflictGrain::from_number(number).ok_or_else(|| unknown("conflict_grain")),
    }
}

fn unknown(field: &str) -> Error {
    let rule = "is not known; leave it out";
    Error::invalid(format!("definition.options.{field}"), rule)
}

/// 0 is the default.
fn name_clash_policy(number: i32) -> Result<NameClashPolicy, Error> {
    match number {
        0 => Ok(NameClashPolicy::default()),
        number => NameClashPolicy::from_number(number).ok_or_else(|| unknown("name_clash_policy")),
    }
}

fn wire_set(scope: &UserScope, view: &SetView) -> wire::SyncSet {
    let set = &view.set;
    let mut shown = wire::SyncSet {
        name: scope.set_name(set.id),
        uid: set.id.to_string(),
        kind: wire_kind(set.kind).into(),
        on_premise_repository: scope.repository_name(&view.repositories.on_premise),
        cloud_repository: scope.repository_name(&view.repositories.cloud),
        node_ids: view.nodes.iter().map(ToString::to_string).collect(),
        target_folder_node_id: set.target.to_string(),
        options: Some(wire_options(&set.options)),
        owner: set.owner.clone(),
        state: wire_state(view.state()).into(),
        counters: Some(wire::SyncSetCounters {
            members: set.counters.members,
            pending: set.counters.pending,
            failed: set.counters.failed,
            bytes: set.counters.bytes,
        }),
        held_deletions: view.held_deletions(),
        etag: String::new(),
        create_time: created_at(set.id.0).map(convert::timestamp),
        scanning: view.scanning,
        paused: set.paused && !set.ending,
        repository_paused: set.repository_paused,
    };
    shown.etag = etag(&shown);
    shown
}

/// Differs whenever anything that is shown does.
fn etag(shown: &wire::SyncSet) -> String {
    let hash = Sha256::digest(prost::Message::encode_to_vec(shown));
    hex::encode(&hash[..12])
}

fn wire_kind(kind: SetKind) -> wire::SyncSetKind {
    match kind {
        SetKind::Documents => wire::SyncSetKind::Documents,
        SetKind::Folder => wire::SyncSetKind::Folder,
    }
}

fn wire_left_out(left: LeftOut) -> wire::SkippedNode {
    wire::SkippedNode {
        node_id: left.node,
        reason: left.reason,
        path: left.path,
    }
}

fn wire_preview(preview: Preview) -> wire::PreviewSyncSetResponse {
    let clash = |clash: Clash| wire::NameClash {
        node_id: clash.node.0,
        name: clash.name,
        blocking_node_id: clash.holder.0,
    };
    wire::PreviewSyncSetResponse {
        documents: preview.documents,
        folders: preview.folders,
        bytes: preview.bytes,
        skipped: preview.skipped.into_iter().map(wire_left_out).collect(),
        clashes: preview.clashes.into_iter().map(clash).collect(),
        incomplete: preview.incomplete,
        kind: wire_kind(preview.kind).into(),
        accepted: preview.accepted.into_iter().map(|node| node.0).collect(),
    }
}

fn wire_state(state: SetState) -> wire::SyncSetState {
    match state {
        SetState::Pending => wire::SyncSetState::Pending,
        SetState::Synced => wire::SyncSetState::Synced,
        SetState::Failed => wire::SyncSetState::Failed,
        SetState::Ending => wire::SyncSetState::Ending,
    }
}

fn wire_options(options: &Options) -> wire::SyncSetOptions {
    wire::SyncSetOptions {
        include_subfolders: Some(options.include_subfolders),
        lock_on_premise_copy: options.lock_on_premise_copy,
        allow_delete_on_cloud: Some(options.allow_delete_on_cloud),
        delete_on_premise: options.delete_on_premise,
        conflict_policy: options.conflict_policy as i32,
        conflict_grain: options.conflict_grain as i32,
        name_clash_policy: options.name_clash_policy as i32,
        max_delete_percent: Some(options.max_delete_percent),
    }
}
