//! What AccessService keeps and shows.

use tandem_proto::v1 as wire;
use tonic::Code;

use crate::server::{Server, reason, user_token_request};

fn create(parent: &str, id: &str, side: wire::Side) -> wire::CreateRepositoryRequest {
    wire::CreateRepositoryRequest {
        parent: parent.to_owned(),
        repository_id: id.to_owned(),
        side: side.into(),
        display_name: format!("the {id}"),
    }
}

#[tokio::test]
async fn a_repository_is_shown_as_it_was_registered() {
    let server = Server::start().await;
    server.network("acme", wire::Role::Viewer).await;
    let mut operator = server.operator().await;
    let request = create("networks/acme", "cloud-1", wire::Side::Cloud);
    let made = operator.create_repository(request.clone()).await.unwrap();
    let made = made.into_inner().repository.unwrap();
    assert_eq!(made.name, "networks/acme/repositories/cloud-1");
    assert_eq!(made.side(), wire::Side::Cloud);
    assert_eq!(made.display_name, "the cloud-1");
    assert!(!made.connected && made.installation_id.is_empty() && !made.cloned);
    let request_get = wire::GetRepositoryRequest {
        name: made.name.clone(),
    };
    let found = operator.get_repository(request_get).await.unwrap();
    assert_eq!(found.into_inner().repository, Some(made));
    let again = operator.create_repository(request).await.unwrap_err();
    assert_eq!(
        (again.code(), reason(&again).as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );
}

#[tokio::test]
async fn bad_fields_are_named() {
    let server = Server::start().await;
    server.network("acme", wire::Role::Viewer).await;
    let mut operator = server.operator().await;
    for (request, field) in [
        (create("acme", "a", wire::Side::Cloud), "parent"),
        (
            create("networks/acme", "A", wire::Side::Cloud),
            "repository_id",
        ),
        (
            create("networks/acme", "a", wire::Side::Unspecified),
            "side",
        ),
    ] {
        let refused = operator.create_repository(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().starts_with(field),
            "{}",
            refused.message()
        );
    }
    let ended = wire::CreateTokenRequest {
        expire_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        ..user_token_request("networks/acme", wire::Role::User)
    };
    let refused = operator.create_token(ended).await.unwrap_err();
    assert!(refused.message().starts_with("expire_time"));
    let missing = operator
        .create_repository(create("networks/missing", "a", wire::Side::Cloud))
        .await
        .unwrap_err();
    assert_eq!(reason(&missing), "NETWORK_NOT_FOUND");
}

#[tokio::test]
async fn pages_show_each_repository_once() {
    let server = Server::start().await;
    server.network("acme", wire::Role::Viewer).await;
    let mut operator = server.operator().await;
    for number in 0..6 {
        let request = create("networks/acme", &format!("r{number}"), wire::Side::Cloud);
        operator.create_repository(request).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListRepositoriesRequest {
            parent: "networks/acme".to_owned(),
            page_size: 3,
            page_token,
        };
        let page = operator
            .list_repositories(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.repositories.len() <= 3);
        seen.extend(page.repositories.into_iter().map(|found| found.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted());
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let server = Server::start().await;
    server.network("acme", wire::Role::Viewer).await;
    server.user_token("acme", wire::Role::Viewer).await;
    let mut operator = server.operator().await;
    let tokens = wire::ListTokensRequest {
        parent: "networks/acme".to_owned(),
        page_size: 1,
        page_token: String::new(),
    };
    let page = operator.list_tokens(tokens).await.unwrap().into_inner();
    assert!(!page.next_page_token.is_empty());
    let request = wire::ListRepositoriesRequest {
        parent: "networks/acme".to_owned(),
        page_size: 1,
        page_token: page.next_page_token,
    };
    let refused = operator.list_repositories(request).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
}

#[tokio::test]
async fn tokens_are_listed_without_their_secrets_and_end_when_revoked() {
    let server = Server::start().await;
    let user = server.network("acme", wire::Role::User).await;
    let agent = server.agent_token("acme", "hq").await;
    let mut operator = server.operator().await;
    let list = wire::ListTokensRequest {
        parent: "networks/acme".to_owned(),
        ..Default::default()
    };
    let tokens = operator
        .list_tokens(list.clone())
        .await
        .unwrap()
        .into_inner()
        .tokens;
    assert_eq!(tokens.len(), 2);
    let text = format!("{tokens:?}");
    assert!(!text.contains(&user) && !text.contains(&agent));
    for token in &tokens {
        for _ in 0..2 {
            let name = token.name.clone();
            operator
                .revoke_token(wire::RevokeTokenRequest { name })
                .await
                .unwrap();
        }
    }
    let tokens = operator
        .list_tokens(list)
        .await
        .unwrap()
        .into_inner()
        .tokens;
    assert!(tokens.iter().all(|token| token.revoke_time.is_some()));
    let missing = wire::RevokeTokenRequest {
        name: "networks/acme/tokens/0197c7a4-5d0b-7c3e-8a8e-0123456789ab".to_owned(),
    };
    let refused = operator.revoke_token(missing).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_NOT_FOUND");
}

#[tokio::test]
async fn everyone_is_told_who_they_are() {
    let server = Server::start().await;
    server.network("acme", wire::Role::User).await;
    let agent = server.agent_token("acme", "hq").await;
    let mut client = server.access(Some(&agent)).await;
    let me = client
        .who_am_i(wire::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.network, "networks/acme");
    let repository = "networks/acme/repositories/hq".to_owned();
    let expected = wire::token::Subject::Repository(repository);
    assert_eq!(me.token.unwrap().subject, Some(expected));
    let mut client = server.operator().await;
    let me = client
        .who_am_i(wire::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(me.network.is_empty());
    assert!(me.token.unwrap().name.starts_with("networks/-/tokens/"));
}

#[tokio::test]
async fn r_idn_1_accounts_are_linked_in_repositories_whose_agent_is_there() {
    let server = Server::start().await;
    server.network("acme", wire::Role::User).await;
    let mut client = server.operator().await;
    let repository = "networks/acme/repositories/site".to_owned();
    let create = wire::CreateRepositoryRequest {
        parent: "networks/acme".to_owned(),
        repository_id: "site".to_owned(),
        side: wire::Side::Cloud.into(),
        display_name: String::new(),
    };
    client.create_repository(create).await.unwrap();
    let mut link = wire::LinkAccountRequest {
        parent: "networks/acme".to_owned(),
        account: "alice".to_owned(),
        repository: repository.clone(),
        ..Default::default()
    };
    let refused = client.link_account(link.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unavailable, "AGENT_OFFLINE".to_owned())
    );
    let get = wire::GetAccountLinkRequest {
        repository,
        user: String::new(),
    };
    let refused = client.get_account_link(get).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(reason(&refused), "ACCOUNT_LINK_NOT_FOUND");
    link.repository = "networks/other/repositories/site".to_owned();
    let refused = client.link_account(link).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_lives() {
    let server = Server::start().await;
    let mut operator = server.operator().await;
    let request = wire::CreateNetworkRequest {
        network_id: "acme".to_owned(),
        display_name: "a".repeat(300 * 1024),
    };
    let refused = operator.create_network(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason(&refused), "INVALID_FIELD");
    operator.who_am_i(wire::WhoAmIRequest {}).await.unwrap();
}
