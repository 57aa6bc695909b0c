//! Which uploads run: one for a content of a repository, and not too many of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::{Digest, RepositoryId};
use crate::domain::limits::UPLOADS_AT_ONCE_PER_REPOSITORY_MAX;
use crate::service::Error;

type Running = BTreeMap<RepositoryId, BTreeSet<Digest>>;

/// The uploads that run; one coordinator serves a database file, so its memory is enough.
#[derive(Debug, Clone, Default)]
pub(super) struct UploadSlots {
    running: Arc<Mutex<Running>>,
}

/// The right to write one upload's file; ends when dropped.
#[derive(Debug)]
pub(super) struct UploadSlot {
    slots: UploadSlots,
    repository: RepositoryId,
    digest: Digest,
}

impl UploadSlots {
    /// Takes the slot of one upload.
    pub(super) fn take(
        &self,
        repository: RepositoryId,
        digest: Digest,
    ) -> Result<UploadSlot, Error> {
        let mut running = self.lock();
        let of_repository = running.entry(repository).or_default();
        if of_repository.contains(&digest) {
            return Err(Error::RateLimited {
                limit: "uploads of one content at once",
            });
        }
        if of_repository.len() >= UPLOADS_AT_ONCE_PER_REPOSITORY_MAX {
            return Err(Error::RateLimited {
                limit: "uploads of one repository at once",
            });
        }
        of_repository.insert(digest);
        Ok(UploadSlot {
            slots: self.clone(),
            repository,
            digest,
        })
    }

    /// Each change is one insert or remove, so a poisoned lock holds nothing half done.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut running = self.slots.lock();
        if let Some(of_repository) = running.get_mut(&self.repository) {
            of_repository.remove(&self.digest);
            if of_repository.is_empty() {
                running.remove(&self.repository);
            }
        }
    }
}
