//! `grpc.health.v1`: whether the coordinator, and each service by its full name, may be used now.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Tells health checkers the state of all services at once; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// Knows these services; none serves yet.
    pub(crate) async fn new(reporter: HealthReporter, services: Vec<&'static str>) -> Self {
        let health = Self { reporter, services };
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// The schema is checked and the first read passed.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// The first act of draining.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends the streams of `Watch`, after they have told their last state: they would hold a graceful stop.
    pub async fn end_watches(&self) {
        let mut reporter = self.reporter.clone();
        for service in self.services.iter().copied().chain([""]) {
            reporter.clear_service_status(service).await;
        }
    }

    async fn set(&self, status: ServingStatus) {
        // The empty name stands for the whole coordinator.
        for service in self.services.iter().copied().chain([""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as _;
    use tonic_health::server::HealthService;

    use super::*;

    #[tokio::test]
    async fn nothing_serves_until_told_and_nothing_after() {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let health = Health::new(reporter, vec!["a.Service"]).await;
        let states = async || {
            let mut states = Vec::new();
            for service_name in ["", "a.Service"] {
                let request = HealthCheckRequest {
                    service: service_name.to_owned(),
                };
                let answer = service.check(Request::new(request)).await.unwrap();
                states.push(answer.into_inner().status);
            }
            states
        };
        let not_serving = ServingStatus::NotServing as i32;
        assert_eq!(states().await, [not_serving; 2]);
        health.serving().await;
        assert_eq!(states().await, [ServingStatus::Serving as i32; 2]);
        health.not_serving().await;
        assert_eq!(states().await, [not_serving; 2]);
    }
}
