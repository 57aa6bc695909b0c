//! A disk whose power can be cut: what was not flushed to it is lost.
//!
//! It is a file system in an ordinary file. What the system has written into that file is on the disk; what it still
//! holds in memory is not. So a copy of the file, taken after the processes were killed, is what a power cut leaves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::small_disk::SmallDisk;

const MEBIBYTE: u64 = 1024 * 1024;

/// A disk that is mounted by [`DiskImage::mount`].
#[derive(Debug)]
pub struct DiskImage(PathBuf);

impl DiskImage {
    /// Makes an empty disk of so many MiB in a new file.
    ///
    /// # Errors
    /// There is no `mkfs.ext4`, or no room.
    pub fn format(path: PathBuf, mebibytes: u64) -> Result<Self> {
        File::create_new(&path)?.set_len(mebibytes * MEBIBYTE)?;
        let mut format = Command::new("mkfs.ext4");
        let formatted = format.args(["-q", "-F"]).arg(&path).output();
        let formatted = formatted.context("mkfs.ext4 cannot be started")?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "mkfs.ext4: {said}");
        Ok(Self(path))
    }

    /// Mounts it, for chosen processes.
    ///
    /// # Errors
    /// This is not root, or there are no loop devices.
    pub async fn mount(&self, path: &Path, logs: &Path) -> Result<SmallDisk> {
        SmallDisk::mount_image(path, &self.0, logs).await
    }

    /// What a power cut leaves, as another disk. Whoever writes to this one must have been killed.
    ///
    /// # Errors
    /// There is no room for a copy.
    pub fn cut(&self) -> Result<Self> {
        let mut found = fs::read(&self.0)?;
        loop {
            // Should the system flush something just now, a copy could hold a half of it.
            let again = fs::read(&self.0)?;
            if again == found {
                break;
            }
            found = again;
        }
        let path = self.0.with_added_extension("cut");
        fs::write(&path, found)?;
        Ok(Self(path))
    }
}
