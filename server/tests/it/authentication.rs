//! Which credential opens which door.

use sha2::{Digest, Sha256};
use tandem_proto::v1 as wire;
use tandem_server::domain::access::Role;
use tandem_server::domain::ids::TokenId;
use tandem_server::storage::access::{Subject, Token};
use tonic::Code;
use uuid::Uuid;

use crate::server::{Server, reason};

fn list(network: &str) -> wire::ListRepositoriesRequest {
    wire::ListRepositoriesRequest {
        parent: format!("networks/{network}"),
        ..Default::default()
    }
}

/// Keeps a token that ended long ago; none can be made through the API.
async fn expired(server: &Server, network: &str) -> String {
    let store = &server.running.coordinator.store;
    let network = store.network_by_name(network).await.unwrap().unwrap();
    let token = Token {
        id: TokenId(Uuid::now_v7()),
        subject: Subject::User {
            network: network.id,
            user: "alice".to_owned(),
            role: Role::Admin,
        },
        created_at: 0,
        expires_at: Some(1),
        revoked_at: None,
    };
    let hash = Sha256::digest(b"tdm_expired").into();
    store.create_token(&token, hash).await.unwrap();
    "tdm_expired".to_owned()
}

async fn revoked(server: &Server, network: &str) -> String {
    let secret = server.user_token(network, wire::Role::Admin).await;
    let mut owner = server.access(Some(&secret)).await;
    let me = owner.who_am_i(wire::WhoAmIRequest {}).await.unwrap();
    let name = me.into_inner().token.unwrap().name;
    let request = wire::RevokeTokenRequest { name };
    server.operator().await.revoke_token(request).await.unwrap();
    secret
}

#[tokio::test]
async fn only_a_live_token_is_a_credential() {
    let server = Server::start().await;
    let viewer = server.network("acme", wire::Role::Viewer).await;
    let expired = expired(&server, "acme").await;
    let revoked = revoked(&server, "acme").await;
    for token in [
        None,
        Some("tdm_0"),
        Some(""),
        Some(&expired),
        Some(&revoked),
    ] {
        let mut client = server.access(token).await;
        let refused = client.list_repositories(list("acme")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(reason(&refused), "UNAUTHENTICATED");
    }
    let mut client = server.access(Some(&viewer)).await;
    let found = client.list_repositories(list("acme")).await.unwrap();
    assert_eq!(found.into_inner().repositories.len(), 1);
}

#[tokio::test]
async fn a_stranger_learns_nothing_of_other_networks() {
    let server = Server::start().await;
    let acme = server.network("acme", wire::Role::Admin).await;
    server.network("other", wire::Role::Admin).await;
    let agent = server.agent_token("acme", "hq").await;
    for token in [&acme, &agent] {
        let mut answers = Vec::new();
        for network in ["other", "missing"] {
            let mut client = server.access(Some(token)).await;
            answers.push(client.list_repositories(list(network)).await.unwrap_err());
        }
        for answer in &answers {
            assert_eq!(answer.code(), Code::PermissionDenied);
            assert_eq!(reason(answer), "NOT_ALLOWED");
        }
        assert_eq!(answers[0].message(), answers[1].message());
        assert_eq!(answers[0].details(), answers[1].details());
    }
}

#[tokio::test]
async fn each_role_may_do_its_own_and_less() {
    let server = Server::start().await;
    server.network("acme", wire::Role::Viewer).await;
    let allowed = [
        (wire::Role::Viewer, [true, false, false]),
        (wire::Role::User, [true, false, false]),
        (wire::Role::Admin, [true, true, false]),
    ];
    for (role, expected) in allowed {
        let token = server.user_token("acme", role).await;
        assert_eq!(may(&server, &token).await, expected, "{role:?}");
    }
    let agent = server.agent_token("acme", "hq").await;
    assert_eq!(may(&server, &agent).await, [false, false, false]);
    assert_eq!(
        may(&server, &server.operator_token()).await,
        [true, true, true]
    );
}

/// Whether the token may list repositories, list tokens, list operators' tokens.
async fn may(server: &Server, token: &str) -> [bool; 3] {
    let mut client = server.access(Some(token)).await;
    let tokens = |parent: &str| wire::ListTokensRequest {
        parent: parent.to_owned(),
        ..Default::default()
    };
    let answers = [
        client.list_repositories(list("acme")).await.map(drop),
        client.list_tokens(tokens("networks/acme")).await.map(drop),
        client.list_tokens(tokens("networks/-")).await.map(drop),
    ];
    answers.map(|answer| match answer {
        Ok(()) => true,
        Err(refused) => {
            assert_eq!(reason(&refused), "NOT_ALLOWED");
            false
        }
    })
}

/// Every call of AccessService that names a thing, made by an admin of another network.
#[tokio::test]
async fn no_call_tells_a_stranger_whether_a_thing_exists() {
    let server = Server::start().await;
    let stranger = server.network("other", wire::Role::Admin).await;
    server.network("acme", wire::Role::Admin).await;
    let mut client = server.access(Some(&stranger)).await;
    for repository in ["hq", "missing"] {
        let name = format!("networks/acme/repositories/{repository}");
        let get = wire::GetRepositoryRequest { name: name.clone() };
        let rebind = wire::RebindRepositoryRequest { name: name.clone() };
        let scan = wire::ScanRepositoryRequest {
            name: name.clone(),
            read_content: false,
        };
        let create = wire::CreateRepositoryRequest {
            parent: "networks/acme".to_owned(),
            repository_id: repository.to_owned(),
            side: wire::Side::Cloud.into(),
            display_name: String::new(),
        };
        let token = wire::CreateTokenRequest {
            parent: "networks/acme".to_owned(),
            subject: Some(wire::create_token_request::Subject::Repository(name)),
            expire_time: None,
        };
        let network = wire::CreateNetworkRequest {
            network_id: "acme".to_owned(),
            display_name: String::new(),
        };
        let link = wire::LinkAccountRequest {
            parent: "networks/acme".to_owned(),
            ..Default::default()
        };
        let revoke = wire::RevokeTokenRequest {
            name: format!("networks/acme/tokens/{}", Uuid::now_v7()),
        };
        let answers = [
            client.get_repository(get).await.map(drop),
            client.rebind_repository(rebind).await.map(drop),
            client.scan_repository(scan).await.map(drop),
            client.create_repository(create).await.map(drop),
            client.create_token(token).await.map(drop),
            client.create_network(network).await.map(drop),
            client.link_account(link).await.map(drop),
            client.revoke_token(revoke).await.map(drop),
        ];
        for answer in answers {
            assert_eq!(reason(&answer.unwrap_err()), "NOT_ALLOWED");
        }
    }
}
