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
        Ok(transaction.commit().await?)
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
        let answer = work(tx.clone()).await?;
        tx.commit().await?;
        self.inner.committed.notify_one();
        Ok(answer)
    }
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
