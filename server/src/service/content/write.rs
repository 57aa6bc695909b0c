//! Taking in many small contents at once.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::{Content, Sender, verify};
use crate::domain::ids::{BlobId, Digest};
use crate::domain::limits::{
    CONTENT_BATCH_BYTES_MAX, CONTENT_BATCH_ITEMS_MAX, CONTENT_IN_DATABASE_BYTES_MAX,
};
use crate::service::Error;
use crate::storage::content_index::{self, NewContent, Place};

/// Objects that one call writes at once.
const OBJECTS_AT_ONCE: usize = 4;

/// A content as it was sent; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The claimed digest.
    pub digest: Digest,
    /// The claimed size.
    pub size: i64,
    /// The bytes.
    pub bytes: Bytes,
}

impl Content {
    /// Verifies and keeps several contents; all of them are durable when it returns, or none is there.
    ///
    /// # Errors
    /// [`Error::InvalidField`] above the limits, [`Error::DigestMismatch`] when a claim is wrong.
    pub async fn batch_write(&self, sender: Sender, sent: Vec<Sent>) -> Result<(), Error> {
        check_limits(&sent)?;
        let content = self.clone();
        self.coordinator
            .uncancelled(async move {
                let sent = verified(sent).await?;
                let contents: Vec<NewContent> = stream::iter(sent)
                    .map(|sent| content.placed(sent))
                    .buffered(OBJECTS_AT_ONCE)
                    .try_collect()
                    .await?;
                content.keep(sender, &contents).await
            })
            .await
    }

    /// Puts bytes that are too large for the database into an object.
    async fn placed(&self, sent: Sent) -> Result<NewContent, Error> {
        let place = if sent.bytes.len() <= CONTENT_IN_DATABASE_BYTES_MAX {
            Place::Database(sent.bytes)
        } else {
            let id = BlobId(Uuid::now_v7());
            self.objects.put(id, sent.bytes).await?;
            tandem_crash::at("S3");
            Place::Object(id)
        };
        Ok(NewContent {
            digest: sent.digest,
            size: sent.size,
            place,
        })
    }

    /// Notes verified and durable contents as sent by the repository.
    pub(super) async fn keep(&self, sender: Sender, contents: &[NewContent]) -> Result<(), Error> {
        let now = self.now();
        let (network, repository) = (sender.network, sender.repository);
        let unused = self
            .store()
            .write(|tx| async move {
                let put = content_index::put_in(&*tx, network, repository, contents, now).await;
                put.map_err(Error::from)
            })
            .await?;
        self.drop_objects(&unused).await;
        Ok(())
    }

    /// Deletes objects that no row names; what cannot be deleted now is found by a later collection.
    pub(super) async fn drop_objects(&self, objects: &[BlobId]) {
        for id in objects {
            if let Err(error) = self.objects.delete(*id).await {
                tracing::warn!(%id, %error, "an unused object stays until the next collection");
            }
        }
    }
}

fn check_limits(sent: &[Sent]) -> Result<(), Error> {
    let total: usize = sent.iter().map(|sent| sent.bytes.len()).sum();
    let rule = if sent.len() > CONTENT_BATCH_ITEMS_MAX {
        format!("at most {CONTENT_BATCH_ITEMS_MAX} contents; send them in several calls")
    } else if total > CONTENT_BATCH_BYTES_MAX {
        format!("together at most {CONTENT_BATCH_BYTES_MAX} bytes; send large contents with Write")
    } else {
        return Ok(());
    };
    Err(Error::invalid("contents", rule))
}

/// Hashing megabytes would hold up everything else on an executor thread.
async fn verified(sent: Vec<Sent>) -> Result<Vec<Sent>, Error> {
    tokio::task::spawn_blocking(move || {
        for sent in &sent {
            verify(sent.digest, sent.size, &sent.bytes)?;
        }
        Ok(sent)
    })
    .await
    .unwrap_or(Err(Error::Draining))
}
