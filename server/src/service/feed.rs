//! Streams to people: bounded, and ended when the coordinator drains, the token ends or the reader goes away.

use std::future::Future;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Error, UserScope};
use crate::domain::limits::FEED_MESSAGES_MAX;

/// What a reader receives.
pub type Feed<T> = ReceiverStream<Result<T, Error>>;

/// The writing end of a [`Feed`]; waits while the reader is slow (R-AGT-7).
#[derive(Debug)]
pub(super) struct Feeder<T> {
    sender: mpsc::Sender<Result<T, Error>>,
}

impl<T: Send> Feeder<T> {
    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::Draining`] when nobody reads any more; it then reaches nobody.
    pub(super) async fn send(&self, message: T) -> Result<(), Error> {
        self.sender
            .send(Ok(message))
            .await
            .map_err(|_| Error::Draining)
    }
}

/// Runs work that feeds a stream, for as long as the stream may live.
pub(super) fn feed<T, F, W>(scope: &UserScope, work: W) -> Feed<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
    W: FnOnce(Feeder<T>) -> F,
{
    let (sender, receiver) = mpsc::channel(FEED_MESSAGES_MAX);
    let work = work(Feeder {
        sender: sender.clone(),
    });
    let lasting = scope.clone();
    scope.coordinator.tasks.spawn(async move {
        let ended = tokio::select! {
            biased;
            () = sender.closed() => return,
            () = lasting.until_draining() => Err(Error::Draining),
            () = lasting.until_revoked() => Err(Error::Unauthenticated),
            ended = work => ended,
        };
        if let Err(error) = ended {
            let _ = sender.send(Err(error)).await;
        }
    });
    ReceiverStream::new(receiver)
}
