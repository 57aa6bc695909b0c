//! The way to the coordinator: its address, and the token to show.

use std::{fs, path::Path};

use super::{
    arguments::{GlobalOptions, Secret},
    error::Error,
    exit::Kind,
};
use crate::client::{Client, Endpoint};

/// Connects as the global flags say.
pub(crate) async fn open(global: &GlobalOptions) -> Result<Client, Error> {
    let endpoint = endpoint(&global.server, &token(global)?)?;
    endpoint.connect().await.map_err(|error| {
        Error::new(
            Kind::Unavailable,
            format!("{} ({})", error.message(), global.server),
        )
        .with_remedy("Start it (`tandemd serve`), or give its address with --server.")
    })
}

/// The coordinator of these flags, not connected yet.
pub(crate) fn endpoint(server: &str, token: &Secret) -> Result<Endpoint, Error> {
    Endpoint::new(server, &token.0).map_err(|error| {
        Error::usage(
            error.message(),
            "Check --server, and the token that was given.",
        )
    })
}

/// The token that the flags name.
pub(crate) fn token(global: &GlobalOptions) -> Result<Secret, Error> {
    let given = match &global.token_file {
        Some(file) => Some(read(file)?),
        None => global.token.clone(),
    };
    given.filter(|token| !token.0.is_empty()).ok_or_else(|| {
        Error::new(Kind::NotAllowed, "no token is given")
            .with_remedy("Give one with --token-file, --token or TANDEM_TOKEN.")
    })
}

fn read(file: &Path) -> Result<Secret, Error> {
    let remedy = "Check --token-file: it names a file with nothing but the token in it.";
    let content = fs::read_to_string(file).map_err(|error| {
        Error::usage(
            format!("cannot read the token from {}: {error}", file.display()),
            remedy,
        )
    })?;
    match content.trim() {
        "" => Err(Error::usage(
            format!("the token file {} is empty", file.display()),
            remedy,
        )),
        token => Ok(Secret(token.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tokens_that_cannot_work_are_usage_errors() {
        let kind = |server: &str, token: &str| {
            endpoint(server, &Secret(token.to_owned()))
                .map_err(|error| error.kind)
                .err()
        };
        assert_eq!(kind("", "t"), Some(Kind::Usage));
        assert_eq!(kind("https://127.0.0.1:8700", "t"), Some(Kind::Usage));
        assert_eq!(kind("http://127.0.0.1:8700", "a\nb"), Some(Kind::Usage));
        assert_eq!(kind("http://127.0.0.1:8700", "t"), None);
    }

    #[test]
    fn a_token_file_is_trimmed_and_must_hold_something() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        fs::write(&file, "abc\n").expect("it is written");
        assert_eq!(read(&file).expect("a token").0, "abc");
        fs::write(&file, "\n").expect("it is written");
        assert_eq!(read(&file).expect_err("it is empty").kind, Kind::Usage);
        fs::remove_file(&file).expect("it is removed");
        assert_eq!(read(&file).expect_err("it is missing").kind, Kind::Usage);
    }
}
