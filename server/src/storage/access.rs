//! Networks, repositories and tokens.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::{network, repository, token};
use super::{Error, Store, sql};
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

impl Store {
    /// Makes a network with its journal head.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken.
    pub async fn create_network(
        &self,
        name: &str,
        display_name: &str,
        now: i64,
    ) -> Result<Network, Error> {
        self.write(|tx| async move {
            let row = network::ActiveModel {
                name: Set(name.to_owned()),
                display_name: Set(display_name.to_owned()),
                created_at: Set(now),
                enabled: Set(true),
                ..Default::default()
            };
            let row = row.insert(&*tx).await.map_err(Error::from)?;
            let head = "INSERT INTO journal_head (network) VALUES (?)";
            sql::execute(&*tx, head, [row.id.into()]).await?;
            Ok(row.into())
        })
        .await
    }

    /// Finds a network by its name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn network_by_name(&self, name: &str) -> Result<Option<Network>, Error> {
        let row = network::Entity::find()
            .filter(network::Column::Name.eq(name))
            .one(self.reader())
            .await?;
        Ok(row.map(Network::from))
    }

    /// Finds a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn network(&self, id: NetworkId) -> Result<Option<Network>, Error> {
        let row = network::Entity::find_by_id(id.0).one(self.reader()).await?;
        Ok(row.map(Network::from))
    }

    /// Registers a repository.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the network has one of this name.
    pub async fn create_repository(
        &self,
        network: NetworkId,
        name: &str,
        side: Side,
        display_name: &str,
        now: i64,
    ) -> Result<Repository, Error> {
        self.write(|tx| async move {
            let row = repository::ActiveModel {
                network: Set(network.0),
                name: Set(name.to_owned()),
                side: Set(side.name().to_owned()),
                display_name: Set(display_name.to_owned()),
                created_at: Set(now),
                ..Default::default()
            };
            row.insert(&*tx).await.map_err(Error::from)?.try_into()
        })
        .await
    }

    /// Finds a repository by its name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repository_by_name(
        &self,
        network: NetworkId,
        name: &str,
    ) -> Result<Option<Repository>, Error> {
        repository::Entity::find()
            .filter(repository::Column::Network.eq(network.0))
            .filter(repository::Column::Name.eq(name))
            .one(self.reader())
            .await?
            .map(Repository::try_from)
            .transpose()
    }

    /// Finds a repository of a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repository(
        &self,
        network: NetworkId,
        id: RepositoryId,
    ) -> Result<Option<Repository>, Error> {
        repository::Entity::find_by_id(id.0)
            .filter(repository::Column::Network.eq(network.0))
            .one(self.reader())
            .await?
            .map(Repository::try_from)
            .transpose()
    }

    /// Lists at most `limit` repositories of a network by name, beginning after a name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repositories(
        &self,
        network: NetworkId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Repository>, Error> {
        let mut query = repository::Entity::find()
            .filter(repository::Column::Network.eq(network.0))
            .order_by_asc(repository::Column::Name)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(repository::Column::Name.gt(after));
        }
        let rows = query.all(self.reader()).await?;
        rows.into_iter().map(Repository::try_from).collect()
    }

    /// Lets the next session bind whatever installation it has (R-AGT-2); false when there is no such repository.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn rebind_repository(
        &self,
        network: NetworkId,
        id: RepositoryId,
    ) -> Result<bool, Error> {
        const REBIND: &str =
            "UPDATE repository SET rebind = 1, cloned = 0 WHERE id = ? AND network = ?";
        let changed =
            self.write(|tx| async move {
                sql::execute(&*tx, REBIND, [id.0.into(), network.0.into()]).await
            })
            .await?;
        Ok(changed > 0)
    }

    /// Keeps a token under the SHA-256 hash of its secret.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn create_token(&self, token: &Token, secret_hash: [u8; 32]) -> Result<(), Error> {
        self.write(|tx| async move {
            let row = row(token, secret_hash);
            token::Entity::insert(row)
                .exec_without_returning(&*tx)
                .await
                .map_err(Error::from)?;
            Ok(())
        })
        .await
    }

    /// Finds a token by the SHA-256 hash of its secret.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn token_by_hash(&self, secret_hash: [u8; 32]) -> Result<Option<Token>, Error> {
        token::Entity::find()
            .filter(token::Column::SecretHash.eq(secret_hash.to_vec()))
            .one(self.reader())
            .await?
            .map(Token::try_from)
            .transpose()
    }

    /// Lists at most `limit` tokens of a network by id, beginning after an id; without a network those of operators.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn tokens(
        &self,
        network: Option<NetworkId>,
        after: Option<TokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, Error> {
        let mut query = token::Entity::find()
            .filter(of_network(network))
            .order_by_asc(token::Column::Id)
            .limit(limit);
        if let Some(TokenId(after)) = after {
            query = query.filter(token::Column::Id.gt(after));
        }
        let rows = query.all(self.reader()).await?;
        rows.into_iter().map(Token::try_from).collect()
    }

    /// Revokes a token, if it was not; false when the network has no such token.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn revoke_token(
        &self,
        network: Option<NetworkId>,
        id: TokenId,
        now: i64,
    ) -> Result<bool, Error> {
        let found = self
            .write(|tx| async move {
                token::Entity::update_many()
                    .col_expr(
                        token::Column::RevokedAt,
                        Expr::cust_with_values("coalesce(revoked_at, ?)", [now]),
                    )
                    .filter(token::Column::Id.eq(id.0))
                    .filter(of_network(network))
                    .exec(&*tx)
                    .await
                    .map_err(Error::from)
            })
            .await?;
        Ok(found.rows_affected > 0)
    }

    /// Which of these tokens open no door any more at this time.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn invalid_tokens(&self, ids: &[TokenId], now: i64) -> Result<Vec<TokenId>, Error> {
        let mut invalid = Vec::new();
        for chunk in ids.chunks(500) {
            let found: Vec<Uuid> = token::Entity::find()
                .select_only()
                .column(token::Column::Id)
                .filter(token::Column::Id.is_in(chunk.iter().map(|id| id.0)))
                .filter(
                    token::Column::RevokedAt
                        .is_not_null()
                        .or(token::Column::ExpiresAt.lte(now)),
                )
                .into_tuple()
                .all(self.reader())
                .await?;
            invalid.extend(found.into_iter().map(TokenId));
        }
        Ok(invalid)
    }

    /// True when an operator's token opens doors at this time.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn has_operator(&self, now: i64) -> Result<bool, Error> {
        let found = token::Entity::find()
            .filter(of_network(None))
            .filter(token::Column::RevokedAt.is_null())
            .filter(
                token::Column::ExpiresAt
                    .is_null()
                    .or(token::Column::ExpiresAt.gt(now)),
            )
            .one(self.reader())
            .await?;
        Ok(found.is_some())
    }
}

fn of_network(network: Option<NetworkId>) -> sea_orm::sea_query::SimpleExpr {
    match network {
        Some(NetworkId(id)) => token::Column::Network.eq(id),
        None => token::Column::Network.is_null(),
    }
}

fn row(token: &Token, secret_hash: [u8; 32]) -> token::ActiveModel {
    let (network, repository, user, role) = match &token.subject {
        Subject::Agent {
            network,
            repository,
        } => (Some(network.0), Some(repository.0), None, None),
        Subject::User {
            network,
            user,
            role,
        } => (Some(network.0), None, Some(user.clone()), Some(*role)),
        Subject::Operator { user } => (None, None, Some(user.clone()), Some(Role::Operator)),
    };
    token::ActiveModel {
        id: Set(token.id.0),
        network: Set(network),
        secret_hash: Set(secret_hash.to_vec()),
        repository: Set(repository),
        user: Set(user),
        role: Set(role.map(|role| role.name().to_owned())),
        created_at: Set(token.created_at),
        expires_at: Set(token.expires_at),
        revoked_at: Set(token.revoked_at),
    }
}
