//! Bytes that are there already, put together to a new file (R-CNT-1).
//!
//! They are copied by the system, hashed, and brought to the disk beside each other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::objects::ObjectError;
use crate::domain::ids::BlobId;

/// Bytes that are hashed at once: few enough to stay near the processor.
const HASH_STEP_BYTES: usize = 256 * 1024;
/// Bytes after which a flush begins, so that the last one has little left to do.
const FLUSH_BYTES: u64 = 64 * 1024 * 1024;

/// A part of a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// A part of an object.
    Object {
        /// Which object.
        id: BlobId,
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
}

/// Parts of a new file, found: what is missing was noticed before anything is written.
#[derive(Debug)]
pub struct Pieces(Vec<Found>);

#[derive(Debug)]
enum Found {
    Bytes(Bytes),
    Part { path: PathBuf, start: u64, end: u64 },
}

/// A flush of a file that runs beside what is written to it meanwhile.
#[derive(Debug, Default)]
pub(super) struct Flushing(Option<JoinHandle<io::Result<()>>>);

impl Flushing {
    /// Begins with what was written so far, when the one before has ended.
    pub(super) fn begin(&mut self, file: &File) -> io::Result<()> {
        self.end()?;
        let file = file.try_clone()?;
        let flush = thread::Builder::new().spawn(move || file.sync_data())?;
        self.0 = Some(flush);
        Ok(())
    }

    /// Waits for it. What failed here is told nowhere else: the system tells each failure once.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let Some(flush) = self.0.take() else {
            return Ok(());
        };
        let broken = |_| Err(io::Error::other("a flush broke off"));
        flush.join().unwrap_or_else(broken)
    }
}

/// The file that was read last; many parts in a row lie in one.
#[derive(Default)]
struct Source<'a>(Option<(&'a Path, File)>);

impl<'a> Source<'a> {
    fn at(&mut self, path: &'a Path) -> io::Result<&File> {
        let present = self.0.take().filter(|(open, _)| *open == path);
        let present = match present {
            Some(present) => present,
            None => (path, File::open(path)?),
        };
        Ok(&self.0.insert(present).1)
    }
}

impl Pieces {
    /// Finds parts; `path` tells where an object lies.
    pub(super) fn find(
        pieces: Vec<Piece>,
        path: impl Fn(BlobId) -> PathBuf,
    ) -> Result<Self, ObjectError> {
        let mut last: Option<(BlobId, u64)> = None;
        let mut found = Vec::with_capacity(pieces.len());
        for piece in pieces {
            found.push(match piece {
                Piece::Bytes(bytes) => Found::Bytes(bytes),
                Piece::Object { id, start, end } => {
                    let path = path(id);
                    let length = match last.filter(|last| last.0 == id) {
                        Some((_, length)) => length,
                        None => length(id, &path)?,
                    };
                    last = Some((id, length));
                    if start > end || end > length {
                        return Err(ObjectError::Missing(id));
                    }
                    Found::Part { path, start, end }
                }
            });
        }
        Ok(Self(found))
    }

    /// The number of bytes of all of them.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.0.iter().map(|piece| match piece {
            // usize always fits into u64 where this program runs.
            Found::Bytes(bytes) => bytes.len() as u64,
            Found::Part { start, end, .. } => end - start,
        });
        lengths.sum()
    }

    /// Writes all of them to where the file stands, and hashes them.
    pub(super) fn copy(
        &self,
        to: &mut File,
        flushing: &mut Flushing,
        hasher: &mut Sha256,
    ) -> io::Result<()> {
        thread::scope(|scope| {
            let hashing = scope.spawn(|| self.hash(hasher));
            let written = self.write(to, flushing);
            let hashed = hashing.join();
            written?;
            hashed.unwrap_or_else(|_| Err(io::Error::other("hashing broke off")))
        })
    }

    fn hash(&self, hasher: &mut Sha256) -> io::Result<()> {
        let mut buffer = vec![0; HASH_STEP_BYTES];
        let mut source = Source::default();
        for piece in &self.0 {
            let (path, mut at, end) = match piece {
                Found::Bytes(bytes) => {
                    hasher.update(bytes);
                    continue;
                }
                Found::Part { path, start, end } => (path, *start, *end),
            };
            let file = source.at(path)?;
            while at < end {
                let step = step(at, end, HASH_STEP_BYTES as u64);
                let read = &mut buffer[..usize::try_from(step).unwrap_or(HASH_STEP_BYTES)];
                file.read_exact_at(read, at)?;
                hasher.update(read);
                at += step;
            }
        }
        Ok(())
    }

    fn write(&self, to: &mut File, flushing: &mut Flushing) -> io::Result<()> {
        let mut open = 0;
        let mut source = Source::default();
        for piece in &self.0 {
            let (path, mut at, end) = match piece {
                Found::Bytes(bytes) => {
                    to.write_all(bytes)?;
                    open += bytes.len() as u64;
                    continue;
                }
                Found::Part { path, start, end } => (path, *start, *end),
            };
            let mut file = source.at(path)?;
            file.seek(SeekFrom::Start(at))?;
            while at < end {
                let step = step(at, end, FLUSH_BYTES - open.min(FLUSH_BYTES - 1));
                // The system copies from file to file without these bytes coming here.
                if io::copy(&mut file.take(step), to)? != step {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                (at, open) = (at + step, open + step);
                if open >= FLUSH_BYTES {
                    flushing.begin(to)?;
                    open = 0;
                }
            }
        }
        Ok(())
    }
}

fn length(id: BlobId, path: &Path) -> Result<u64, ObjectError> {
    let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ObjectError::Missing(id),
        _ => ObjectError::File {
            path: path.to_owned(),
            source,
        },
    })?;
    Ok(metadata.len())
}

fn step(at: u64, end: u64, step_max: u64) -> u64 {
    (end - at).min(step_max)
}
