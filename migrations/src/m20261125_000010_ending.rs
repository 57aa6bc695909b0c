//! Sets and repositories that are paused (R-SET-7), and what is remembered of sets that end (R-UNS-1).

use sea_orm_migration::prelude::*;

/// Adds pauses, and removals of the cloud copy of a set that ends.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000010_ending"
    }
}

const UP: [&str; 9] = [
    "ALTER TABLE sync_set ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0",
    "ALTER TABLE repository ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0",
    // What becomes of the cloud copy: 0 it stays, 1 members go, 2 everything goes.
    "ALTER TABLE sync_set ADD COLUMN removal INTEGER NOT NULL DEFAULT 0",
    // A set that was ended is remembered for whoever asks again.
    "CREATE TABLE ended_set (
        id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        owner TEXT NOT NULL,
        root BLOB NOT NULL,
        removal INTEGER NOT NULL
    ) WITHOUT ROWID",
    // What stays on the cloud of a set whose cloud copy is removed.
    "CREATE TABLE stay (
        set_id BLOB NOT NULL,
        node TEXT NOT NULL,
        folder BOOLEAN NOT NULL,
        path TEXT NOT NULL,
        reason INTEGER NOT NULL,
        PRIMARY KEY (set_id, node)
    ) WITHOUT ROWID",
    // Works of several kinds may be under way on one set.
    "CREATE TABLE set_job_of_kind (
        set_id BLOB NOT NULL,
        network INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        after BLOB NOT NULL,
        actor TEXT NOT NULL,
        PRIMARY KEY (set_id, kind)
    ) WITHOUT ROWID",
    "INSERT INTO set_job_of_kind SELECT set_id, network, kind, after, actor FROM set_job",
    "DROP TABLE set_job",
    "ALTER TABLE set_job_of_kind RENAME TO set_job",
];

const DOWN: [&str; 9] = [
    "CREATE TABLE set_job_of_set (
        set_id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        after BLOB NOT NULL,
        actor TEXT NOT NULL
    ) WITHOUT ROWID",
    "INSERT OR IGNORE INTO set_job_of_set SELECT set_id, network, kind, after, actor FROM set_job",
    "DROP TABLE set_job",
    "ALTER TABLE set_job_of_set RENAME TO set_job",
    "DROP TABLE stay",
    "DROP TABLE ended_set",
    "ALTER TABLE sync_set DROP COLUMN removal",
    "ALTER TABLE repository DROP COLUMN paused",
    "ALTER TABLE sync_set DROP COLUMN paused",
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
