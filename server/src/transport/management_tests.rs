//! What strangers are told, and which words the messages may say.

#![allow(
    clippy::needless_update,
    reason = "one macro makes messages of one field and of many"
)]

use futures::StreamExt;
use tandem_proto::v1 as wire;
use tandem_proto::v1::access_service_server::AccessService;
use tandem_proto::v1::conflict_service_server::ConflictService;
use tandem_proto::v1::journal_service_server::JournalService;
use tandem_proto::v1::member_service_server::MemberService;
use tandem_proto::v1::sync_set_service_server::SyncSetService;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{access, conflict, journal, member, sync_set};
use crate::domain::access::{Role, Side};
use crate::domain::ids::TokenId;
use crate::domain::sync_set::Options;
use crate::service::Principal;
use crate::service::testing::{ALICE, Fixture, present};

const UID: &str = "0197c7a4-5d0b-7c3e-8a8e-0123456789ab";
const NETWORK: &str = "networks/acme";

fn set() -> String {
    format!("{NETWORK}/syncSets/{UID}")
}

fn one_member() -> String {
    format!("{}/members/{UID}", set())
}

fn one_conflict() -> String {
    format!("{NETWORK}/conflicts/{UID}")
}

fn asked<T>(caller: &Principal, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

fn reason<T>(answer: Result<Response<T>, Status>) -> String {
    let status = answer.err().expect("a refusal");
    status.get_details_error_info().unwrap().reason
}

/// Every service over one coordinator.
struct Handlers {
    sets: sync_set::Handler,
    members: member::Handler,
    conflicts: conflict::Handler,
    journal: journal::Handler,
    access: access::Handler,
}

fn handlers(fixture: &Fixture) -> Handlers {
    let of = || fixture.coordinator.clone();
    Handlers {
        sets: sync_set::Handler::new(of()),
        members: member::Handler::new(of()),
        conflicts: conflict::Handler::new(of()),
        journal: journal::Handler::new(of()),
        access: access::Handler::new(of()),
    }
}

/// Calls a method with a message, and notes the reason for which it is refused.
macro_rules! walk {
    ($reasons:ident, $handler:expr, $caller:expr, $($method:ident { $($field:ident : $value:expr),* } $type:ident),* $(,)?) => {
        $(
            let message = wire::$type { $($field: $value,)* ..Default::default() };
            let answer = $handler.$method(asked($caller, message)).await;
            $reasons.push((stringify!($method), reason(answer)));
        )*
    };
}

async fn refusals(handlers: &Handlers, caller: &Principal) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let parent = || NETWORK.to_owned();
    walk!(
        found, handlers.sets, caller,
        preview_sync_set { parent: parent() } PreviewSyncSetRequest,
        create_sync_set { parent: parent() } CreateSyncSetRequest,
        get_sync_set { name: set() } GetSyncSetRequest,
        list_sync_sets { parent: parent() } ListSyncSetsRequest,
        pause_sync_set { name: set() } PauseSyncSetRequest,
        resume_sync_set { name: set() } ResumeSyncSetRequest,
        resolve_hold { name: set() } ResolveHoldRequest,
        unsync_sync_set { name: set() } UnsyncSyncSetRequest,
        transfer_ownership { parent: parent() } TransferOwnershipRequest,
        force_unsync { parent: parent() } ForceUnsyncRequest,
        export_sync_sets { parent: parent() } ExportSyncSetsRequest,
    );
    let repository = || format!("{NETWORK}/repositories/hq");
    walk!(
        found, handlers.members, caller,
        get_member { name: one_member() } GetMemberRequest,
        list_members { parent: set() } ListMembersRequest,
        watch_members { parent: set() } WatchMembersRequest,
        request_sync { parent: set() } RequestSyncRequest,
        unsync_member { name: one_member() } UnsyncMemberRequest,
        delete_member { name: one_member() } DeleteMemberRequest,
        list_skipped_nodes { parent: set() } ListSkippedNodesRequest,
        get_node_sync_info { repository: repository() } GetNodeSyncInfoRequest,
        browse_target_folders { repository: repository() } BrowseTargetFoldersRequest,
        create_target_folder { repository: repository() } CreateTargetFolderRequest,
    );
    let loser = || {
        Some(wire::restore_version_request::Source::Conflict(
            one_conflict(),
        ))
    };
    walk!(
        found, handlers.conflicts, caller,
        get_conflict { name: one_conflict() } GetConflictRequest,
        list_conflicts { parent: parent() } ListConflictsRequest,
        resolve_conflict { name: one_conflict() } ResolveConflictRequest,
        list_versions { parent: one_member() } ListVersionsRequest,
        restore_version { source: loser() } RestoreVersionRequest,
    );
    walk!(
        found, handlers.journal, caller,
        list_journal { parent: parent() } ListJournalRequest,
        watch_journal { parent: parent() } WatchJournalRequest,
    );
    walk!(
        found, handlers.access, caller,
        scan_repository { name: repository() } ScanRepositoryRequest,
    );
    found
}

