//! Imports that are under way: what one wrote of a set that is not whole must go when it breaks off (R-ADM-1).

use sea_orm_migration::prelude::*;

/// Remembers the set that is being imported into each network.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000015_imports"
    }
}

// The set itself is written last, so nothing else tells whose the members are.
const UP: [&str; 1] = ["CREATE TABLE import (
        network INTEGER NOT NULL PRIMARY KEY,
        set_id BLOB NOT NULL,
        on_premise_repository INTEGER NOT NULL,
        cloud_repository INTEGER NOT NULL
    )"];

const DOWN: [&str; 1] = ["DROP TABLE import"];

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
