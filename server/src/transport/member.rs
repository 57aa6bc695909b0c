//! MemberService: single members, how they stand and what is to become of them (SPEC §7, §9).

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tandem_proto::v1 as wire;
use tandem_proto::v1::member_service_server::MemberService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::auth::principal;
use super::definition::{folder, request_id};
use super::members::{filter, peer_choice, wire_change, wire_info, wire_member, wire_skipped};
use super::tokens::{List, fitting_page, page_size};
use super::{convert, names};
use crate::domain::access::Role;
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::limits::SYNC_NAMES_MAX;
use crate::service::command::NewFolder;
use crate::service::members::Place;
use crate::service::{Coordinator, Error, Principal, UserScope, skipped};

/// Answers the calls of MemberService.
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

    /// The scope and the ids of a member that is named.
    async fn member(
        &self,
        caller: &Principal,
        name: &str,
        role: Role,
    ) -> Result<(UserScope, SyncSetId, MemberId), Error> {
        let (network, set, member) = names::uid_in_uid("name", name, "syncSets", "members")?;
        let scope = self.coordinator.for_user(caller, network, role).await?;
        Ok((scope, SyncSetId(set), MemberId(member)))
    }

    /// The scope and the id of a set that is named as parent.
    async fn parent(
        &self,
        caller: &Principal,
        parent: &str,
        role: Role,
    ) -> Result<(UserScope, SyncSetId), Error> {
        let (network, set) = names::uid_in_network("parent", parent, "syncSets")?;
        let scope = self.coordinator.for_user(caller, network, role).await?;
        Ok((scope, SyncSetId(set)))
    }

    async fn repository<'a>(
        &self,
        caller: &Principal,
        name: &'a str,
    ) -> Result<(UserScope, &'a str), Error> {
        let (network, repository) = names::repository("repository", name)?;
        let coordinator = &self.coordinator;
        let scope = coordinator.for_user(caller, network, Role::Viewer).await?;
        Ok((scope, repository))
    }
}

