//! An index of the due entries that wait for their time, which are few.

use sea_orm_migration::prelude::*;

/// Makes the index.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000004_due_later"
    }
}

const UP: [&str; 1] =
    ["CREATE INDEX due_later ON due (repository, not_before) WHERE not_before > 0"];

const DOWN: [&str; 1] = ["DROP INDEX due_later"];

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
