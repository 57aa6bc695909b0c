//! Making things durable in groups: few files one by one on threads, many by one flush of the file system.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{disk::Disk, os, reading, versions::Versions};

/// Up to so many files are flushed one by one.
const SINGLES_MAX: usize = 4;
/// A flush of the file system that takes longer is given up for single ones: somebody else writes very much.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has to be durable.
#[derive(Debug, Default)]
pub(super) struct Flush {
    /// Paths below the root.
    pub(super) paths: Vec<String>,
    /// Files among the versions, by the name of their folder and their own.
    pub(super) versions: Vec<(&'static str, String)>,
}

impl Flush {
    /// Notes a path once.
    pub(super) fn path(&mut self, path: String) {
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
    }

    /// Returns when all of it is durable.
    pub(super) fn run(&mut self, disk: &Disk, versions: &Versions) -> io::Result<()> {
        let single = self.paths.len() + self.versions.len() <= SINGLES_MAX;
        if !single && whole(disk.root()).is_ok() && (versions.is_near() || versions.sync().is_ok())
        {
            return Ok(());
        }
        let mut files: Vec<File> = Vec::new();
        for path in &self.paths {
            match disk.file_at(path) {
                Ok(file) => files.push(file),
                // Renamed or removed by a user meanwhile: nothing is left to be made durable.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for (folder, name) in &self.versions {
            files.push(versions.open_for_flush(folder, name)?);
        }
        let results = reading::in_parallel(&files, os::flush);
        results.into_iter().collect()
    }
}

fn whole(root: Arc<OwnedFd>) -> io::Result<()> {
    let (done, finished) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("tandem-syncfs".to_owned())
        .spawn(move || {
            // Nobody listens any more when it took too long.
            drop(done.send(os::sync_file_system(&*root)));
        })?;
    finished
        .recv_timeout(PATIENCE)
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
