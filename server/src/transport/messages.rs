//! What a client sends in a stream of messages.

use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::convert;
use crate::service::Error;

/// The messages of one call, each waited for so long, and no longer; a server that drains waits for none.
#[derive(Debug)]
pub(super) struct Messages<S> {
    stream: S,
    draining: CancellationToken,
    idle: u64,
    remedy: &'static str,
}

impl<S, M> Messages<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
{
    /// Of this stream; `idle` in milliseconds, and what whoever was slower is to do.
    pub(super) const fn new(
        stream: S,
        draining: CancellationToken,
        idle: u64,
        remedy: &'static str,
    ) -> Self {
        Self {
            stream,
            draining,
            idle,
            remedy,
        }
    }

    /// The next message; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<M>, Error> {
        let waited = tokio::time::timeout(Duration::from_millis(self.idle), self.stream.next());
        let waited = self.draining.run_until_cancelled(waited).await;
        match waited.ok_or(Error::Draining)? {
            Ok(Some(Ok(message))) => Ok(Some(message)),
            Ok(None) => Ok(None),
            // Nobody is there to hear it, or the message could not be decoded.
            Ok(Some(Err(status))) => Err(convert::unreadable(&status)),
            Err(_) => {
                let (idle, remedy) = (self.idle, self.remedy);
                Err(Error::protocol(format!(
                    "no message for {idle} ms; {remedy}"
                )))
            }
        }
    }
}
