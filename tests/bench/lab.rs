//! Where a run takes place: fresh directories, and the ways to start what is measured there.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use tandem_tests::{
    process::{Launch, Process},
    program::Program,
};
use tempfile::TempDir;

/// No workload may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);

/// The directories of a run. They are deleted together at its end: on ext4, creating files is dearer for minutes
/// after many deletions.
#[derive(Debug)]
pub(crate) struct Lab {
    root: TempDir,
    made: Cell<u32>,
    /// How often everything is repeated.
    pub(crate) runs: u32,
    /// The seed of generated trees.
    pub(crate) seed: u64,
}

/// Two directories that Tandem keeps the same.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The synced folder.
    pub(crate) contracts: PathBuf,
    /// Where its copy appears.
    pub(crate) mirror: PathBuf,
    cloud: PathBuf,
    data: PathBuf,
    logs: PathBuf,
}

impl Lab {
    pub(crate) fn new(work_dir: &Path, runs: u32, seed: u64) -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("tandem-bench-")
            .tempdir_in(work_dir)?;
        Ok(Self {
            root,
            made: Cell::new(0),
            runs,
            seed,
        })
    }

    /// An empty directory that was never used.
    pub(crate) fn fresh(&self) -> Result<PathBuf> {
        self.made.set(self.made.get() + 1);
        let path = self.root.path().join(self.made.get().to_string());
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Two empty directories for Tandem.
    pub(crate) fn pair(&self) -> Result<Pair> {
        let root = self.fresh()?;
        let path = |name: &str| -> Result<PathBuf> {
            fs::create_dir(root.join(name))?;
            Ok(root.join(name))
        };
        let cloud = path("cloud")?;
        Ok(Pair {
            contracts: path("contracts")?,
            mirror: cloud.join("contracts"),
            cloud,
            data: root.join("data"),
            logs: path("logs")?,
        })
    }
}

impl Pair {
    /// Syncs until both sides are the same and ends.
    pub(crate) fn once(&self) -> Result<Launch> {
        Ok(self.living()?.arg("--once"))
    }

    /// Keeps both sides the same until it is ended; prints one JSON object a line.
    pub(crate) fn living(&self) -> Result<Launch> {
        Ok(Launch::of(Program::Tandemd)?
            .arg("quickstart")
            .args([&self.contracts, &self.cloud])
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--output", "json"]))
    }

    /// Where logs go.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Starts [`Self::living`] and waits for the first `{"event":"in_sync"}`.
    pub(crate) async fn start_in_sync(&self) -> Result<Process> {
        let mut process = self.living()?.start(&self.logs)?;
        process
            .line(0, DEADLINE, |line| is_in_sync(line).then_some(()))
            .await?;
        Ok(process)
    }
}

fn is_in_sync(line: &str) -> bool {
    serde_json::from_str(line).is_ok_and(|event: serde_json::Value| event["event"] == "in_sync")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_event_in_sync_counts() {
        assert!(is_in_sync(r#"{"event":"in_sync","members":3}"#));
        assert!(!is_in_sync(r#"{"event":"ready","address":"in_sync"}"#));
        assert!(!is_in_sync("in_sync"));
    }

    #[test]
    fn directories_are_fresh_and_go_with_the_lab() {
        let lab = Lab::new(&std::env::temp_dir(), 1, 1).unwrap();
        let (one, two) = (lab.fresh().unwrap(), lab.pair().unwrap());
        assert_ne!(one, two.contracts);
        assert!(two.contracts.is_dir() && !two.mirror.exists());
        drop(lab);
        assert!(!one.exists());
    }
}
