//! A coordinator with a database of its own, and clients for it.

use tandem_proto::v1 as wire;
use tandem_proto::v1::access_service_client::AccessServiceClient;
use tandem_server::app::{self, Running};
use tandem_server::config::Config;
use tandem_test_database::Database;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

pub(crate) type Access = AccessServiceClient<InterceptedService<Channel, Bearer>>;

/// Where a coordinator keeps what it has: files, and a database on the server that the tests run on, if on one.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    database: Option<Database>,
}

impl Home {
    pub(crate) async fn new() -> Self {
        let database = match tandem_test_database::Server::named() {
            Some(server) => Some(server.create(None).await.unwrap()),
            None => None,
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            database,
        }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::embedded(self.path());
        let url = self.database.as_ref().map(Database::url);
        config.database.url = url.map(|url| url.try_into().unwrap());
        config
    }
}

/// A coordinator that goes away with its data.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) home: Home,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let home = Home::new().await;
        let mut config = home.config();
        change(&mut config);
        let running = app::start(config).await.unwrap();
        Self { running, home }
    }

    pub(crate) fn operator_token(&self) -> String {
        self.running.operator_token.clone().unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::try_from(format!("http://{}", self.running.address)).unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    /// A client that shows this token, or none.
    pub(crate) async fn access(&self, token: Option<&str>) -> Access {
        AccessServiceClient::with_interceptor(self.channel().await, Bearer::new(token))
    }

    /// A client for the operator.
    pub(crate) async fn operator(&self) -> Access {
        self.access(Some(&self.operator_token())).await
    }

    /// Makes a network with a repository `hq`, and returns the secret of a user with this role.
    pub(crate) async fn network(&self, network: &str, role: wire::Role) -> String {
        let mut operator = self.operator().await;
        let request = wire::CreateNetworkRequest {
            network_id: network.to_owned(),
            display_name: String::new(),
        };
        operator.create_network(request).await.unwrap();
        let request = wire::CreateRepositoryRequest {
            parent: format!("networks/{network}"),
            repository_id: "hq".to_owned(),
            side: wire::Side::OnPremise.into(),
            display_name: String::new(),
        };
        operator.create_repository(request).await.unwrap();
        self.user_token(network, role).await
    }

    pub(crate) async fn user_token(&self, network: &str, role: wire::Role) -> String {
        let request = user_token_request(&format!("networks/{network}"), role);
        let made = self.operator().await.create_token(request).await.unwrap();
        made.into_inner().secret
    }

    pub(crate) async fn agent_token(&self, network: &str, repository: &str) -> String {
        let request = wire::CreateTokenRequest {
            parent: format!("networks/{network}"),
            expire_time: None,
            subject: Some(wire::create_token_request::Subject::Repository(format!(
                "networks/{network}/repositories/{repository}"
            ))),
        };
        let made = self.operator().await.create_token(request).await.unwrap();
        made.into_inner().secret
    }

    pub(crate) async fn stop(self) -> Home {
        self.running.shutdown.cancel();
        self.running.join.await.unwrap().unwrap();
        self.home
    }
}

pub(crate) fn user_token_request(parent: &str, role: wire::Role) -> wire::CreateTokenRequest {
    wire::CreateTokenRequest {
        parent: parent.to_owned(),
        expire_time: None,
        subject: Some(wire::create_token_request::Subject::User(
            wire::UserSubject {
                user: "alice".to_owned(),
                role: role.into(),
            },
        )),
    }
}

/// The reason that a Status carries.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"))
        .reason
}

/// Shows a token with each call.
#[derive(Clone)]
pub(crate) struct Bearer {
    value: Option<MetadataValue<Ascii>>,
}

impl Bearer {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self {
            value: token.map(|token| format!("Bearer {token}").parse().unwrap()),
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}
