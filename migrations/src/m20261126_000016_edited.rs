//! Documents that somebody edits online: what is due for them waits (R-LCK-2).

use sea_orm_migration::prelude::*;

/// Adds to a copy whether it is being edited.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000016_edited"
    }
}

const UP: [&str; 1] = ["ALTER TABLE copy ADD COLUMN edited INTEGER NOT NULL DEFAULT 0"];

const DOWN: [&str; 1] = ["ALTER TABLE copy DROP COLUMN edited"];

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
