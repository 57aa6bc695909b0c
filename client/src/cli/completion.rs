//! Completion scripts.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{arguments::Cli, error::Error, output::Output};

/// Prints the script for a shell.
pub(crate) fn run(mut output: Output, shell: Shell) -> Result<(), Error> {
    output.write(&script(shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tandem", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_with_the_verbs() {
        for shell in Shell::value_variants() {
            assert!(script(*shell).contains("request-sync"), "{shell}");
        }
    }
}
