//! The guard against mass deletion: how many removals are due, and a root that a scan found gone or empty. And a way
//! to list what is skipped.

use sea_orm_migration::prelude::*;

/// Adds what the guard remembers of a set, and finds skipped nodes.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000006_guard"
    }
}

const UP: [&str; 4] = [
    "ALTER TABLE sync_set ADD COLUMN removals INTEGER NOT NULL DEFAULT 0",
    // The side, by its short name.
    "ALTER TABLE sync_set ADD COLUMN emptied TEXT",
    // What older sets hold was counted as deletions. Folders that wait to become empty are missing here; the gate of
    // such a set opens a little early, never too late.
    "UPDATE sync_set SET removals = (SELECT count(*) FROM due d \
     WHERE d.set_id = sync_set.id AND d.lane = 2)",
    // Few rows are in it, so that what is synced costs no more than before.
    "CREATE INDEX copy_skipped ON copy (repository, node) WHERE state = 3 OR state >= 10",
];

const DOWN: [&str; 3] = [
    "DROP INDEX copy_skipped",
    "ALTER TABLE sync_set DROP COLUMN emptied",
    "ALTER TABLE sync_set DROP COLUMN removals",
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
