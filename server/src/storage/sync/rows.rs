//! Many rows in few statements: texts of fixed sizes, so that each is prepared once per connection.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use sea_orm::{ConnectionTrait, Value};

use super::super::{Error, sql};

/// A statement that takes any number of rows.
#[derive(Debug)]
pub struct Insert {
    /// All before the rows.
    pub head: &'static str,
    /// Columns of a row.
    pub columns: usize,
    /// All behind the rows.
    pub tail: &'static str,
}

/// Rows in one statement, largest first; few sizes, for the cache of prepared statements.
const CHUNKS: [usize; 4] = [128, 32, 8, 1];

/// Texts by head and number of rows; as many as there are statements times chunks.
static TEXTS: LazyLock<Mutex<HashMap<(&'static str, usize), &'static str>>> =
    LazyLock::new(Mutex::default);

impl Insert {
    /// Inserts the rows; each has as many values as there are columns.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn rows<C: ConnectionTrait>(
        &self,
        connection: &C,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), Error> {
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        for chunk in CHUNKS {
            while left >= chunk {
                let values: Vec<Value> = rows.by_ref().take(chunk).flatten().collect();
                sql::execute(connection, self.text(chunk), values).await?;
                left -= chunk;
            }
        }
        Ok(())
    }

    fn text(&self, rows: usize) -> &'static str {
        let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        texts.entry((self.head, rows)).or_insert_with(|| {
            let row = format!("({})", vec!["?"; self.columns].join(","));
            let text = format!("{} {} {}", self.head, vec![row; rows].join(","), self.tail);
            Box::leak(text.into_boxed_str())
        })
    }
}

/// Values as a JSON list, for `json_each`; ids and digests as hex, which the statement turns back with `unhex`.
#[must_use]
pub fn json<T: serde::Serialize>(items: &T) -> Value {
    serde_json::to_string(items)
        .unwrap_or_else(|_| "[]".to_owned())
        .into()
}
