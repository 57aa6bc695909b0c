//! Where the frames for an agent go: into its stream, or to the calls of its unary session.

use std::collections::VecDeque;

use tandem_proto::v1 as wire;
use tandem_proto::v1::exchange_response::Frame;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::frame;

/// The coordinator's end of a bounded queue of frames.
pub(super) type Sender = mpsc::Sender<Result<wire::ExchangeResponse, Status>>;

/// Takes the frames of one session.
pub(super) struct Outlet {
    results: Sender,
    frames: Sender,
    wanted: watch::Receiver<bool>,
}

/// Nobody takes frames any more.
pub(super) struct Closed;

impl Outlet {
    /// A stream: it takes whatever comes, in one order.
    pub(super) fn stream(frames: Sender) -> Self {
        Self {
            results: frames.clone(),
            frames,
            wanted: watch::channel(true).1,
        }
    }

    /// The calls of a unary session: answers to batches go to one, all else to another, and only while it waits.
    pub(super) const fn calls(
        results: Sender,
        frames: Sender,
        wanted: watch::Receiver<bool>,
    ) -> Self {
        Self {
            results,
            frames,
            wanted,
        }
    }

    /// Waits until somebody wants frames.
    pub(super) async fn wanted(&self) {
        let mut wanted = self.wanted.clone();
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Sends the first frame of a queue as soon as there is room; it stays there when the wait is given up.
    pub(super) async fn send_first(&self, queue: &mut VecDeque<Frame>) {
        match self.frames.reserve().await {
            Ok(place) => {
                if let Some(arm) = queue.pop_front() {
                    place.send(Ok(frame(arm)));
                }
            }
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until nobody takes frames any more.
    pub(super) async fn closed(&self) {
        self.frames.closed().await;
    }

    /// Sends the answer to a batch.
    ///
    /// # Errors
    /// Nobody takes it.
    pub(super) async fn result(&self, arm: Frame) -> Result<(), Closed> {
        let sent = self.results.send(Ok(frame(arm))).await;
        sent.map_err(|_| Closed)
    }
}
