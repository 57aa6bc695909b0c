//! The way up: the frames of pushes, handed to the reader one after another.

use tandem_proto::v1 as wire;
use tandem_proto::v1::exchange_request::Frame;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tonic::Status;

use super::super::outlet::Sender;
use super::super::reader::Inbound;
use crate::domain::limits::{BATCHES_UNANSWERED_MAX, PUSH_FRAMES_MAX, PUSHES_AT_ONCE_MAX};
use crate::service::Error;

/// A frame, and whom to tell that it was dealt with.
struct Handed {
    frame: wire::ExchangeRequest,
    dealt_with: oneshot::Sender<()>,
}

struct Ends {
    frames: mpsc::Sender<Handed>,
    results: mpsc::Receiver<Result<wire::ExchangeResponse, Status>>,
}

/// The pushes' end of a session.
pub(super) struct Up {
    ends: Mutex<Ends>,
    places: Semaphore,
}

impl Up {
    /// A way up: the pushes' end, what the reader reads, and where the writer puts the answers to batches.
    pub(super) fn new() -> (Self, Inbound, Sender) {
        let (frames, handed) = mpsc::channel(1);
        let (results_to, results) = mpsc::channel(BATCHES_UNANSWERED_MAX);
        let up = Self {
            ends: Mutex::new(Ends { frames, results }),
            places: Semaphore::new(PUSHES_AT_ONCE_MAX),
        };
        (up, inbound(handed), results_to)
    }

    /// Hands the frames over in order, and waits for the answers to the batches among them; none when the session ends
    /// first. Pushes take turns.
    ///
    /// # Errors
    /// [`Error::RateLimited`] for more pushes at once than are allowed.
    pub(super) async fn push(
        &self,
        frames: Vec<wire::ExchangeRequest>,
    ) -> Result<Option<Vec<wire::ExchangeResponse>>, Error> {
        let limit = Error::RateLimited { limit: "pushes" };
        let _place = self.places.try_acquire().map_err(|_| limit)?;
        let ends = &mut *self.ends.lock().await;
        Ok(ends.push(frames).await)
    }
}

impl Ends {
    async fn push(
        &mut self,
        frames: Vec<wire::ExchangeRequest>,
    ) -> Option<Vec<wire::ExchangeResponse>> {
        let batches = frames.iter().filter(|frame| is_batch(frame)).count();
        for frame in frames {
            let (dealt_with, done) = oneshot::channel();
            let handed = Handed { frame, dealt_with };
            self.frames.send(handed).await.ok()?;
            done.await.ok()?;
        }
        let mut results = Vec::with_capacity(batches);
        for _ in 0..batches {
            results.push(self.results.recv().await?.ok()?);
        }
        Some(results)
    }
}

/// What the reader reads. That it asks for the next frame tells that it has dealt with the one before.
fn inbound(handed: mpsc::Receiver<Handed>) -> Inbound {
    let before: Option<oneshot::Sender<()>> = None;
    let frames = futures::stream::unfold((handed, before), |(mut handed, before)| async move {
        if let Some(before) = before {
            // A push whose session is over does not wait any more.
            let _ = before.send(());
        }
        let Handed { frame, dealt_with } = handed.recv().await?;
        Some((Ok(frame), (handed, Some(dealt_with))))
    });
    Box::pin(frames)
}

fn is_batch(frame: &wire::ExchangeRequest) -> bool {
    matches!(frame.frame, Some(Frame::ChangeBatch(_)))
}

/// Checks what can be checked before any frame has an effect (R-AGT-7).
///
/// # Errors
/// [`Error::InvalidField`].
pub(super) fn bounded(frames: &[wire::ExchangeRequest]) -> Result<(), Error> {
    let batches = frames.iter().filter(|frame| is_batch(frame)).count();
    if frames.len() > PUSH_FRAMES_MAX || batches > BATCHES_UNANSWERED_MAX {
        let rule = format!(
            "at most {PUSH_FRAMES_MAX}, among them {BATCHES_UNANSWERED_MAX} batches; push the rest afterwards"
        );
        return Err(Error::invalid("frames", rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;

    use super::*;

    fn frame() -> wire::ExchangeRequest {
        wire::ExchangeRequest {
            frame: Some(Frame::Pong(wire::Pong::default())),
        }
    }

    #[tokio::test]
    async fn r_agt_7_a_third_push_at_once_is_refused_and_the_end_is_told_to_all() {
        let (up, inbound, _results) = Up::new();
        // Nobody reads, so the first two stand.
        let mut standing = Box::pin(futures::future::join(
            up.push(vec![frame()]),
            up.push(vec![frame()]),
        ));
        let short = tokio::time::timeout(Duration::from_millis(20), &mut standing);
        assert!(short.await.is_err());
        let third = up.push(vec![frame()]).await.unwrap_err();
        assert!(matches!(third, Error::RateLimited { limit: "pushes" }));
        drop(inbound);
        let (first, second) = standing.await;
        assert_eq!((first.unwrap(), second.unwrap()), (None, None));
    }

    #[tokio::test]
    async fn r_agt_9_a_push_is_answered_when_its_last_frame_was_dealt_with() {
        let (up, mut inbound, _results) = Up::new();
        let mut push = Box::pin(up.push(vec![frame(), frame()]));
        for _ in 0..2 {
            tokio::select! {
                _ = &mut push => panic!("a frame was not dealt with"),
                read = inbound.next() => assert!(read.is_some()),
            }
        }
        tokio::select! {
            pushed = &mut push => assert_eq!(pushed.unwrap(), Some(Vec::new())),
            _ = inbound.next() => panic!("there is no third one"),
        }
    }
}
