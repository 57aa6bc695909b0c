//! The one door to SQL.
//!
//! [`Store`] opens the database; each noun has a file with its `impl Store` block. Public methods open their own
//! transaction, helpers that end in `_in` join the one they are given, so a reader knows who owns the commit.

use std::path::PathBuf;
use std::sync::Arc;

use sea_orm::{DatabaseConnection, DatabaseTransaction};
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
pub(crate) mod lock;
pub mod open;
pub mod place;
mod postgres;
pub mod reading;
mod repositories;
mod restored;
pub mod sql;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;
pub mod tx;
pub mod verify;

pub use error::Error;
pub use lock::Lock;
pub use open::Options;
pub use place::Place;
pub use reading::Reading;
pub use tx::{Busy, Tx};

/// The database of one coordinator; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The only connection that writes; on SQLite it begins every transaction IMMEDIATE.
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    /// What SQLite has beside them; none on PostgreSQL.
    file: Option<DatabaseFile>,
    /// Told after each commit; wakes the checkpoint task.
    committed: Notify,
}

/// A database of SQLite.
#[derive(Debug)]
struct DatabaseFile {
    /// Connects nobody but the checkpoint task, so that no commit pays for a checkpoint.
    checkpointer: DatabaseConnection,
    path: PathBuf,
    /// Held for as long as the store lives: one coordinator per database file.
    _lock: lock::Lock,
}

impl Store {
    /// Opens the database, making a file if it is missing; applies no migration.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process serves it, [`Error::File`] and [`Error::Unreachable`] when it cannot be
    /// reached, [`Error::Unfit`] when a server's database is not one that can be used.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let (writer, readers, file) = match &options.place {
            Place::File(path) => {
                let lock = lock::Lock::take(path)?;
                let writer = open::writer(path).await?;
                let readers = open::readers(path, options.readers).await?;
                let file = DatabaseFile {
                    checkpointer: open::checkpointer(path).await?,
                    path: path.clone(),
                    _lock: lock,
                };
                (writer, readers, Some(file))
            }
            Place::Postgres(url) => {
                let writer = postgres::writer(url, &options.place.to_string()).await?;
                let readers = postgres::readers(url, options.readers).await?;
                (writer, readers, None)
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                file,
                committed: Notify::new(),
            }),
        })
    }

    /// The connections for reading; a write through them fails.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.inner.readers
    }

    /// A transaction that reads one state of the database, whatever is written meanwhile.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction, Error> {
        open::snapshot(&self.inner.readers).await
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

    /// Writes everything back into the file of the database, if it has one, and closes the connections.
    ///
    /// # Errors
    /// Whatever the database answers; the data is safe in the log even then.
    pub async fn close(&self) -> Result<(), Error> {
        let checkpointed = self.checkpoint_all().await;
        self.inner.readers.clone().close().await?;
        if let Some(file) = &self.inner.file {
            file.checkpointer.clone().close().await?;
        }
        self.inner.writer.clone().close().await?;
        checkpointed
    }
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::SchemaManager;
    use sha2::Digest as _;

    use super::testing::{Home, TestStore};
    use super::*;
    use crate::domain::ids::{Digest, NetworkId, NodeId, RepositoryId, SyncSetId};
    use crate::domain::projection::NodeKind;
    use crate::domain::stay::{Stay, StayReason};

    #[tokio::test]
    async fn one_coordinator_per_database() {
        let TestStore { store, home } = TestStore::new().await;
        let second = Store::open(home.options()).await;
        assert!(matches!(second, Err(Error::InUse { .. })));
        store.close().await.unwrap();
        drop(store);
        Store::open(home.options()).await.unwrap();
    }

    #[tokio::test]
    async fn an_older_and_a_newer_schema_are_refused() {
        let home = Home::empty().await;
        let store = Store::open(home.options()).await.unwrap();
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
        let home = Home::empty().await;
        let store = Store::open(home.options()).await.unwrap();
        let writer = &store.inner.writer;
        // In the way of a late statement of the migration that makes `copy`.
        sql::execute(writer, "CREATE TABLE conflict (x INTEGER)", [])
            .await
            .unwrap();
        store.migrate().await.unwrap_err();
        let made = SchemaManager::new(writer).has_table("copy").await;
        assert!(!made.unwrap());
        sql::execute(writer, "DROP TABLE conflict", [])
            .await
            .unwrap();
        store.migrate().await.unwrap();
        store.check_schema().await.unwrap();
    }

    #[tokio::test]
    async fn the_pragmas_hold_on_every_connection() {
        let test = TestStore::sqlite().await;
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
    async fn what_a_list_names_twice_is_written_once() {
        let test = TestStore::new().await;
        let (from, to) = (RepositoryId(1), RepositoryId(2));
        let bytes = bytes::Bytes::from_static(b"text");
        let digest = Digest(sha2::Sha256::digest(&bytes).into());
        let root = NodeId("root".to_owned());
        let stay = |path: &str| Stay {
            set: SyncSetId::default(),
            node: root.clone(),
            kind: NodeKind::Folder,
            path: path.to_owned(),
            reason: StayReason::Came,
        };
        let (content, roots) = ([(digest, bytes)], [root.clone(), root.clone()]);
        let (content, roots, stays) = (&content, &roots, &[stay("first"), stay("last")]);
        let written = test.store.write(|tx| async move {
            content_index::put_small_in(&*tx, NetworkId(1), from, content, 0).await?;
            content_index::share_in(&*tx, from, to, &[digest, digest], 0).await?;
            sync::scans::doubt_in(&*tx, from, roots).await?;
            sync::stays::insert_in(&*tx, stays).await
        });
        written.await.unwrap();
        let reader = test.store.reader();
        let present = content_index::presence(reader, to, &[digest]).await;
        assert_eq!(present.unwrap().len(), 1);
        let after = NodeId(String::new());
        let kept = test.store.stays(SyncSetId::default(), &after, 9).await;
        let paths: Vec<String> = kept.unwrap().into_iter().map(|stay| stay.path).collect();
        assert_eq!(paths, ["last"]);
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let test = TestStore::new().await;
        let text = "DELETE FROM network";
        assert!(sql::execute(test.store.reader(), text, []).await.is_err());
    }
}
