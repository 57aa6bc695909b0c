//! Coordinators that come back from a backup: every agent's next session lists all anew (R-AGT-4).

use sea_orm_migration::prelude::*;

/// Adds to a repository whether the database was restored since its last session.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000019_restored"
    }
}

const UP: [&str; 1] = ["ALTER TABLE repository ADD COLUMN restored INTEGER NOT NULL DEFAULT 0"];

const DOWN: [&str; 1] = ["ALTER TABLE repository DROP COLUMN restored"];

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
