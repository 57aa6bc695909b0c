//! Who calls, and what that lets them do.
//!
//! Permission is asked before existence: whoever is not of a network gets [`Error::NotAllowed`] for it without a lookup,
//! whether it exists or not.

use super::{Coordinator, Error};
use crate::domain::access::{Role, Side};
use crate::domain::ids::{NetworkId, RepositoryId, TokenId};
use crate::storage::access::Network;

/// Who calls, as the credential says (R-AGT-1: never the message).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The agent of a repository.
    Agent {
        /// The network.
        network: NetworkId,
        /// The network's name.
        network_name: String,
        /// The repository.
        repository: RepositoryId,
        /// The last part of the repository's name.
        repository_name: String,
        /// The repository's side.
        side: Side,
        /// The token that was shown.
        token: TokenId,
    },
    /// A user of a network.
    User {
        /// The network.
        network: NetworkId,
        /// The network's name.
        network_name: String,
        /// The user's id in the on-premise repository.
        user: String,
        /// What they may do; below [`Role::Operator`].
        role: Role,
        /// The token that was shown.
        token: TokenId,
    },
    /// Whoever runs the coordinator.
    Operator {
        /// Who that is.
        user: String,
        /// The token that was shown.
        token: TokenId,
    },
}

impl Principal {
    /// The token that was shown.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        match self {
            Self::Agent { token, .. } | Self::User { token, .. } | Self::Operator { token, .. } => {
                *token
            }
        }
    }

    /// The name of its network; operators have none.
    #[must_use]
    pub fn network_name(&self) -> Option<&str> {
        match self {
            Self::Agent { network_name, .. } | Self::User { network_name, .. } => {
                Some(network_name)
            }
            Self::Operator { .. } => None,
        }
    }
}

/// What the agent of one repository may do.
#[derive(Debug, Clone)]
pub struct AgentScope {
    /// The coordinator.
    pub(crate) coordinator: Coordinator,
    /// The network.
    pub network: NetworkId,
    /// The network's name.
    pub network_name: String,
    /// The repository.
    pub repository: RepositoryId,
    /// The last part of the repository's name.
    pub repository_name: String,
    /// The repository's side.
    pub side: Side,
    /// The token; its end ends the streams.
    pub token: TokenId,
}

/// What a user may do in one network.
#[derive(Debug, Clone)]
pub struct UserScope {
    /// The coordinator.
    pub(crate) coordinator: Coordinator,
    /// The network.
    pub network: NetworkId,
    /// The network's name.
    pub network_name: String,
    /// The user's id in the on-premise repository.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// The token; its end ends the streams.
    pub token: TokenId,
}

/// What an admin may do in one network, beyond what a user may.
#[derive(Debug, Clone)]
pub struct AdminScope {
    /// What they may do as a user.
    pub user: UserScope,
}

/// What an operator may do beyond the networks.
#[derive(Debug, Clone)]
pub struct OperatorScope {
    /// The coordinator.
    pub(crate) coordinator: Coordinator,
    /// The token.
    pub token: TokenId,
}

impl AgentScope {
    /// Waits until the agent's token is revoked or expires; its streams end then (R-AGT-1).
    pub async fn until_revoked(&self) {
        self.coordinator
            .authentication
            .until_revoked(self.token)
            .await;
    }

    /// Waits until the coordinator begins to drain; streams say so to their peers and end.
    pub async fn until_draining(&self) {
        self.coordinator.draining.cancelled().await;
    }
}

impl UserScope {
    /// Makes sure that the user has at least this role.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub fn require(&self, role: Role) -> Result<(), Error> {
        if self.role >= role {
            Ok(())
        } else {
            Err(Error::NotAllowed)
        }
    }

    /// Waits until the token is revoked or expires; the streams that it opened end then.
    pub async fn until_revoked(&self) {
        self.coordinator
            .authentication
            .until_revoked(self.token)
            .await;
    }

    /// Waits until the coordinator begins to drain; streams say so to their peers and end.
    pub async fn until_draining(&self) {
        self.coordinator.draining.cancelled().await;
    }
}

impl Coordinator {
    /// The scope of an agent: its own repository and nothing else.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for anybody but an agent.
    pub fn for_agent(&self, principal: &Principal) -> Result<AgentScope, Error> {
        let Principal::Agent {
            network,
            network_name,
            repository,
            repository_name,
            side,
            token,
        } = principal
        else {
            return Err(Error::NotAllowed);
        };
        Ok(AgentScope {
            coordinator: self.clone(),
            network: *network,
            network_name: network_name.clone(),
            repository: *repository,
            repository_name: repository_name.clone(),
            side: *side,
            token: *token,
        })
    }

    /// The scope of a user who has at least this role in the named network; operators are users of every network.
    ///
    /// # Errors
    /// [`Error::NotAllowed`]; [`Error::NetworkNotFound`] for operators only.
    pub async fn for_user(
        &self,
        principal: &Principal,
        network: &str,
        role: Role,
    ) -> Result<UserScope, Error> {
        let scope = match principal {
            Principal::User {
                network: id,
                network_name,
                user,
                role,
                token,
            } if network_name == network => UserScope {
                coordinator: self.clone(),
                network: *id,
                network_name: network_name.clone(),
                user: user.clone(),
                role: *role,
                token: *token,
            },
            Principal::Operator { user, token } => {
                let Network { id, name, .. } = self.network_of_operator(network).await?;
                UserScope {
                    coordinator: self.clone(),
                    network: id,
                    network_name: name,
                    user: user.clone(),
                    role: Role::Operator,
                    token: *token,
                }
            }
            Principal::User { .. } | Principal::Agent { .. } => return Err(Error::NotAllowed),
        };
        scope.require(role)?;
        Ok(scope)
    }

    /// The scope of an admin of the named network.
    ///
    /// # Errors
    /// As [`Coordinator::for_user`].
    pub async fn for_admin(
        &self,
        principal: &Principal,
        network: &str,
    ) -> Result<AdminScope, Error> {
        let user = self.for_user(principal, network, Role::Admin).await?;
        Ok(AdminScope { user })
    }

    /// The scope of an operator.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for anybody else.
    pub fn for_operator(&self, principal: &Principal) -> Result<OperatorScope, Error> {
        let Principal::Operator { token, .. } = principal else {
            return Err(Error::NotAllowed);
        };
        Ok(OperatorScope {
            coordinator: self.clone(),
            token: *token,
        })
    }

    async fn network_of_operator(&self, name: &str) -> Result<Network, Error> {
        let found = self.store.network_by_name(name).await?;
        found.ok_or_else(|| Error::NetworkNotFound {
            network: name.to_owned(),
        })
    }
}
