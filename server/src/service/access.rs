//! Networks, repositories and tokens: who may make, see and end them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::authentication::{hash, new_secret};
use super::{AdminScope, Coordinator, Error, OperatorScope, Principal, UserScope};
use crate::domain::access::{Role, Side, is_slug};
use crate::domain::ids::{NetworkId, RepositoryId, TokenId};
use crate::domain::limits::{DISPLAY_NAME_CHARACTERS_MAX, USER_BYTES_MAX};
use crate::storage::{self, access as stored};

pub use crate::storage::access::{Network, Repository};

/// Who the first token of a coordinator speaks for.
const FIRST_OPERATOR: &str = "operator";

/// What a token speaks for, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSubject {
    /// The agent of a repository.
    Agent {
        /// The last part of the repository's name.
        repository: String,
    },
    /// A user.
    User {
        /// The user's id.
        user: String,
        /// What they may do.
        role: Role,
    },
}

/// A token without its secret, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The name of its network; none for operators.
    pub network: Option<String>,
    /// What it speaks for.
    pub subject: TokenSubject,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// A token with its secret, which is shown once and kept nowhere.
#[derive(Debug)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// What is sent as `authorization: Bearer …`.
    pub secret: String,
}

impl OperatorScope {
    /// Makes a network.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::AlreadyExists`].
    pub async fn create_network(&self, name: &str, display_name: &str) -> Result<Network, Error> {
        check_slug("network_id", name)?;
        check_display_name(display_name)?;
        let coordinator = self.coordinator.clone();
        let (name, display_name) = (name.to_owned(), display_name.to_owned());
        self.coordinator
            .uncancelled(async move {
                let now = coordinator.clock.now();
                let made = coordinator.store.create_network(&name, &display_name, now);
                made.await
                    .map_err(|error| taken(error, || format!("networks/{name}")))
            })
            .await
    }

    /// Makes a token for an operator; `expires_at` in microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`Error::InvalidField`].
    pub async fn create_token(
        &self,
        user: &str,
        expires_at: Option<i64>,
    ) -> Result<NewToken, Error> {
        check_user(user)?;
        check_expiry(&self.coordinator, expires_at)?;
        self.coordinator
            .keep_token(
                operator(user),
                operator_subject(user),
                None,
                expires_at,
                new_secret(),
            )
            .await
    }

    /// Lists the tokens of operators by id, beginning after one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<Token>, Error> {
        let rows = self.coordinator.store.tokens(None, after, limit).await?;
        self.coordinator.named(rows, None).await
    }

    /// Revokes the token of an operator.
    ///
    /// # Errors
    /// [`Error::TokenNotFound`].
    pub async fn revoke_token(&self, token: TokenId) -> Result<(), Error> {
        self.coordinator.revoke(None, token).await
    }
}

impl UserScope {
    /// Shows a repository.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`].
    pub async fn repository(&self, name: &str) -> Result<Repository, Error> {
        let found = self
            .coordinator
            .store
            .repository_by_name(self.network, name)
            .await?;
        found.ok_or_else(|| Error::RepositoryNotFound {
            repository: format!("networks/{}/repositories/{name}", self.network_name),
        })
    }

    /// Lists repositories by name, beginning after one.
    ///
    /// # Errors
    /// The database's.
    pub async fn repositories(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Repository>, Error> {
        let store = &self.coordinator.store;
        Ok(store.repositories(self.network, after, limit).await?)
    }

    /// True while the repository holds a session.
    #[must_use]
    pub fn is_connected(&self, repository: RepositoryId) -> bool {
        self.coordinator.presence.is_connected(repository)
    }
}

impl AdminScope {
    /// Registers a repository; its side never changes.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::AlreadyExists`].
    pub async fn create_repository(
        &self,
        name: &str,
        side: Side,
        display_name: &str,
    ) -> Result<Repository, Error> {
        check_slug("repository_id", name)?;
        check_display_name(display_name)?;
        let scope = self.user.clone();
        let (name, display_name) = (name.to_owned(), display_name.to_owned());
        let coordinator = &self.user.coordinator;
        coordinator
            .uncancelled(async move {
                let (store, now) = (&scope.coordinator.store, scope.coordinator.clock.now());
                let made = store
                    .create_repository(scope.network, &name, side, &display_name, now)
                    .await;
                made.map_err(|error| {
                    taken(error, || {
                        format!("networks/{}/repositories/{name}", scope.network_name)
                    })
                })
            })
            .await
    }

