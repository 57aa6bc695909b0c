//! What a set does about conflicts and names that are taken, and conflicts that wait for a person.

use sea_orm_migration::prelude::*;

/// Adds the policies of sets, and how a conflict was decided.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000011_policies"
    }
}

/// Numbers are those of the wire; 1 is what older sets do.
const UP: [&str; 5] = [
    "ALTER TABLE sync_set ADD COLUMN conflict_policy INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE sync_set ADD COLUMN conflict_grain INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE sync_set ADD COLUMN name_clash_policy INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE conflict ADD COLUMN policy INTEGER NOT NULL DEFAULT 1",
    // Older ones were decided when they were found. Without a winner the column of that name is empty.
    "ALTER TABLE conflict ADD COLUMN open INTEGER NOT NULL DEFAULT 0",
];

const DOWN: [&str; 5] = [
    "ALTER TABLE conflict DROP COLUMN open",
    "ALTER TABLE conflict DROP COLUMN policy",
    "ALTER TABLE sync_set DROP COLUMN name_clash_policy",
    "ALTER TABLE sync_set DROP COLUMN conflict_grain",
    "ALTER TABLE sync_set DROP COLUMN conflict_policy",
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
