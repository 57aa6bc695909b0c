//! Drives a repository: reports what changes there, applies what the coordinator delivers, and heals itself.
//!
//! All stages of a session run at once over bounded queues: reporting, scanning, uploading, sending, fetching,
//! applying. What must survive the session lies in the [`Outbox`]; the rest is simply done again.

use std::{sync::Arc, time::Duration};

use tandem_proto::v1::{ErrorReason, Side, Window};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Code;

pub use self::progress::{Link, Progress};
use self::{applying::Applying, causes::Causes, conversation::Finished, room::Room};
use super::{
    manifests::Manifests,
    outbox::{self, Outbox},
    repository::{self, Repository},
};
use crate::{
    client::Client,
    error::Error,
    recover::{Backoff, Recovery},
    session::Ended,
};

mod answers;
mod apply;
mod applying;
mod batches;
mod causes;
mod commands;
mod conversation;
mod download;
mod fetch;
mod fit;
mod large;
mod observe;
mod progress;
mod refilled;
mod refused;
mod report;
pub mod reuse;
mod room;
mod scan;
mod send;
mod turns;
mod upload;

#[cfg(test)]
mod tests;

/// How long to wait while another running copy holds the repository, or took the session over (R-AGT-2).
const CLONED_DELAY: Duration = Duration::from_secs(30);
/// A session that lasted so long was healthy: the next failure is retried fast.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Who the agent is to the coordinator and how much it takes at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository's resource name, `networks/{network}/repositories/{repository}`.
    pub repository_name: String,
    /// The repository's side.
    pub side: Side,
    /// How many deliveries and content bytes may be on their way to the agent (R-AGT-7).
    pub window: Window,
    /// How long to wait while another running copy holds the repository.
    pub cloned_delay: Duration,
}

/// The agent beside one repository.
#[derive(Debug)]
pub struct Agent<R> {
    core: Arc<Core<R>>,
}

/// What lives as long as the agent.
#[derive(Debug)]
struct Core<R> {
    repository: Arc<R>,
    client: Client,
    outbox: Outbox,
    options: Options,
    progress: watch::Sender<Progress>,
    applying: Applying,
    causes: Causes,
    room: Room,
    manifests: Manifests,
}

// === impl Options ===

impl Options {
    /// The usual window: 1000 deliveries, 64 MiB.
    pub fn new(repository_name: impl Into<String>, side: Side) -> Self {
        Self {
            repository_name: repository_name.into(),
            side,
            window: Window {
                deliveries_max: 1000,
                bytes_max: 64 * 1024 * 1024,
            },
            cloned_delay: CLONED_DELAY,
        }
    }
}

// === impl Agent ===

impl<R: Repository> Agent<R> {
    /// An agent that does nothing until it is [`run`](Self::run).
    pub fn new(repository: Arc<R>, client: Client, outbox: Outbox, options: Options) -> Self {
        let core = Core {
            repository,
            client,
            outbox,
            options,
            progress: watch::Sender::new(Progress::default()),
            applying: Applying::default(),
            causes: Causes::default(),
            room: Room::default(),
            manifests: Manifests::default(),
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Counters and state, for progress bars.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.core.progress.subscribe()
    }

    /// The repository that it is beside.
    #[must_use]
    pub fn repository(&self) -> Arc<R> {
        Arc::clone(&self.core.repository)
    }

    /// Runs until told to stop; opens a new session whenever one ends.
    ///
    /// Fails only with what no retry can mend, such as a revoked token.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let finished = conversation::hold(&self.core, &shutdown).await;
            if began.elapsed() >= HEALTHY_AFTER {
                backoff.reset();
            }
            let delay = match finished {
                Finished::Shutdown => return Ok(()),
                Finished::Ended(ended) => self.delay_after(ended, &mut backoff)?,
            };
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    fn delay_after(&self, ended: Ended, backoff: &mut Backoff) -> Result<Duration, Error> {
        let (link, error, delay) = match ended {
            Ended::Drained(delay) => {
                backoff.reset();
                (Link::Waiting, None, delay)
            }
            Ended::Cloned(error) | Ended::Superseded(error) => {
                (Link::Cloned, Some(error), self.core.options.cloned_delay)
            }
            Ended::Lost(error) => match backoff.recover(&error) {
                Recovery::Retry(delay) => (Link::Waiting, Some(error), delay),
                Recovery::GiveUp => return Err(error),
            },
        };
        if let Some(error) = &error {
            tracing::warn!(agent.repository = %self.core.options.repository_name, %error, ?delay, "the session ended");
        }
        self.core.note(|progress| {
            progress.link = link;
            progress.last_error = error.map(|error| error.to_string());
        });
        Ok(delay)
    }
}

// === impl Core ===

impl<R> Core<R> {
    fn note(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
}

// === impl Error ===

impl From<outbox::Error> for Error {
    fn from(cause: outbox::Error) -> Self {
        let code = match &cause {
            // A row that cannot be read stays so.
            outbox::Error::Corrupt(_) => Code::FailedPrecondition,
            outbox::Error::Sqlite(_)
            | outbox::Error::Io(_)
            | outbox::Error::Commit(_)
            | outbox::Error::Closed => Code::Internal,
        };
        Self::new(code, cause.to_string())
    }
}

impl From<repository::Error> for Error {
    fn from(cause: repository::Error) -> Self {
        Self::with_reason(Code::Unavailable, reason_of(&cause), cause.to_string())
    }
}

/// The reason that fits what a connector says.
fn reason_of(error: &repository::Error) -> ErrorReason {
    match error {
        repository::Error::NodeNotFound(_) => ErrorReason::NodeNotFound,
        repository::Error::VersionNotFound(_) => ErrorReason::VersionNotFound,
        repository::Error::ContentChanged(_) => ErrorReason::WrongState,
        repository::Error::RootGone(_) | repository::Error::Unavailable(_) => {
            ErrorReason::StoreUnavailable
        }
        repository::Error::Unsupported(_) => ErrorReason::NotImplemented,
        repository::Error::Refused(_) => ErrorReason::InvalidField,
    }
}
