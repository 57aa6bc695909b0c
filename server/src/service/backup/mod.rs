//! Backups that are made while a coordinator serves, and what comes back from one (R-AGT-4).
//!
//! State first, then objects, with collection held off: whatever the copy of the database names is copied, too
//! (ARCHITECTURE, invariant 3). An object never changes, so it may be copied at any later time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{BlobId, Digest};
use crate::domain::limits::{BACKUP_WAIT_MILLISECONDS, COLLECT_ROWS_MAX};
use crate::service::Clock;
use crate::storage::content_index::{self, Hold, ObjectError, Objects, StoredObject};
use crate::storage::{self, Place, Reading};

mod files;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

pub(in crate::service) use files::state_of_file;
pub use files::{Kept, quietly};
pub use manifest::{FORMAT, Manifest};
pub use restore::{RestoreOptions, Restored, broken_off, restore};

/// The copy of the database in a backup.
const DATABASE: &str = "tandem.db";
/// The directory of objects in a backup.
const CONTENT: &str = "content";

/// Why a backup cannot be made, or cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// The content store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// A file.
    #[error("{} failed", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// There is something where the backup is to be.
    #[error("{} is there already; name a directory that is not", _0.display())]
    Exists(PathBuf),
    /// The backup would lie in the content store.
    #[error("{} lies in the content store; name a directory elsewhere", _0.display())]
    Within(PathBuf),
    /// Somebody makes a backup at the same place.
    #[error("another backup is being written to {}; wait for it, or name another directory", _0.display())]
    Running(PathBuf),
    /// The database is on a server.
    #[error(
        "a database on PostgreSQL is backed up by its own tools: first `pg_dump --format=custom --file=FILE URL`, or a base \
         backup, then at once `tandemd backup --content-only DIRECTORY` for the content"
    )]
    Postgres,
    /// Only content was asked for, of a database that can be copied too.
    #[error(
        "a database of SQLite is backed up together with its content; leave out --content-only"
    )]
    ContentOnly,
    /// A directory is no backup, or one that cannot be used.
    #[error("{} cannot be restored: {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// What is to be restored would lie over something.
    #[error(
        "{} is there already; name an empty data directory, or let it be put aside with --replace", _0.display()
    )]
    NotEmpty(PathBuf),
    /// The work was given up because the program ends.
    #[error("the program ends")]
    Closing,
}

impl Error {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It waits until collection has ended.
    Waiting,
    /// The database is being copied.
    Database {
        /// Bytes so far.
        done: u64,
        /// Bytes of the database, of which the copy may have fewer.
        all: u64,
    },
    /// Objects are being copied.
    Objects {
        /// How many.
        objects: u64,
        /// Bytes of them.
        bytes: u64,
    },
}

/// Is told how far it is.
pub type Told = Arc<dyn Fn(Step) + Send + Sync>;

/// Content that could not be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The object.
    pub id: BlobId,
    /// The digest that its bytes should have.
    pub digest: Digest,
    /// The bytes it should have.
    pub size: i64,
    /// What it is instead.
    pub is: Kept,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What could not be.
    pub left_out: Vec<LeftOut>,
}

/// What is backed up, and where to.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The directory that becomes the backup.
    pub directory: PathBuf,
    /// The database.
    pub place: Place,
    /// The directory of the content store.
    pub content: PathBuf,
    /// Give objects a second name instead of copying them.
    pub link: bool,
    /// Leave the database to the tools of its server.
    pub content_only: bool,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The objects in it.
    pub copied: Copied,
}

/// Makes a backup, while a coordinator serves or not; it appears whole and durable under its name, or not at all.
///
/// # Errors
/// [`Error`] says which; nothing is left under the name then.
pub async fn back_up(options: &BackupOptions, clock: &Clock, told: Told) -> Result<Made, Error> {
    match (&options.place, options.content_only) {
        (Place::Postgres(_), false) => return Err(Error::Postgres),
        (Place::File(_), true) => return Err(Error::ContentOnly),
        _ => {}
    }
    files::refuse_existing(&options.directory)?;
    files::refuse_within(&options.content, &options.directory)?;
    let reading = Reading::open(&options.place).await?;
    reading.check_schema(true).await?;
    let part = files::beside(&options.directory, ".part");
    let _alone = files::begin_part(&part)?;
    let made = match fill(options, &reading, &part, clock, told).await {
        Ok(made) => files::publish(&part, &options.directory).map(|()| made),
        Err(error) => Err(error),
    };
    if made.is_err() {
        // The reason is told; what is left of it goes with the next backup to this place.
        let _ = std::fs::remove_dir_all(&part);
    }
    reading.close().await?;
    made
}

async fn fill(
    options: &BackupOptions,
    reading: &Reading,
    part: &Path,
    clock: &Clock,
    told: Told,
) -> Result<Made, Error> {
    let objects = Objects::open(&options.content)?;
    let _hold = hold(&objects, &told).await?;
    let made_at = clock.now();
    let copy = part.join(DATABASE);
    let named = match options.content_only {
        true => reading.clone(),
        false => {
            copy_database(reading, &copy, &told).await?;
            Reading::open(&Place::File(copy.clone())).await?
        }
    };
    let copied = copy_objects(&named, options, part, &told).await?;
    if !options.content_only {
        named.close().await?;
    }
    let manifest = Manifest::new(made_at, (!options.content_only).then_some(&*copy), &copied)?;
    manifest.write(part)?;
    Ok(Made { manifest, copied })
}

async fn hold(objects: &Objects, told: &Told) -> Result<Hold, Error> {
    loop {
        if let Some(hold) = objects.hold_collection()? {
            return Ok(hold);
        }
        told(Step::Waiting);
        tokio::time::sleep(Duration::from_millis(BACKUP_WAIT_MILLISECONDS)).await;
    }
}

async fn copy_database(reading: &Reading, to: &Path, told: &Told) -> Result<(), Error> {
    let all = reading.bytes().await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(BACKUP_WAIT_MILLISECONDS));
    let mut copying = std::pin::pin!(reading.copy_to(to));
    loop {
        tokio::select! {
            copied = &mut copying => break copied?,
            _ = ticks.tick() => {
                let done = std::fs::metadata(to).map_or(0, |metadata| metadata.len());
                told(Step::Database { done, all });
            }
        }
    }
    told(Step::Database { done: all, all });
    Ok(())
}

async fn copy_objects(
    named: &Reading,
    options: &BackupOptions,
    part: &Path,
    told: &Told,
) -> Result<Copied, Error> {
    let copier = files::Copier {
        from: options.content.clone(),
        to: part.join(CONTENT),
        link: options.link,
        told: Arc::clone(told),
    };
    files::make_directory(&copier.to)?;
    let (mut copied, mut after) = (Copied::default(), None);
    loop {
        let page = content_index::objects_behind(named.connection(), after, COLLECT_ROWS_MAX);
        let page: Vec<StoredObject> = page.await?;
        let Some(last) = page.last() else {
            return Ok(copied);
        };
        after = Some(last.id);
        copied = copier.clone().copy(page, copied).await?;
    }
}
