//! The command line `tandem`: each noun has a file with its verbs, and a view of what it shows.
//!
//! Verbs call the coordinator and hand a view to [`output::Output`]; names, views and exit codes are pure. Nothing
//! here prints but `output`, and nothing ends the process but the [`ExitCode`] that [`main`] returns.

mod account;
mod agent;
mod arguments;
mod completion;
mod conflict;
mod connection;
mod context;
mod create;
mod error;
mod exit;
mod ids;
mod journal;
mod member;
mod names;
mod network;
mod output;
mod paging;
mod place;
mod portable;
mod remedy;
mod repository;
mod set;
mod target;
mod targets;
mod token;
mod values;
mod version;
mod view;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

pub use view::text::clean;

use arguments::{Cli, Noun};
use context::Context;
use error::Error;
use output::Output;

/// Runs one command and tells how it ended; the codes stand in `tandem --help`.
pub async fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let format = cli.global.output;
    match run_with(cli, Output::to(format, std::io::stdout())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&error, format),
    }
}

async fn run_with(cli: Cli, output: Output) -> Result<(), Error> {
    if let Noun::Completion { shell } = cli.noun {
        return completion::run(output, shell);
    }
    if let Noun::Agent(verb) = cli.noun {
        return agent::run(&cli.global, verb).await;
    }
    let mut context = Context::open(&cli.global, output).await?;
    match cli.noun {
        Noun::Set(verb) => set::run(&mut context, verb).await,
        Noun::Member(verb) => member::run(&mut context, verb).await,
        Noun::Conflict(verb) => conflict::run(&mut context, verb).await,
        Noun::Version(verb) => version::run(&mut context, verb).await,
        Noun::Journal(verb) => journal::run(&mut context, verb).await,
        Noun::Repository(verb) => repository::run(&mut context, verb).await,
        Noun::Target(verb) => target::run(&mut context, verb).await,
        Noun::Network(verb) => network::run(&mut context, verb).await,
        Noun::Token(verb) => token::run(&mut context, verb).await,
        Noun::Account(verb) => account::run(&mut context, verb).await,
        Noun::Whoami => token::whoami(&mut context).await,
        Noun::Agent(_) | Noun::Completion { .. } => Ok(()),
    }
}
