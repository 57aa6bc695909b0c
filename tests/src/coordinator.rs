//! A real `tandemd serve` in a process of its own, with networks, repositories and tokens.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tandem_client::client::Client;
use tandem_proto::v1 as wire;
use tandem_server::app::{self, Running};
use tandem_server::config::Config;
use tandem_test_database::{Database, Server};
use tempfile::TempDir;

use crate::pair::PATIENCE;
use crate::process::{Launch, Process};
use crate::program::{Program, free_address};
use crate::small_disk::SmallDisk;
use crate::wait::poll;

const TOKEN_FILE: &str = "operator.token";

/// The repository on-premise that [`Coordinator::network`] makes.
pub const ON_PREMISE: &str = "hq";
/// The repository on the cloud that [`Coordinator::network`] makes.
pub const CLOUD: &str = "site";

/// A coordinator, its data, and a directory for whatever else a test needs.
#[derive(Debug)]
pub struct Coordinator {
    directory: TempDir,
    data: PathBuf,
    address: SocketAddr,
    disk: Option<SmallDisk>,
    settings: Vec<(&'static str, String)>,
    process: Option<Process>,
    within: Option<Running>,
    /// Where its state is when the tests run on a server; behind the process, so that it outlives it.
    database: Option<Database>,
}

/// A token of an agent.
#[derive(Debug, Clone)]
pub struct AgentToken {
    /// Its resource name.
    pub name: String,
    /// What the agent shows.
    pub secret: String,
}

/// The resource name of a repository.
#[must_use]
pub fn repository_name(network: &str, repository: &str) -> String {
    format!("networks/{network}/repositories/{repository}")
}

/// An empty database, when the tests run on a server; on SQLite the coordinator makes its own.
async fn database() -> Result<Option<Database>> {
    Ok(match Server::named() {
        Some(server) => Some(server.create(None).await?),
        None => None,
    })
}

impl Coordinator {
    /// Starts a coordinator with an empty database.
    ///
    /// # Errors
    /// It does not serve in time.
    pub async fn start() -> Result<Self> {
        Self::start_on(None).await
    }

    /// Starts a coordinator whose data directory lies on a disk of so many MiB.
    ///
    /// # Errors
    /// It does not serve in time, or the disk cannot be made.
    pub async fn start_on_small_disk(mebibytes: usize) -> Result<Self> {
        Self::start_on(Some(mebibytes)).await
    }

    async fn start_on(mebibytes: Option<usize>) -> Result<Self> {
        let mut coordinator = Self::prepare()?;
        coordinator.database = database().await?;
        if let Some(mebibytes) = mebibytes {
            let logs = coordinator.logs();
            coordinator.put_on(SmallDisk::mount(&coordinator.data, mebibytes, &logs).await?);
        }
        coordinator.go_on().await?;
        Ok(coordinator)
    }

    /// A coordinator with an empty directory, not started.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn prepare() -> Result<Self> {
        let directory = TempDir::with_prefix("tandem-e2e-")?;
        let data = directory.path().join("coordinator");
        fs::create_dir(directory.path().join("logs"))?;
        fs::create_dir(&data)?;
        Ok(Self {
            directory,
            data,
            address: free_address()?,
            disk: None,
            settings: Vec::new(),
            process: None,
            within: None,
            database: None,
        })
    }

