//! Starting, health, reflection, and stopping although streams are open.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tandem_proto::v1 as wire;
use tandem_server::app;
use tandem_server::config::Config;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::server::{Home, Server};

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn list_services() -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    }
}

#[tokio::test]
async fn health_is_told_to_anyone_for_each_service_by_name() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "tandem.v1.AccessService"] {
        let answer = health.check(health_of(service)).await.unwrap();
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let unknown = health
        .check(health_of("tandem.v1.Nothing"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_the_services_and_can_be_switched_off() {
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let requests = tokio_stream::once(list_services());
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("not a list of services: {answer:?}");
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert!(names.contains(&"tandem.v1.AccessService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");

    let server = Server::start_with(|config| config.reflection = false).await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let requests = tokio_stream::once(list_services());
    let refused = client.server_reflection_info(requests).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn draining_tells_health_watchers_first_and_waits_for_nobody_who_is_done() {
    let server = Server::start_with(|config| config.drain_seconds = 60).await;
    let mut health = HealthClient::new(server.channel().await);
    let mut states = health.watch(health_of("")).await.unwrap().into_inner();
    let first = states.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let begun = Instant::now();
    server.running.shutdown.cancel();
    let last = states.next().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(states.next().await.is_none(), "the watch ends");
    drop((states, health));
    server.running.join.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// Stops at S13.
#[tokio::test]
async fn an_open_stream_is_cut_at_the_deadline() {
    let server = Server::start_with(|config| config.drain_seconds = 1).await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let requests_stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    requests.send(list_services()).await.unwrap();
    let mut answers = client
        .server_reflection_info(requests_stream)
        .await
        .unwrap()
        .into_inner();
    answers.next().await.unwrap().unwrap();
    let begun = Instant::now();
    let home = server.stop().await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "it waited for the stream"
    );
    assert!(begun.elapsed() < Duration::from_secs(8), "but not for ever");
    let end = answers.next().await;
    assert!(matches!(end, None | Some(Err(_))), "the stream is over");
    drop(requests);
    // Everything is closed: the same data can be served again at once.
    let again = app::start(home.config()).await.unwrap();
    again.shutdown.cancel();
    again.join.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_first_operator_token_is_made_once_and_its_file_is_private() {
    let file = |config: &Config| config.data_dir.join("operator.token");
    let server = Server::start_with(|config| config.admin_token_file = Some(file(config))).await;
    let token = server.operator_token();
    let path = server.home.path().join("operator.token");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), token);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let home = server.stop().await;
    let running = app::start(home.config()).await.unwrap();
    assert_eq!(running.operator_token, None);
    let server = Server { running, home };
    let mut client = server.access(Some(&token)).await;
    client.who_am_i(wire::WhoAmIRequest {}).await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_not_served_without_migrating() {
    let home = Home::new().await;
    let config = Config {
        migrate: false,
        ..home.config()
    };
    let refused = app::start(config.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("tandemd migrate"), "{refused}");
    app::migrate(&config).await.unwrap();
    let running = app::start(config).await.unwrap();
    running.shutdown.cancel();
    running.join.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_data_is_refused() {
    let server = Server::start().await;
    let refused = app::start(server.home.config())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("another coordinator"), "{refused}");
}
