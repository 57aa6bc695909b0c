//! Two directories kept the same by a real `tandemd quickstart`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Launch, Process};
use crate::program::Program;
use crate::tree::Tree;
use crate::wait::eventually;

/// Long enough for a debug build on a loaded machine; nothing waits so long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Two directories, and the process that keeps them the same while it runs.
#[derive(Debug)]
pub struct Pair {
    directory: TempDir,
    process: Option<Process>,
    /// Lines of output that were looked at.
    seen: usize,
    patience: Duration,
}

/// How a `--once` run ended.
#[derive(Debug)]
pub struct Once {
    /// The exit code.
    pub code: Option<i32>,
    /// What it printed, one JSON object a line.
    pub events: Vec<Value>,
}

impl Pair {
    /// Two directories, not made yet.
    ///
    /// # Errors
    /// There is no place for them.
    pub fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("tandem-pair-")?;
        fs::create_dir(directory.path().join("logs"))?;
        Ok(Self {
            directory,
            process: None,
            seen: 0,
            patience: PATIENCE,
        })
    }

    /// Waits longer than usual, for trees that are larger than usual.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long is waited for what must happen.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The on-premise directory.
    #[must_use]
    pub fn contracts(&self) -> PathBuf {
        self.directory.path().join("contracts")
    }

    /// The cloud directory.
    #[must_use]
    pub fn cloud(&self) -> PathBuf {
        self.directory.path().join("cloud")
    }

    /// The copy of the on-premise directory in the cloud directory.
    #[must_use]
    pub fn mirror(&self) -> PathBuf {
        self.cloud().join("contracts")
    }

    /// Where coordinator and agents keep their state.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn launch(&self, name: &str, arguments: &[&str]) -> Result<Launch> {
        Ok(Launch::of(Program::Tandemd)?
            .named(name)
            .arg("quickstart")
            .arg(self.contracts())
            .arg(self.cloud())
            .arg("--data-dir")
            .arg(self.data())
            .args(["--log", "info"])
            .args(arguments))
    }

    /// Starts keeping the directories the same.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self, arguments: &[&str]) -> Result<()> {
        let logs = self.directory.path().join("logs");
        self.process = Some(
            self.launch("quickstart", arguments)?
                .args(["--output", "json"])
                .start(&logs)?,
        );
        self.seen = 0;
        Ok(())
    }

    /// Starts, and waits until both sides are the same for the first time.
    ///
    /// # Errors
    /// They do not become the same.
    pub async fn start_in_sync(&mut self, arguments: &[&str]) -> Result<()> {
        self.start(arguments)?;
        self.event("in_sync").await.map(drop)
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("it is not running")
    }

    /// Waits for the next event of a kind.
    ///
    /// # Errors
    /// It does not come.
    pub async fn event(&mut self, kind: &str) -> Result<Value> {
        let (from, patience) = (self.seen, self.patience);
        let find = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == kind).then_some(event)
        };
        let process = self.running()?;
        let event = process.line(from, patience, find).await?;
        let lines = process.lines();
        let place = lines
            .iter()
            .skip(from)
            .position(|line| find(line).is_some());
        self.seen = from + place.map_or(0, |place| place + 1);
        Ok(event)
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.terminate()?;
        let status = process.wait(self.patience).await?;
        if !status.success() {
            bail!("ended with {status}:\n{}", process.log());
        }
        Ok(())
    }

    /// Waits until it ends by itself; answers its exit code and what it said.
    ///
    /// # Errors
    /// It goes on.
    pub async fn ended(&mut self) -> Result<(Option<i32>, String)> {
        let mut process = self.process.take().context("it is not running")?;
        let status = process.wait(self.patience).await?;
        Ok((status.code(), process.error_output()))
    }

    /// Kills it as a power cut does.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("it is not running")?
            .kill()
            .await
    }

    /// Runs it with `--once` to its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn once(&self, arguments: &[&str]) -> Result<Once> {
        let logs = self.directory.path().join("logs");
        let mut process = self
            .launch("once", arguments)?
            .args(["--output", "json", "--once"])
            .start(&logs)?;
        let status = process.wait(self.patience).await?;
        let lines = process.lines();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Ok(Once {
            code: status.code(),
            events,
        })
    }

    /// Runs it with `--once` to its end, and answers what people read.
    ///
    /// # Errors
    /// It does not end.
    pub async fn once_for_people(&self, arguments: &[&str]) -> Result<String> {
        let logs = self.directory.path().join("logs");
        let launch = self.launch("people", arguments)?;
        let mut process = launch.args(["--output", "human", "--once"]).start(&logs)?;
        process.wait(PATIENCE).await?;
        Ok(process.lines().join("\n"))
    }

    /// Waits until the mirror equals the on-premise directory.
    ///
    /// # Errors
    /// It does not, with all differences.
    pub async fn same(&self) -> Result<()> {
        let (left, right) = (self.contracts(), self.mirror());
        let done = eventually(self.patience, "both sides are the same", || {
            Tree::is_same(&left, &right)
        });
        if let Err(late) = done.await {
            let differences = Tree::read(&left)?.differences(&Tree::read(&right)?);
            let log = self.process.as_ref().map(Process::log).unwrap_or_default();
            bail!("{late}:\n{}\n{log}", differences.join("\n"));
        }
        Ok(())
    }

    /// What the process has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Process::error_output)
            .unwrap_or_default()
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// It does not.
    pub async fn until(&self, what: &str, condition: impl FnMut() -> bool) -> Result<()> {
        let log = || self.process.as_ref().map(Process::log).unwrap_or_default();
        eventually(self.patience, what, condition)
            .await
            .map_err(|late| late.context(log()))
    }

    /// The only set, as `tandem set list` shows it.
    ///
    /// # Errors
    /// It cannot be asked for.
    pub async fn set(&mut self) -> Result<Value> {
        let sets = self.tandem(&["set", "list"]).await?;
        Ok(sets[0].clone())
    }

    /// What is skipped of the only set: where, and why, by path.
    ///
    /// # Errors
    /// It cannot be asked for.
    pub async fn skipped(&mut self) -> Result<Vec<(String, String)>> {
        let set = self.set().await?;
        let set = set["name"].as_str().context("a set without a name")?;
        let listed = self.tandem(&["member", "skipped", set]).await?;
        let nodes = listed.as_array().context("no list")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut skipped: Vec<_> = nodes
            .map(|node| (text(&node["path"]), text(&node["reason"])))
            .collect();
        skipped.sort();
        Ok(skipped)
    }

    /// Decides about held deletions: `confirm` or `refuse`.
    ///
    /// # Errors
    /// Nothing is held.
    pub async fn decide(&mut self, decision: &str) -> Result<()> {
        let set = self.set().await?;
        let uid = set["uid"].as_str().context("a set without a uid")?;
        self.tandem(&["set", "hold", decision, uid]).await.map(drop)
    }

    /// Runs `tandem` against the coordinator and reads its JSON.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub async fn tandem(&mut self, arguments: &[&str]) -> Result<Value> {
        let (from, patience) = (0, self.patience);
        let address = self
            .running()?
            .line(from, patience, |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                event["address"].as_str().map(ToOwned::to_owned)
            })
            .await?;
        let output = tokio::process::Command::new(Program::Tandem.path()?)
            .args(["--server", &address, "--output", "json", "--token-file"])
            .arg(self.data().join("admin.token"))
            .args(arguments)
            .output()
            .await?;
        if !output.status.success() {
            bail!(
                "tandem {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Writes so many small files into five folders.
///
/// # Errors
/// The file system's.
pub fn fill(folder: &Path, files: usize) -> Result<()> {
    for number in 0..files {
        let name = format!("folder {}/file {number}.txt", number % 5);
        write(&folder.join(name), format!("content {number}"))?;
    }
    Ok(())
}

/// Writes a file and the folders above it.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
