//! A file system with little room, which only chosen processes see.
//!
//! It is a tmpfs in a mount namespace of its own: no mount is left behind however a test ends, and it needs no root
//! where users may make namespaces. Where neither is allowed the tests that need it fail; they never pass unseen.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::pair::PATIENCE;
use crate::process::{Launch, Process};

/// What a small disk is filled up with.
const BALLAST: &str = "ballast";
const BLOCK: [u8; 4096] = [0x42; 4096];

/// A small disk; it is gone when this is dropped and no process uses it any more.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    /// Where the processes on it find it.
    path: PathBuf,
    user: bool,
}

impl SmallDisk {
    /// Makes a disk of so many MiB at `path`, an empty directory.
    ///
    /// # Errors
    /// The system allows no namespaces: run as root, or allow unprivileged user namespaces.
    pub async fn mount(path: &Path, mebibytes: usize, logs: &Path) -> Result<Self> {
        let user = !rustix::process::geteuid().is_root();
        let size = format!("size={mebibytes}m");
        let options = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let held = Self::hold(user, (&options, path), logs).await;
        held.context(
            "a full disk cannot be tested here: run as root, or allow user namespaces and tmpfs",
        )
    }

    /// Mounts the file system in a file at `path`. It flushes nothing that nobody asks it to, as long as a test lasts.
    ///
    /// # Errors
    /// This is not root, or there are no loop devices.
    pub(crate) async fn mount_image(path: &Path, image: &Path, logs: &Path) -> Result<Self> {
        let image = image.to_str().context("a path that is no text")?;
        let options = ["-o", "loop,commit=300,noauto_da_alloc", image];
        let held = Self::hold(false, (&options, path), logs).await;
        held.context("a power cut cannot be tested here: run as root, with loop devices and ext4")
    }

    /// Mounts something in a namespace that lives as long as this does.
    async fn hold(user: bool, (what, path): (&[&str], &Path), logs: &Path) -> Result<Self> {
        // Standard input is closed, so that it waits for its end alone.
        let script = "mount \"$@\" \"$0\" && echo mounted && exec sleep infinity";
        let mut launch = Launch::command("unshare", "small-disk").arg("--mount");
        if user {
            launch = launch.args(["--user", "--map-root-user"]);
        }
        let launch = launch.args(["sh", "-c", script]).arg(path).args(what);
        let mut holder = launch.start(logs)?;
        let mounted = holder.line(0, PATIENCE, |line| (line == "mounted").then_some(()));
        mounted.await?;
        Ok(Self {
            holder,
            path: path.to_path_buf(),
            user,
        })
    }

    /// The same program on this disk.
    #[must_use]
    pub fn launch(&self, launch: &Launch) -> Launch {
        let pid = self.holder.pid().to_string();
        let mut arguments = vec!["--target", &pid, "--mount"];
        if self.user {
            arguments.extend(["--user", "--preserve-credentials"]);
        }
        arguments.push("--");
        launch.under("nsenter", arguments)
    }

    /// Where this test finds what lies on the disk at a path.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.pid());
        let mut outside = PathBuf::from(root);
        outside.extend(path.components().skip(1));
        outside
    }

    fn ballast(&self) -> PathBuf {
        self.outside(&self.path.join(BALLAST))
    }

    /// Fills the disk until nothing more fits.
    ///
    /// # Errors
    /// Anything but a full disk.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        loop {
            match ballast.write_all(&BLOCK) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => bail!("cannot fill the disk: {error}"),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Errors
    /// It was not filled.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("the disk was not filled")
    }
}
