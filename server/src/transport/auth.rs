//! Finds out who calls, before any handler runs.
//!
//! The place where other credentials (TLS certificates, OIDC) will be read: they too end in a [`Principal`].

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::service::{Coordinator, Error, Principal};

/// What may be called without a credential.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];

/// Puts the caller's [`Principal`] among the extensions of each request, or refuses it.
#[derive(Debug, Clone)]
pub struct AuthLayer {
    coordinator: Coordinator,
}

impl AuthLayer {
    /// Asks this coordinator who a token speaks for.
    #[must_use]
    pub const fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            coordinator: self.coordinator.clone(),
        }
    }
}

/// What [`AuthLayer`] makes.
#[derive(Debug, Clone)]
pub struct Auth<S> {
    inner: S,
    coordinator: Coordinator,
}

impl<S> Service<Request<Body>> for Auth<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone takes the place of the one that was polled ready, as tower asks for.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if OPEN
            .iter()
            .any(|open| request.uri().path().starts_with(open))
        {
            return Box::pin(inner.call(request));
        }
        let coordinator = self.coordinator.clone();
        let secret = bearer(request.headers()).map(str::to_owned);
        Box::pin(async move {
            match identify(&coordinator, secret).await {
                Ok(principal) => {
                    request.extensions_mut().insert(principal);
                    inner.call(request).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

async fn identify(coordinator: &Coordinator, secret: Option<String>) -> Result<Principal, Error> {
    if coordinator.draining.is_cancelled() {
        return Err(Error::Draining);
    }
    let secret = secret.ok_or(Error::Unauthenticated)?;
    coordinator.authentication.authenticate(&secret).await
}

/// The credential of exactly one `authorization: Bearer …`; two would leave open who calls.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, secret) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(secret.trim())
}

/// Who calls, as [`AuthLayer`] found out.
///
/// # Errors
/// [`Error::Unauthenticated`] when the request did not pass through it.
pub fn principal<T>(request: &tonic::Request<T>) -> Result<Principal, Error> {
    let found = request.extensions().get::<Principal>().cloned();
    found.ok_or(Error::Unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        headers.extend(values);
        headers
    }

    #[test]
    fn one_bearer_and_no_other() {
        assert_eq!(bearer(&with(&["Bearer tdm_1"])), Some("tdm_1"));
        assert_eq!(bearer(&with(&["bearer tdm_1"])), Some("tdm_1"));
        for bad in [
            &[][..],
            &["tdm_1"],
            &["Basic tdm_1"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(bearer(&with(bad)), None, "{bad:?}");
        }
    }
}
