//! What is stored of networks, repositories and tokens.

use super::Error;
use super::entity::{network, repository, token};
use crate::domain::access::{Role, Side};
use crate::domain::ids::{NetworkId, RepositoryId, TokenId};

/// A network as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its row.
    pub id: NetworkId,
    /// The name in `networks/{name}`.
    pub name: String,
    /// The name people see.
    pub display_name: String,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// False: it may not sync.
    pub enabled: bool,
}

/// A repository as it is stored, without the state of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its row.
    pub id: RepositoryId,
    /// Its network.
    pub network: NetworkId,
    /// The last part of its name.
    pub name: String,
    /// Its side.
    pub side: Side,
    /// The name people see.
    pub display_name: String,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// The installation that is bound.
    pub installation: Option<String>,
    /// The generation of its state.
    pub generation: i64,
    /// A clone was refused.
    pub cloned: bool,
    /// Nothing of its sets is delivered (R-SET-7).
    pub paused: bool,
}

/// What a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The agent of a repository.
    Agent {
        /// The network.
        network: NetworkId,
        /// The repository.
        repository: RepositoryId,
    },
    /// A user of a network; the role is below [`Role::Operator`].
    User {
        /// The network.
        network: NetworkId,
        /// The user's id in the on-premise repository.
        user: String,
        /// What they may do.
        role: Role,
    },
    /// Whoever runs the coordinator.
    Operator {
        /// Who that is.
        user: String,
    },
}

/// A token as it is stored, without the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it speaks for.
    pub subject: Subject,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

impl Token {
    /// True when the token opens doors at this time.
    #[must_use]
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl From<network::Model> for Network {
    fn from(row: network::Model) -> Self {
        Self {
            id: NetworkId(row.id),
            name: row.name,
            display_name: row.display_name,
            created_at: row.created_at,
            enabled: row.enabled,
        }
    }
}

impl TryFrom<repository::Model> for Repository {
    type Error = Error;

    fn try_from(row: repository::Model) -> Result<Self, Error> {
        let side = Side::from_name(&row.side)
            .ok_or_else(|| unknown("repository", "side", row.side.clone()))?;
        Ok(Self {
            id: RepositoryId(row.id),
            network: NetworkId(row.network),
            name: row.name,
            side,
            display_name: row.display_name,
            created_at: row.created_at,
            installation: row.installation,
            generation: row.generation,
            cloned: row.cloned,
            paused: row.paused,
        })
    }
}

impl TryFrom<token::Model> for Token {
    type Error = Error;

    fn try_from(row: token::Model) -> Result<Self, Error> {
        Ok(Self {
            id: TokenId(row.id),
            subject: subject(&row)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        })
    }
}

fn subject(row: &token::Model) -> Result<Subject, Error> {
    let role = row
        .role
        .as_deref()
        .map(|name| Role::from_name(name).ok_or_else(|| unknown("token", "role", name.to_owned())));
    match (row.network, row.repository, &row.user, role.transpose()?) {
        (Some(network), Some(repository), None, None) => Ok(Subject::Agent {
            network: NetworkId(network),
            repository: RepositoryId(repository),
        }),
        (None, None, Some(user), Some(Role::Operator)) => {
            Ok(Subject::Operator { user: user.clone() })
        }
        (Some(network), None, Some(user), Some(role)) if role < Role::Operator => {
            Ok(Subject::User {
                network: NetworkId(network),
                user: user.clone(),
                role,
            })
        }
        _ => Err(unknown(
            "token",
            "repository, user, role",
            row.id.to_string(),
        )),
    }
}

fn unknown(table: &'static str, column: &'static str, value: String) -> Error {
    Error::UnknownValue {
        table,
        column,
        value,
    }
}
