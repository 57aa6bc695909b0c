//! AccessService: networks, repositories, tokens.

use tandem_proto::v1 as wire;
use tandem_proto::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status};

use super::auth::principal;
use super::tokens::{List, page, page_size};
use super::{accounts, convert, names, scopes};
use crate::domain::access::Role;
use crate::domain::ids::TokenId;
use crate::service::access::{Network, NewToken, Repository, Token, TokenSubject};
use crate::service::{Coordinator, Error, Principal, UserScope};

/// Answers the calls of AccessService.
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

    async fn pause(
        &self,
        caller: &Principal,
        name: &str,
        paused: bool,
    ) -> Result<wire::Repository, Error> {
        let (network, name) = names::repository("name", name)?;
        let scope = self.coordinator.for_admin(caller, network).await?;
        let repository = scope.pause_repository(name, paused).await?;
        Ok(wire_repository(&scope.user, repository))
    }
}

#[tonic::async_trait]
impl AccessService for Handler {
    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, ALREADY_EXISTS.
    async fn create_network(
        &self,
        request: Request<wire::CreateNetworkRequest>,
    ) -> Result<Response<wire::CreateNetworkResponse>, Status> {
        let scope = self.coordinator.for_operator(&principal(&request)?)?;
        let request = request.into_inner();
        let made = scope
            .create_network(&request.network_id, &request.display_name)
            .await?;
        Ok(Response::new(wire::CreateNetworkResponse {
            network: Some(wire_network(made)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, ALREADY_EXISTS.
    async fn create_repository(
        &self,
        request: Request<wire::CreateRepositoryRequest>,
    ) -> Result<Response<wire::CreateRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let network = names::network("parent", &request.parent)?;
        let scope = self.coordinator.for_admin(&caller, network).await?;
        let side = convert::side("side", request.side)?;
        let made = scope
            .create_repository(&request.repository_id, side, &request.display_name)
            .await?;
        Ok(Response::new(wire::CreateRepositoryResponse {
            repository: Some(wire_repository(&scope.user, made)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_repository(
        &self,
        request: Request<wire::GetRepositoryRequest>,
    ) -> Result<Response<wire::GetRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let (network, name) = names::repository("name", &request.get_ref().name)?;
        let scope = self
            .coordinator
            .for_user(&caller, network, Role::Viewer)
            .await?;
        let found = scope.repository(name).await?;
        Ok(Response::new(wire::GetRepositoryResponse {
            repository: Some(wire_repository(&scope, found)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn list_repositories(
        &self,
        request: Request<wire::ListRepositoriesRequest>,
    ) -> Result<Response<wire::ListRepositoriesResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::Viewer).await?;
        let list = List {
            call: "ListRepositories",
            scope: &[network],
        };
        let size = page_size(request.page_size)?;
        let after: Option<String> = list.position(&request.page_token)?;
        let found = scope
            .repositories(after.as_deref(), size as u64 + 1)
            .await?;
        let (found, next_page_token) = page(list, found, size, |last| last.name.clone())?;
        Ok(Response::new(wire::ListRepositoriesResponse {
            repositories: found
                .into_iter()
                .map(|repository| wire_repository(&scope, repository))
                .collect(),
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn rebind_repository(
        &self,
        request: Request<wire::RebindRepositoryRequest>,
    ) -> Result<Response<wire::RebindRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let (network, name) = names::repository("name", &request.get_ref().name)?;
        let scope = self.coordinator.for_admin(&caller, network).await?;
        let bound = scope.rebind_repository(name).await?;
        Ok(Response::new(wire::RebindRepositoryResponse {
            repository: Some(wire_repository(&scope.user, bound)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn pause_repository(
        &self,
        request: Request<wire::PauseRepositoryRequest>,
    ) -> Result<Response<wire::PauseRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let paused = self.pause(&caller, &request.get_ref().name, true).await?;
        Ok(Response::new(wire::PauseRepositoryResponse {
            repository: Some(paused),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn resume_repository(
        &self,
        request: Request<wire::ResumeRepositoryRequest>,
    ) -> Result<Response<wire::ResumeRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let resumed = self.pause(&caller, &request.get_ref().name, false).await?;
        Ok(Response::new(wire::ResumeRepositoryResponse {
            repository: Some(resumed),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn scan_repository(
        &self,
        request: Request<wire::ScanRepositoryRequest>,
    ) -> Result<Response<wire::ScanRepositoryResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (network, name) = names::repository("name", &request.name)?;
        let scope = self.coordinator.for_admin(&caller, network).await?;
        scope.scan_repository(name, request.read_content).await?;
        Ok(Response::new(wire::ScanRepositoryResponse {}))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::CreateTokenResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let expires_at = request
            .expire_time
            .map(|time| convert::microseconds("expire_time", &time))
            .transpose()?;
        let made = match names::network_or_none("parent", &request.parent)? {
            None => {
                let scope = self.coordinator.for_operator(&caller)?;
                let user = operator_user(request.subject)?;
                scope.create_token(&user, expires_at).await?
            }
            Some(network) => {
                let scope = self.coordinator.for_admin(&caller, network).await?;
                let subject = subject(network, request.subject)?;
                scope.create_token(subject, expires_at).await?
            }
        };
        let NewToken { token, secret } = made;
        Ok(Response::new(wire::CreateTokenResponse {
            token: Some(wire_token(token)),
            secret,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let list = List {
            call: "ListTokens",
            scope: &[&request.parent],
        };
        let network = names::network_or_none("parent", &request.parent)?;
        let found = match network {
            None => {
                let scope = self.coordinator.for_operator(&caller)?;
                let after: Option<TokenId> = list.position(&request.page_token)?;
                scope.tokens(after, size as u64 + 1).await?
            }
            Some(network) => {
                let scope = self.coordinator.for_admin(&caller, network).await?;
                let after: Option<TokenId> = list.position(&request.page_token)?;
                scope.tokens(after, size as u64 + 1).await?
            }
        };
        let (found, next_page_token) = page(list, found, size, |last| last.id)?;
        Ok(Response::new(wire::ListTokensResponse {
            tokens: found.into_iter().map(wire_token).collect(),
            next_page_token,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenResponse>, Status> {
        let caller = principal(&request)?;
        let (network, id) = names::token("name", &request.get_ref().name)?;
        match network {
            None => {
                let scope = self.coordinator.for_operator(&caller)?;
                scope.revoke_token(TokenId(id)).await?;
            }
            Some(network) => {
                let scope = self.coordinator.for_admin(&caller, network).await?;
                scope.revoke_token(TokenId(id)).await?;
            }
        }
        Ok(Response::new(wire::RevokeTokenResponse {}))
    }

    /// Status: UNAUTHENTICATED.
    async fn who_am_i(
        &self,
        request: Request<wire::WhoAmIRequest>,
    ) -> Result<Response<wire::WhoAmIResponse>, Status> {
        let caller = principal(&request)?;
        let token = self.coordinator.who_am_i(&caller).await?;
        let network = caller.network_name();
        Ok(Response::new(wire::WhoAmIResponse {
            network: network.map_or_else(String::new, |name| format!("networks/{name}")),
            token: Some(wire_token(token)),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE, DEADLINE_EXCEEDED.
    async fn link_account(
        &self,
        request: Request<wire::LinkAccountRequest>,
    ) -> Result<Response<wire::LinkAccountResponse>, Status> {
        let caller = principal(&request)?;
        let linked = accounts::link(&self.coordinator, &caller, request.into_inner()).await?;
        Ok(Response::new(wire::LinkAccountResponse {
            link: Some(linked),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn get_account_link(
        &self,
        request: Request<wire::GetAccountLinkRequest>,
    ) -> Result<Response<wire::GetAccountLinkResponse>, Status> {
        let caller = principal(&request)?;
        let found = accounts::get(&self.coordinator, &caller, request.get_ref()).await?;
        Ok(Response::new(wire::GetAccountLinkResponse {
            link: Some(found),
        }))
    }
}

fn subject(
    network: &str,
    subject: Option<wire::create_token_request::Subject>,
) -> Result<TokenSubject, Error> {
    use wire::create_token_request::Subject;
    match subject {
        Some(Subject::Repository(name)) => {
            let (of, repository) = names::repository("repository", &name)?;
            if of != network {
                return Err(Error::invalid("repository", "must belong to `parent`"));
            }
            Ok(TokenSubject::Agent {
                repository: repository.to_owned(),
            })
        }
        Some(Subject::User(user)) => Ok(TokenSubject::User {
            role: convert::role("user.role", user.role)?,
            user: user.user,
        }),
        None => Err(Error::invalid("subject", "must be `repository` or `user`")),
    }
}

fn operator_user(subject: Option<wire::create_token_request::Subject>) -> Result<String, Error> {
    use wire::create_token_request::Subject;
    match subject {
        Some(Subject::User(user)) if user.role == i32::from(wire::Role::Operator) => Ok(user.user),
        Some(Subject::User(_) | Subject::Repository(_)) | None => Err(Error::invalid(
            "user.role",
            "must be ROLE_OPERATOR where `parent` is `networks/-`; name a network for any other",
        )),
    }
}

fn wire_network(network: Network) -> wire::Network {
    wire::Network {
        name: format!("networks/{}", network.name),
        display_name: network.display_name,
        create_time: Some(convert::timestamp(network.created_at)),
    }
}

fn wire_repository(scope: &UserScope, repository: Repository) -> wire::Repository {
    wire::Repository {
        name: repository_name(&scope.network_name, &repository.name),
        display_name: repository.display_name,
        side: convert::wire_side(repository.side).into(),
        connected: scope.is_connected(repository.id),
        installation_id: repository.installation.unwrap_or_default(),
        generation: repository.generation,
        cloned: repository.cloned,
        paused: repository.paused,
        create_time: Some(convert::timestamp(repository.created_at)),
    }
}

pub(super) fn repository_name(network: &str, repository: &str) -> String {
    format!("networks/{network}/repositories/{repository}")
}

fn wire_token(token: Token) -> wire::Token {
    use wire::token::Subject;
    let network = token.network.as_deref().unwrap_or(names::NO_NETWORK);
    wire::Token {
        name: format!("networks/{network}/tokens/{}", token.id),
        subject: Some(match token.subject {
            TokenSubject::Agent { repository } => {
                Subject::Repository(repository_name(network, &repository))
            }
            TokenSubject::User { user, role } => Subject::User(wire::UserSubject {
                user,
                role: convert::wire_role(role).into(),
            }),
        }),
        create_time: Some(convert::timestamp(token.created_at)),
        expire_time: token.expires_at.map(convert::timestamp),
        revoke_time: token.revoked_at.map(convert::timestamp),
    }
}
