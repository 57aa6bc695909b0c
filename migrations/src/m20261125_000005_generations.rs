//! New generations: how far each is, and the states that copies had before (R-AGT-4).

use sea_orm_migration::prelude::*;

/// Makes the table of generations, and remembers former states.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000005_generations"
    }
}

const UP: &[&str] = &[
    // Eight bytes for each former state, newest last.
    "ALTER TABLE copy ADD COLUMN past BLOB NOT NULL DEFAULT x''",
    // Repositories whose roots are listed anew. settled: the set and the member up to which everything is settled
    // again, as 16 bytes each; NULL while the roots are listed.
    "CREATE TABLE generation (
        repository INTEGER NOT NULL PRIMARY KEY,
        settled BLOB
    ) WITHOUT ROWID",
    "INSERT INTO generation (repository) SELECT repository FROM scan WHERE kind = 2 \
     UNION SELECT repository FROM lost",
];

const DOWN: &[&str] = &["DROP TABLE generation", "ALTER TABLE copy DROP COLUMN past"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
