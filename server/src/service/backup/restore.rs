//! A backup becomes the data of a coordinator again, with a mark by which all agents list anew (R-AGT-4).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;
use time::macros::format_description;

use super::{CONTENT, Copied, DATABASE, Error, LeftOut, Manifest, Step, Told, files};
use crate::domain::ids::BlobId;
use crate::service::Clock;
use crate::storage::content_index::COLLECTION_LOCK;
use crate::storage::{Lock, Options, Place, Store};

/// What is added to the name of what is being restored.
const PART: &str = ".restoring";

/// What is restored, and where to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The backup.
    pub directory: PathBuf,
    /// The database.
    pub place: Place,
    /// The directory of the content store.
    pub content: PathBuf,
    /// Put aside what is there.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// The objects.
    pub copied: Copied,
    /// Repositories whose agents will list anew.
    pub repositories: u64,
    /// Where what was there lies now.
    pub put_aside: Vec<PathBuf>,
}

/// The file or directory that a restore left half done, if one did: nobody may serve what is beside it.
#[must_use]
pub fn broken_off(place: &Place, content: &Path) -> Option<PathBuf> {
    let database = match place {
        Place::File(path) => Some(files::beside(path, PART)),
        Place::Postgres(_) => None,
    };
    let parts = database.into_iter().chain([files::beside(content, PART)]);
    parts.into_iter().find(|part| part.exists())
}

/// Restores a backup. Nothing changes before all of it is there, durable; then what was there is put aside, and the
/// backup takes its place.
///
/// # Errors
/// [`Error`] says which; [`storage::Error::InUse`](crate::storage::Error::InUse) while a coordinator serves.
pub async fn restore(
    options: &RestoreOptions,
    clock: &Clock,
    told: Told,
) -> Result<Restored, Error> {
    let manifest = Manifest::read(&options.directory)?;
    check_kind(options, &manifest)?;
    let moment = Moment {
        options,
        told,
        stamp: stamp(clock.now()),
    };
    moment.refuse_existing()?;
    match &options.place {
        Place::File(path) => moment.file(path, manifest).await,
        Place::Postgres(_) => moment.server(manifest).await,
    }
}

fn check_kind(options: &RestoreOptions, manifest: &Manifest) -> Result<(), Error> {
    let why = match (&options.place, &manifest.database) {
        (Place::File(_), None) => {
            "it holds content only, of a coordinator on PostgreSQL; set database.url, and restore the database \
             with pg_restore first"
        }
        (Place::Postgres(_), Some(_)) => {
            "it is one of a coordinator on SQLite, whose state is not moved to PostgreSQL; leave out database.url"
        }
        _ => return Ok(()),
    };
    Err(Error::Unusable {
        path: options.directory.clone(),
        why: why.to_owned(),
    })
}

fn stamp(now: i64) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = OffsetDateTime::from_unix_timestamp(now / 1_000_000).ok();
    at.and_then(|at| at.format(form).ok()).unwrap_or_default()
}

/// One restore.
struct Moment<'a> {
    options: &'a RestoreOptions,
    told: Told,
    /// Added to the names of what is put aside.
    stamp: String,
}

