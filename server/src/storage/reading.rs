//! A database that somebody may be serving, to be looked at: without a lock, and without a way to write.

use std::io;
use std::path::Path;

use sea_orm::{DatabaseConnection, DatabaseTransaction};
use tandem_migrations::SchemaState;

use super::{Error, Place, open, postgres, sql};

/// Connections that only read.
#[derive(Debug, Clone)]
pub struct Reading {
    connection: DatabaseConnection,
}

impl Reading {
    /// Opens a database that exists.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such file, [`Error::Unreachable`] when the server cannot be reached.
    pub async fn open(place: &Place) -> Result<Self, Error> {
        let connection = match place {
            Place::File(path) if !path.is_file() => {
                return Err(Error::File {
                    path: path.clone(),
                    source: io::ErrorKind::NotFound.into(),
                });
            }
            Place::File(path) => open::readers(path, 2).await?,
            Place::Postgres(url) => postgres::readers(url, 2).await?,
        };
        Ok(Self { connection })
    }

    /// What reads; a write through it fails.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// A transaction that reads one state of the database, whatever is written meanwhile.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, Error> {
        open::snapshot(&self.connection).await
    }

    /// Checks that the schema is one that this build knows; an older one is `also_older` or not.
    ///
    /// # Errors
    /// [`Error::SchemaOlder`] and [`Error::SchemaNewer`], with the names of the migrations.
    pub async fn check_schema(&self, also_older: bool) -> Result<(), Error> {
        match tandem_migrations::schema_state(&self.connection).await? {
            SchemaState::Older(pending) if !also_older => Err(Error::SchemaOlder { pending }),
            SchemaState::Newer(unknown) => Err(Error::SchemaNewer { unknown }),
            SchemaState::Current | SchemaState::Older(_) => Ok(()),
        }
    }

    /// Writes one state of a database of SQLite to a new file, whoever writes to the database meanwhile. Whether that file
    /// is durable is the caller's to see to.
    ///
    /// `VACUUM INTO` and not the backup interface of SQLite: that one begins again with every commit of another process
    /// unless all is read in one step, is no part of sqlx, and would need `unsafe`. Both hold one snapshot until they end.
    ///
    /// # Errors
    /// Whatever the database answers, such as that the disk is full.
    pub async fn copy_to(&self, file: &Path) -> Result<(), Error> {
        let Some(name) = file.to_str() else {
            return Err(Error::File {
                path: file.to_owned(),
                source: io::Error::other("its path is not UTF-8"),
            });
        };
        sql::execute(&self.connection, "VACUUM INTO ?", [name.into()]).await?;
        Ok(())
    }

    /// Bytes of a database of SQLite, of which a copy has no more.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn bytes(&self) -> Result<u64, Error> {
        let mut bytes = 1;
        for text in ["PRAGMA page_count", "PRAGMA page_size"] {
            let row = sql::one(&self.connection, text, []).await?;
            let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
            bytes *= u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        }
        Ok(bytes)
    }

    /// Closes the connections.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.connection.close().await?)
    }
}
