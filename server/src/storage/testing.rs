//! A migrated database of its own for each test: a file, or a database of the server that `TANDEM_TEST_POSTGRES` names.

use sea_orm::ConnectionTrait;
use tandem_test_database::{Database, Server};
use tokio::sync::OnceCell;

use super::sync::load::Declared;
use super::{Error, Options, Place, Store, sql};
use crate::domain::ids::RepositoryId;

/// A store whose files, or whose database, go away with it.
pub(crate) struct TestStore {
    /// The store.
    pub(crate) store: Store,
    /// Where it is kept.
    pub(crate) home: Home,
}

impl TestStore {
    /// Opens and migrates a new database, on the engine that the tests run on.
    pub(crate) async fn new() -> Self {
        Self::migrated(Home::new().await).await
    }

    /// The same on SQLite, for what only SQLite has.
    pub(crate) async fn sqlite() -> Self {
        Self::migrated(Home::file()).await
    }

    async fn migrated(home: Home) -> Self {
        let store = Store::open(home.options()).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, home }
    }

    /// Notes what a repository would declare in its handshake.
    pub(crate) async fn declare(&self, repository: RepositoryId, declared: &Declared) {
        let declared = serde_json::to_vec(declared).unwrap();
        let done = self.store.write(move |tx| {
            let values = [declared.clone().into(), repository.0.into()];
            async move {
                let text = "UPDATE repository SET capabilities = ? WHERE id = ?";
                sql::execute(&*tx, text, values).await
            }
        });
        assert_eq!(done.await.unwrap(), 1);
    }

    /// Changes the schema, such as by a trigger that refuses what a test wants to fail.
    pub(crate) async fn change_schema(&self, sql: &'static str) {
        let done = self.store.write(move |tx| async move {
            tx.execute_unprepared(sql).await?;
            Ok::<_, Error>(())
        });
        done.await.unwrap();
    }
}

/// Where a test keeps its database, and its files.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    database: Option<Database>,
}

impl Home {
    /// A place for a database on the engine that the tests run on; on a server it is migrated already.
    async fn new() -> Self {
        let mut home = Self::file();
        if let Some(server) = Server::named() {
            let template = template(&server).await;
            home.database = Some(template.copied().await.unwrap());
        }
        home
    }

    /// The same, and nothing is in it.
    pub(crate) async fn empty() -> Self {
        let mut home = Self::file();
        if let Some(server) = Server::named() {
            home.database = Some(server.create(None).await.unwrap());
        }
        home
    }

    fn file() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            database: None,
        }
    }

    /// A place with a copy of the database that is here and that nobody has open.
    pub(crate) async fn copied(&self) -> Self {
        // In memory where there is such a place: these lives are many, and no power is cut.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let mut copy = Self {
            directory: directory.unwrap(),
            database: None,
        };
        match &self.database {
            Some(database) => {
                copy.database = Some(database.copied().await.unwrap());
            }
            None => {
                let name = "tandem.db";
                let (from, to) = (self.directory.path().join(name), copy.path().join(name));
                std::fs::copy(from, to).unwrap();
            }
        }
        copy
    }

    /// The directory for files.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// How the database is opened.
    pub(crate) fn options(&self) -> Options {
        let place = match &self.database {
            Some(database) => Place::parse(&database.url()).unwrap(),
            None => Place::File(self.path().join("tandem.db")),
        };
        Options::new(place)
    }

    /// Whether the database is on a server.
    pub(crate) fn is_postgres(&self) -> bool {
        self.database.is_some()
    }
}

/// A migrated database to make others of: quicker than to migrate each.
async fn template(server: &Server) -> &'static Database {
    static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
    let made = TEMPLATE.get_or_init(|| async {
        let database = server.create(None).await.unwrap();
        let store = Store::open(Options::new(Place::parse(&database.url()).unwrap()));
        let store = store.await.unwrap();
        store.migrate().await.unwrap();
        store.close().await.unwrap();
        database
    });
    // It stays for all tests of this process, and goes with the server.
    made.await
}
