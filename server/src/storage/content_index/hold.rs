//! Collection and backups keep out of each other's way, also in two processes (ARCHITECTURE, invariant 3): what the copy
//! of a database names must lie there until it is copied, too.

use std::path::Path;

use super::objects::{ObjectError, Objects};
use crate::domain::planted::planted;
use crate::storage::lock::{Lock, Sharing};

/// The file of the lock, in the directory of the content store.
pub const COLLECTION_LOCK: &str = "collection.lock";

/// While one of collection has it, no backup begins; while a backup has one, nothing is collected.
#[derive(Debug)]
pub struct Hold {
    _lock: Lock,
}

impl Objects {
    /// Begins to collect; none while a backup is made.
    ///
    /// # Errors
    /// When the file of the lock cannot be used.
    pub fn begin_collecting(&self) -> Result<Option<Hold>, ObjectError> {
        if planted("collected-during-a-backup") {
            return take(self.root(), Sharing::Shared);
        }
        take(self.root(), Sharing::Alone)
    }

    /// Keeps collection away for as long as the answer lives; none while something is being collected.
    ///
    /// # Errors
    /// When the file of the lock cannot be used.
    pub fn hold_collection(&self) -> Result<Option<Hold>, ObjectError> {
        take(self.root(), Sharing::Shared)
    }
}

fn take(root: &Path, sharing: Sharing) -> Result<Option<Hold>, ObjectError> {
    let path = root.join(COLLECTION_LOCK);
    let taken = Lock::on(&path, sharing);
    let taken = taken.map_err(|source| ObjectError::File { path, source })?;
    Ok(taken.map(|lock| Hold { _lock: lock }))
}