#[tokio::test]
async fn spec_12_strangers_learn_nothing_from_any_call() {
    let fixture = Fixture::new().await;
    let store = &fixture.test.store;
    let other = store.create_network("other", "", 0).await.unwrap();
    let stranger = Principal::User {
        network: other.id,
        network_name: other.name,
        user: "mallory".to_owned(),
        role: Role::Admin,
        token: TokenId(Uuid::now_v7()),
    };
    let agent = Principal::Agent {
        network: fixture.network.id,
        network_name: fixture.network.name.clone(),
        repository: fixture.hq.id,
        repository_name: fixture.hq.name.clone(),
        side: Side::OnPremise,
        token: TokenId(Uuid::now_v7()),
    };
    for caller in [&stranger, &agent] {
        for (method, reason) in refusals(&handlers(&fixture), caller).await {
            assert_eq!(reason, "NOT_ALLOWED", "{method}");
        }
    }
}

#[tokio::test]
async fn viewers_change_nothing() {
    let fixture = Fixture::new().await;
    let made = fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.principal("eve", Role::Viewer);
    let handlers = handlers(&fixture);
    let name = format!("{NETWORK}/syncSets/{}", made.set.id);
    let mut found = Vec::new();
    walk!(
        found, handlers.sets, &viewer,
        create_sync_set { parent: NETWORK.to_owned() } CreateSyncSetRequest,
        preview_sync_set { parent: NETWORK.to_owned() } PreviewSyncSetRequest,
        resolve_hold { name: name.clone() } ResolveHoldRequest,
        unsync_sync_set { name: name.clone() } UnsyncSyncSetRequest,
    );
    walk!(
        found, handlers.members, &viewer,
        request_sync { parent: name.clone() } RequestSyncRequest,
        delete_member { name: format!("{name}/members/{UID}") } DeleteMemberRequest,
        create_target_folder { repository: format!("{NETWORK}/repositories/cloud") } CreateTargetFolderRequest,
    );
    let repository = format!("{NETWORK}/repositories/hq");
    walk!(
        found, handlers.access, &viewer,
        scan_repository { name: repository } ScanRepositoryRequest,
    );
    for (method, reason) in found {
        assert_eq!(reason, "NOT_ALLOWED", "{method}");
    }
}

fn definition() -> wire::SyncSetDefinition {
    wire::SyncSetDefinition {
        kind: wire::SyncSetKind::Folder.into(),
        on_premise_repository: format!("{NETWORK}/repositories/hq"),
        cloud_repository: format!("{NETWORK}/repositories/cloud"),
        node_ids: vec!["docs".to_owned()],
        target_path: "inbox".to_owned(),
        ..Default::default()
    }
}

async fn create(
    fixture: &Fixture,
    change: impl FnOnce(&mut wire::CreateSyncSetRequest),
) -> Result<Response<wire::CreateSyncSetResponse>, Status> {
    let mut message = wire::CreateSyncSetRequest {
        parent: NETWORK.to_owned(),
        definition: Some(definition()),
        ..Default::default()
    };
    change(&mut message);
    let caller = fixture.principal(ALICE, Role::User);
    let handlers = handlers(fixture);
    handlers.sets.create_sync_set(asked(&caller, message)).await
}

fn with(
    change: impl FnOnce(&mut wire::SyncSetDefinition),
) -> impl FnOnce(&mut wire::CreateSyncSetRequest) {
    move |message| change(message.definition.as_mut().unwrap())
}

fn with_options(
    change: impl FnOnce(&mut wire::SyncSetOptions),
) -> impl FnOnce(&mut wire::CreateSyncSetRequest) {
    with(|definition| change(definition.options.get_or_insert_default()))
}