    /// Accepts another installation as the repository at its next session (R-AGT-2).
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`].
    pub async fn rebind_repository(&self, name: &str) -> Result<Repository, Error> {
        let repository = self.user.repository(name).await?;
        let (coordinator, network) = (self.user.coordinator.clone(), self.user.network);
        self.user
            .coordinator
            .uncancelled(async move {
                let store = &coordinator.store;
                Ok(store.rebind_repository(network, repository.id).await?)
            })
            .await?;
        self.user.repository(name).await
    }

    /// Asks the agent of a repository to list every watched folder again, also while it is away (R-AGT-5).
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`].
    pub async fn scan_repository(&self, name: &str, read_content: bool) -> Result<(), Error> {
        let repository = self.user.repository(name).await?;
        let ingest = &self.user.coordinator.ingest;
        ingest
            .ask_scan(self.user.network, repository.id, None, read_content)
            .await
    }

    /// Makes a token; `expires_at` in microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::RepositoryNotFound`]; [`Error::NotAllowed`] for an operator's, which only
    /// operators make.
    pub async fn create_token(
        &self,
        subject: TokenSubject,
        expires_at: Option<i64>,
    ) -> Result<NewToken, Error> {
        check_expiry(&self.user.coordinator, expires_at)?;
        let network = self.user.network;
        let (stored, shown) = match subject {
            TokenSubject::Agent { repository } => {
                let found = self.user.repository(&repository).await?;
                let repository_id = found.id;
                let stored = stored::Subject::Agent {
                    network,
                    repository: repository_id,
                };
                (stored, TokenSubject::Agent { repository })
            }
            TokenSubject::User { user, role } => {
                check_user(&user)?;
                if role == Role::Operator {
                    return Err(Error::NotAllowed);
                }
                let stored = stored::Subject::User {
                    network,
                    user: user.clone(),
                    role,
                };
                (stored, TokenSubject::User { user, role })
            }
        };
        let name = Some(self.user.network_name.clone());
        self.user
            .coordinator
            .keep_token(stored, shown, name, expires_at, new_secret())
            .await
    }

    /// Lists the tokens of the network by id, beginning after one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<Token>, Error> {
        let coordinator = &self.user.coordinator;
        let rows = coordinator
            .store
            .tokens(Some(self.user.network), after, limit)
            .await?;
        coordinator.named(rows, Some(&self.user.network_name)).await
    }

    /// Revokes a token of the network; its streams end within 60 s.
    ///
    /// # Errors
    /// [`Error::TokenNotFound`].
    pub async fn revoke_token(&self, token: TokenId) -> Result<(), Error> {
        let network = (self.user.network, self.user.network_name.clone());
        self.user.coordinator.revoke(Some(network), token).await
    }
}

impl Coordinator {
    /// Who the caller is, as a token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the token ended a moment ago.
    pub async fn who_am_i(&self, principal: &Principal) -> Result<Token, Error> {
        let found = self.store.token(principal.token()).await?;
        let token = found.ok_or(Error::Unauthenticated)?;
        let mut named = self.named(vec![token], principal.network_name()).await?;
        named.pop().ok_or(Error::Unauthenticated)
    }

    /// True when nobody can administer the coordinator.
    ///
    /// # Errors
    /// The database's.
    pub async fn lacks_operator(&self) -> Result<bool, Error> {
        Ok(!self.store.has_operator(self.clock.now()).await?)
    }

    /// Keeps the first operator's token under a secret from [`Coordinator::new_secret`].
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_first_operator(&self, secret: String) -> Result<NewToken, Error> {
        let (stored, shown) = (operator(FIRST_OPERATOR), operator_subject(FIRST_OPERATOR));
        self.keep_token(stored, shown, None, None, secret).await
    }

    /// A new secret for a token: 32 random bytes as text.
    #[must_use]
    pub fn new_secret() -> String {
        new_secret()
    }

