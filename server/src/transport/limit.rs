//! What every call gets: a request id, a line in the log, a time limit where it is unary, and a place among the calls.
//!
//! The limits answer with a Status that says what to do; those of tonic end a call as `Cancelled`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use uuid::Uuid;

use crate::domain::limits::{CALLS_MAX, UNARY_SECONDS_MAX};
use crate::service::Error;
use crate::transport::convert;

/// The header that carries the request id, in the answer.
pub const REQUEST_ID: &str = "x-request-id";

/// Calls whose answer begins only when their client wants it to: streams from the client, and waiting ones. They bound
/// themselves.
const UNTIMED: [&str; 5] = [
    "/tandem.v1.ExchangeService/Exchange",
    "/tandem.v1.ExchangeService/Pull",
    "/tandem.v1.ContentService/Write",
    "/tandem.v1.SyncSetService/ImportSyncSets",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Bounds and records each call.
#[derive(Debug, Clone)]
pub struct LimitLayer {
    calls: Arc<Semaphore>,
    unary: Duration,
}

impl Default for LimitLayer {
    fn default() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            unary: Duration::from_secs(UNARY_SECONDS_MAX),
        }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit {
            inner,
            limits: self.clone(),
        }
    }
}

/// What [`LimitLayer`] makes.
#[derive(Debug, Clone)]
pub struct Limit<S> {
    inner: S,
    limits: LimitLayer,
}

impl<S> Service<Request<Body>> for Limit<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = Arc::clone(&self.limits.calls).try_acquire_owned() else {
            let refused = Status::from(Error::RateLimited { limit: "calls" });
            return Box::pin(std::future::ready(Ok(refused.into_http())));
        };
        let path = request.uri().path().to_owned();
        let id = Uuid::now_v7();
        let span = tracing::info_span!("call", rpc = %path, request_id = %id);
        let timed = (!UNTIMED.contains(&path.as_str())).then_some(self.limits.unary);
        let work = self.inner.call(request);
        let recorded = async move {
            let _place = place;
            let begun = Instant::now();
            let mut response = explained(within(timed, work).await?);
            record(&response, begun.elapsed());
            if let Ok(value) = HeaderValue::try_from(id.to_string()) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            Ok(response)
        };
        Box::pin(recorded.instrument(span))
    }
}

/// Ends a call that takes too long; what it has begun to write goes on to its end in a task of its own.
async fn within<E>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<Response<Body>, E>>,
) -> Result<Response<Body>, E> {
    let Some(limit) = limit else {
        return work.await;
    };
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Ok(Status::from(Error::StoreUnavailable).into_http()))
}

/// A message that could not be read at all is refused by tonic, without a reason; it gets ours.
fn explained(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    let by_tonic = status.details().is_empty();
    match status.code() {
        Code::OutOfRange if by_tonic => {
            let rule = format!("{}; send less at once", status.message());
            Status::from(Error::invalid("message", rule)).into_http()
        }
        Code::Internal if by_tonic => Status::from(convert::unreadable(&status)).into_http(),
        _ => response,
    }
}

fn record(response: &Response<Body>, took: Duration) {
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match code {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(?code, duration_ms, "answered");
        }
        _ => tracing::debug!(?code, duration_ms, "answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Never = std::convert::Infallible;

    #[tokio::test]
    async fn a_unary_call_that_takes_too_long_is_told_to_come_back() {
        let work = std::future::pending::<Result<Response<Body>, Never>>();
        let response = within(Some(Duration::ZERO), work).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
    }

    #[tokio::test]
    async fn more_calls_than_places_are_refused() {
        let layer = LimitLayer {
            calls: Arc::new(Semaphore::new(0)),
            unary: Duration::from_secs(30),
        };
        let mut service = layer.layer(tower::service_fn(|_: Request<Body>| async {
            Ok::<_, Never>(Response::new(Body::empty()))
        }));
        let response = service.call(Request::new(Body::empty())).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
}