#[tonic::async_trait]
impl MemberService for Handler {
    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_member(
        &self,
        request: Request<wire::GetMemberRequest>,
    ) -> Result<Response<wire::GetMemberResponse>, Status> {
        let caller = principal(&request)?;
        let name = &request.get_ref().name;
        let (scope, set, id) = self.member(&caller, name, Role::Viewer).await?;
        let found = scope.member(set, id).await?;
        Ok(Response::new(wire::GetMemberResponse {
            member: Some(wire_member(&scope, found)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (network, set) = set_or_all(&request.parent)?;
        let scope = self
            .coordinator
            .for_user(&caller, network, Role::Viewer)
            .await?;
        let filter = filter(request.state, request.reason)?;
        let (state, reason) = (request.state.to_string(), request.reason.to_string());
        let list = List {
            call: "ListMembers",
            scope: &[&request.parent, &state, &reason],
        };
        let size = page_size(request.page_size)?;
        let after: Option<Place> = list.position(&request.page_token)?;
        let found = match set {
            Some(set) => {
                let after = after.map(|(_, member)| member);
                scope.members(set, after, filter, size + 1).await?
            }
            None => scope.members_of_all(after, filter, size + 1).await?,
        };
        let shown = found
            .into_iter()
            .map(|view| {
                let place: Place = (view.member.set, view.member.id);
                (place, wire_member(&scope, view))
            })
            .collect();
        let (members, next_page_token) = fitting_page(list, shown, size)?;
        Ok(Response::new(wire::ListMembersResponse {
            members,
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn list_skipped_nodes(
        &self,
        request: Request<wire::ListSkippedNodesRequest>,
    ) -> Result<Response<wire::ListSkippedNodesResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, set) = self.parent(&caller, &request.parent, Role::Viewer).await?;
        let list = List {
            call: "ListSkippedNodes",
            scope: &[&request.parent],
        };
        let size = page_size(request.page_size)?;
        let after: Option<skipped::Place> = list.position(&request.page_token)?;
        let found = scope.skipped_nodes(set, after, size + 1).await?;
        let shown = found.into_iter().map(|one| {
            let place: skipped::Place = (one.side, one.node.clone());
            (place, wire_skipped(one))
        });
        let (nodes, next_page_token) = fitting_page(list, shown.collect(), size)?;
        Ok(Response::new(wire::ListSkippedNodesResponse {
            nodes,
            next_page_token,
        }))
    }

    type WatchMembersStream = BoxStream<'static, Result<wire::WatchMembersResponse, Status>>;

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE.
    async fn watch_members(
        &self,
        request: Request<wire::WatchMembersRequest>,
    ) -> Result<Response<Self::WatchMembersStream>, Status> {
        let caller = principal(&request)?;
        let parent = &request.get_ref().parent;
        let (scope, set) = self.parent(&caller, parent, Role::Viewer).await?;
        let feed = scope.watch_members(set).await?;
        let messages = feed
            .map_ok(move |change| wire_change(&scope, change))
            .map_err(Status::from);
        Ok(Response::new(messages.boxed()))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn request_sync(
        &self,
        request: Request<wire::RequestSyncRequest>,
    ) -> Result<Response<wire::RequestSyncResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, set) = self.parent(&caller, &request.parent, Role::User).await?;
        let members = named_members(&request.parent, &request.names)?;
        let requested = scope.request_sync(set, &members).await?;
        Ok(Response::new(wire::RequestSyncResponse { requested }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn unsync_member(
        &self,
        request: Request<wire::UnsyncMemberRequest>,
    ) -> Result<Response<wire::UnsyncMemberResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, set, id) = self.member(&caller, &request.name, Role::User).await?;
        let ended = scope.unsync_member(set, id, request.remove_cloud_copy);
        ended.await?;
        Ok(Response::new(wire::UnsyncMemberResponse {}))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION.
    async fn delete_member(
        &self,
        request: Request<wire::DeleteMemberRequest>,
    ) -> Result<Response<wire::DeleteMemberResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, set, id) = self.member(&caller, &request.name, Role::User).await?;
        let side = convert::side("side", request.side)?;
        let peer = peer_choice(request.peer)?;
        scope.delete_member(set, id, side, peer).await?;
        Ok(Response::new(wire::DeleteMemberResponse {}))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_node_sync_info(
        &self,
        request: Request<wire::GetNodeSyncInfoRequest>,
    ) -> Result<Response<wire::GetNodeSyncInfoResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, repository) = self.repository(&caller, &request.repository).await?;
        let info = scope.node_sync_info(repository, &request.node_id).await?;
        let (member, owner) = info.member.unzip();
        Ok(Response::new(wire::GetNodeSyncInfoResponse {
            member: member.map(|view| wire_member(&scope, view)),
            owner: owner.unwrap_or_default(),
            skipped_reason: info.skipped.to_owned(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED.
    async fn browse_target_folders(
        &self,
        request: Request<wire::BrowseTargetFoldersRequest>,
    ) -> Result<Response<wire::BrowseTargetFoldersResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, repository) = self.repository(&caller, &request.repository).await?;
        let list = List {
            call: "BrowseTargetFolders",
            scope: &[&request.repository, &request.node_id, &request.path],
        };
        let size = page_size(request.page_size)?;
        let after: Option<NodeId> = list.position(&request.page_token)?;
        let folder = folder("node_id", &request.node_id, ("path", &request.path))?;
        let found = scope.browse_folders(repository, &folder, after, size);
        let (folders, next) = found.await?;
        let next = next.map(|last| list.token(&last)).transpose()?;
        Ok(Response::new(wire::BrowseTargetFoldersResponse {
            folders: folders.into_iter().map(wire_info).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED, FAILED_PRECONDITION.
    async fn create_target_folder(
        &self,
        request: Request<wire::CreateTargetFolderRequest>,
    ) -> Result<Response<wire::CreateTargetFolderResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, repository) = self.repository(&caller, &request.repository).await?;
        let path = ("parent_path", request.parent_path.as_str());
        let parent = folder("parent_node_id", &request.parent_node_id, path)?;
        let id = request_id(&request.request_id)?;
        let new = NewFolder {
            name: request.folder_name,
            title: request.title,
            description: request.description,
        };
        let made = scope.create_folder(repository, &parent, &new, id).await?;
        Ok(Response::new(wire::CreateTargetFolderResponse {
            folder: Some(wire_info(made)),
        }))
    }
}

/// Reads `networks/{network}/syncSets/{set}`, where `-` stands for all sets.
fn set_or_all(parent: &str) -> Result<(&str, Option<SyncSetId>), Error> {
    if let Some(network) = parent.strip_suffix("/syncSets/-") {
        return Ok((names::network("parent", network)?, None));
    }
    let (network, set) = names::uid_in_network("parent", parent, "syncSets")?;
    Ok((network, Some(SyncSetId(set))))
}

/// The members that are named, all of one set.
fn named_members(parent: &str, named: &[String]) -> Result<Vec<MemberId>, Error> {
    if named.len() > SYNC_NAMES_MAX {
        let rule = format!("at most {SYNC_NAMES_MAX}; ask in several calls");
        return Err(Error::invalid("names", rule));
    }
    let read = |(at, name): (usize, &String)| {
        let field = format!("names[{at}]");
        let (_, _, member): (&str, Uuid, Uuid) =
            names::uid_in_uid(&field, name, "syncSets", "members")?;
        if !name.starts_with(&format!("{parent}/")) {
            return Err(Error::invalid(field, "must belong to `parent`"));
        }
        Ok(MemberId(member))
    };
    named.iter().enumerate().map(read).collect()
}
