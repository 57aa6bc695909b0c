//! Sync sets, members, copies, what is due, the journal, conflicts, and the exchange with agents.

use sea_orm_migration::prelude::*;

/// Makes the tables of syncing.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000003_sync"
    }
}

/// Columns that queries filter on are typed; the rest of a row is one message in `body`, private to the coordinator.
/// Times are microseconds since 1970-01-01 UTC.
const UP: [&str; 21] = [
    "CREATE TABLE sync_set (
        id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        on_premise_repository INTEGER NOT NULL,
        cloud_repository INTEGER NOT NULL,
        root BLOB NOT NULL,
        target TEXT NOT NULL,
        source_folder TEXT NOT NULL,
        include_subfolders INTEGER NOT NULL,
        lock_on_premise_copy INTEGER NOT NULL,
        allow_delete_on_cloud INTEGER NOT NULL,
        delete_on_premise INTEGER NOT NULL,
        max_delete_percent INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ending INTEGER NOT NULL,
        members INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        gate INTEGER NOT NULL,
        deletions INTEGER NOT NULL,
        guard_since INTEGER NOT NULL,
        counting INTEGER NOT NULL
    ) WITHOUT ROWID",
    "CREATE INDEX sync_set_network ON sync_set (network, id)",
    // R-SET-3: a repeated request returns the same set.
    "CREATE TABLE sync_set_request (
        network INTEGER NOT NULL,
        request BLOB NOT NULL,
        set_id BLOB NOT NULL,
        PRIMARY KEY (network, request)
    ) WITHOUT ROWID",
    // state: 0 pending, 1 synced, 2 failed.
    "CREATE TABLE member (
        id BLOB NOT NULL PRIMARY KEY,
        set_id BLOB NOT NULL,
        kind INTEGER NOT NULL,
        direct INTEGER NOT NULL,
        state INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        on_premise_node TEXT,
        cloud_node TEXT,
        version INTEGER NOT NULL,
        body BLOB NOT NULL
    ) WITHOUT ROWID",
    "CREATE INDEX member_set ON member (set_id, state, reason, id)",
    // state: 0 live, 1 deleted, 2 moved out, 3 left, 10 + reason skipped. R-SET-5 is the primary key.
    "CREATE TABLE copy (
        repository INTEGER NOT NULL,
        node TEXT NOT NULL,
        member BLOB,
        state INTEGER NOT NULL,
        parent TEXT NOT NULL,
        name_key TEXT NOT NULL,
        revision TEXT NOT NULL,
        digest BLOB,
        locked INTEGER NOT NULL,
        actor TEXT NOT NULL,
        projection BLOB NOT NULL,
        PRIMARY KEY (repository, node)
    ) WITHOUT ROWID",
    "CREATE INDEX copy_place ON copy (repository, parent, name_key)",
    // Derived from `member`: what each repository owes.
    "CREATE TABLE due (
        repository INTEGER NOT NULL,
        member BLOB NOT NULL,
        since INTEGER NOT NULL,
        set_id BLOB NOT NULL,
        lane INTEGER NOT NULL,
        not_before INTEGER NOT NULL,
        PRIMARY KEY (repository, member)
    ) WITHOUT ROWID",
    "CREATE INDEX due_since ON due (repository, since, member)",
    // Derived from `member`: who waits for a name or a folder.
    "CREATE TABLE blocked (
        repository INTEGER NOT NULL,
        obstacle TEXT NOT NULL,
        member BLOB NOT NULL,
        PRIMARY KEY (repository, obstacle, member)
    ) WITHOUT ROWID",
    "CREATE TABLE journal (
        network INTEGER NOT NULL,
        position INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        set_id BLOB,
        member BLOB,
        kind INTEGER NOT NULL,
        side TEXT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        node_name TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (network, position)
    ) WITHOUT ROWID",
    "CREATE TABLE conflict (
        id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        set_id BLOB NOT NULL,
        member BLOB NOT NULL,
        kind INTEGER NOT NULL,
        winner TEXT NOT NULL,
        on_premise_digest BLOB,
        cloud_digest BLOB,
        at INTEGER NOT NULL,
        body BLOB NOT NULL
    ) WITHOUT ROWID",
    "CREATE INDEX conflict_network ON conflict (network, id)",
    "CREATE INDEX conflict_member ON conflict (member, id)",
    // Folders that are gone, whose content is still to share their fate.
    "CREATE TABLE walk (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        network INTEGER NOT NULL,
        repository INTEGER NOT NULL,
        folder TEXT NOT NULL,
        set_id BLOB NOT NULL,
        absence INTEGER NOT NULL,
        choice INTEGER NOT NULL,
        after TEXT NOT NULL DEFAULT ''
    )",
    // R-AGT-3: the answers that a repeat is given again.
    "CREATE TABLE batch_result (
        repository INTEGER NOT NULL,
        number INTEGER NOT NULL,
        batch_id BLOB NOT NULL,
        answer BLOB NOT NULL,
        PRIMARY KEY (repository, number)
    ) WITHOUT ROWID",
    // kind: 0 first, 1 on demand, 2 a new generation.
    "CREATE TABLE scan (
        id BLOB NOT NULL PRIMARY KEY,
        repository INTEGER NOT NULL,
        root TEXT NOT NULL,
        kind INTEGER NOT NULL,
        read_content INTEGER NOT NULL,
        UNIQUE (repository, root)
    ) WITHOUT ROWID",
    // Nodes that a scan did not list where they were.
    "CREATE TABLE suspect (
        repository INTEGER NOT NULL,
        scan BLOB NOT NULL,
        node TEXT NOT NULL,
        PRIMARY KEY (repository, node)
    ) WITHOUT ROWID",
    // Nodes that the agent is asked to look at.
    "CREATE TABLE observe (
        repository INTEGER NOT NULL,
        node TEXT NOT NULL,
        PRIMARY KEY (repository, node)
    ) WITHOUT ROWID",
    // Nodes that a new generation does not have: to be made again.
    "CREATE TABLE lost (
        repository INTEGER NOT NULL,
        node TEXT NOT NULL,
        PRIMARY KEY (repository, node)
    ) WITHOUT ROWID",
    // Sets whose members are being worked off one after another. kind: 0 unsync, 1 refuse held deletions.
    "CREATE TABLE set_job (
        set_id BLOB NOT NULL PRIMARY KEY,
        network INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        after BLOB NOT NULL,
        actor TEXT NOT NULL
    ) WITHOUT ROWID",
];

const DOWN: [&str; 15] = [
    "DROP TABLE set_job",
    "DROP TABLE lost",
    "DROP TABLE observe",
    "DROP TABLE suspect",
    "DROP TABLE scan",
    "DROP TABLE batch_result",
    "DROP TABLE walk",
    "DROP TABLE conflict",
    "DROP TABLE journal",
    "DROP TABLE blocked",
    "DROP TABLE due",
    "DROP TABLE copy",
    "DROP TABLE member",
    "DROP TABLE sync_set_request",
    "DROP TABLE sync_set",
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
