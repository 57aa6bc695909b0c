//! `tandemd quickstart`: a coordinator and two directory agents in one process. The only room that uses the client.
//!
//! It does what three programs would do, through the same API: nothing here reaches into the coordinator.

mod arguments;
mod follow;
mod home;
mod setup;
mod show;
mod sides;
mod trouble;

use std::process::ExitCode;

use anyhow::Context;
use tandem_client::client::{Client, Endpoint};
use tokio_util::sync::CancellationToken;

pub use arguments::Arguments;

use crate::app::{self, Running};
use crate::cli::Signals;
use crate::config::Config;
use home::Home;
use show::Show;
use sides::Sides;

/// Keeps two directories the same until Ctrl-C, or with `--once` until they are.
///
/// # Errors
/// When a directory cannot be used, or the coordinator cannot start.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let home = Home::open(&arguments)?;
    let mut config = Config::embedded(home.coordinator());
    config.admin_token_file = Some(home.admin_token_file());
    let stop = CancellationToken::new();
    Signals::listen()?.stop(stop.clone());
    let running = app::start(config).await?;
    let done = keep(&arguments, &home, &running, &stop).await;
    stop.cancel();
    running.shutdown.cancel();
    running.join.await??;
    done
}

async fn keep(
    arguments: &Arguments,
    home: &Home,
    running: &Running,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let address = format!("http://{}", running.address);
    let client = connect(&address, home).await?;
    let mut show = Show::new(arguments, &address, home);
    show.ready();
    let tokens = setup::repositories(&client, home).await?;
    let sides = Sides::start(home, &address, &tokens, stop).await?;
    let set = setup::sync_set(&client, home, arguments, &sides).await?;
    let followed = follow::Follow {
        client: &client,
        set: &set,
        sides: &sides,
        stop,
    };
    let code = followed.run(arguments.once, &mut show).await;
    sides.stop().await;
    code
}

async fn connect(address: &str, home: &Home) -> anyhow::Result<Client> {
    let token = home.admin_token()?;
    let endpoint = Endpoint::new(address, &token)?;
    endpoint
        .connect()
        .await
        .context("the coordinator that was just started does not answer")
}
