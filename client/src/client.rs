//! The typed client: one connection for calls and sessions, a second one for content.

use std::{fmt, time::Duration};

use tandem_proto::v1::{
    access_service_client::AccessServiceClient, conflict_service_client::ConflictServiceClient,
    content_service_client::ContentServiceClient, exchange_service_client::ExchangeServiceClient,
    journal_service_client::JournalServiceClient, member_service_client::MemberServiceClient,
    sync_set_service_client::SyncSetServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::error::Error;

/// Bytes of one decoded or encoded message; a batch, a frame and 3 MiB of small contents fit.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle connection is probed; more often than 10 s is refused by middleboxes and servers.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the answer to such a probe may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of one stream that may be on their way.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes of one connection that may be on their way.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Where the coordinator is and who calls.
#[derive(Debug, Clone)]
pub struct Endpoint {
    transport: tonic::transport::Endpoint,
    token: BearerToken,
}

/// Puts the bearer token on every call.
#[derive(Clone)]
pub struct BearerToken(MetadataValue<Ascii>);

/// A connection with its credential.
pub type Authorized = InterceptedService<Channel, BearerToken>;

/// The services of a coordinator; cheap to clone, all clones share two connections.
#[derive(Debug, Clone)]
pub struct Client {
    calls: Authorized,
    content: Authorized,
}

// === impl Endpoint ===

impl Endpoint {
    /// Names a coordinator, `http://host:port` or `host:port`, and the bearer token to show it.
    ///
    /// TLS will have its place here: `https://` is refused until then.
    pub fn new(address: &str, token: &str) -> Result<Self, Error> {
        let transport = tonic::transport::Endpoint::from_shared(with_scheme(address)?)
            .map_err(|cause| {
                invalid(format!(
                    "address: `{address}` is not a URL ({cause}); write http://host:port"
                ))
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Ok(Self {
            transport,
            token: BearerToken::new(token)?,
        })
    }

    /// Connects now, so that a wrong address shows at once.
    pub async fn connect(&self) -> Result<Client, Error> {
        let calls = self.transport.connect().await?;
        Ok(self.client(calls))
    }

    /// Connects at the first call, and again whenever the connection is lost.
    #[must_use]
    pub fn connect_lazy(&self) -> Client {
        self.client(self.transport.connect_lazy())
    }

    fn client(&self, calls: Channel) -> Client {
        Client {
            calls: InterceptedService::new(calls, self.token.clone()),
            content: InterceptedService::new(self.transport.connect_lazy(), self.token.clone()),
        }
    }
}

fn with_scheme(address: &str) -> Result<String, Error> {
    match address.split_once("://") {
        None => Ok(format!("http://{address}")),
        Some(("http", _)) => Ok(address.to_owned()),
        Some((scheme, _)) => Err(invalid(format!(
            "address: `{scheme}://` is not offered yet; write http://host:port"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidArgument, message)
}

// === impl BearerToken ===

impl BearerToken {
    fn new(token: &str) -> Result<Self, Error> {
        let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| {
            invalid("token: it contains characters that no token has; copy it again".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken(…)")
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

// === impl Client ===

macro_rules! services {
    ($($(#[$meta:meta])* $name:ident: $client:ident over $connection:ident;)*) => {
        $(
            $(#[$meta])*
            #[must_use]
            pub fn $name(&self) -> $client<Authorized> {
                $client::new(self.$connection.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX)
            }
        )*
    };
}

impl Client {
    /// Connects to a coordinator.
    pub async fn connect(address: &str, token: &str) -> Result<Self, Error> {
        Endpoint::new(address, token)?.connect().await
    }

    services! {
        /// Networks, repositories, tokens, account links.
        access: AccessServiceClient over calls;
        /// Sync sets.
        sync_sets: SyncSetServiceClient over calls;
        /// Members of sync sets.
        members: MemberServiceClient over calls;
        /// Conflicts and kept versions.
        conflicts: ConflictServiceClient over calls;
        /// The journal.
        journal: JournalServiceClient over calls;
        /// Sessions of agents.
        exchange: ExchangeServiceClient over calls;
        /// Content, on a connection of its own: a stalled transfer must not hold up sessions.
        content: ContentServiceClient over content;
    }

    /// The second connection, on which content travels.
    #[must_use]
    pub fn content_channel(&self) -> Authorized {
        self.content.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert!(Endpoint::new("127.0.0.1:7420", "t").is_ok());
        assert!(Endpoint::new("http://127.0.0.1:7420", "t").is_ok());
        let refused = Endpoint::new("https://example.org", "t").unwrap_err();
        assert!(refused.message().starts_with("address:"), "{refused}");
        assert!(Endpoint::new("http://not a host", "t").is_err());
    }

    #[test]
    fn tokens_are_checked_and_never_shown() {
        assert!(Endpoint::new("127.0.0.1:1", "line\nbreak").is_err());
        let endpoint = Endpoint::new("127.0.0.1:1", "secret-token").unwrap();
        assert!(!format!("{endpoint:?}").contains("secret-token"));
    }
}
