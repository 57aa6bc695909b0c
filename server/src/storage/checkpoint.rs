//! Moves the log into the database file, on a connection of its own (ARCHITECTURE, invariant 13).
//!
//! With the automatic checkpoint of SQLite the commit that fills the log pays for all of it; measured: spikes of 15 to
//! 50 ms.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Error, Store, sql};
use crate::domain::limits::{CHECKPOINT_INTERVAL_MILLISECONDS, WAL_BYTES_MAX};

impl Store {
    /// Runs until it is told to stop: after commits, and at most once per interval, moves what it can without making
    /// any writer wait. Without commits it sleeps. PostgreSQL makes its checkpoints itself.
    pub async fn checkpoint_task(&self, shutdown: CancellationToken) {
        let work = async {
            loop {
                self.inner.committed.notified().await;
                tokio::time::sleep(Duration::from_millis(CHECKPOINT_INTERVAL_MILLISECONDS)).await;
                if let Err(error) = self.checkpoint().await {
                    tracing::warn!(error = %error, "checkpoint failed; the log grows until one works");
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    async fn checkpoint(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else {
            return Ok(());
        };
        sql::one(&file.checkpointer, "PRAGMA wal_checkpoint(PASSIVE)", []).await?;
        if self.wal_bytes() > WAL_BYTES_MAX {
            // Little is left after the passive one, so writers wait for little.
            self.checkpoint_all().await?;
        }
        Ok(())
    }

    /// Moves all of the log and cuts it to nothing; writers wait meanwhile.
    pub(crate) async fn checkpoint_all(&self) -> Result<(), Error> {
        if let Some(file) = &self.inner.file {
            let text = "PRAGMA wal_checkpoint(TRUNCATE)";
            sql::one(&file.checkpointer, text, []).await?;
        }
        Ok(())
    }

    /// Bytes of the log beside the file of the database.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        let Some(file) = &self.inner.file else {
            return 0;
        };
        let mut path = file.path.as_os_str().to_owned();
        path.push("-wal");
        std::fs::metadata(path).map_or(0, |metadata| metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::TestStore;

    #[tokio::test]
    async fn a_full_checkpoint_empties_the_log() {
        let test = TestStore::sqlite().await;
        assert!(test.store.wal_bytes() > 0, "the migrations are in the log");
        test.store.checkpoint_all().await.unwrap();
        assert_eq!(test.store.wal_bytes(), 0);
    }

    #[tokio::test]
    async fn the_task_ends_when_told() {
        let test = TestStore::new().await;
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        test.store.checkpoint_task(shutdown).await;
    }
}
