//! The schema history of the coordinator's database.
//!
//! A migration never changes once it is released, and names its own tables and columns: never the entities, which
//! follow the newest schema only.

use std::collections::BTreeSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseBackend, DatabaseConnection, Statement};

mod dialect;
mod m20261123_000001_access;
mod m20261123_000002_content;
mod m20261123_000003_sync;
mod m20261125_000004_due_later;
mod m20261125_000005_generations;
mod m20261125_000006_guard;
mod m20261125_000007_outside;
mod m20261125_000010_ending;
mod m20261125_000011_policies;
mod m20261125_000012_chunks;
mod m20261125_000013_documents;
mod m20261126_000014_accounts;
mod m20261126_000015_imports;
mod m20261126_000016_edited;
mod m20261126_000018_late_set;
mod m20261126_000018_observe_content;
mod m20261126_000019_restored;

pub use dialect::FLAGS;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let all: Vec<Box<dyn MigrationTrait>> = vec![
            Box::new(m20261123_000001_access::Migration),
            Box::new(m20261123_000002_content::Migration),
            Box::new(m20261123_000003_sync::Migration),
            Box::new(m20261125_000004_due_later::Migration),
            Box::new(m20261125_000005_generations::Migration),
            Box::new(m20261125_000006_guard::Migration),
            Box::new(m20261125_000007_outside::Migration),
            Box::new(m20261125_000010_ending::Migration),
            Box::new(m20261125_000011_policies::Migration),
            Box::new(m20261125_000012_chunks::Migration),
            Box::new(m20261125_000013_documents::Migration),
            Box::new(m20261126_000014_accounts::Migration),
            Box::new(m20261126_000015_imports::Migration),
            Box::new(m20261126_000016_edited::Migration),
            Box::new(m20261126_000018_late_set::Migration),
            Box::new(m20261126_000018_observe_content::Migration),
            Box::new(m20261126_000019_restored::Migration),
        ];
        let whole = |one| Box::new(Whole(one)) as Box<dyn MigrationTrait>;
        all.into_iter().map(whole).collect()
    }
}

/// A migration that is done whole or not at all, also on SQLite: one that breaks off half done could never be repeated.
struct Whole(Box<dyn MigrationTrait>);

impl MigrationName for Whole {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Whole {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.up(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.down(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// How a database's schema stands to the one that this build knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration of this build, and no other, is applied.
    Current,
    /// These migrations are not applied yet.
    Older(Vec<String>),
    /// These applied migrations are unknown here: a newer build wrote the database.
    Newer(Vec<String>),
}

/// Compares what is applied with what this build knows; changes nothing.
///
/// # Errors
/// Whatever the database answers.
pub async fn schema_state(database: &DatabaseConnection) -> Result<SchemaState, DbErr> {
    let applied = applied(database).await?;
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let unknown: Vec<String> = applied
        .iter()
        .filter(|name| !known.contains(name))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Ok(SchemaState::Newer(unknown));
    }
    let pending: Vec<String> = known
        .into_iter()
        .filter(|name| !applied.contains(name))
        .collect();
    Ok(if pending.is_empty() {
        SchemaState::Current
    } else {
        SchemaState::Older(pending)
    })
}

/// Runs the statements of a migration in order.
async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let is_postgres = manager.get_database_backend() == DatabaseBackend::Postgres;
    for statement in statements {
        let turned = is_postgres.then(|| dialect::postgres(statement));
        let text = turned.as_deref().unwrap_or(statement);
        connection.execute_unprepared(text).await?;
    }
    Ok(())
}

async fn applied(database: &DatabaseConnection) -> Result<BTreeSet<String>, DbErr> {
    if !SchemaManager::new(database)
        .has_table("seaql_migrations")
        .await?
    {
        return Ok(BTreeSet::new());
    }
    let rows = database
        .query_all_raw(Statement::from_string(
            database.get_database_backend(),
            "SELECT version FROM seaql_migrations",
        ))
        .await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::sea_orm::Database;

    use super::*;

    /// A connection, and what drops its database afterwards when the tests run on a server.
    async fn database() -> (DatabaseConnection, Option<tandem_test_database::Database>) {
        let made = match tandem_test_database::Server::named() {
            Some(server) => Some(server.create(None).await.unwrap()),
            None => None,
        };
        let url = made.as_ref().map(tandem_test_database::Database::url);
        let url = url.unwrap_or_else(|| "sqlite::memory:".to_owned());
        (Database::connect(url).await.unwrap(), made)
    }

    #[tokio::test]
    async fn up_twice_changes_nothing_the_second_time() {
        let (database, _made) = database().await;
        Migrator::up(&database, None).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        assert_eq!(schema_state(&database).await.unwrap(), SchemaState::Current);
    }

    #[tokio::test]
    async fn down_then_up_ends_where_it_began() {
        let (database, _made) = database().await;
        Migrator::up(&database, None).await.unwrap();
        Migrator::down(&database, None).await.unwrap();
        assert!(matches!(
            schema_state(&database).await.unwrap(),
            SchemaState::Older(_)
        ));
        Migrator::up(&database, None).await.unwrap();
        assert_eq!(schema_state(&database).await.unwrap(), SchemaState::Current);
    }

    /// Existing databases of SQLite were made by exactly these.
    #[test]
    fn the_names_of_migrations_stay() {
        let names: Vec<String> = Migrator::migrations()
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect();
        assert_eq!(names[0], "m20261123_000001_access");
        assert_eq!(names[13], "m20261126_000016_edited");
        assert!(names.is_sorted());
    }

    #[tokio::test]
    async fn an_empty_database_is_older_and_stays_empty() {
        let (database, _made) = database().await;
        let SchemaState::Older(pending) = schema_state(&database).await.unwrap() else {
            panic!("an empty database has every migration before it");
        };
        assert_eq!(pending.len(), Migrator::migrations().len());
        assert!(
            !SchemaManager::new(&database)
                .has_table("seaql_migrations")
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_migration_from_the_future_is_noticed() {
        let (database, _made) = database().await;
        Migrator::up(&database, None).await.unwrap();
        database
            .execute_unprepared(
                "INSERT INTO seaql_migrations VALUES ('m29991231_000001_future', 0)",
            )
            .await
            .unwrap();
        assert_eq!(
            schema_state(&database).await.unwrap(),
            SchemaState::Newer(vec!["m29991231_000001_future".to_owned()])
        );
    }
}