    async fn keep_token(
        &self,
        stored: stored::Subject,
        subject: TokenSubject,
        network: Option<String>,
        expires_at: Option<i64>,
        secret: String,
    ) -> Result<NewToken, Error> {
        let row = stored::Token {
            id: TokenId(Uuid::now_v7()),
            subject: stored,
            created_at: self.clock.now(),
            expires_at,
            revoked_at: None,
        };
        let token = Token {
            id: row.id,
            network,
            subject,
            created_at: row.created_at,
            expires_at,
            revoked_at: None,
        };
        let (store, hash) = (self.store.clone(), hash(&secret));
        self.uncancelled(async move { Ok(store.create_token(&row, hash).await?) })
            .await?;
        Ok(NewToken { token, secret })
    }

    async fn revoke(
        &self,
        network: Option<(NetworkId, String)>,
        token: TokenId,
    ) -> Result<(), Error> {
        let coordinator = self.clone();
        self.uncancelled(async move {
            let now = coordinator.clock.now();
            let id = network.as_ref().map(|(id, _)| *id);
            if coordinator.store.revoke_token(id, token, now).await? {
                coordinator.authentication.revoked(token);
                return Ok(());
            }
            let network = network.map_or_else(|| "-".to_owned(), |(_, name)| name);
            Err(Error::TokenNotFound {
                token: format!("networks/{network}/tokens/{token}"),
            })
        })
        .await
    }

    /// Puts names in the place of rows.
    async fn named(
        &self,
        tokens: Vec<stored::Token>,
        network: Option<&str>,
    ) -> Result<Vec<Token>, Error> {
        let repositories: Vec<RepositoryId> = tokens
            .iter()
            .filter_map(|token| match token.subject {
                stored::Subject::Agent { repository, .. } => Some(repository),
                stored::Subject::User { .. } | stored::Subject::Operator { .. } => None,
            })
            .collect();
        let names = self.store.repository_names(&repositories).await?;
        tokens
            .into_iter()
            .map(|token| with_names(token, network, &names))
            .collect()
    }
}

fn with_names(
    token: stored::Token,
    network: Option<&str>,
    repositories: &BTreeMap<RepositoryId, String>,
) -> Result<Token, Error> {
    let subject = match token.subject {
        stored::Subject::Operator { user } => operator_subject(&user),
        stored::Subject::User { user, role, .. } => TokenSubject::User { user, role },
        stored::Subject::Agent { repository, .. } => {
            let name = repositories
                .get(&repository)
                .ok_or_else(|| Error::Internal {
                    detail: format!("a token names repository row {repository}, which is gone"),
                })?;
            TokenSubject::Agent {
                repository: name.clone(),
            }
        }
    };
    Ok(Token {
        id: token.id,
        network: network.map(str::to_owned),
        subject,
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
    })
}

fn operator(user: &str) -> stored::Subject {
    stored::Subject::Operator {
        user: user.to_owned(),
    }
}

fn operator_subject(user: &str) -> TokenSubject {
    TokenSubject::User {
        user: user.to_owned(),
        role: Role::Operator,
    }
}

fn taken(error: storage::Error, name: impl FnOnce() -> String) -> Error {
    match error {
        storage::Error::AlreadyExists => Error::AlreadyExists { name: name() },
        other => other.into(),
    }
}

fn check_slug(field: &str, text: &str) -> Result<(), Error> {
    if is_slug(text) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "must be 1 to 63 of `a-z 0-9 -`, beginning with a letter",
    ))
}

fn check_display_name(text: &str) -> Result<(), Error> {
    if text.chars().count() <= DISPLAY_NAME_CHARACTERS_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(
        "display_name",
        format!(
            "must be at most {DISPLAY_NAME_CHARACTERS_MAX} characters without control characters"
        ),
    ))
}

fn check_user(user: &str) -> Result<(), Error> {
    check_user_of("user.user", user)
}

/// Checks the id of a user that came from outside.
///
/// # Errors
/// [`Error::InvalidField`].
pub(super) fn check_user_of(field: &str, user: &str) -> Result<(), Error> {
    let fits = (1..=USER_BYTES_MAX).contains(&user.len());
    if fits && !user.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("must be 1 to {USER_BYTES_MAX} bytes without control characters"),
    ))
}

fn check_expiry(coordinator: &Coordinator, expires_at: Option<i64>) -> Result<(), Error> {
    if expires_at.is_none_or(|end| coordinator.clock.now() < end) {
        return Ok(());
    }
    Err(Error::invalid(
        "expire_time",
        "must lie in the future; leave it out for a token that never ends",
    ))
}
