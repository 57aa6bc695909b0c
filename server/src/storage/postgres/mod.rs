//! State on PostgreSQL: how it is connected to, and what it must be like.
//!
//! Every transaction is READ COMMITTED. One coordinator serves a database for now ([`claim`]), and writes through one
//! connection, so a write transaction is alone as on SQLite.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector, Value};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Error, place};
use crate::domain::limits::{STORE_BUSY_SECONDS_MAX, STORE_STATEMENTS_MAX};

mod claim;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use text::turned;

/// A value as PostgreSQL can keep it: a text has no NUL in it. Ids and names with one never come this far; in what people
/// read it shows as a character that could not be read.
pub(crate) fn kept(value: Value) -> Value {
    match value {
        Value::String(Some(text)) if text.contains('\0') => text.replace('\0', "\u{fffd}").into(),
        value => value,
    }
}

/// Reads a url.
///
/// # Errors
/// Why it is none; the url itself, which may hold a password, is not told.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, place::WrongUrl> {
    let options = PgConnectOptions::from_str(url).map_err(|error| place::WrongUrl::Unreadable {
        why: match error {
            sqlx::Error::Configuration(why) => why.to_string(),
            _ => "it cannot be read".to_owned(),
        },
    })?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(place::WrongUrl::NoDatabase);
    }
    // Whatever is the default of the role or the server: accepted means durable, and nobody waits for ever.
    let busy = format!("{STORE_BUSY_SECONDS_MAX}s");
    Ok(options
        .application_name("tandemd")
        .options([
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("lock_timeout", busy.as_str()),
            ("jit", "off"),
            ("client_min_messages", "warning"),
        ])
        .statement_cache_capacity(STORE_STATEMENTS_MAX)
        .disable_statement_logging())
}

/// The only connection that writes; claims the database whenever it is made anew.
///
/// # Errors
/// [`Error::InUse`] when another coordinator serves the database, [`Error::Unfit`] when it does not order text by bytes.
pub(super) async fn writer(url: &str, shown: &str) -> Result<DatabaseConnection, Error> {
    let options = options(url)?;
    claim::check(&options, shown).await?;
    let pool = pool(1)
        .after_connect(|connection, _| Box::pin(claim::take(connection)))
        .connect_with(options)
        .await
        .map_err(unreachable)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Refuses every write.
///
/// # Errors
/// When the database cannot be reached.
pub(super) async fn readers(url: &str, connections: u32) -> Result<DatabaseConnection, Error> {
    let options = options(url)?.options([("default_transaction_read_only", "on")]);
    let pool = pool(connections.max(1)).connect_with(options).await;
    let pool = pool.map_err(unreachable)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// A connection that the server closed is found when it is taken, so that no statement fails for it. None is made before
/// it is needed: who lost the claim asks for it again when there is something to write.
fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(STORE_BUSY_SECONDS_MAX))
}

fn unreachable(error: sqlx::Error) -> Error {
    Error::Unreachable(error)
}
