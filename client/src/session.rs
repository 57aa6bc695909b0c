//! One session with the coordinator: the handshake, signs of life, and typed frames in both directions.

use std::{task::Poll, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use tandem_proto::v1::{
    BatchResult, ChangeBatch, Command, CommandResult, Deliveries, ErrorReason, ExchangeRequest,
    ExchangeResponse, Hello, Pong, ResumeKeyStored, Welcome, exchange_request, exchange_response,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Code, Streaming};

use crate::{client::Client, error::Error};

/// How long the coordinator may take to answer `hello`; it may ping an older session for 2 s first (R-AGT-2).
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames that wait to be sent.
const OUTGOING_FRAMES_MAX: usize = 16;
/// Pongs and keys that wait to be sent; they pass all other frames.
const URGENT_FRAMES_MAX: usize = 16;
/// Frames that were received and not yet taken.
const INCOMING_FRAMES_MAX: usize = 16;

/// What the coordinator sends once the session stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The answer to a batch.
    BatchResult(BatchResult),
    /// What copies should look like.
    Deliveries(Deliveries),
    /// Something to do or to tell.
    Command(Command),
    /// The coordinator is about to stop: finish, half-close, and come back after the delay.
    Drain(Duration),
}

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    /// The coordinator asked for it; come back after the delay.
    Drained(Duration),
    /// Another session of the repository took over.
    Superseded(Error),
    /// Another running copy uses the repository's identity (R-AGT-2).
    Cloned(Error),
    /// Anything else.
    Lost(Error),
}

/// The upward half; clones share it. The session half-closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::Sender<ExchangeRequest>);

/// The downward half.
#[derive(Debug)]
pub struct Session {
    frames: mpsc::Receiver<Result<Frame, Ended>>,
    urgent: mpsc::Sender<ExchangeRequest>,
    alive: CancellationToken,
    _reader: AbortOnDropHandle<()>,
}

/// A session whose handshake is done.
#[derive(Debug)]
pub struct Opened {
    /// The coordinator's side of the handshake.
    pub welcome: Welcome,
    /// The downward half.
    pub session: Session,
    /// The upward half.
    pub sender: Sender,
}

// === impl Ended ===

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        if error.is(ErrorReason::SessionSuperseded) {
            Self::Superseded(error)
        } else if error.is(ErrorReason::RepositoryCloned) {
            Self::Cloned(error)
        } else {
            Self::Lost(error)
        }
    }
}

// === impl Sender ===

impl Sender {
    /// Sends a batch; waits while the queue is full.
    pub async fn batch(&self, batch: ChangeBatch) -> Result<(), Error> {
        self.send(exchange_request::Frame::ChangeBatch(batch)).await
    }

    /// Answers a command; waits while the queue is full.
    pub async fn command_result(&self, result: CommandResult) -> Result<(), Error> {
        self.send(exchange_request::Frame::CommandResult(result))
            .await
    }

    async fn send(&self, frame: exchange_request::Frame) -> Result<(), Error> {
        self.0.send(request(frame)).await.map_err(|_| closed())
    }
}

// === impl Session ===

impl Session {
    /// Opens a session: queues `hello`, calls, reads `welcome`.
    ///
    /// The caller stores the resume key durably and then confirms it with [`Session::confirm`].
    pub async fn open(client: &Client, hello: Hello) -> Result<Opened, Ended> {
        let (urgent, urgent_frames) = mpsc::channel(URGENT_FRAMES_MAX);
        let (frames, outgoing_frames) = mpsc::channel(OUTGOING_FRAMES_MAX);
        send_urgent(&urgent, exchange_request::Frame::Hello(hello))
            .await
            .map_err(Ended::Lost)?;
        let handshake = shake_hands(client, outgoing(urgent_frames, outgoing_frames));
        let (welcome, stream) = tokio::time::timeout(WELCOME_TIMEOUT, handshake)
            .await
            .map_err(|_| {
                Error::new(
                    Code::DeadlineExceeded,
                    "the coordinator did not answer `hello`",
                )
            })??;
        let alive = CancellationToken::new();
        let (events, incoming) = mpsc::channel(INCOMING_FRAMES_MAX);
        let reader = Reader {
            stream,
            urgent: urgent.clone(),
            events,
            drained: None,
        };
        let reading = tokio::spawn(read(reader, alive.clone()));
        let session = Self {
            frames: incoming,
            urgent,
            alive,
            _reader: AbortOnDropHandle::new(reading),
        };
        Ok(Opened {
            welcome,
            session,
            sender: Sender(frames),
        })
    }

