//! The table `token`.

use sea_orm::entity::prelude::*;

/// A credential; its secret is kept as a hash only.
///
/// It speaks for an agent (`repository`) or for a user (`user` and `role`); an operator's has no network.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// The id in `networks/{network}/tokens/{id}`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its network; none for operators.
    pub network: Option<i64>,
    /// SHA-256 of the secret.
    #[sea_orm(unique)]
    pub secret_hash: Vec<u8>,
    /// The repository whose agent it is for.
    pub repository: Option<i64>,
    /// The user it is for.
    pub user: Option<String>,
    /// `VIEWER`, `USER`, `ADMIN` or `OPERATOR`.
    pub role: Option<String>,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When it ends; none = never.
    pub expires_at: Option<i64>,
    /// When it was revoked; none = it was not.
    pub revoked_at: Option<i64>,
}

/// None: joins are written where they are needed.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
