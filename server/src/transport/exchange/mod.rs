//! The conversation with one agent: moves frames; what they mean is decided below.
//!
//! A reader and a writer: the reader hands batches over in order and never waits for the writer, which sends answers
//! in order, what is due, commands and pings. They run over a stream, or between the calls of a unary session.

mod commands;
pub mod decode;
pub mod encode;
mod hello;
mod outlet;
mod reader;
mod unary;
mod writer;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tandem_proto::v1 as wire;
use tandem_proto::v1::exchange_service_server::ExchangeService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::principal;
use crate::domain::limits::{BATCHES_UNANSWERED_MAX, FRAMES_WAITING_MAX, HELLO_WITHIN_SECONDS};
use crate::service::{AgentScope, Coordinator, Error};
use commands::Unanswered;
use outlet::Outlet;
use reader::Reader;
use unary::UnarySessions;
use writer::Writer;

/// Serves ExchangeService.
#[derive(Debug)]
pub struct Handler {
    coordinator: Coordinator,
    unary: UnarySessions,
}

impl Handler {
    /// A handler over this coordinator.
    #[must_use]
    pub fn new(coordinator: Coordinator) -> Self {
        Self {
            coordinator,
            unary: UnarySessions::default(),
        }
    }

    /// Who calls, with what.
    fn scoped<T>(&self, request: Request<T>) -> Result<(AgentScope, T), Status> {
        let scope = self.coordinator.for_agent(&principal(&request)?)?;
        Ok((scope, request.into_inner()))
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<wire::ExchangeResponse, Status>> + Send>>;

fn frame(frame: wire::exchange_response::Frame) -> wire::ExchangeResponse {
    wire::ExchangeResponse { frame: Some(frame) }
}

#[tonic::async_trait]
impl ExchangeService for Handler {
    type ExchangeStream = Frames;

    /// Status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION, UNAVAILABLE.
    async fn exchange(
        &self,
        request: Request<Streaming<wire::ExchangeRequest>>,
    ) -> Result<Response<Frames>, Status> {
        let (scope, inbound) = self.scoped(request)?;
        let mut inbound: reader::Inbound = Box::pin(inbound);
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
        let outlet = Outlet::stream(frames.clone());
        let writer = Writer::new(scope, session, wires, pending, unanswered, outlet);
        self.coordinator.tasks.spawn(async move {
            if let Err(status) = writer.run(reader).await {
                let _ = frames.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }

    /// Status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION, UNAVAILABLE.
    async fn open_session(
        &self,
        request: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<wire::OpenSessionResponse>, Status> {
        let (scope, request) = self.scoped(request)?;
        let hello = request.hello.map(wire::exchange_request::Frame::Hello);
        let hello = hello::hello(&scope, hello)?;
        let welcome = Some(self.unary.open(scope, hello).await?);
        Ok(Response::new(wire::OpenSessionResponse { welcome }))
    }

    /// Status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED, RESOURCE_EXHAUSTED,
    /// UNAVAILABLE.
    async fn push(
        &self,
        request: Request<wire::PushRequest>,
    ) -> Result<Response<wire::PushResponse>, Status> {
        let (scope, request) = self.scoped(request)?;
        let call = self.unary.call(&scope, request.session_epoch)?;
        // In a task of its own: the answers of a push whose caller goes away are no other push's.
        let push = async move { Ok(call.push(request.frames).await) };
        let answer = self.coordinator.uncancelled(push).await??;
        Ok(Response::new(answer))
    }

    /// Status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED, UNAVAILABLE.
    async fn pull(
        &self,
        request: Request<wire::PullRequest>,
    ) -> Result<Response<wire::PullResponse>, Status> {
        let (scope, request) = self.scoped(request)?;
        let call = self.unary.call(&scope, request.session_epoch)?;
        Ok(Response::new(call.pull(request).await?))
    }
}
