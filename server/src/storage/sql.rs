//! Raw statements for hot paths: fixed texts, so that each is prepared once per connection. They are written as SQLite
//! reads them; for PostgreSQL they are turned.

use sea_orm::{ConnectionTrait, DatabaseBackend, QueryResult, Statement, Value};

use super::{Error, postgres};

/// Runs a statement; returns the number of rows it changed.
///
/// # Errors
/// Whatever the database answers.
pub async fn execute<C: ConnectionTrait>(
    connection: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, Error> {
    #[cfg(test)]
    super::faults::call()?;
    let statement = statement(connection, text, values);
    Ok(connection.execute_raw(statement).await?.rows_affected())
}

/// Runs a query; returns every row.
///
/// # Errors
/// Whatever the database answers.
pub async fn all<C: ConnectionTrait>(
    connection: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, Error> {
    #[cfg(test)]
    super::faults::call()?;
    let statement = statement(connection, text, values);
    Ok(connection.query_all_raw(statement).await?)
}

/// Runs a query; returns the first row, if there is one.
///
/// # Errors
/// Whatever the database answers.
pub async fn one<C: ConnectionTrait>(
    connection: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<QueryResult>, Error> {
    #[cfg(test)]
    super::faults::call()?;
    let statement = statement(connection, text, values);
    Ok(connection.query_one_raw(statement).await?)
}

fn statement<C: ConnectionTrait>(
    connection: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    let backend = connection.get_database_backend();
    match backend {
        DatabaseBackend::Postgres => {
            let text = postgres::turned(text);
            let values = values.into_iter().map(postgres::kept);
            Statement::from_sql_and_values(backend, &*text, values)
        }
        _ => Statement::from_sql_and_values(backend, text, values),
    }
}
