//! The files of a backup: copied with a look at every byte, durable, and under their names when all is whole.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Copied, Error, LeftOut, Step, Told};
use crate::domain::ids::Digest;
use crate::domain::limits::BACKUP_STEP_BYTES;
use crate::storage::Lock;
use crate::storage::content_index::{StoredObject, object_below};

/// What an object turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// What it should be.
    Whole,
    /// Not there.
    Missing,
    /// Other bytes than it should have.
    Damaged,
}

/// The path with something added to its name. A slash at the end, as shells complete it, is no part of that.
pub(super) fn beside(path: &Path, added: &str) -> PathBuf {
    let mut name = OsString::from(path.components().collect::<PathBuf>());
    name.push(added);
    name.into()
}

/// A backup overwrites nothing.
pub(super) fn refuse_existing(directory: &Path) -> Result<(), Error> {
    match directory.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file(directory)(error)),
        Ok(_) => Err(Error::Exists(directory.to_owned())),
    }
}

/// A backup is no content: what lies in the content store is looked at and cleared away there.
pub(super) fn refuse_within(content: &Path, directory: &Path) -> Result<(), Error> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file(path));
    match absolute(directory)?.starts_with(absolute(content)?) {
        true => Err(Error::Within(directory.to_owned())),
        false => Ok(()),
    }
}

/// Makes a directory for the user alone, with what is missing above it.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::file(path))
}

/// Makes the directory in which a backup comes to be, and empties it of what an earlier try left.
pub(super) fn begin_part(part: &Path) -> Result<Lock, Error> {
    let made = DirBuilder::new().mode(0o700).create(part);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(Error::file(part))?,
    }
    let lock = Lock::on_directory(part).map_err(Error::file(part))?;
    let lock = lock.ok_or_else(|| Error::Running(part.to_owned()))?;
    for entry in std::fs::read_dir(part).map_err(Error::file(part))? {
        remove(&entry.map_err(Error::file(part))?.path())?;
    }
    Ok(lock)
}

/// Removes a file, or a directory with all that is in it; what is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::file(path)),
    }
}

/// Makes all of a directory durable, and then gives it its name.
pub(super) fn publish(part: &Path, name: &Path) -> Result<(), Error> {
    flush_all(part)?;
    rename(part, name)
}

/// Makes durable whatever was written to the file system of a directory: one call, however many files.
pub(super) fn flush_all(directory: &Path) -> Result<(), Error> {
    let failed = Error::file(directory);
    let flush = || -> io::Result<()> { Ok(rustix::fs::syncfs(File::open(directory)?)?) };
    flush().map_err(failed)
}

/// Gives a file or directory another name, durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let renamed = || -> io::Result<()> {
        std::fs::rename(from, to)?;
        let above = to.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    renamed().map_err(Error::file(to))
}

/// Copies a file; answers the digest and number of its bytes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(Digest, u64), Error> {
    let mut target = File::create_new(to).map_err(Error::file(to))?;
    read_all(from, |bytes| {
        target.write_all(bytes).map_err(Error::file(to))
    })
}

/// The digest and number of the bytes of a file.
pub(super) fn digest_of_file(path: &Path) -> Result<(Digest, u64), Error> {
    read_all(path, |_| Ok(()))
}

/// Reads a file step by step; answers the digest and number of its bytes.
fn read_all(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(Digest, u64), Error> {
    let mut file = File::open(path).map_err(Error::file(path))?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; BACKUP_STEP_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(Error::file(path))?;
        if read == 0 {
            return Ok((Digest(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        take(&buffer[..read])?;
        // usize always fits into u64 where this program runs.
        length += read as u64;
    }
}

/// What the file of an object is; `quick` looks at its length only.
pub(in crate::service) fn state_of_file(
    path: &Path,
    digest: Digest,
    size: i64,
    quick: bool,
) -> Result<Kept, Error> {
    let found = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::Missing),
        found => found.map_err(Error::file(path))?,
    };
    if Ok(found.len()) != u64::try_from(size) {
        return Ok(Kept::Damaged);
    }
    Ok(match quick || digest_of_file(path)?.0 == digest {
        true => Kept::Whole,
        false => Kept::Damaged,
    })
}

/// Copies objects from one content store to the place of another.
#[derive(Clone)]
pub(super) struct Copier {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    /// Give them a second name instead.
    pub(super) link: bool,
    pub(super) told: Told,
}

impl Copier {
    /// Copies these, and adds to what was copied.
    pub(super) async fn copy(
        self,
        objects: Vec<StoredObject>,
        mut copied: Copied,
    ) -> Result<Copied, Error> {
        let work = move || {
            for object in objects {
                self.add(&object, &mut copied)?;
            }
            Ok(copied)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(Error::Closing))
    }

    fn add(&self, object: &StoredObject, copied: &mut Copied) -> Result<(), Error> {
        let is = self.one(object)?;
        if is != Kept::Whole {
            copied.left_out.push(LeftOut {
                id: object.id,
                digest: object.digest,
                size: object.size,
                is,
            });
            return Ok(());
        }
        copied.objects += 1;
        copied.bytes += u64::try_from(object.size).unwrap_or(0);
        (self.told)(Step::Objects {
            objects: copied.objects,
            bytes: copied.bytes,
        });
        Ok(())
    }

    fn one(&self, object: &StoredObject) -> Result<Kept, Error> {
        let from = object_below(&self.from, object.id);
        let to = object_below(&self.to, object.id);
        let is = state_of_file(&from, object.digest, object.size, true)?;
        if is != Kept::Whole {
            return Ok(is);
        }
        if let Some(above) = to.parent() {
            make_directory(above)?;
        }
        if self.link {
            std::fs::hard_link(&from, &to).map_err(Error::file(&to))?;
            return Ok(Kept::Whole);
        }
        let (digest, _) = copy(&from, &to)?;
        if digest == object.digest {
            return Ok(Kept::Whole);
        }
        remove(&to)?;
        Ok(Kept::Damaged)
    }
}

impl std::fmt::Debug for Copier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, .. } = self;
        write!(f, "Copier({} to {})", from.display(), to.display())
    }
}

/// Tells nobody.
#[must_use]
pub fn quietly() -> Told {
    Arc::new(|_| {})
}