    /// Starts a coordinator within the test, for what can only be seen or done from inside; clients still come over a
    /// real connection. It ends with the test.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_within() -> Result<Self> {
        let directory = TempDir::with_prefix("tandem-e2e-")?;
        fs::create_dir(directory.path().join("logs"))?;
        let data = directory.path().join("coordinator");
        let mut config = Config {
            admin_token_file: Some(directory.path().join(TOKEN_FILE)),
            ..Config::embedded(&data)
        };
        let database = database().await?;
        if let Some(database) = &database {
            config.database.url = Some(database.url().try_into()?);
        }
        let running = app::start(config).await?;
        Ok(Self {
            directory,
            data,
            address: running.address,
            disk: None,
            settings: Vec::new(),
            process: None,
            within: Some(running),
            database,
        })
    }

    /// The inside of [`Self::start_within`].
    ///
    /// # Errors
    /// It runs in a process of its own.
    pub fn within(&self) -> Result<&Running> {
        let running = self.within.as_ref();
        running.context("the coordinator runs in a process of its own")
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The disk of [`Self::start_on_small_disk`].
    ///
    /// # Errors
    /// It has none.
    pub fn disk(&self) -> Result<&SmallDisk> {
        self.disk
            .as_ref()
            .context("the coordinator has no small disk")
    }

    /// From its next start on it has this setting, a variable of the environment.
    pub fn set(&mut self, variable: &'static str, value: &str) {
        self.settings.push((variable, value.to_owned()));
    }

    /// From now on its data lies on this disk.
    pub fn put_on(&mut self, disk: SmallDisk) {
        self.disk = Some(disk);
    }

    /// Starts it again, at the same address and on the same data.
    ///
    /// # Errors
    /// It runs already, or does not serve in time.
    pub async fn go_on(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("the coordinator runs already");
        }
        self.process = Some(self.launch()?.start(&self.logs())?);
        let served = self.serving().await;
        self.process.take_if(|_| served.is_err());
        served
    }

    /// Starts it, to die at a crash point: `S4`, or `S4:2` for the second time that it is reached. Waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn go_on_to(&mut self, point: &str) -> Result<()> {
        let launch = self.launch()?.env(tandem_crash::VARIABLE, point);
        self.process = Some(launch.start(&self.logs())?);
        Ok(())
    }

    /// True, once, when it has died at its crash point.
    ///
    /// # Errors
    /// It is not running, or ended in another way.
    pub fn has_crashed(&mut self) -> Result<bool> {
        let process = self.process.as_mut().context("it is not running")?;
        let crashed = process.has_crashed()?;
        if crashed {
            self.process = None;
        }
        Ok(crashed)
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It is not running, or does not serve in time.
    pub async fn serving(&mut self) -> Result<()> {
        let address = self.address.to_string();
        let process = self.process.as_mut().context("it is not running")?;
        process.serving(&address, "", PATIENCE).await
    }

    fn launch(&self) -> Result<Launch> {
        let address = self.address.to_string();
        let launch = Launch::of(Program::Tandemd)?
            .args(["serve", "--migrate", "--listen", &address, "--log", "info"])
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--admin-token-file")
            .arg(self.token_file());
        let settings = self.settings.iter();
        let launch = settings.fold(launch, |launch, (variable, value)| {
            launch.env(variable, value)
        });
        let launch = match &self.database {
            Some(database) => launch.arg("--database-url").arg(database.url()),
            None => launch,
        };
        Ok(match &self.disk {
            Some(disk) => disk.launch(&launch),
            None => launch,
        })
    }

    /// Asks it to end, and does not wait.
    ///
    /// # Errors
    /// It is not running.
    pub fn terminate(&self) -> Result<()> {
        let process = self.process.as_ref();
        process.context("it is not running")?.terminate()
    }

    /// Ends it as an administrator does.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.terminate()?;
        let status = process.wait(PATIENCE).await?;
        if !status.success() {
            bail!("ended with {status}:\n{}", process.log());
        }
        Ok(())
    }

    /// Ends it as a power cut does.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.kill().await
    }

    /// True between [`Self::go_on`] and its end.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Fails unless the process that was started first still lives.
    ///
    /// # Errors
    /// It has ended, with its log.
    pub fn lives(&mut self) -> Result<()> {
        if self.within.is_some() {
            return Ok(());
        }
        let process = self.process.as_mut().context("it is not running")?;
        match process.ended()? {
            None => Ok(()),
            Some(status) => bail!("ended with {status}:\n{}", process.log()),
        }
    }

    /// A directory for whatever else a test needs; goes with the coordinator.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the logs of all processes go.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        let process = self.process.as_ref();
        process.map(Process::error_output).unwrap_or_default()
    }

    fn token_file(&self) -> PathBuf {
        self.directory.path().join(TOKEN_FILE)
    }

    /// A client that shows this secret.
    ///
    /// # Errors
    /// The coordinator cannot be reached.
    pub async fn client(&self, secret: &str) -> Result<Client> {
        Ok(Client::connect(&self.address.to_string(), secret).await?)
    }

    /// A client for the first operator.
    ///
    /// # Errors
    /// The coordinator cannot be reached.
    pub async fn operator(&self) -> Result<Client> {
        let secret = fs::read_to_string(self.token_file())?;
        self.client(secret.trim()).await
    }

    /// Makes a network with one repository on each side.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn network(&self, network: &str) -> Result<()> {
        let mut access = self.operator().await?.access();
        let request = wire::CreateNetworkRequest {
            network_id: network.to_owned(),
            display_name: String::new(),
        };
        access.create_network(request).await?;
        for (repository, side) in [
            (ON_PREMISE, wire::Side::OnPremise),
            (CLOUD, wire::Side::Cloud),
        ] {
            let request = wire::CreateRepositoryRequest {
                parent: format!("networks/{network}"),
                repository_id: repository.to_owned(),
                side: side.into(),
                display_name: String::new(),
            };
            access.create_repository(request).await?;
        }
        Ok(())
    }

    /// A client for an admin of a network.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn admin(&self, network: &str) -> Result<Client> {
        self.user(network, "maria", wire::Role::Admin).await
    }

    /// A client for somebody of a network.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn user(&self, network: &str, user: &str, role: wire::Role) -> Result<Client> {
        let user = wire::UserSubject {
            user: user.to_owned(),
            role: role.into(),
        };
        let request = wire::CreateTokenRequest {
            parent: format!("networks/{network}"),
            expire_time: None,
            subject: Some(wire::create_token_request::Subject::User(user)),
        };
        let mut access = self.operator().await?.access();
        let secret = access.create_token(request).await?.into_inner().secret;
        self.client(&secret).await
    }

    /// Makes a token for the agent of a repository.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn agent_token(&self, network: &str, repository: &str) -> Result<AgentToken> {
        let request = wire::CreateTokenRequest {
            parent: format!("networks/{network}"),
            expire_time: None,
            subject: Some(wire::create_token_request::Subject::Repository(
                repository_name(network, repository),
            )),
        };
        let mut access = self.operator().await?.access();
        let made = access.create_token(request).await?.into_inner();
        let token = made.token.context("a token without a name")?;
        Ok(AgentToken {
            name: token.name,
            secret: made.secret,
        })
    }

    /// A client for the agent of a repository, with a token of its own.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn agent(&self, network: &str, repository: &str) -> Result<Client> {
        let token = self.agent_token(network, repository).await?;
        self.client(&token.secret).await
    }

    /// Makes a set of kind FOLDER between the two repositories of a network; paths are those below the agents' roots.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn create_set(
        &self,
        network: &str,
        source: &str,
        options: wire::SyncSetOptions,
    ) -> Result<wire::SyncSet> {
        let who = self.operator().await?;
        self.create_set_as(&who, network, source, options).await
    }

    /// As [`Self::create_set`], for whoever the client speaks for.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn create_set_as(
        &self,
        who: &Client,
        network: &str,
        source: &str,
        options: wire::SyncSetOptions,
    ) -> Result<wire::SyncSet> {
        let definition = wire::SyncSetDefinition {
            kind: wire::SyncSetKind::Folder.into(),
            on_premise_repository: repository_name(network, ON_PREMISE),
            paths: vec![source.to_owned()],
            cloud_repository: repository_name(network, CLOUD),
            options: Some(options),
            ..Default::default()
        };
        let request = wire::CreateSyncSetRequest {
            parent: format!("networks/{network}"),
            definition: Some(definition),
            ..Default::default()
        };
        let mut sets = who.sync_sets();
        let made = sets.create_sync_set(request).await?.into_inner();
        made.sync_set.context("a set without a set")
    }

    /// Makes a set as soon as both agents are connected.
    ///
    /// # Errors
    /// They do not connect in time, or the coordinator refuses.
    pub async fn create_set_when_connected(
        &self,
        network: &str,
        source: &str,
    ) -> Result<wire::SyncSet> {
        let made = poll(PATIENCE, "both agents are connected", async || {
            let options = wire::SyncSetOptions::default();
            match self.create_set(network, source, options).await {
                Err(error) if is_offline(&error) => None,
                made => Some(made),
            }
        });
        made.await?
    }

    /// Every entry of the journal of a network.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn journal(&self, network: &str) -> Result<Vec<wire::JournalEntry>> {
        let mut journal = self.operator().await?.journal();
        let mut request = wire::ListJournalRequest {
            parent: format!("networks/{network}"),
            page_size: 1000,
            ..Default::default()
        };
        let mut entries = Vec::new();
        loop {
            let page = journal.list_journal(request.clone()).await?.into_inner();
            entries.extend(page.entries);
            if page.next_page_token.is_empty() {
                return Ok(entries);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Fails if there was a conflict.
    ///
    /// # Errors
    /// The coordinator does not answer.
    ///
    /// # Panics
    /// There was one.
    pub async fn assert_no_conflict(&self, network: &str) -> Result<()> {
        let journal = self.journal(network).await?;
        let mut conflicts = journal
            .iter()
            .filter(|entry| entry.kind() == wire::JournalKind::Conflict);
        assert!(conflicts.next().is_none(), "{journal:?}");
        Ok(())
    }

    /// What a failing test tells: the log, the journal and the members.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn story(&self, network: &str) -> Result<String> {
        let mut story = self.log();
        for entry in self.journal(network).await? {
            story += &format!(
                "\n{:>4} {:?} {:?} {}: {}",
                entry.position,
                entry.kind(),
                entry.side(),
                entry.node_name,
                entry.message
            );
        }
        for member in self.members(network).await? {
            story += &format!("\n{member:?}");
        }
        Ok(story)
    }

    /// Every member of a network.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn members(&self, network: &str) -> Result<Vec<wire::Member>> {
        let request = wire::ListMembersRequest {
            parent: format!("networks/{network}/syncSets/-"),
            page_size: 1000,
            ..Default::default()
        };
        let mut members = self.operator().await?.members();
        Ok(members.list_members(request).await?.into_inner().members)
    }

    /// Runs `tandem` as the first operator and reads its JSON.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub async fn tandem(&self, network: &str, arguments: &[&str]) -> Result<Value> {
        let address = format!("http://{}", self.address);
        let output = tokio::process::Command::new(Program::Tandem.path()?)
            .args(["--server", &address, "--network", network])
            .args(["--output", "json", "--token-file"])
            .arg(self.token_file())
            .args(arguments)
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("tandem {arguments:?}: {said}");
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn is_offline(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    status.is_some_and(|status| {
        tandem_client::error::Error::from(status.clone()).is(wire::ErrorReason::AgentOffline)
    })
}
