//! The one transaction function.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use sea_orm::{DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::{Error, Store};
use crate::domain::limits::TRANSACTION_TRIES_MAX;

/// Tells whether a failed transaction may be tried again as a whole.
///
/// Implemented by the error of this floor and of those above, so that a closure may fail with either.
pub trait Busy {
    /// True when another writer was in the way and nothing was written.
    fn is_busy(&self) -> bool;
}

/// An open write transaction: derefs to what statements run on.
///
/// It commits when the closure that got it returns `Ok`, and leaves no trace otherwise.
#[derive(Debug, Clone)]
pub struct Tx {
    transaction: Arc<DatabaseTransaction>,
}

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl Tx {
    async fn commit(self) -> Result<(), Error> {
        let transaction = Arc::into_inner(self.transaction).ok_or(Error::TransactionKept)?;
        #[cfg(test)]
        super::faults::call()?;
        transaction.commit().await?;
        #[cfg(test)]
        super::faults::committed()?;
        Ok(())
    }
}

impl Store {
    /// Runs `work` in one transaction and commits it; `Err` from `work` leaves no trace.
    ///
    /// The closure may run more than once and so must send nothing outward. It takes the transaction by value, so
    /// that its future is `Send` whatever it borrows: `store.write(|tx| async move { … sql::execute(&tx, …) … })`.
    /// Run it where no client can cancel it: a future dropped during COMMIT may or may not have committed.
    ///
    /// # Errors
    /// What `work` failed with, or the database; [`Error::Busy`] after the last try.
    pub async fn write<T, E, F, W>(&self, work: W) -> Result<T, E>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error> + Busy,
    {
        let mut tries = 1;
        loop {
            match self.write_once(&work).await {
                Err(error) if error.is_busy() && tries < TRANSACTION_TRIES_MAX => tries += 1,
                done => return done,
            }
        }
    }

    async fn write_once<T, E, F, W>(&self, work: &W) -> Result<T, E>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error> + Busy,
    {
        #[cfg(test)]
        super::faults::call()?;
        let transaction = self
            .inner
            .writer
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
            .map_err(Error::from)?;
        let tx = Tx {
            transaction: Arc::new(transaction),
        };
        let answer = match work(tx.clone()).await {
            Ok(answer) => answer,
            Err(error) => {
                self.roll_back(tx).await;
                return Err(error);
            }
        };
        match tx.commit().await {
            Ok(()) => {}
            Err(Error::TransactionKept) => return Err(Error::TransactionKept.into()),
            Err(error) => {
                self.renew_writer().await;
                return Err(error.into());
            }
        }
        self.inner.committed.notify_one();
        Ok(answer)
    }

    async fn roll_back(&self, tx: Tx) {
        let Some(transaction) = Arc::into_inner(tx.transaction) else {
            return;
        };
        if let Err(error) = transaction.rollback().await {
            tracing::warn!(%error, "a transaction could not be rolled back");
            self.renew_writer().await;
        }
    }

    /// Closes the connection for writing; the next transaction gets a new one.
    ///
    /// On a full disk SQLite gives a transaction up by itself. The driver goes on counting it as open and begins the
    /// next ones inside it, as savepoints: those would be answered as committed and never be. And on a connection to
    /// PostgreSQL that broke nobody knows what is open.
    async fn renew_writer(&self) {
        let writer = &self.inner.writer;
        let closed = match &self.inner.file {
            Some(_) => close_one(writer.get_sqlite_connection_pool()).await,
            None => close_one(writer.get_postgres_connection_pool()).await,
        };
        if let Err(error) = closed {
            tracing::warn!(%error, "the connection for writing could not be closed well");
        }
    }
}

async fn close_one<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Result<(), sqlx::Error> {
    pool.acquire().await?.close().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::storage::sql;
    use crate::storage::testing::TestStore;

    const INSERT: &str =
        "INSERT INTO network (name, display_name, created_at) VALUES (?, 'a network', 0)";

    async fn count(store: &Store) -> i64 {
        sql::one(store.reader(), "SELECT count(*) FROM network", [])
            .await
            .unwrap()
            .unwrap()
            .try_get_by_index(0)
            .unwrap()
    }

    #[tokio::test]
    async fn an_error_leaves_no_trace() {
        let test = TestStore::new().await;
        let failed: Result<(), Error> = test
            .store
            .write(|tx| async move {
                sql::execute(&*tx, INSERT, ["a".into()]).await?;
                Err(Error::TransactionKept)
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(count(&test.store).await, 0);
    }

    /// Lets the database take no page more, on the present connection for writing.
    async fn fill(store: &Store) {
        let pages = sql::one(store.reader(), "PRAGMA page_count", []).await;
        let pages: i64 = pages.unwrap().unwrap().try_get_by_index(0).unwrap();
        let limit = format!("PRAGMA max_page_count = {pages}");
        let limit = sql::one(&store.inner.writer, &limit, []).await;
        limit.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_fails_its_own_transaction_and_none_that_follows() {
        // The second statement is undone alone, while the first one takes its whole transaction along.
        const ONE: &str = "INSERT INTO network (name, display_name, created_at)
             VALUES ('one', hex(zeroblob(100000)), 0)";
        const SEVERAL: &str = "INSERT INTO network (name, display_name, created_at)
             SELECT 'n' || value, hex(zeroblob(100000)), 0
             FROM json_each('[1,2,3]')";
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let mut written = 0;
        for large in [ONE, SEVERAL, SEVERAL, ONE] {
            fill(store).await;
            let full: Result<u64, Error> = store
                .write(|tx| async move { sql::execute(&*tx, large, []).await })
                .await;
            assert!(matches!(full, Err(Error::Full(_))), "{full:?}");
            let name = format!("after {written}");
            let name = &name;
            store
                .write(|tx| async move { sql::execute(&*tx, INSERT, [name.as_str().into()]).await })
                .await
                .unwrap();
            written += 1;
            assert_eq!(
                count(store).await,
                written,
                "committed means visible to others"
            );
        }
    }

    #[tokio::test]
    async fn forty_writers_at_once_all_commit() {
        let test = TestStore::new().await;
        let writers = (0..40).map(|number| {
            let store = test.store.clone();
            tokio::spawn(async move {
                store
                    .write(|tx| async move {
                        sql::one(&*tx, "SELECT count(*) FROM network", []).await?;
                        sql::execute(&*tx, INSERT, [format!("n{number}").into()]).await
                    })
                    .await
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap().unwrap();
        }
        assert_eq!(count(&test.store).await, 40);
    }

    #[tokio::test]
    async fn busy_is_tried_again_a_bounded_number_of_times() {
        let test = TestStore::new().await;
        let tries = AtomicUsize::new(0);
        let tries_of = &tries;
        let failed: Result<(), Error> = test
            .store
            .write(|_| async move {
                tries_of.fetch_add(1, Ordering::Relaxed);
                Err(Error::Busy)
            })
            .await;
        assert!(matches!(failed, Err(Error::Busy)));
        assert_eq!(tries.load(Ordering::Relaxed), TRANSACTION_TRIES_MAX);
    }

    #[tokio::test]
    async fn a_transaction_kept_beyond_its_closure_is_an_error() {
        let test = TestStore::new().await;
        let kept = std::sync::Mutex::new(None);
        let kept_of = &kept;
        let failed: Result<(), Error> = test
            .store
            .write(|tx| async move {
                *kept_of.lock().unwrap() = Some(tx);
                Ok(())
            })
            .await;
        assert!(matches!(failed, Err(Error::TransactionKept)));
    }
}
