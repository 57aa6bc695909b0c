//! The table `network`.

use sea_orm::entity::prelude::*;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "network")]
pub struct Model {
    /// The row; never leaves the process.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The name in `networks/{name}`.
    #[sea_orm(unique)]
    pub name: String,
    /// The name people see.
    pub display_name: String,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// False: the network may not sync.
    pub enabled: bool,
}

/// None: joins are written where they are needed.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
