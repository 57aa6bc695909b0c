//! Members that are there and cannot be synced: records, and synced folders outside every site library.

use sea_orm_migration::prelude::*;

/// Adds what keeps a copy, and with it a whole set, from being synced.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000007_outside"
    }
}

const UP: [&str; 2] = [
    // 0 nothing, 1 a record, 2 outside every site library.
    "ALTER TABLE copy ADD COLUMN unfit INTEGER NOT NULL DEFAULT 0",
    // The sides on which the synced folder is outside: 1 on-premise, 2 cloud, 3 both.
    "ALTER TABLE sync_set ADD COLUMN outside INTEGER NOT NULL DEFAULT 0",
];

const DOWN: [&str; 2] = [
    "ALTER TABLE sync_set DROP COLUMN outside",
    "ALTER TABLE copy DROP COLUMN unfit",
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
