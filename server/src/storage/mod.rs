//! The one door to SQL.
//!
//! [`Store`] opens the database; each noun has a file with its `impl Store` block. Public methods open their own
//! transaction, helpers that end in `_in` join the one they are given, so a reader knows who owns the commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sea_orm::DatabaseConnection;
use sea_orm_migration::MigratorTrait;
use tandem_migrations::{Migrator, SchemaState};
use tokio::sync::Notify;

pub mod access;
pub mod checkpoint;
pub mod content_index;
pub mod entity;
pub mod error;
#[cfg(test)]
pub(crate) mod faults;
mod lock;
pub mod open;
mod repositories;
pub mod sql;
pub mod sync;
mod tokens;
pub mod tx;

pub use error::Error;
pub use open::Options;
pub use tx::{Busy, Tx};

/// The database of one coordinator; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The only connection that writes; begins every transaction IMMEDIATE.
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    /// Connects nobody but the checkpoint task, so that no commit pays for a checkpoint.
    checkpointer: DatabaseConnection,
    /// Told after each commit; wakes the checkpoint task.
    committed: Notify,
    path: PathBuf,
    /// Held for as long as the store lives: one coordinator per database file.
    _lock: lock::Lock,
}

impl Store {
    /// Opens the database file, making it if it is missing; applies no migration.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process serves the file, [`Error::File`] when it cannot be reached.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let lock = lock::Lock::take(&options.path)?;
        let writer = open::writer(&options).await?;
        let readers = open::readers(&options).await?;
        let checkpointer = open::checkpointer(&options).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                checkpointer,
                committed: Notify::new(),
                path: options.path,
                _lock: lock,
            }),
        })
    }

    /// The connections for reading; a write through them fails.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.inner.readers
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Applies every migration that is missing.
    ///
    /// # Errors
    /// [`Error::SchemaNewer`] when a newer build wrote the database; nothing is changed then.
    pub async fn migrate(&self) -> Result<(), Error> {
        match tandem_migrations::schema_state(&self.inner.writer).await? {
            SchemaState::Current => Ok(()),
            SchemaState::Older(missing) => {
                for _ in missing {
                    Migrator::up(&self.inner.writer, Some(1)).await?;
                    tandem_crash::at("S12");
                }
                Ok(())
            }
            SchemaState::Newer(unknown) => Err(Error::SchemaNewer { unknown }),
        }
    }

    /// Checks that the schema is exactly the one this build knows.
    ///
    /// # Errors
    /// [`Error::SchemaOlder`] and [`Error::SchemaNewer`], with the names of the migrations.
    pub async fn check_schema(&self) -> Result<(), Error> {
        match tandem_migrations::schema_state(&self.inner.readers).await? {
            SchemaState::Current => Ok(()),
            SchemaState::Older(pending) => Err(Error::SchemaOlder { pending }),
            SchemaState::Newer(unknown) => Err(Error::SchemaNewer { unknown }),
        }
    }

    /// Writes everything back into the database file and closes the connections.
    ///
    /// # Errors
    /// Whatever the database answers; the data is safe in the log even then.
    pub async fn close(&self) -> Result<(), Error> {
        let checkpointed = self.checkpoint_all().await;
        self.inner.readers.clone().close().await?;
        self.inner.checkpointer.clone().close().await?;
        self.inner.writer.clone().close().await?;
        checkpointed
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A migrated database in a directory of its own.

    use super::sync::load::Declared;
    use super::{Options, Store};
    use crate::domain::ids::RepositoryId;

    /// A store whose files go away with it.
    pub(crate) struct TestStore {
        /// The store.
        pub(crate) store: Store,
        /// Its directory.
        pub(crate) directory: tempfile::TempDir,
    }

    impl TestStore {
        /// Opens and migrates a new database.
        pub(crate) async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(Options::new(directory.path().join("tandem.db")))
                .await
                .unwrap();
            store.migrate().await.unwrap();
            Self { store, directory }
        }

        /// Notes what a repository would declare in its handshake.
        pub(crate) async fn declare(&self, repository: RepositoryId, declared: &Declared) {
            let declared = serde_json::to_vec(declared).unwrap();
            let done = self.store.write(move |tx| {
                let values = [declared.clone().into(), repository.0.into()];
                async move {
                    let text = "UPDATE repository SET capabilities = ? WHERE id = ?";
                    super::sql::execute(&*tx, text, values).await
                }
            });
            assert_eq!(done.await.unwrap(), 1);
        }

        /// Changes the schema, such as by a trigger that refuses what a test wants to fail.
        pub(crate) async fn change_schema(&self, sql: &'static str) {
            use sea_orm::ConnectionTrait;
            let done = self.store.write(move |tx| async move {
                tx.execute_unprepared(sql).await?;
                Ok::<_, super::Error>(())
            });
            done.await.unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::TestStore;
    use super::*;

    #[tokio::test]
    async fn one_coordinator_per_database_file() {
        let test = TestStore::new().await;
        let path = test.directory.path().join("tandem.db");
        let second = Store::open(Options::new(path.clone())).await;
        assert!(matches!(second, Err(Error::InUse { .. })));
        test.store.close().await.unwrap();
        drop(test.store);
        Store::open(Options::new(path)).await.unwrap();
    }

    #[tokio::test]
    async fn an_older_and_a_newer_schema_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(directory.path().join("tandem.db")))
            .await
            .unwrap();
        assert!(matches!(
            store.check_schema().await,
            Err(Error::SchemaOlder { .. })
        ));
        store.migrate().await.unwrap();
        store.check_schema().await.unwrap();
        store
            .write(|tx| async move {
                let text = "INSERT INTO seaql_migrations VALUES ('m2999_future', 0)";
                sql::execute(&*tx, text, []).await
            })
            .await
            .unwrap();
        assert!(matches!(
            store.check_schema().await,
            Err(Error::SchemaNewer { .. })
        ));
        assert!(matches!(
            store.migrate().await,
            Err(Error::SchemaNewer { .. })
        ));
    }

    /// Stops at S12.
    #[tokio::test]
    async fn a_migration_that_breaks_off_leaves_nothing_and_is_done_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new(directory.path().join("tandem.db"));
        let store = Store::open(options).await.unwrap();
        let writer = &store.inner.writer;
        // In the way of a late statement of the migration that makes `copy`.
        sql::execute(writer, "CREATE TABLE conflict (x)", [])
            .await
            .unwrap();
        store.migrate().await.unwrap_err();
        let made = "SELECT name FROM sqlite_schema WHERE name = 'copy'";
        assert!(sql::one(writer, made, []).await.unwrap().is_none());
        sql::execute(writer, "DROP TABLE conflict", [])
            .await
            .unwrap();
        store.migrate().await.unwrap();
        store.check_schema().await.unwrap();
    }

    #[tokio::test]
    async fn the_pragmas_hold_on_every_connection() {
        let test = TestStore::new().await;
        for connection in [&test.store.inner.writer, test.store.reader()] {
            for (pragma, expected) in [
                ("PRAGMA synchronous", 2),
                ("PRAGMA foreign_keys", 1),
                ("PRAGMA wal_autocheckpoint", 0),
            ] {
                let row = sql::one(connection, pragma, []).await.unwrap().unwrap();
                assert_eq!(
                    row.try_get_by_index::<i32>(0).unwrap(),
                    expected,
                    "{pragma}"
                );
            }
            let row = sql::one(connection, "PRAGMA journal_mode", [])
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "wal");
        }
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let test = TestStore::new().await;
        let text = "DELETE FROM network";
        assert!(sql::execute(test.store.reader(), text, []).await.is_err());
    }
}
