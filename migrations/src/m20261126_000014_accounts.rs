//! Which cloud account an on-premise user linked (R-IDN-1). Credentials are kept nowhere.

use sea_orm_migration::prelude::*;

/// Adds the links of accounts.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000014_accounts"
    }
}

const UP: [&str; 1] = ["CREATE TABLE account_link (
        repository INTEGER NOT NULL,
        owner TEXT NOT NULL,
        account TEXT NOT NULL,
        linked_at INTEGER NOT NULL,
        PRIMARY KEY (repository, owner)
    ) WITHOUT ROWID"];

const DOWN: [&str; 1] = ["DROP TABLE account_link"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &DOWN).await
    }
}
