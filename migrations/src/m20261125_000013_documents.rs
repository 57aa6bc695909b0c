//! Sets of documents: what a set is made of, a way to its chosen members, and what a repeated request is told.

use sea_orm_migration::prelude::*;

/// Tells sets of documents from those of a folder.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000013_documents"
    }
}

const UP: [&str; 3] = [
    // 1 documents, 2 a folder.
    "ALTER TABLE sync_set ADD COLUMN kind INTEGER NOT NULL DEFAULT 2",
    // Few rows are in it: of a folder one, however much is inside.
    "CREATE INDEX member_direct ON member (set_id, id) WHERE direct = 1",
    // R-SET-3: a repeated request is told what the first one left out, too.
    "ALTER TABLE sync_set_request ADD COLUMN skipped BLOB NOT NULL DEFAULT x''",
];

const DOWN: [&str; 3] = [
    "ALTER TABLE sync_set_request DROP COLUMN skipped",
    "DROP INDEX member_direct",
    "ALTER TABLE sync_set DROP COLUMN kind",
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