#[tokio::test]
async fn a_set_is_made_shown_and_listed() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let made = create(&fixture, |_| {}).await.unwrap().into_inner();
    assert_eq!(made.accepted, ["docs"]);
    let made = made.sync_set.unwrap();
    assert_eq!(made.state(), wire::SyncSetState::Pending);
    let options = made.options.unwrap();
    assert_eq!(
        (options.max_delete_percent, options.include_subfolders),
        (Some(50), Some(true))
    );
    assert!(made.create_time.is_some() && !made.etag.is_empty());
    let (handlers, caller) = (handlers(&fixture), fixture.principal("eve", Role::Viewer));
    let request = wire::GetSyncSetRequest {
        name: made.name.clone(),
    };
    let found = handlers.sets.get_sync_set(asked(&caller, request)).await;
    assert_eq!(found.unwrap().into_inner().sync_set, Some(made.clone()));
    let request = wire::ListSyncSetsRequest {
        parent: NETWORK.to_owned(),
        ..Default::default()
    };
    let found = handlers.sets.list_sync_sets(asked(&caller, request)).await;
    assert_eq!(
        found.unwrap().into_inner().sync_sets,
        std::slice::from_ref(&made)
    );
    fixture
        .report(Side::OnPremise, vec![present("docs", "", "1", None)])
        .await;
    fixture.deliver_all(Side::Cloud).await;
    let request = wire::GetSyncSetRequest { name: made.name };
    let later = handlers.sets.get_sync_set(asked(&caller, request)).await;
    assert_ne!(
        later.unwrap().into_inner().sync_set.unwrap().etag,
        made.etag
    );
}

#[tokio::test]
async fn each_bad_field_of_a_definition_is_named() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let field = |answer: Result<Response<wire::CreateSyncSetResponse>, Status>| {
        let status = answer.unwrap_err();
        status.get_details_bad_request().unwrap().field_violations[0]
            .field
            .clone()
    };
    let foreign = || "networks/other/repositories/hq".to_owned();
    assert_eq!(
        field(create(&fixture, |new| new.definition = None).await),
        "definition"
    );
    assert_eq!(
        field(create(&fixture, with(|new| new.kind = 9)).await),
        "definition.kind"
    );
    let documents = wire::SyncSetKind::Documents.into();
    assert_eq!(
        field(create(&fixture, with(|new| new.kind = documents)).await),
        "definition.kind"
    );
    let answer = create(&fixture, with(|new| new.on_premise_repository = foreign())).await;
    assert_eq!(field(answer), "definition.on_premise_repository");
    let answer = create(&fixture, with(|new| new.cloud_repository = foreign())).await;
    assert_eq!(field(answer), "definition.cloud_repository");
    let answer = create(&fixture, with(|new| new.node_ids.clear())).await;
    assert_eq!(field(answer), "definition.node_ids");
    let nameless = wire::NewFolder::default();
    let answer = create(&fixture, with(|new| new.new_target_folder = Some(nameless))).await;
    assert_eq!(field(answer), "definition.new_target_folder.name");
    let answer = create(&fixture, with(|new| new.target_folder_node_id.push('x'))).await;
    assert_eq!(field(answer), "definition.target_folder_node_id");
    let answer = create(&fixture, with_options(|new| new.conflict_policy = 9)).await;
    assert_eq!(field(answer), "definition.options.conflict_policy");
    let answer = create(&fixture, with_options(|new| new.conflict_grain = -1)).await;
    assert_eq!(field(answer), "definition.options.conflict_grain");
    let answer = create(&fixture, with_options(|new| new.name_clash_policy = 4)).await;
    assert_eq!(field(answer), "definition.options.name_clash_policy");
    let answer = create(
        &fixture,
        with_options(|new| new.max_delete_percent = Some(0)),
    )
    .await;
    assert_eq!(field(answer), "definition.options.max_delete_percent");
    let answer = create(&fixture, |new| new.request_id = "7".to_owned()).await;
    assert_eq!(field(answer), "request_id");
}

