//! What a database is told when it comes back from a backup (R-AGT-4).

use sea_orm::ConnectionTrait;

use super::content_index::{self, StoredObject};
use super::{Error, Store, sql};
use crate::domain::ids::BlobId;
use crate::domain::limits::COLLECT_ROWS_MAX;

impl Store {
    /// Objects that the database names, behind one of them.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn objects_behind(&self, after: Option<BlobId>) -> Result<Vec<StoredObject>, Error> {
        content_index::objects_behind(self.reader(), after, COLLECT_ROWS_MAX).await
    }

    /// Notes that the database is an older one than agents remember: with the next session of each all is listed anew.
    /// What was half uploaded is no longer there. Answers the number of repositories.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn mark_restored(&self) -> Result<u64, Error> {
        self.write(|tx| async move { mark_in(&*tx).await }).await
    }

    /// Notes that objects are not there: who has the content is asked for it again.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn mark_missing(&self, blobs: &[BlobId]) -> Result<(), Error> {
        for dose in blobs.chunks(COLLECT_ROWS_MAX) {
            self.write(|tx| async move {
                for blob in dose {
                    content_index::mark_damaged_in(&*tx, *blob).await?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        }
        Ok(())
    }
}

async fn mark_in<C: ConnectionTrait>(tx: &C) -> Result<u64, Error> {
    sql::execute(tx, "DELETE FROM upload", []).await?;
    sql::execute(tx, "UPDATE repository SET restored = 1", []).await
}
