//! Content bytes: who must still send what, taking them in, and handing them out (R-CNT-1).
//!
//! Nothing is readable before it is whole, verified and durable. Whoever asks is a credential's network and repository,
//! never what a message claims.

mod chunks;
mod collector;
mod known;
mod read;
mod upload;
mod upload_slots;
mod write;

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

/// The files, and who reads what: the words of the one place that decides it.
pub use crate::storage::content_index::{NewChunk, Objects, Reader, Source, SourceName};
pub use chunks::ClaimedChunk;
pub use collector::{Collected, Collector, CollectorOptions};
pub use read::Chunk;
pub use upload::{Begun, Progress, UploadSession};
pub use write::Sent;

use crate::domain::ids::{Digest, NetworkId, RepositoryId};
use crate::domain::limits::{CONTENT_TOUCH_AFTER_MICROSECONDS, DIGESTS_PER_CALL_MAX};
use crate::service::{AgentScope, Coordinator, Error};
use crate::storage::Store;
use crate::storage::content_index::{self, ObjectError};
use upload_slots::UploadSlots;

/// The repository of an agent's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its network.
    pub network: NetworkId,
    /// Itself.
    pub repository: RepositoryId,
}

impl From<&AgentScope> for Sender {
    fn from(scope: &AgentScope) -> Self {
        Self {
            network: scope.network,
            repository: scope.repository,
        }
    }
}

/// The content of one coordinator; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Content {
    coordinator: Coordinator,
    objects: Objects,
    slots: UploadSlots,
}

impl Content {
    /// Content that is kept in the coordinator's database and this content store.
    #[must_use]
    pub fn new(coordinator: Coordinator, objects: Objects) -> Self {
        Self {
            coordinator,
            objects,
            slots: UploadSlots::default(),
        }
    }

    fn now(&self) -> i64 {
        self.coordinator.clock.now()
    }

    fn store(&self) -> &Store {
        &self.coordinator.store
    }

    /// Tells which of the digests this repository must still send: those that it neither sent nor received (R-CNT-1).
    ///
    /// Whether another repository has them makes no difference. What is not in the answer stays for the grace period.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for none or too many digests.
    pub async fn find_missing(
        &self,
        sender: Sender,
        digests: Vec<Digest>,
    ) -> Result<Vec<Digest>, Error> {
        if digests.is_empty() || digests.len() > DIGESTS_PER_CALL_MAX {
            return Err(Error::invalid(
                "digests",
                format!("1 to {DIGESTS_PER_CALL_MAX} digests; ask in several calls"),
            ));
        }
        let content = self.clone();
        self.coordinator
            .uncancelled(async move {
                let there = content.reliable(sender.repository, &digests).await?;
                let mut asked = BTreeSet::new();
                let missing = digests.into_iter();
                Ok(missing
                    .filter(|digest| !there.contains(digest) && asked.insert(*digest))
                    .collect())
            })
            .await
    }

    /// Those of the digests that are there and stay for the grace period.
    ///
    /// Writes only when the last touch was long ago: collection waits longer than the grace by that time.
    async fn reliable(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<BTreeSet<Digest>, Error> {
        let now = self.now();
        let there = content_index::presence(self.store().reader(), repository, digests).await?;
        let is_fresh = |touched_at: i64| touched_at > now - CONTENT_TOUCH_AFTER_MICROSECONDS;
        let stale: Vec<Digest> = there
            .iter()
            .filter(|(_, presence)| !is_fresh(presence.touched_at))
            .map(|(digest, _)| *digest)
            .collect();
        if stale.is_empty() {
            return Ok(there.into_keys().collect());
        }
        let stale = &stale;
        self.store()
            .write(|tx| async move {
                content_index::touch_in(&*tx, repository, stale, now).await?;
                Ok(content_index::present_in(&*tx, repository, digests).await?)
            })
            .await
    }
}

/// Computes the digest of bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Checks that bytes have the digest and size that were claimed; nothing else may be stored (SPEC §12).
///
/// # Errors
/// [`Error::DigestMismatch`] when they do not.
pub fn verify(digest: Digest, size: i64, bytes: &[u8]) -> Result<(), Error> {
    let size_holds = i64::try_from(bytes.len()) == Ok(size);
    if size_holds && digest_of(bytes) == digest {
        Ok(())
    } else {
        Err(Error::DigestMismatch { digest })
    }
}

impl From<ObjectError> for Error {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(blob) => Self::Internal {
                detail: format!("the object of blob {blob} is missing or too short"),
            },
            ObjectError::Closing => Self::Draining,
            full if full.is_full() => {
                tracing::error!(error = %full, "the disk of the data directory is full; make room on it");
                Self::StoreFull
            }
            away @ (ObjectError::Store(_) | ObjectError::File { .. }) => {
                let cause = std::error::Error::source(&away).map(ToString::to_string);
                tracing::error!(error = %away, cause, "the content store cannot be used");
                Self::StoreUnavailable
            }
        }
    }
}

#[cfg(test)]
mod tests;
