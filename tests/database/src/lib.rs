//! Databases of their own for tests, on the PostgreSQL server that `TANDEM_TEST_POSTGRES` names (`tests/postgres` starts
//! one). Without the variable tests run on SQLite, and nothing here does anything.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// The variable of the environment with the url of any database of the server.
pub const VARIABLE: &str = "TANDEM_TEST_POSTGRES";

/// The server that the tests run on.
#[derive(Debug, Clone)]
pub struct Server {
    url: String,
}

/// A database that is dropped when its test is over.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
}

impl Server {
    /// The server, if the tests are to run on one.
    #[must_use]
    pub fn named() -> Option<Self> {
        let url = std::env::var(VARIABLE).ok()?;
        Some(Self { url })
    }

    /// Makes a database: an empty one, or a copy of one that nobody has open.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create(&self, template: Option<&Database>) -> Result<Database, sqlx::Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tandem_test_{}_{number}", std::process::id());
        let template = template.map_or("template0", |of| of.name.as_str());
        let text = format!(
            "CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        self.execute(text).await?;
        Ok(Database {
            server: self.clone(),
            name,
        })
    }

    async fn execute(&self, text: String) -> Result<(), sqlx::Error> {
        let options: PgConnectOptions = self.url.parse()?;
        let mut connection = options.disable_statement_logging().connect().await?;
        let text = sqlx::AssertSqlSafe(text);
        sqlx::raw_sql(text).execute(&mut connection).await?;
        connection.close().await
    }
}

impl Database {
    /// Its url: the server's with another database.
    #[must_use]
    pub fn url(&self) -> String {
        let url = &self.server.url;
        let end = url.find('?').unwrap_or(url.len());
        let (address, parameters) = url.split_at(end);
        let server = address
            .rsplit_once('/')
            .map_or(address, |(server, _)| server);
        format!("{server}/{}{parameters}", self.name)
    }

    /// Makes a copy; nobody may have it open.
    ///
    /// # Errors
    /// What the server says.
    pub async fn copied(&self) -> Result<Self, sqlx::Error> {
        self.server.create(Some(self)).await
    }
}

impl Drop for Database {
    /// Whoever still has it open is cut off.
    fn drop(&mut self) {
        let server = self.server.clone();
        let text = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // On a thread of its own: the test's runtime may be gone, or be the one that this runs on.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(server.execute(text)),
                Err(error) => Err(sqlx::Error::Io(error)),
            }
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("a test's database stays: {error}"),
            Err(_) => eprintln!("a test's database stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_in_the_address_and_the_parameters_stay() {
        for (server, expected) in [
            ("postgres://u@h/postgres", "postgres://u@h/t"),
            (
                "postgres://u@h/postgres?host=/run/x",
                "postgres://u@h/t?host=/run/x",
            ),
        ] {
            let server = Server {
                url: server.to_owned(),
            };
            let database = std::mem::ManuallyDrop::new(Database {
                server,
                name: "t".to_owned(),
            });
            assert_eq!(database.url(), expected);
        }
    }
}
