//! Bytes that are too large for the database, as files named by upload, never by digest: deleting one can never hit
//! another upload (ARCHITECTURE, invariant 3).
//!
//! `uploads/` holds what is half written, `blobs/` what is whole. Nothing is readable because it lies in `blobs/`: only
//! because a row says so.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use super::pieces::{Piece, Pieces};
use super::upload_file::{UploadFile, blocking};
use crate::domain::ids::BlobId;

/// Why an object could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The object is not there, or shorter than asked for.
    #[error("the object of blob {0} is missing or too short")]
    Missing(BlobId),
    /// The content store failed.
    #[error("the content store failed")]
    Store(#[source] object_store::Error),
    /// A file of the content store failed.
    #[error("the content store's file {} failed", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The work was given up because the program ends.
    #[error("the content store is closing")]
    Closing,
}

impl ObjectError {
    /// True when the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut at: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = at {
            let system = error.downcast_ref::<io::Error>();
            if system.is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
                return true;
            }
            at = error.source();
        }
        false
    }
}

/// A file in the content store, as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectFile {
    /// Whose bytes.
    pub id: BlobId,
    /// When it was last written, in microseconds since 1970-01-01 UTC.
    pub written_at: i64,
    /// Whether it lies among the uploads.
    pub half: bool,
}

/// Where the object of a blob lies below the directory of a content store.
#[must_use]
pub fn object_below(root: &FilePath, id: BlobId) -> PathBuf {
    root.join(object_path(id).as_ref())
}

/// The content store on local disk; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<LocalFileSystem>,
    root: PathBuf,
}

/// Where a whole object lies. The last byte of the id is random, its first ones are the time.
pub(super) fn object_path(id: BlobId) -> Path {
    let last = id.0.as_bytes()[15];
    Path::from(format!("blobs/{last:02x}/{}", id.0.simple()))
}

fn upload_path(id: BlobId) -> Path {
    Path::from(format!("uploads/{}", id.0.simple()))
}

