//! What got another name and what was flushed, in order, so that tests can tell what a power cut would have left (K11).
//!
//! One list for the process, of which a test asks for what lies in its own folder. There is no such thing outside tests.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

/// What `PRAGMA synchronous` answers when each commit is flushed.
const FULL: i64 = 2;

/// Something that counts when the power is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// What one name stood for, another one stands for from now on.
    Renamed(PathBuf, PathBuf),
    /// A file, or the names in a folder, were flushed.
    Flushed(PathBuf),
    /// So was all of the file system in which this lies.
    FlushedAround(PathBuf),
    /// A transaction of this database was committed and flushed.
    Committed(PathBuf),
}

impl Step {
    fn path(&self) -> &Path {
        match self {
            Self::Renamed(path, _)
            | Self::Flushed(path)
            | Self::FlushedAround(path)
            | Self::Committed(path) => path,
        }
    }
}

static STEPS: Mutex<Vec<Step>> = Mutex::new(Vec::new());

fn steps() -> MutexGuard<'static, Vec<Step>> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an open file lies.
fn place(file: impl AsFd) -> PathBuf {
    let open = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    fs::read_link(open).expect("an open file has a place")
}

/// One name was given to what another one stood for, or two were exchanged.
pub(crate) fn renamed(from: impl AsFd, name: &str, to: impl AsFd, new_name: &str) {
    let step = Step::Renamed(place(from).join(name), place(to).join(new_name));
    steps().push(step);
}

/// A file or folder was flushed.
pub(crate) fn flushed(file: impl AsFd) {
    let step = Step::Flushed(place(file));
    steps().push(step);
}

/// A file system was flushed.
pub(crate) fn flushed_around(file: impl AsFd) {
    let step = Step::FlushedAround(place(file));
    steps().push(step);
}

/// A transaction was committed; whether it was flushed, SQLite tells.
pub(crate) fn committed(connection: &Connection) {
    let synchronous =
        connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    if synchronous.expect("SQLite tells each of its settings") == FULL
        && let Some(path) = connection.path()
    {
        steps().push(Step::Committed(path.into()));
    }
}

/// What happened in a folder so far.
pub(crate) fn below(folder: &Path) -> Vec<Step> {
    let folder = folder
        .canonicalize()
        .expect("a test asks for a folder that it made");
    let steps = steps();
    let mine = steps.iter().filter(|step| step.path().starts_with(&folder));
    mine.cloned().collect()
}
