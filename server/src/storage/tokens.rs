//! Tokens; a secret is kept as its hash only.

use sea_orm::sea_query::{Expr, Func, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::access::{Subject, Token};
use super::entity::token;
use super::{Error, Store};
use crate::domain::access::Role;
use crate::domain::ids::{NetworkId, TokenId};

impl Store {
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

    /// Finds a token.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn token(&self, id: TokenId) -> Result<Option<Token>, Error> {
        token::Entity::find_by_id(id.0)
            .one(self.reader())
            .await?
            .map(Token::try_from)
            .transpose()
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
                        SimpleExpr::from(Func::coalesce([
                            Expr::col(token::Column::RevokedAt),
                            Expr::val(now),
                        ])),
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
