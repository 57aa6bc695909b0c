//! Locks on files: one coordinator per database file, and no collection while a backup is made.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Error;

/// A lock on a file; the system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who may have a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody else.
    Alone,
    /// Others who share it.
    Shared,
}

impl Lock {
    /// Takes the lock of a database file, or says at once that someone has it.
    ///
    /// # Errors
    /// [`Error::InUse`], or [`Error::File`] when the file of the lock cannot be used.
    pub fn take(database: &Path) -> Result<Self, Error> {
        let path = beside(database);
        let failed = |source| Error::File {
            path: path.clone(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let taken = Self::on(&path, Sharing::Alone).map_err(failed)?;
        taken.ok_or_else(|| Error::InUse {
            database: database.display().to_string(),
        })
    }

    /// Takes the lock on a file, which is made if it is missing; none when somebody else has it.
    pub(crate) fn on(path: &Path, sharing: Sharing) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        Self::of(file, sharing)
    }

    /// The same on a directory, which must be there.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    pub fn on_directory(path: &Path) -> io::Result<Option<Self>> {
        Self::of(File::open(path)?, Sharing::Alone)
    }

    fn of(file: File, sharing: Sharing) -> io::Result<Option<Self>> {
        let operation = match sharing {
            Sharing::Alone => FlockOperation::NonBlockingLockExclusive,
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".lock");
    name.into()
}
