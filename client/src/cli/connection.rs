//! The way to the coordinator: one channel, and the token on every call.

use std::{fs, path::Path, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{
    arguments::{GlobalOptions, Secret},
    error::Error,
    exit::Kind,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// A token is a short line; a larger file is not one.
const TOKEN_BYTES_MAX: usize = 4096;

/// What the generated clients are built on.
pub(crate) type Connection = InterceptedService<Channel, Bearer>;

/// Puts the token on every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// Connects as the global flags say.
pub(crate) async fn open(global: &GlobalOptions) -> Result<Connection, Error> {
    let bearer = Bearer(token(global)?.map(|token| header(&token)).transpose()?);
    let channel = endpoint(&global.server)?.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(String::new, |cause| format!(": {cause}"));
        let message = format!("cannot reach the coordinator at {}{cause}", global.server);
        Error::new(Kind::Unavailable, message)
            .with_remedy("Start it (`tandemd serve`), or give its address with --server.")
    })?;
    Ok(InterceptedService::new(channel, bearer))
}

fn endpoint(server: &str) -> Result<Endpoint, Error> {
    let remedy = "Give --server as http://HOST:PORT.";
    if !server.starts_with("http://") {
        return Err(Error::usage(
            format!("the address `{server}` does not begin with http://"),
            remedy,
        ));
    }
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| {
        Error::usage(
            format!("the address `{server}` is not a URL: {error}"),
            remedy,
        )
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_while_idle(true))
}

fn token(global: &GlobalOptions) -> Result<Option<Secret>, Error> {
    match &global.token_file {
        Some(file) => read(file).map(Some),
        None => Ok(global.token.clone()),
    }
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

fn header(token: &Secret) -> Result<MetadataValue<Ascii>, Error> {
    let refused = || {
        Error::usage(
            "the token holds characters that no token has, or is too long",
            "Copy it again, without quotes or spaces.",
        )
    };
    if token.0.is_empty()
        || token.0.len() > TOKEN_BYTES_MAX
        || token.0.contains(char::is_whitespace)
    {
        return Err(refused());
    }
    let mut header: MetadataValue<Ascii> = format!("Bearer {}", token.0)
        .parse()
        .map_err(|_| refused())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_work_are_usage_errors() {
        for server in ["", "127.0.0.1:8700", "https://127.0.0.1:8700", "http://"] {
            let error = endpoint(server).expect_err(server);
            assert_eq!(error.kind, Kind::Usage, "{server}");
        }
        endpoint("http://127.0.0.1:8700").expect("an ordinary address");
    }

    #[test]
    fn the_token_never_shows_in_errors_or_debug_output() {
        let error = header(&Secret("abc def".to_owned())).expect_err("it holds a space");
        assert!(!error.human().contains("abc"));
        let header = header(&Secret("abcdef".to_owned())).expect("an ordinary token");
        assert!(!format!("{:?}", Bearer(Some(header))).contains("abcdef"));
    }

    #[test]
    fn a_token_file_is_trimmed_and_must_hold_something() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        fs::write(&file, "abc\n").expect("it is written");
        assert_eq!(read(&file).expect("a token").0, "abc");
        fs::write(&file, "\n").expect("it is written");
        assert_eq!(read(&file).expect_err("it is empty").kind, Kind::Usage);
    }
}