    /// Tells that the new resume key is durable; from now on it is the one that counts (R-AGT-2).
    pub async fn confirm(&self, resume_key: Bytes) -> Result<(), Error> {
        let stored = ResumeKeyStored { resume_key };
        send_urgent(
            &self.urgent,
            exchange_request::Frame::ResumeKeyStored(stored),
        )
        .await
    }

    /// Waits for the next frame, or for the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Frame, Ended> {
        match self.frames.recv().await {
            Some(event) => event,
            None => Err(Ended::Lost(closed())),
        }
    }

    /// Cancelled as soon as the session is known to have ended: nothing is applied after that (R-AGT-6).
    #[must_use]
    pub fn end(&self) -> CancellationToken {
        self.alive.clone()
    }
}

struct Reader {
    stream: Streaming<ExchangeResponse>,
    urgent: mpsc::Sender<ExchangeRequest>,
    events: mpsc::Sender<Result<Frame, Ended>>,
    drained: Option<Duration>,
}

async fn shake_hands(
    client: &Client,
    outgoing: impl Stream<Item = ExchangeRequest> + Send + 'static,
) -> Result<(Welcome, Streaming<ExchangeResponse>), Error> {
    let mut stream = client.exchange().exchange(outgoing).await?.into_inner();
    let first = stream.message().await?.ok_or_else(closed)?;
    match first.frame {
        Some(exchange_response::Frame::Welcome(welcome)) => Ok((welcome, stream)),
        _ => Err(Error::with_reason(
            Code::Internal,
            ErrorReason::ProtocolViolation,
            "the coordinator did not begin with `welcome`",
        )),
    }
}

async fn read(mut reader: Reader, alive: CancellationToken) {
    let ended = loop {
        let frame = match reader.stream.message().await {
            Ok(Some(response)) => response.frame,
            Ok(None) => {
                break reader
                    .drained
                    .map_or_else(|| Ended::Lost(closed()), Ended::Drained);
            }
            Err(status) => break ended_by(reader.drained, status),
        };
        if let Err(error) = reader.take(frame).await {
            break Ended::Lost(error);
        }
    };
    alive.cancel();
    // Nobody may be listening any more.
    let _ = reader.events.send(Err(ended)).await;
}

fn ended_by(drained: Option<Duration>, status: tonic::Status) -> Ended {
    match (drained, Ended::from(Error::from(status))) {
        (Some(delay), Ended::Lost(_)) => Ended::Drained(delay),
        (_, ended) => ended,
    }
}

impl Reader {
    async fn take(&mut self, frame: Option<exchange_response::Frame>) -> Result<(), Error> {
        let frame = match frame {
            Some(exchange_response::Frame::Ping(ping)) => {
                let pong = Pong { nonce: ping.nonce };
                return send_urgent(&self.urgent, exchange_request::Frame::Pong(pong)).await;
            }
            Some(exchange_response::Frame::BatchResult(result)) => Frame::BatchResult(result),
            Some(exchange_response::Frame::Deliveries(deliveries)) => Frame::Deliveries(deliveries),
            Some(exchange_response::Frame::Command(command)) => Frame::Command(command),
            Some(exchange_response::Frame::Drain(drain)) => {
                let delay = drain
                    .reconnect_delay
                    .and_then(|delay| Duration::try_from(delay).ok())
                    .unwrap_or_default();
                self.drained = Some(delay);
                Frame::Drain(delay)
            }
            // A second welcome says nothing new; an arm of a later version is not for us.
            Some(exchange_response::Frame::Welcome(_)) | None => return Ok(()),
        };
        self.events.send(Ok(frame)).await.map_err(|_| closed())
    }
}

/// Urgent frames pass all others; the stream ends when no sender of ordinary frames is left.
fn outgoing(
    mut urgent: mpsc::Receiver<ExchangeRequest>,
    mut frames: mpsc::Receiver<ExchangeRequest>,
) -> impl Stream<Item = ExchangeRequest> {
    stream::poll_fn(move |context| match urgent.poll_recv(context) {
        Poll::Ready(Some(frame)) => Poll::Ready(Some(frame)),
        Poll::Ready(None) | Poll::Pending => frames.poll_recv(context),
    })
}

async fn send_urgent(
    urgent: &mpsc::Sender<ExchangeRequest>,
    frame: exchange_request::Frame,
) -> Result<(), Error> {
    urgent.send(request(frame)).await.map_err(|_| closed())
}

fn request(frame: exchange_request::Frame) -> ExchangeRequest {
    ExchangeRequest { frame: Some(frame) }
}

fn closed() -> Error {
    Error::transport("the session was closed")
}