#[tokio::test]
async fn members_are_listed_page_by_page_with_tokens_bound_to_their_filters() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a", "b"]).await;
    let (handlers, caller) = (handlers(&fixture), fixture.principal("eve", Role::Viewer));
    let mut request = wire::ListMembersRequest {
        parent: format!("{NETWORK}/syncSets/-"),
        page_size: 2,
        ..Default::default()
    };
    let list = async |request: &wire::ListMembersRequest| {
        let answer = handlers
            .members
            .list_members(asked(&caller, request.clone()));
        answer.await.map(Response::into_inner)
    };
    let first = list(&request).await.unwrap();
    assert_eq!(first.members.len(), 2);
    request.page_token = first.next_page_token;
    let second = list(&request).await.unwrap();
    assert_eq!(
        (second.members.len(), second.next_page_token.as_str()),
        (1, "")
    );
    request.state = wire::MemberState::Failed.into();
    assert!(list(&request).await.is_err());
    request.page_token.clear();
    assert!(list(&request).await.unwrap().members.is_empty());
    for bad in [
        wire::ListMembersRequest {
            state: 9,
            ..request.clone()
        },
        wire::ListMembersRequest {
            reason: 99,
            ..request.clone()
        },
        wire::ListMembersRequest {
            page_size: -1,
            ..request.clone()
        },
        wire::ListMembersRequest {
            parent: "networks/acme/syncSets".to_owned(),
            ..request
        },
    ] {
        let refused = list(&bad).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_deletion_needs_a_side_and_a_choice_and_names_belong_to_their_parent() {
    let fixture = Fixture::new().await;
    let (handlers, caller) = (handlers(&fixture), fixture.principal(ALICE, Role::User));
    for (side, peer) in [(0, 1), (1, 0), (9, 1), (1, 9)] {
        let message = wire::DeleteMemberRequest {
            name: one_member(),
            side,
            peer,
        };
        let refused = handlers.members.delete_member(asked(&caller, message));
        assert_eq!(reason(refused.await), "INVALID_FIELD");
    }
    let message = wire::RequestSyncRequest {
        parent: set(),
        names: vec![format!("{NETWORK}/syncSets/{}/members/{UID}", Uuid::nil())],
    };
    let refused = handlers.members.request_sync(asked(&caller, message)).await;
    assert_eq!(reason(refused), "INVALID_FIELD");
}

#[tokio::test]
async fn r_jrn_1_a_list_is_followed_by_a_stream_from_its_cursor() {
    let fixture = Fixture::new().await;
    let made = fixture.synced(Options::default(), &["a"]).await;
    let (handlers, caller) = (handlers(&fixture), fixture.principal("eve", Role::Viewer));
    let name = format!("{NETWORK}/syncSets/{}", made.set.id);
    let request = wire::ListJournalRequest {
        parent: NETWORK.to_owned(),
        sync_set: name.clone(),
        ..Default::default()
    };
    let listed = handlers.journal.list_journal(asked(&caller, request)).await;
    let listed = listed.unwrap().into_inner();
    assert!(listed.next_page_token.is_empty());
    assert!(listed.entries.iter().all(|entry| entry.sync_set == name));
    let watch = |cursor: &str, from_end| wire::WatchJournalRequest {
        parent: NETWORK.to_owned(),
        cursor: cursor.to_owned(),
        from_end,
        ..Default::default()
    };
    let request = asked(&caller, watch(&listed.cursor, false));
    let mut stream = handlers
        .journal
        .watch_journal(request)
        .await
        .unwrap()
        .into_inner();
    let edited = present("a", "docs", "2", Some("edited".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    let last = listed.entries.last().unwrap().position;
    loop {
        let message = stream.next().await.unwrap().unwrap();
        if let Some(entry) = message.entries.first() {
            assert_eq!(entry.position, last + 1);
            break;
        }
    }
    fixture.coordinator.draining.cancel();
    let drained = stream.next().await.unwrap().unwrap_err();
    assert_eq!(drained.get_details_error_info().unwrap().reason, "DRAINING");
    for (cursor, from_end) in [(listed.cursor.as_str(), true), ("zz", false)] {
        let refused = handlers
            .journal
            .watch_journal(asked(&caller, watch(cursor, from_end)));
        assert_eq!(reason(refused.await), "INVALID_FIELD");
    }
}

#[tokio::test]
async fn r_agt_5_an_admin_asks_for_a_scan() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &[]).await;
    let admin = fixture.principal("root", Role::Admin);
    let message = |repository: &str| wire::ScanRepositoryRequest {
        name: format!("{NETWORK}/repositories/{repository}"),
        read_content: true,
    };
    let handlers = handlers(&fixture);
    let asked_for = handlers
        .access
        .scan_repository(asked(&admin, message("hq")));
    asked_for.await.unwrap();
    let store = &fixture.test.store;
    let roots = crate::storage::sync::scans::roots_in(store.reader(), fixture.hq.id).await;
    assert!(
        roots
            .unwrap()
            .iter()
            .all(|root| root.scan.is_some() && root.read_content)
    );
    let missing = handlers
        .access
        .scan_repository(asked(&admin, message("none")));
    assert_eq!(reason(missing.await), "REPOSITORY_NOT_FOUND");
}
