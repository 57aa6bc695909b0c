//! Sets that are gone, and for which a cloud copy may still be on its way to be made (R-UNS-1).

use sea_orm_migration::prelude::*;

/// Adds what is remembered of them: enough to remove that copy again.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000018_late_set"
    }
}

const UP: [&str; 1] = ["CREATE TABLE late_set (
        id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        on_premise_repository INTEGER NOT NULL,
        cloud_repository INTEGER NOT NULL,
        root BLOB NOT NULL,
        target TEXT NOT NULL,
        owner TEXT NOT NULL,
        removal INTEGER NOT NULL,
        kind INTEGER NOT NULL
    ) WITHOUT ROWID"];

const DOWN: [&str; 1] = ["DROP TABLE late_set"];

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
