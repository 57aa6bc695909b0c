//! Sets and repositories that are paused (R-SET-7).

use sea_orm_migration::prelude::*;

/// Adds that a set or a repository is paused.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000010_ending"
    }
}

const UP: [&str; 2] = [
    "ALTER TABLE sync_set ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0",
    "ALTER TABLE repository ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0",
];

const DOWN: [&str; 2] = [
    "ALTER TABLE repository DROP COLUMN paused",
    "ALTER TABLE sync_set DROP COLUMN paused",
];

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
