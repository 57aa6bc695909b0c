//! The way down: what pulls are answered with, kept until the next pull shows that it came.

use std::time::Duration;

use prost::Message;
use tandem_proto::v1 as wire;
use tokio::sync::{Mutex, mpsc, watch};
use tonic::Status;

use super::super::outlet::Sender;
use crate::domain::limits::{FRAMES_WAITING_MAX, PULL_BYTES, PULL_SECONDS_MAX};
use crate::domain::planted::planted;
use crate::service::Error;

struct Taken {
    frames: mpsc::Receiver<Result<wire::ExchangeResponse, Status>>,
    /// The number of the last answer that had frames; 0 = none yet.
    number: i64,
    /// That answer, until a pull names its number.
    kept: Option<wire::PullResponse>,
}

/// The pulls' end of a session.
pub(super) struct Down {
    taken: Mutex<Taken>,
    wanted: watch::Sender<bool>,
    /// Counts the pulls: the newest has the turn.
    turns: watch::Sender<u64>,
}

/// Frames are wanted as long as it lives.
struct Wanting<'a>(&'a watch::Sender<bool>);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl Down {
    /// A way down: the pulls' end, where the writer puts frames, and whether a pull waits for them.
    pub(super) fn new() -> (Self, Sender, watch::Receiver<bool>) {
        let (frames_to, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let (wanted, is_wanted) = watch::channel(false);
        let taken = Taken {
            frames,
            number: 0,
            kept: None,
        };
        let down = Self {
            taken: Mutex::new(taken),
            wanted,
            turns: watch::Sender::new(0),
        };
        (down, frames_to, is_wanted)
    }

    /// Waits for frames, at most so long; none when the session ends first. An older pull that waits is ended: its
    /// caller may be gone without a sign.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a number that no answer had, [`Error::ProtocolViolation`] for the older pull.
    pub(super) async fn pull(
        &self,
        received: i64,
        wait: Duration,
    ) -> Result<Option<wire::PullResponse>, Error> {
        let mut turn = 0;
        self.turns.send_modify(|last| {
            *last += 1;
            turn = *last;
        });
        let taken = &mut *self.taken.lock().await;
        if let Some(again) = taken.confirm(received)? {
            return Ok(Some(again));
        }
        let _wanting = self.wanting();
        let mut turns = self.turns.subscribe();
        tokio::select! {
            biased;
            _ = turns.wait_for(|newest| *newest != turn && !planted("two-pulls-wait")) => {
                let rule = "one Pull waits at a time: a later one of this session took its place";
                Err(Error::protocol(rule))
            }
            // From here on nothing is awaited: what was taken is kept, even if nobody hears this answer.
            frame = taken.frames.recv() => Ok(frame.map(|frame| taken.answer(frame.ok()))),
            () = tokio::time::sleep(wait) => Ok(Some(taken.nothing())),
        }
    }

    fn wanting(&self) -> Wanting<'_> {
        self.wanted.send_replace(true);
        Wanting(&self.wanted)
    }
}

impl Taken {
    /// Forgets the answer that came; gives it again if it did not.
    fn confirm(&mut self, received: i64) -> Result<Option<wire::PullResponse>, Error> {
        if received == self.number {
            self.kept = None;
            return Ok(None);
        }
        match &self.kept {
            Some(kept) if received == self.number - 1 => Ok(Some(kept.clone())),
            _ => Err(Error::invalid(
                "received_number",
                "the `number` of the last answer of this session that came; 0 before the first",
            )),
        }
    }

    fn answer(&mut self, first: Option<wire::ExchangeResponse>) -> wire::PullResponse {
        let mut frames: Vec<_> = first.into_iter().collect();
        let mut bytes: usize = frames.iter().map(Message::encoded_len).sum();
        while bytes < PULL_BYTES {
            let Ok(Ok(frame)) = self.frames.try_recv() else {
                break;
            };
            bytes += frame.encoded_len();
            frames.push(frame);
        }
        self.number += 1;
        let answer = wire::PullResponse {
            frames,
            number: self.number,
        };
        self.kept = Some(answer.clone()).filter(|_| !planted("pull-answered-once"));
        answer
    }

    fn nothing(&self) -> wire::PullResponse {
        wire::PullResponse {
            frames: Vec::new(),
            number: self.number,
        }
    }
}

/// How long a pull waits.
///
/// # Errors
/// [`Error::InvalidField`].
pub(super) fn wait(asked: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let max = Duration::from_secs(PULL_SECONDS_MAX);
    let Some(asked) = asked else {
        return Ok(max);
    };
    match Duration::try_from(asked) {
        Ok(asked) if asked <= max => Ok(asked),
        _ => {
            let rule = format!("0 to {PULL_SECONDS_MAX} s, or none for {PULL_SECONDS_MAX} s");
            Err(Error::invalid("wait", rule))
        }
    }
}
