//! Agents beside a real coordinator: in memory within the test, or beside a directory in a process of their own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tandem_client::agent::memory::{MemoryRepository, MemoryTree, Rules};
use tandem_client::agent::outbox::Outbox;
use tandem_client::agent::repository::Repository;
use tandem_client::agent::runtime::{Agent, Link, Options, Progress};
use tandem_client::error::Error;
use tandem_proto::v1::{Projection, Side};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::coordinator::{CLOUD, Coordinator, ON_PREMISE, repository_name};
use crate::pair::PATIENCE;
use crate::process::{Launch, Process};
use crate::program::Program;
use crate::small_disk::SmallDisk;

/// The name of the repository that a side has in every network of the tests.
#[must_use]
pub fn repository_of(side: Side) -> &'static str {
    match side {
        Side::Cloud => CLOUD,
        Side::OnPremise | Side::Unspecified => ON_PREMISE,
    }
}

/// An agent that runs within the test, over a real connection; it ends when it is dropped.
#[derive(Debug)]
pub struct TaskAgent<R> {
    /// What it keeps the same.
    pub repository: Arc<R>,
    /// What it shows of itself.
    pub progress: watch::Receiver<Progress>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl<R: Repository + std::fmt::Debug> TaskAgent<R> {
    /// Starts an agent of a network; its outbox lies in a fresh directory.
    ///
    /// # Errors
    /// The coordinator makes no token, or the outbox cannot be made.
    pub async fn start(
        coordinator: &Coordinator,
        network: &str,
        side: Side,
        repository: Arc<R>,
    ) -> Result<Self> {
        let name = repository_of(side);
        let client = coordinator.agent(network, name).await?;
        let state = coordinator.directory().join(format!("{network}-{name}"));
        fs::create_dir_all(&state)?;
        let outbox = Outbox::open(&state.join("outbox.db"))?;
        let options = Options::new(repository_name(network, name), side);
        let agent = Agent::new(Arc::clone(&repository), client, outbox, options);
        let mut progress = agent.progress();
        let stop = CancellationToken::new();
        let running = tokio::spawn(agent.run(stop.clone()));
        let connected = progress.wait_for(|progress| progress.link == Link::Connected);
        tokio::time::timeout(PATIENCE, connected)
            .await
            .context("the agent does not connect")??;
        Ok(Self {
            repository,
            progress,
            stop,
            running,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It had given up before, or panicked.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }

    /// True while it has not given up.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.running.is_finished()
    }
}

/// A repository in memory; node ids begin with the first letter of the side.
#[must_use]
pub fn memory(side: Side, rules: Rules) -> Arc<MemoryRepository> {
    let prefix = match side {
        Side::Cloud => "c",
        Side::OnPremise | Side::Unspecified => "p",
    };
    Arc::new(MemoryRepository::new(MemoryTree::new(prefix, rules)))
}

/// What lies below a folder of a repository in memory, by path; empty while the folder is missing.
#[must_use]
pub fn listing(repository: &MemoryRepository, folder: &str) -> BTreeMap<String, Projection> {
    repository.with(|tree| {
        let found = tree.find(folder);
        found
            .map(|folder| tree.listing(&folder))
            .unwrap_or_default()
    })
}

/// Where an agent beside a directory keeps what, and how it is started.
#[derive(Debug, Clone)]
pub struct DirectoryAgent {
    /// The directory that is the repository, as the test sees it.
    pub root: PathBuf,
    launch: Launch,
    logs: PathBuf,
}

impl DirectoryAgent {
    /// An agent beside `root`, which is made; it is not started yet.
    ///
    /// # Errors
    /// The coordinator makes no token, or the directories cannot be made.
    pub async fn beside(
        coordinator: &Coordinator,
        network: &str,
        side: Side,
        root: &Path,
        state: &Path,
    ) -> Result<Self> {
        let name = repository_of(side);
        fs::create_dir_all(root)?;
        let token = coordinator.agent_token(network, name).await?;
        let token_file = coordinator
            .directory()
            .join(format!("{network}-{name}.token"));
        fs::write(&token_file, token.secret)?;
        let side = match side {
            Side::Cloud => "cloud",
            Side::OnPremise | Side::Unspecified => "on-premise",
        };
        let launch = Launch::of(Program::Tandem)?
            .named(&format!("agent-{side}"))
            .args(["--server", &format!("http://{}", coordinator.address())])
            .args(["--network", network, "--token-file"])
            .arg(token_file)
            .args(["agent", "run", "--repository", name, "--side", side])
            .arg("--root")
            .arg(root)
            .arg("--state")
            .arg(state);
        Ok(Self {
            root: root.to_path_buf(),
            launch,
            logs: coordinator.logs(),
        })
    }

    /// The same agent with its root, and whatever else lies there, on a small disk.
    ///
    /// # Errors
    /// The root cannot be made there.
    pub fn on(mut self, disk: &SmallDisk) -> Result<Self> {
        self.launch = disk.launch(&self.launch);
        let outside = disk.outside(&self.root);
        fs::create_dir_all(&outside)?;
        self.root = outside;
        Ok(self)
    }

    /// The same agent with more arguments.
    #[must_use]
    pub fn with(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.launch = self.launch.args(arguments);
        self
    }

    /// Starts it in a process of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> Result<Process> {
        self.launch.start(&self.logs)
    }

    /// Starts it, to die at a crash point: `K5`, or `K5:3` for the third time that it is reached.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_to(&self, point: &str) -> Result<Process> {
        let launch = self.launch.clone();
        launch.env(tandem_crash::VARIABLE, point).start(&self.logs)
    }
}
