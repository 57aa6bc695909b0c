//! `tandem agent …`: an agent beside a directory, in a process of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::arguments::GlobalOptions;
use super::connection;
use super::error::Error;
use super::exit::Kind;
use super::names::Names;
use super::values::SideValue;
use crate::agent::runtime::Options;
use crate::connectors::directory;
use tandem_proto::v1::Side;

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Keep a directory as the copy of a repository, until SIGTERM or Ctrl-C
    Run(Run),
}

/// How a directory is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Directory that is the repository; it must exist
    #[arg(long, value_name = "DIRECTORY")]
    root: PathBuf,
    /// Where the agent keeps its index, its outbox and versions; outside the root, made if missing
    #[arg(long, value_name = "DIRECTORY")]
    state: PathBuf,
    /// Repository that the token speaks for
    #[arg(long, value_name = "NAME")]
    repository: String,
    /// Side of the repository
    #[arg(long, value_enum)]
    side: SideValue,
    /// Milliseconds for which a file must be quiet before it is looked at, 10 to 50
    #[arg(long, value_name = "MS", default_value_t = 25)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=50))]
    settle_ms: u64,
    /// Days for which replaced and deleted content is kept; 0 = for ever
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    versions_keep_days: u64,
    /// File with a line `person = user of this system` for everybody: what they may do is then what owner, group and mode
    /// let that user do, also for what is pulled; on-premise only. Without it everybody may what the agent may, since who
    /// is who on this system cannot be guessed
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Events to log, such as `info` or `tandem_client=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

/// Runs an agent until it is told to stop; it heals itself, so only what no retry mends ends it earlier.
pub(crate) async fn run(global: &GlobalOptions, verb: Verb) -> Result<(), Error> {
    let Verb::Run(run) = verb;
    log(&run.log)?;
    let client = connection::endpoint(&global.server, &connection::token(global)?)?.connect_lazy();
    let name = Names::new(&global.network)?.repository(&run.repository)?;
    let mut options = directory::Options::new(&run.root, &run.state);
    options.settle = Duration::from_millis(run.settle_ms);
    options.versions_keep = Duration::from_secs(run.versions_keep_days * 24 * 60 * 60);
    options.users = users(&run)?;
    let who = Options::new(name, run.side.into());
    let agent = directory::beside(options, client, who)
        .await
        .map_err(|error| {
            Error::new(Kind::Precondition, error.to_string())
                .with_remedy("Check --root and --state; another agent may use them.")
        })?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    tracing::info!(root = %run.root.display(), "the agent runs");
    Ok(agent.run(stop).await?)
}

/// The cloud's people prove who they are by credentials, which a directory cannot check (R-IDN-1).
fn users(run: &Run) -> Result<Option<directory::Users>, Error> {
    let Some(file) = &run.users else {
        return Ok(None);
    };
    if Side::from(run.side) != Side::OnPremise {
        return Err(Error::usage(
            "--users is for on-premise directories: cloud accounts have credentials, which a directory cannot check",
            "Leave out --users.",
        ));
    }
    let users = directory::Users::read(file);
    users.map(Some).map_err(|cause| {
        Error::usage(
            cause,
            "A line reads `alice = al`: a user of Tandem, and one of this system.",
        )
    })
}

fn log(filter: &str) -> Result<(), Error> {
    let usage = |cause: String| Error::usage(cause, "Check --log; `info` is a filter.");
    let filter = EnvFilter::try_new(filter).map_err(|error| usage(error.to_string()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| usage(error.to_string()))
}

fn stop_on_signal(stop: CancellationToken) -> Result<(), Error> {
    let listen = |kind| {
        signal(kind).map_err(|error| Error::new(Kind::Internal, format!("no signals: {error}")))
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
