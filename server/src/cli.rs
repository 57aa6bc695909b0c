//! The command line of `tandemd`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::config::{Config, Log, LogFormat, Sources};
use crate::operate;

/// The coordinator of Tandem: keeps content of an on-premise and a cloud repository the same.
#[derive(Debug, Parser)]
#[command(name = "tandemd", version)]
pub struct Cli {
    /// A TOML file with settings; the environment (TANDEM_…) and flags win over it.
    #[arg(long, global = true, env = "TANDEM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM or SIGINT).
    Serve(Serve),
    /// Keep two directories the same: a coordinator and two agents in this process.
    Quickstart(crate::quickstart::Arguments),
    /// Apply missing migrations to the database and stop.
    Migrate(Store),
    /// Copy the data to a directory, while the coordinator serves or not.
    Backup(Operate<operate::backup::Arguments>),
    /// Put a backup in place of the data; the coordinator must be stopped.
    Restore(Operate<operate::restore::Arguments>),
    /// Read all data, while the coordinator serves or not, and tell what is not as it must be.
    Verify(Operate<operate::verify::Arguments>),
    /// Check the settings, print those that would hold, and stop.
    CheckConfig(Serve),
}

/// Flags for whatever uses the database.
#[derive(Debug, Args)]
struct Store {
    /// Where the content is kept, and the database unless it has a url.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// A file of SQLite, or postgres://USER@HOST/DATABASE; a password stands better in the environment
    /// (TANDEM_DATABASE__URL, PGPASSWORD), where others do not see it.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Which events to log, such as `info` or `tandem_server=debug,warn`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// Flags for what an operator does with the data.
#[derive(Debug, Args)]
struct Operate<T: Args> {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    own: T,
}

/// Flags for serving.
#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    store: Store,
    /// Where to listen, such as 127.0.0.1:7420; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Apply missing migrations first, instead of refusing to serve.
    #[arg(long)]
    migrate: bool,
    /// Also write the first operator's token to this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

impl Store {
    fn flags(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut flags = Vec::new();
        if let Some(directory) = &self.data_dir {
            flags.push(("data_dir", text(directory)?));
        }
        if let Some(url) = &self.database_url {
            flags.push(("database.url", url.clone()));
        }
        if let Some(filter) = &self.log {
            flags.push(("log.filter", filter.clone()));
        }
        Ok(flags)
    }
}

impl Serve {
    fn flags(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut flags = self.store.flags()?;
        if let Some(listen) = &self.listen {
            flags.push(("listen", listen.clone()));
        }
        if self.migrate {
            flags.push(("migrate", true.to_string()));
        }
        if let Some(file) = &self.admin_token_file {
            flags.push(("admin_token_file", text(file)?));
        }
        Ok(flags)
    }
}

fn text(path: &std::path::Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8; choose a path that is", path.display()))?;
    Ok(text.to_owned())
}

/// Reads the command line, runs the command, and says what went wrong; a wrong command line ends with code 2.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    runtime
        .block_on(run(cli))
        .unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("tandemd: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Quickstart(arguments) => {
            log_to_stderr(&Log {
                filter: arguments.log.clone(),
                ..Log::default()
            })?;
            return crate::quickstart::run(arguments).await;
        }
        Command::Serve(arguments) => {
            let config = settings(cli.config, arguments.flags()?)?;
            log_to_stderr(&config.log)?;
            serve(config).await?;
        }
        Command::Migrate(arguments) => {
            let config = settings(cli.config, arguments.flags()?)?;
            log_to_stderr(&config.log)?;
            app::migrate(&config).await?;
        }
        Command::Backup(Operate { store, own }) => {
            let config = settings(cli.config, store.flags()?)?;
            log_to_stderr(&config.log)?;
            return operate::backup::run(&config, own).await;
        }
        Command::Restore(Operate { store, own }) => {
            let config = settings(cli.config, store.flags()?)?;
            log_to_stderr(&config.log)?;
            return operate::restore::run(&config, own).await;
        }
        Command::Verify(Operate { store, own }) => {
            let config = settings(cli.config, store.flags()?)?;
            log_to_stderr(&config.log)?;
            return operate::verify::run(&config, own).await;
        }
        Command::CheckConfig(arguments) => {
            let config = settings(cli.config, arguments.flags()?)?;
            filter(&config.log)?;
            println!("{}", serde_json::to_string_pretty(&config)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> anyhow::Result<Config> {
    Config::load(Sources::new(file, flags)).context("the settings cannot be used")
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let running = app::start(config).await?;
    signals.stop(running.shutdown.clone());
    tracing::info!(address = %running.address, "serving");
    if let Some(token) = &running.operator_token {
        eprintln!("The first operator's token, shown only now: {token}");
    }
    running.join.await?
}

/// SIGTERM and SIGINT. Heard from the start on: one that comes as soon as the coordinator says that it serves, drains it too.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// When the system refuses to deliver signals.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Drains at the first that came or comes.
    pub fn stop(mut self, shutdown: CancellationToken) {
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            shutdown.cancel();
        });
    }
}

/// Logs to standard error, which leaves standard output to results.
///
/// # Errors
/// When the filter cannot be read, or something logs already.
pub fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(std::io::stderr);
    let begun = match log.format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    begun.map_err(|error| anyhow::anyhow!("cannot log: {error}"))
}

fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.filter)
        .with_context(|| format!("log.filter: `{}` is no filter; try `info`", log.filter))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let cli = Cli::parse_from(["tandemd", "serve", "--listen", "127.0.0.1:0", "--migrate"]);
        let Command::Serve(arguments) = cli.command else {
            panic!("serve is serve");
        };
        let flags = arguments.flags().unwrap();
        let config = Config::load(Sources {
            flags,
            ..Sources::default()
        });
        let config = config.unwrap();
        assert!(config.migrate);
        assert_eq!(config.listen.port(), 0);
    }
}
