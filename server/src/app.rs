//! Puts the floors together: the only place that starts top tasks, and that knows all of them.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::service::backup;
use crate::service::content::{Collector, CollectorOptions, Content};
use crate::service::retention::{Retention, RetentionOptions};
use crate::service::{Clock, Coordinator};
use crate::storage::content_index::Objects;
use crate::storage::{Options, Store};
use crate::transport::{Api, Health};

/// Time that the tasks get to end after the last connection has.
const TASKS_END_WITHIN: Duration = Duration::from_secs(10);

/// A coordinator that serves.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The first operator's token; only when it was made just now.
    pub operator_token: Option<String>,
    /// The coordinator itself, for whoever runs in the same process.
    pub coordinator: Coordinator,
    /// Its content, for the same.
    pub content: Content,
    /// Cancel it to drain and stop.
    pub shutdown: CancellationToken,
    /// Ends when everything has ended and the database is closed.
    pub join: JoinHandle<anyhow::Result<()>>,
}

/// Opens the database, makes the first operator's token if nobody can administer, and begins to serve.
///
/// # Errors
/// When the address is taken, another coordinator has the database, or its schema is not the one of this build.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let store = open(&config).await?;
    let coordinator = Coordinator::new(store, Clock::System);
    // The first read: whoever gets past it may serve.
    let operator_token = first_operator(&coordinator, config.admin_token_file.as_deref()).await?;
    let objects = Objects::open(&config.content_dir())
        .with_context(|| format!("cannot use {}", config.content_dir().display()))?;
    let content = Content::new(coordinator.clone(), objects);
    coordinator.ingest.resume().await?;
    coordinator.forget_imports().await?;
    let api = Api::new(coordinator.clone(), content.clone(), config.reflection).await?;
    let shutdown = CancellationToken::new();
    let server = Server {
        health: api.health(),
        coordinator: coordinator.clone(),
        content: content.clone(),
        background: CancellationToken::new(),
        cut: CancellationToken::new(),
        drain_within: Duration::from_secs(config.drain_seconds),
        retention: RetentionOptions::days(config.journal.retention_days),
    };
    let join = tokio::spawn(server.run(api, listener, shutdown.clone()));
    Ok(Running {
        address,
        operator_token,
        coordinator,
        content,
        shutdown,
        join,
    })
}

/// Applies missing migrations and closes the database.
///
/// # Errors
/// When another coordinator has the database, or a newer build wrote it.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let store = connect(config).await?;
    store.migrate().await?;
    Ok(store.close().await?)
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    let store = connect(config).await?;
    if config.migrate {
        store.migrate().await?;
    }
    store.check_schema().await?;
    Ok(store)
}

async fn connect(config: &Config) -> anyhow::Result<Store> {
    let directory = &config.data_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make the data directory {}", directory.display()))?;
    if let Some(part) = backup::broken_off(&config.database(), &config.content_dir()) {
        let part = part.display();
        anyhow::bail!("a restore broke off and left {part}; run `tandemd restore` again");
    }
    Ok(Store::open(Options::new(config.database())).await?)
}

/// Makes the first operator's token. Its file is written first: a token whose secret nobody has would lock all out.
async fn first_operator(
    coordinator: &Coordinator,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    if !coordinator.lacks_operator().await? {
        return Ok(None);
    }
    let secret = Coordinator::new_secret();
    if let Some(file) = file {
        write_secret(file, &secret)
            .with_context(|| format!("cannot write the operator's token to {}", file.display()))?;
    }
    coordinator.keep_first_operator(secret.clone()).await?;
    Ok(Some(secret))
}

/// Writes a new file that only its owner can read; one that is there already is replaced, whatever its mode.
fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// What the task behind [`Running::join`] holds.
struct Server {
    coordinator: Coordinator,
    content: Content,
    health: Health,
    /// Ends the tasks that run beside the calls.
    background: CancellationToken,
    /// Ends every connection at once.
    cut: CancellationToken,
    drain_within: Duration,
    /// Of the journals.
    retention: RetentionOptions,
}

impl Server {
    async fn run(
        self,
        api: Api,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.start_tasks();
        let draining = self.coordinator.draining.clone();
        let mut serving = tokio::spawn(api.serve(listener, draining, self.cut.clone()));
        self.health.serving().await;
        let served = tokio::select! {
            () = shutdown.cancelled() => self.drain(&mut serving).await,
            ended = &mut serving => flatten(ended),
        };
        self.end().await?;
        served
    }

    fn start_tasks(&self) {
        let store = self.coordinator.store.clone();
        let background = self.background.clone();
        let tasks = &self.coordinator.tasks;
        tasks.spawn(async move { store.checkpoint_task(background).await });
        let collector = Collector::new(self.content.clone(), CollectorOptions::default());
        let background = self.background.clone();
        tasks.spawn(collector.run(background));
        let retention = Retention::new(self.coordinator.clone(), self.retention.clone());
        let background = self.background.clone();
        tasks.spawn(retention.run(background));
        let authentication = self.coordinator.authentication.clone();
        let background = self.background.clone();
        tasks.spawn(async move { authentication.revocation_task(background).await });
    }

    /// Tells everybody, waits for open streams until the deadline, then cuts them.
    async fn drain(&self, serving: &mut Serving) -> anyhow::Result<()> {
        self.health.not_serving().await;
        self.coordinator.draining.cancel();
        tandem_crash::at("S13");
        self.health.end_watches().await;
        tracing::info!(within_s = self.drain_within.as_secs(), "draining");
        if let Ok(ended) = tokio::time::timeout(self.drain_within, &mut *serving).await {
            return flatten(ended);
        }
        tracing::warn!("streams are still open at the deadline; cutting them");
        self.cut.cancel();
        flatten(serving.await)
    }

    /// Waits for what was begun, then closes the database.
    async fn end(&self) -> anyhow::Result<()> {
        self.coordinator.draining.cancel();
        self.cut.cancel();
        self.background.cancel();
        self.coordinator.ingest.stop();
        let tasks = &self.coordinator.tasks;
        tasks.close();
        if tokio::time::timeout(TASKS_END_WITHIN, tasks.wait())
            .await
            .is_err()
        {
            tracing::error!(tasks = tasks.len(), "tasks are still running; leaving them");
        }
        tandem_crash::at("S13");
        self.coordinator.store.close().await?;
        tracing::info!("stopped");
        Ok(())
    }
}

type Serving = JoinHandle<Result<(), tonic::transport::Error>>;

fn flatten(
    ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    Ok(ended.context("the server's task ended early")??)
}
