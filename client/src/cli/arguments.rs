//! What can be typed: the global flags and the nouns. The verbs stand with their nouns.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use clap_complete::Shell;

use super::{
    account, agent, conflict, exit, journal, member, network, output::Format, repository, set,
    target, token, version,
};

/// Looks at and steers what Tandem keeps the same.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Address of the coordinator
    #[arg(long, global = true, env = "TANDEM_SERVER", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7420")]
    pub(crate) server: String,
    /// Token to show to the coordinator; other users of this machine may see it, so prefer --token-file
    #[arg(long, global = true, env = "TANDEM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Secret>,
    /// File that holds the token; goes before --token
    #[arg(long, global = true, env = "TANDEM_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Network in which names without one are looked up
    #[arg(long, global = true, env = "TANDEM_NETWORK", value_name = "NAME")]
    #[arg(default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) network: String,
    /// Tables for people, or JSON for programs: a list is one array, what is watched one line each
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) output: Format,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Run an agent beside a repository
    #[command(subcommand)]
    Agent(agent::Verb),
    /// Make, show and end sync sets
    #[command(subcommand)]
    Set(set::Verb),
    /// Show, sync and delete single members of sync sets
    #[command(subcommand)]
    Member(member::Verb),
    /// Show conflicts and bring their losers back
    #[command(subcommand)]
    Conflict(conflict::Verb),
    /// Show and restore the kept versions of a member
    #[command(subcommand)]
    Version(version::Verb),
    /// Read the journal: what was seen, decided and done, in order
    #[command(subcommand)]
    Journal(journal::Verb),
    /// Register and look after repositories
    #[command(subcommand)]
    Repository(repository::Verb),
    /// Look for cloud folders that can receive sync sets, and make new ones
    #[command(subcommand)]
    Target(target::Verb),
    /// Make networks
    #[command(subcommand)]
    Network(network::Verb),
    /// Make and revoke tokens
    #[command(subcommand)]
    Token(token::Verb),
    /// Link on-premise users to accounts of cloud repositories
    #[command(subcommand)]
    Account(account::Verb),
    /// Show whom the token speaks for
    Whoami,
    /// Print a completion script, such as: tandem completion bash > ~/.local/share/bash-completion/completions/tandem
    Completion {
        /// Shell that reads the script
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// A credential that no log or debug output shows.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// How much of a list is wanted.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limit {
    /// Show at most so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    fn assert_help(command: &Command) {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{argument} has no help");
        }
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            assert!(subcommand.get_about().is_some(), "{name} has no help");
            assert_help(subcommand);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_help() {
        let mut command = Cli::command();
        command.build();
        assert_help(&command);
    }

    /// Arguments of a command, and of those below it, that are called like one that every command takes.
    fn doubles(command: &Command, global: &[&str], found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let ids = subcommand.get_arguments().map(clap::Arg::get_id);
            let same = ids.filter(|id| global.contains(&id.as_str()));
            found.extend(same.map(|id| format!("{}: {id}", subcommand.get_name())));
            doubles(subcommand, global, found);
        }
    }

    #[test]
    fn no_argument_takes_the_place_of_one_that_every_command_takes() {
        let command = Cli::command();
        let global = command.get_arguments();
        let global: Vec<&str> = global.map(|argument| argument.get_id().as_str()).collect();
        let mut found = Vec::new();
        doubles(&command, &global, &mut found);
        assert!(global.contains(&"token") && found.is_empty(), "{found:?}");
    }

    #[test]
    fn help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes"), "{help}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let cli =
            Cli::try_parse_from(["tandem", "--token", "s3cret", "whoami"]).expect("it parses");
        assert!(!format!("{cli:?}").contains("s3cret"));
    }

    #[test]
    fn set_options_that_contradict_are_refused() {
        let line =
            "tandem set create --source hq --target cloud --no-delete-on-cloud --delete-on-premise";
        let error = Cli::try_parse_from(line.split(' ')).expect_err("R-SET-2");
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
    }
}
