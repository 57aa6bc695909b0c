//! Content: which repository has what, where the bytes are, what is on its way, and which versions name it.

use sea_orm_migration::prelude::*;

/// Makes the tables of content.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000002_content"
    }
}

/// Times are microseconds since 1970-01-01 UTC. Large columns stand last, so that reading the others never walks overflow pages.
const UP: [&str; 10] = [
    // state: 'W' = whole, 'D' = found damaged. Exactly one of `object` and `bytes` is set.
    "CREATE TABLE blob (
        id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        object TEXT,
        bytes BLOB
    )",
    "CREATE INDEX blob_digest ON blob (network, digest)",
    // Nearly always empty: makes 'is it damaged' free.
    "CREATE INDEX blob_damaged ON blob (id) WHERE state = 'D'",
    // `size` repeats the blob's, so that what a batch claims is checked without a further look-up.
    "CREATE TABLE content (
        repository INTEGER NOT NULL,
        digest BLOB NOT NULL,
        blob BLOB NOT NULL,
        size INTEGER NOT NULL,
        touched_at INTEGER NOT NULL,
        PRIMARY KEY (repository, digest)
    ) WITHOUT ROWID",
    "CREATE INDEX content_blob ON content (blob)",
    // The id becomes the blob's. `committed` bytes of the file are durable.
    "CREATE TABLE upload (
        id BLOB NOT NULL PRIMARY KEY,
        repository INTEGER NOT NULL,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        committed INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        UNIQUE (repository, digest)
    )",
    "CREATE INDEX upload_updated ON upload (updated_at)",
    // Every reference to content; `keep_until` NULL = for ever.
    "CREATE TABLE version (
        member BLOB NOT NULL,
        position INTEGER NOT NULL,
        side TEXT NOT NULL,
        repository INTEGER NOT NULL,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        reason TEXT NOT NULL,
        keep_until INTEGER,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (member, position, side)
    ) WITHOUT ROWID",
    "CREATE INDEX version_content ON version (repository, digest)",
    "CREATE INDEX version_keep_until ON version (keep_until) WHERE keep_until IS NOT NULL",
];

const DOWN: [&str; 4] = [
    "DROP TABLE version",
    "DROP TABLE upload",
    "DROP TABLE content",
    "DROP TABLE blob",
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
