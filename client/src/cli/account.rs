//! `tandem account`: which account of a cloud repository a user linked (R-IDN-1).

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use tandem_proto::v1::{GetAccountLinkRequest, LinkAccountRequest};

use super::{
    arguments::Secret,
    context::{Context, given},
    error::Error,
    view::account::AccountView,
};

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Link an account: what is pushed for the user's sets acts as it
    Link {
        /// Cloud repository: id or name
        repository: String,
        /// Account there
        account: String,
        /// File that holds the account's credential; - = standard input. The agent of the repository verifies and keeps it
        #[arg(long, value_name = "FILE")]
        credential_file: PathBuf,
        #[command(flatten)]
        user: User,
    },
    /// Show which account is linked
    Show {
        /// Cloud repository: id or name
        repository: String,
        #[command(flatten)]
        user: User,
    },
}

/// Whose account.
#[derive(Debug, clap::Args)]
pub(crate) struct User {
    /// On-premise user; for admins [default: the caller]
    #[arg(long, default_value = "", hide_default_value = true)]
    user: String,
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    let link = match verb {
        Verb::Link {
            repository,
            account,
            credential_file,
            user,
        } => {
            let request = LinkAccountRequest {
                parent: context.names.network(),
                user: user.user,
                account,
                credential: credential(&credential_file)?.0,
                repository: context.names.repository(&repository)?,
            };
            let answer = context.client.access().link_account(request).await?;
            answer.into_inner().link
        }
        Verb::Show { repository, user } => {
            let request = GetAccountLinkRequest {
                repository: context.names.repository(&repository)?,
                user: user.user,
            };
            let answer = context.client.access().get_account_link(request).await?;
            answer.into_inner().link
        }
    };
    let view = AccountView::from(given(link, "the link")?);
    context.output.show(&view)
}

/// What a file, or standard input, holds, without the end of its line.
fn credential(file: &Path) -> Result<Secret, Error> {
    let read = match file.as_os_str() == STANDARD_INPUT {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(file),
    };
    let text = read.map_err(|error| {
        Error::usage(
            format!("cannot read the credential from {}: {error}", file.display()),
            "Check --credential-file: it names a file with nothing but the credential in it, or is - for standard input.",
        )
    })?;
    Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Kind;

    #[test]
    fn r_idn_1_a_credential_is_read_from_a_file_without_the_end_of_its_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("credential");
        fs::write(&file, " open sesame \r\n").expect("it is written");
        assert_eq!(credential(&file).expect("it is read").0, " open sesame ");
        fs::remove_file(&file).expect("it is removed");
        let refused = credential(&file).expect_err("it is missing");
        assert_eq!(refused.kind, Kind::Usage);
    }
}
