//! Content-defined chunks: which parts of a blob, or of an upload on its way to become one, are which chunks.

use sea_orm_migration::prelude::*;

/// Adds the chunks of large content.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000012_chunks"
    }
}

const UP: [&str; 2] = [
    // Verified when it came: the bytes of the blob from `start` on have this digest.
    "CREATE TABLE chunk (
        blob BLOB NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (blob, start)
    ) WITHOUT ROWID",
    "CREATE INDEX chunk_digest ON chunk (digest)",
];

const DOWN: [&str; 1] = ["DROP TABLE chunk"];

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