impl Moment<'_> {
    fn refuse_existing(&self) -> Result<(), Error> {
        if self.options.replace {
            return Ok(());
        }
        let database = match &self.options.place {
            Place::File(path) => path.exists().then_some(path),
            Place::Postgres(_) => None,
        };
        let content = &self.options.content;
        let found = database.or_else(|| has_files(content).then_some(content));
        found.map_or(Ok(()), |path| Err(Error::NotEmpty(path.clone())))
    }

    /// SQLite: all is made beside, and takes its name when it is whole; the database last.
    async fn file(self, path: &Path, manifest: Manifest) -> Result<Restored, Error> {
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            files::make_directory(above)?;
        }
        let _lock = Lock::take(path)?;
        let part = files::beside(path, PART);
        for rest in ["", "-wal", "-shm", ".lock"] {
            files::remove(&files::beside(&part, rest))?;
        }
        self.copy_database(&part, &manifest)?;
        let store = Store::open(Options::new(Place::File(part.clone()))).await?;
        let done = self.fill(&store).await;
        store.close().await?;
        let (copied, repositories) = done?;
        refuse_log(&part)?;
        files::remove(&files::beside(&part, ".lock"))?;
        files::flush_all(&self.options.content_part())?;
        files::flush_all(&part)?;
        let mut put_aside = Vec::new();
        for rest in ["-wal", "-shm", ""] {
            // SQLite looks for the log of `x` in `x-wal`.
            let aside = files::beside(path, &format!(".{}{rest}", self.aside()));
            let from = files::beside(path, rest);
            put_aside.extend(put_aside_if_there(&from, &aside)?);
        }
        put_aside.extend(self.place_content()?);
        files::rename(&part, path)?;
        Ok(Restored {
            manifest,
            copied,
            repositories,
            put_aside,
        })
    }

    /// PostgreSQL: the database was restored before; it is marked before content is in its place.
    async fn server(self, manifest: Manifest) -> Result<Restored, Error> {
        let store = Store::open(Options::new(self.options.place.clone())).await?;
        let done = self.fill(&store).await;
        let placed = match done {
            Ok(done) => files::flush_all(&self.options.content_part())
                .and_then(|()| self.place_content())
                .map(|aside| (done, aside)),
            Err(error) => Err(error),
        };
        store.close().await?;
        let ((copied, repositories), aside) = placed?;
        Ok(Restored {
            manifest,
            copied,
            repositories,
            put_aside: aside.into_iter().collect(),
        })
    }

    fn copy_database(&self, part: &Path, manifest: &Manifest) -> Result<(), Error> {
        let from = self.options.directory.join(DATABASE);
        let (digest, size) = files::copy(&from, part)?;
        (self.told)(Step::Database {
            done: size,
            all: size,
        });
        let said = manifest.database.as_ref();
        if said.is_none_or(|said| said.size != size || said.sha256 != digest.to_string()) {
            files::remove(part)?;
            return Err(Error::Unusable {
                path: self.options.directory.clone(),
                why: format!("{DATABASE} is not the one that its manifest names; use another"),
            });
        }
        Ok(())
    }

    /// Brings the content beside its place, and marks the database.
    async fn fill(&self, store: &Store) -> Result<(Copied, u64), Error> {
        store.migrate().await?;
        let part = self.options.content_part();
        files::remove(&part)?;
        files::make_directory(&part)?;
        let copier = files::Copier {
            from: self.options.directory.join(CONTENT),
            to: part,
            link: false,
            told: Arc::clone(&self.told),
        };
        let (mut copied, mut after) = (Copied::default(), None);
        loop {
            let page = store.objects_behind(after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            copied = copier.clone().copy(page, copied).await?;
        }
        let missing: Vec<BlobId> = copied.left_out.iter().map(|out: &LeftOut| out.id).collect();
        store.mark_missing(&missing).await?;
        Ok((copied, store.mark_restored().await?))
    }

    fn aside(&self) -> String {
        format!("replaced-{}", self.stamp)
    }

    /// Content takes its place; answers where what was there lies now.
    fn place_content(&self) -> Result<Option<PathBuf>, Error> {
        let content = &self.options.content;
        let aside = files::beside(content, &format!(".{}", self.aside()));
        let aside = match has_files(content) {
            true => put_aside_if_there(content, &aside)?,
            false => {
                files::remove(content)?;
                None
            }
        };
        files::rename(&self.options.content_part(), content)?;
        Ok(aside)
    }
}

impl RestoreOptions {
    fn content_part(&self) -> PathBuf {
        files::beside(&self.content, PART)
    }
}

/// A database that is closed has all in its own file, which is all that gets its name.
fn refuse_log(database: &Path) -> Result<(), Error> {
    let log = files::beside(database, "-wal");
    match log.metadata() {
        Ok(metadata) if metadata.len() > 0 => {
            let open = std::io::Error::other("somebody reads the database while it is restored");
            Err(Error::file(&log)(open))
        }
        _ => files::remove(&log),
    }
}

fn put_aside_if_there(path: &Path, aside: &Path) -> Result<Option<PathBuf>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    files::refuse_existing(aside)?;
    files::rename(path, aside)?;
    Ok(Some(aside.to_owned()))
}

/// Whether a file lies somewhere in a directory, but for the lock of collection.
fn has_files(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match is_directory {
            true => has_files(&entry.path()),
            false => entry.file_name() != COLLECTION_LOCK,
        }
    })
}
