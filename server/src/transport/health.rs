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

    async fn set(&self, status: ServingStatus) {
        // The empty name stands for the whole coordinator.
        for service in self.services.iter().copied().chain([""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
