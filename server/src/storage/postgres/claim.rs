//! One coordinator per database, until several may share one.
//!
//! The claim is a session's advisory lock, and it belongs to the connection that writes: who lost the connection lost
//! the claim with it, and cannot write again before having it back. Leases take this place when coordinators share.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::super::Error;

/// Waits for whoever is just going away; a schema of the database has a claim of its own.
const TAKE: &str = "SELECT pg_advisory_lock(1413565524, hashtext(current_schema()))";

/// A coordinator that starts waits for one that ends no longer than this.
const WAIT: &str = "SET lock_timeout = '3s'";

/// What order of text the program relies on, as on SQLite: that of the bytes.
const IS_FIT: &str = "SELECT current_setting('server_encoding') = 'UTF8' \
                      AND 'Z' < 'a' AND 'a b' < 'aa' AND 'z' < U&'\\00e9'";

/// Makes sure that nobody else serves the database, and that it is one that can be used.
///
/// # Errors
/// [`Error::InUse`], [`Error::Unfit`], and [`Error::Unreachable`] with what the server says.
pub(super) async fn check(options: &PgConnectOptions, shown: &str) -> Result<(), Error> {
    let mut connection = options.connect().await.map_err(Error::Unreachable)?;
    let fit: Result<bool, sqlx::Error> =
        sqlx::query_scalar(IS_FIT).fetch_one(&mut connection).await;
    if !fit.map_err(Error::Unreachable)? {
        return Err(Error::Unfit);
    }
    let waits = sqlx::query(WAIT).execute(&mut connection).await;
    waits.map_err(Error::Unreachable)?;
    match sqlx::query(TAKE).execute(&mut connection).await {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            return Err(Error::InUse {
                database: shown.to_owned(),
            });
        }
        Err(error) => return Err(Error::Unreachable(error)),
    }
    connection.close().await.map_err(Error::Unreachable)
}

/// Claims the database for a connection.
///
/// # Errors
/// When somebody else has it for longer than a statement may wait.
pub(super) async fn take(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(TAKE).execute(connection).await?;
    Ok(())
}
