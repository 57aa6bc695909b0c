//! The conversation with one agent: moves frames; what they mean is decided below.
//!
//! A reader and a writer: the reader hands batches over in order and never waits for the writer, which sends answers
//! in order, what is due, commands and pings.

mod commands;
mod decode;
pub mod encode;
mod hello;
mod reader;
mod writer;

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tandem_proto::v1alpha as wire;
use tandem_proto::v1alpha::exchange_service_server::ExchangeService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::principal;
use crate::domain::limits::{BATCHES_UNANSWERED_MAX, FRAMES_WAITING_MAX, HELLO_WITHIN_SECONDS};
use crate::service::{Coordinator, Error};
use commands::Unanswered;
use reader::Reader;
use writer::Writer;

/// Serves ExchangeService.
#[derive(Debug)]
pub struct Handler {
    coordinator: Coordinator,
}

impl Handler {
    /// A handler over this coordinator.
    #[must_use]
    pub fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<wire::ExchangeResponse, Status>> + Send>>;

fn frame(frame: wire::exchange_response::Frame) -> wire::ExchangeResponse {
    wire::ExchangeResponse { frame: Some(frame) }
}

/// Until unary sessions are offered.
fn unary() -> Status {
    Error::NotImplemented {
        feature: "a session without a stream",
    }
    .into()
}

#[tonic::async_trait]
impl ExchangeService for Handler {
    type ExchangeStream = Frames;

    /// Status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION, UNAVAILABLE.
    async fn exchange(
        &self,
        request: Request<Streaming<wire::ExchangeRequest>>,
    ) -> Result<Response<Frames>, Status> {
        let scope = self.coordinator.for_agent(&principal(&request)?)?;
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(
            Duration::from_secs(HELLO_WITHIN_SECONDS),
            reader::next(&mut inbound),
        )
        .await
        .map_err(|_| {
            Error::protocol("`hello` came too late; send it before awaiting the call")
        })??;
        let hello = hello::hello(&scope, first.and_then(|first| first.frame))?;
        let (welcome, session, wires) = scope.open_session(hello).await?;

        let (frames, outbound) = mpsc::channel(FRAMES_WAITING_MAX);
        let (answers, pending) = mpsc::channel(BATCHES_UNANSWERED_MAX);
        let welcome = wire::exchange_response::Frame::Welcome(hello::welcome(welcome));
        // There is room: nothing was sent before.
        let _ = frames.try_send(Ok(frame(welcome)));
        let unanswered = Unanswered::default();
        let reader = Reader::new(scope.clone(), inbound, answers, unanswered.clone());
        let writer = Writer::new(scope, session, wires, pending, unanswered, frames);
        self.coordinator.tasks.spawn(writer.run(reader));
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }

    /// Status: UNIMPLEMENTED.
    async fn open_session(
        &self,
        _: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<wire::OpenSessionResponse>, Status> {
        Err(unary())
    }

    /// Status: UNIMPLEMENTED.
    async fn push(
        &self,
        _: Request<wire::PushRequest>,
    ) -> Result<Response<wire::PushResponse>, Status> {
        Err(unary())
    }

    /// Status: UNIMPLEMENTED.
    async fn pull(
        &self,
        _: Request<wire::PullRequest>,
    ) -> Result<Response<wire::PullResponse>, Status> {
        Err(unary())
    }
}
