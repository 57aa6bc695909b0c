//! Chosen documents whose content is to be read again, as that of folders is by a scan (R-AGT-5).

use sea_orm_migration::prelude::*;

/// Adds to a node that is to be looked at whether its content is to be read.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000018_observe_content"
    }
}

const UP: [&str; 1] = ["ALTER TABLE observe ADD COLUMN read_content INTEGER NOT NULL DEFAULT 0"];

const DOWN: [&str; 1] = ["ALTER TABLE observe DROP COLUMN read_content"];

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