impl Objects {
    /// Opens the content store in a directory, making it if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be made or reached.
    pub fn open(root: &FilePath) -> Result<Self, ObjectError> {
        let make = |path: PathBuf| {
            std::fs::create_dir_all(&path).map_err(|source| ObjectError::File { path, source })
        };
        make(root.join("uploads"))?;
        make(root.join("blobs"))?;
        // Without this, what is answered as durable would only be in the system's memory.
        let store = LocalFileSystem::new_with_prefix(root)
            .map_err(ObjectError::Store)?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            root: root.to_owned(),
        })
    }

    pub(super) fn root(&self) -> &FilePath {
        &self.root
    }

    /// Stores a whole object; durable when it returns.
    ///
    /// # Errors
    /// When the content store fails, such as on a full disk; nothing is left then.
    pub async fn put(&self, id: BlobId, bytes: Bytes) -> Result<(), ObjectError> {
        self.store
            .put(&object_path(id), bytes.into())
            .await
            .map(|_| ())
            .map_err(ObjectError::Store)
    }

    /// Moves the durable file of an upload to the whole objects; durable when it returns.
    ///
    /// # Errors
    /// When the file is not there, or the content store fails.
    pub async fn publish(&self, id: BlobId) -> Result<(), ObjectError> {
        let moved = self.store.rename(&upload_path(id), &object_path(id)).await;
        moved.map_err(|error| missing_or(id, error))
    }

    /// Deletes an object, whole or half; one that is not there is fine.
    ///
    /// # Errors
    /// When the content store fails.
    pub async fn delete(&self, id: BlobId) -> Result<(), ObjectError> {
        for path in [object_path(id), upload_path(id)] {
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(ObjectError::Store(error)),
            }
        }
        Ok(())
    }

    /// The number of bytes of a whole object; `None` when it is not there.
    ///
    /// # Errors
    /// When the content store fails.
    pub async fn size(&self, id: BlobId) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&object_path(id)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ObjectError::Store(error)),
        }
    }

    /// Reads a piece of a whole object.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] when it is not there or ends before `end`.
    pub async fn read(&self, id: BlobId, start: u64, end: u64) -> Result<Bytes, ObjectError> {
        match self.store.get_range(&object_path(id), start..end).await {
            Ok(bytes) if u64::try_from(bytes.len()) == Ok(end - start) => Ok(bytes),
            Ok(_) => Err(ObjectError::Missing(id)),
            Err(error) => match self.size(id).await? {
                Some(size) if size >= end => Err(ObjectError::Store(error)),
                _ => Err(ObjectError::Missing(id)),
            },
        }
    }

    /// Finds parts of objects, for copying.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] when one is not there or ends too early.
    pub async fn find_pieces(&self, pieces: Vec<Piece>) -> Result<Pieces, ObjectError> {
        let root = self.root.clone();
        blocking(move || Pieces::find(pieces, |id| root.join(object_path(id).as_ref()))).await
    }

    /// Opens the file of an upload behind its committed bytes, cutting what lies after them.
    ///
    /// `None` when fewer bytes are there than were committed.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn open_upload(
        &self,
        id: BlobId,
        committed: u64,
    ) -> Result<Option<UploadFile>, ObjectError> {
        let path = self.root.join(upload_path(id).as_ref());
        if committed > 0 && self.size(id).await?.is_some() {
            // A crash between the move and its row: the sender may go on where it was.
            let back = self.store.rename(&object_path(id), &upload_path(id)).await;
            back.map_err(|error| missing_or(id, error))?;
        }
        UploadFile::open(path, committed).await
    }

    /// Deletes what a crash left of objects that were being put: files beside them with `#` and a number at the end,
    /// which no listing shows. Answers how many.
    ///
    /// # Errors
    /// When the content store fails.
    pub async fn delete_staging(&self, written_before: i64) -> Result<u64, ObjectError> {
        let path = self.root.join("blobs");
        blocking(move || {
            let deleted = delete_staging(&path, written_before);
            deleted.map_err(|source| ObjectError::File { path, source })
        })
        .await
    }

    /// What lies in the content store, in chunks; with foreign files left out.
    ///
    /// # Errors
    /// When the content store fails; the listing ends then.
    pub fn list(
        &self,
        chunk: usize,
    ) -> impl futures::Stream<Item = Result<Vec<ObjectFile>, ObjectError>> + Send + use<> {
        self.store
            .list(None)
            .try_filter_map(|meta| async move { Ok(object_file(&meta)) })
            .map_err(ObjectError::Store)
            .try_chunks(chunk)
            .map(|listed| listed.map_err(|error| error.1))
    }
}

fn delete_staging(blobs: &FilePath, written_before: i64) -> io::Result<u64> {
    let mut deleted = 0;
    for directory in std::fs::read_dir(blobs)? {
        for entry in std::fs::read_dir(directory?.path())? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().contains('#') {
                continue;
            }
            let age = entry
                .metadata()?
                .modified()?
                .duration_since(SystemTime::UNIX_EPOCH);
            let written_at =
                age.map_or(0, |age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
            if written_at < written_before {
                std::fs::remove_file(entry.path())?;
                deleted += 1;
            }
        }
    }
    Ok(deleted)
}

fn object_file(meta: &object_store::ObjectMeta) -> Option<ObjectFile> {
    let id = Uuid::try_parse(meta.location.filename()?).ok()?;
    Some(ObjectFile {
        id: BlobId(id),
        written_at: meta.last_modified.timestamp_micros(),
        half: meta.location.as_ref().starts_with("uploads/"),
    })
}

fn missing_or(id: BlobId, error: object_store::Error) -> ObjectError {
    match error {
        object_store::Error::NotFound { .. } => ObjectError::Missing(id),
        error => ObjectError::Store(error),
    }
}
