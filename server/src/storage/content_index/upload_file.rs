//! The half-written file of an upload.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::objects::ObjectError;
use super::pieces::{Flushing, Pieces};
use crate::domain::ids::Digest;

/// Bytes that are read at once when the committed part is hashed again.
const HASH_CHUNK_BYTES: usize = 1024 * 1024;

/// The open file of an upload, with the digest of all that was written.
///
/// Every step takes it by value and gives it back: a step that failed or was given up leaves nobody with a file in an
/// unknown state.
#[derive(Debug)]
pub struct UploadFile {
    path: PathBuf,
    file: File,
    flushing: Flushing,
    hasher: Sha256,
    length: u64,
}

impl UploadFile {
    /// Opens the file behind its committed bytes, cutting what lies after them; makes it if nothing was committed.
    pub(super) async fn open(path: PathBuf, committed: u64) -> Result<Option<Self>, ObjectError> {
        blocking(move || {
            let opened = open(&path, committed);
            opened.map_err(|source| ObjectError::File { path, source })
        })
        .await
    }

    /// The number of bytes written.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The digest of the bytes written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(self.hasher.clone().finalize().into())
    }

    /// Writes at the end; not durable yet.
    ///
    /// # Errors
    /// When the file fails, such as on a full disk.
    pub async fn append(mut self, bytes: Bytes) -> Result<Self, ObjectError> {
        blocking(move || {
            if let Err(source) = self.file.write_all(&bytes) {
                return Err(self.failed(source));
            }
            self.hasher.update(&bytes);
            // usize always fits into u64 where this program runs.
            self.length += bytes.len() as u64;
            Ok(self)
        })
        .await
    }

    /// Writes at the end what is there already; not durable yet.
    ///
    /// # Errors
    /// When one of the files fails.
    pub async fn copy(mut self, pieces: Pieces) -> Result<Self, ObjectError> {
        blocking(move || {
            if let Err(source) = pieces.copy(&mut self.file, &mut self.flushing, &mut self.hasher) {
                return Err(self.failed(source));
            }
            self.length += pieces.length();
            Ok(self)
        })
        .await
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// When the file fails; nothing of it may be trusted then.
    pub async fn sync(mut self) -> Result<Self, ObjectError> {
        blocking(
            move || match self.flushing.end().and_then(|()| self.file.sync_data()) {
                Ok(()) => Ok(self),
                Err(source) => Err(self.failed(source)),
            },
        )
        .await
    }

    fn failed(self, source: io::Error) -> ObjectError {
        ObjectError::File {
            path: self.path,
            source,
        }
    }
}

fn open(path: &PathBuf, committed: u64) -> io::Result<Option<UploadFile>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() < committed {
        return Ok(None);
    }
    file.set_len(committed)?;
    if committed == 0 {
        // The committed bytes of later are worth nothing without the file's name.
        let directory = path.parent().map_or_else(|| ".".into(), PathBuf::from);
        File::open(directory)?.sync_all()?;
    }
    let hasher = hash(&mut file, committed)?;
    file.seek(SeekFrom::Start(committed))?;
    Ok(Some(UploadFile {
        path: path.clone(),
        file,
        flushing: Flushing::default(),
        hasher,
        length: committed,
    }))
}

fn hash(file: &mut File, committed: u64) -> io::Result<Sha256> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_CHUNK_BYTES];
    let mut rest = file.take(committed);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(hasher),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Runs work that waits for a disk where it holds up nothing else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(ObjectError::Closing))
}
