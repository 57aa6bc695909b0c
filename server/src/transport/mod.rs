//! Bytes, headers and codes: one thin file per service.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tandem_proto::v1::access_service_server::AccessServiceServer;
use tandem_proto::v1::conflict_service_server::ConflictServiceServer;
use tandem_proto::v1::content_service_server::ContentServiceServer;
use tandem_proto::v1::exchange_service_server::ExchangeServiceServer;
use tandem_proto::v1::journal_service_server::JournalServiceServer;
use tandem_proto::v1::member_service_server::MemberServiceServer;
use tandem_proto::v1::sync_set_service_server::SyncSetServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tower::Service;

use crate::domain::limits::{
    HEADERS_BYTES_MAX, KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS, LOCAL_RESETS_MAX,
    MESSAGE_BYTES_MAX, PENDING_RESETS_MAX, SMALL_MESSAGE_BYTES_MAX, STREAMS_PER_CONNECTION_MAX,
};
use crate::service::Coordinator;
use crate::service::content::Content;

pub mod access;
mod accounts;
pub mod auth;
pub mod conflict;
pub mod content;
pub mod convert;
pub mod cursor;
mod definition;
pub mod exchange;
pub mod health;
pub mod incoming;
pub mod journal;
pub mod limit;
pub mod member;
mod members;
mod messages;
pub mod names;
mod portable;
mod scopes;
pub mod status;
pub mod sync_set;
pub mod tokens;

#[cfg(test)]
mod management_tests;

pub use health::Health;

/// Every service of the coordinator, ready to be served.
#[derive(Debug)]
pub struct Api {
    routes: Routes,
    health: Health,
    coordinator: Coordinator,
}

/// Adds a service with its own limit for received and sent messages: one line per service.
macro_rules! add {
    ($services:ident, $server:ident, $handler:expr, $bytes_max:expr) => {
        $services.add(
            $server::new($handler)
                .max_decoding_message_size($bytes_max)
                .max_encoding_message_size($bytes_max),
        )
    };
}

impl Api {
    /// All services over this coordinator; `reflection` lets any client list them.
    ///
    /// # Errors
    /// When the descriptors that were built in cannot be read.
    pub async fn new(
        coordinator: Coordinator,
        content: Content,
        reflection: bool,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let mut services = Services::default();
        let of = || coordinator.clone();
        add!(
            services,
            AccessServiceServer,
            access::Handler::new(of()),
            SMALL_MESSAGE_BYTES_MAX
        );
        add!(
            services,
            SyncSetServiceServer,
            sync_set::Handler::new(of()),
            MESSAGE_BYTES_MAX
        );
        add!(
            services,
            ExchangeServiceServer,
            exchange::Handler::new(of()),
            MESSAGE_BYTES_MAX
        );
        add!(
            services,
            MemberServiceServer,
            member::Handler::new(of()),
            MESSAGE_BYTES_MAX
        );
        add!(
            services,
            ConflictServiceServer,
            conflict::Handler::new(of()),
            MESSAGE_BYTES_MAX
        );
        add!(
            services,
            JournalServiceServer,
            journal::Handler::new(of()),
            MESSAGE_BYTES_MAX
        );
        add!(
            services,
            ContentServiceServer,
            content::Handler::new(of(), content),
            MESSAGE_BYTES_MAX
        );
        let (routes, health) = services.finish(reflection).await?;
        Ok(Self {
            routes,
            health,
            coordinator,
        })
    }

    /// Tells health checkers; not serving at first.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `drain` is cancelled and every stream has ended, or until `cut` is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        drain: CancellationToken,
        cut: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(KEEPALIVE_SECONDS)))
            .http2_keepalive_timeout(Some(Duration::from_secs(KEEPALIVE_TIMEOUT_SECONDS)))
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
            .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .layer(limit::LimitLayer::default())
            .layer(auth::AuthLayer::new(self.coordinator))
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(
                incoming::incoming(listener, cut),
                drain.cancelled_owned(),
            )
            .await
    }
}

/// Collects services and their names.
#[derive(Debug, Default)]
struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
}

impl Services {
    fn add<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
    }

    async fn finish(
        mut self,
        reflection: bool,
    ) -> Result<(Routes, Health), tonic_reflection::server::Error> {
        let (reporter, server) = tonic_health::server::health_reporter();
        self.routes.add_service(server);
        if reflection {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tandem_proto::DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            for name in self.names.iter().copied().chain(["grpc.health.v1.Health"]) {
                builder = builder.with_service_name(name);
            }
            self.routes.add_service(builder.build_v1()?);
        }
        let health = Health::new(reporter, self.names).await;
        Ok((self.routes.routes(), health))
    }
}
