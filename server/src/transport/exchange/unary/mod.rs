//! Sessions without a stream (R-AGT-9): the reader and the writer of a stream, fed and emptied by calls.
//!
//! What frames mean, who may hold a session and what fences it is decided where it is for streams.

mod down;
mod life;
mod up;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_proto::v1 as wire;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::commands::Unanswered;
use super::hello;
use super::outlet::Outlet;
use super::reader::Reader;
use super::writer::Writer;
use crate::domain::ids::RepositoryId;
use crate::domain::limits::{BATCHES_UNANSWERED_MAX, UNARY_SESSION_SECONDS};
use crate::service::exchange::Hello;
use crate::service::{AgentScope, Error};
use down::Down;
use life::Life;
use up::Up;

/// A session whose two ends are moved by calls.
pub(super) struct UnarySession {
    epoch: i64,
    up: Up,
    down: Down,
    life: Life,
    /// What it ended with.
    end: watch::Receiver<Option<Status>>,
}

/// A call of a session, which lives as long as it runs.
pub(super) struct Call(Arc<UnarySession>);

/// The unary sessions of this coordinator, at most one for each repository; cloning it is cheap.
#[derive(Clone)]
pub(super) struct UnarySessions {
    live: Arc<Mutex<HashMap<RepositoryId, Arc<UnarySession>>>>,
    lives: Duration,
}

impl std::fmt::Debug for UnarySessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let live = self.lock().len();
        formatter
            .debug_struct("UnarySessions")
            .field("live", &live)
            .finish()
    }
}

impl Default for UnarySessions {
    fn default() -> Self {
        Self::living(Duration::from_secs(UNARY_SESSION_SECONDS))
    }
}

impl UnarySessions {
    /// Sessions that live so long after their last call.
    pub(super) fn living(lives: Duration) -> Self {
        Self {
            live: Arc::default(),
            lives,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RepositoryId, Arc<UnarySession>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session, if no other one has the right to it (R-AGT-2).
    ///
    /// # Errors
    /// As [`AgentScope::open_session`].
    pub(super) async fn open(
        &self,
        scope: AgentScope,
        hello: Hello,
    ) -> Result<wire::Welcome, Error> {
        let (welcome, session, wires) = scope.open_session(hello).await?;
        let (up, inbound, results) = Up::new();
        let (down, frames, wanted) = Down::new();
        let (ended, end) = watch::channel(None);
        let unary = Arc::new(UnarySession {
            epoch: welcome.epoch,
            up,
            down,
            life: Life::new(),
            end,
        });
        self.enter(scope.repository, Arc::clone(&unary));
        let (answers, pending) = mpsc::channel(BATCHES_UNANSWERED_MAX);
        let unanswered = Unanswered::default();
        let reader = Reader::new(scope.clone(), inbound, answers, unanswered.clone());
        let outlet = Outlet::calls(results, frames, wanted);
        let writer = Writer::new(scope.clone(), session, wires, pending, unanswered, outlet);
        let (sessions, tasks) = (self.clone(), scope.coordinator.tasks.clone());
        tasks.spawn(async move {
            let status = tokio::select! {
                end = writer.run(reader) => end.err().unwrap_or_else(over),
                () = unary.life.over(sessions.lives) => over(),
                () = drained(&scope, &unary.life) => Error::Draining.into(),
            };
            ended.send_replace(Some(status));
            sessions.leave(scope.repository, unary.epoch);
        });
        Ok(hello::welcome(welcome))
    }

    fn enter(&self, repository: RepositoryId, session: Arc<UnarySession>) {
        let mut live = self.lock();
        let newer = live
            .get(&repository)
            .is_none_or(|other| other.epoch < session.epoch);
        if newer {
            live.insert(repository, session);
        }
    }

    fn leave(&self, repository: RepositoryId, epoch: i64) {
        let mut live = self.lock();
        if live
            .get(&repository)
            .is_some_and(|session| session.epoch == epoch)
        {
            live.remove(&repository);
        }
    }

    /// Begins a call of the session of this epoch.
    ///
    /// # Errors
    /// [`Error::StaleEpoch`] when it is not the one that is live.
    pub(super) fn call(&self, scope: &AgentScope, epoch: i64) -> Result<Call, Error> {
        let live = self.lock();
        let session = live.get(&scope.repository);
        let session = session.filter(|session| session.epoch == epoch);
        let session = session.ok_or(Error::StaleEpoch)?;
        session.life.begin();
        Ok(Call(Arc::clone(session)))
    }
}

fn over() -> Status {
    Error::StaleEpoch.into()
}

/// Waits until the coordinator stops and the calls that ran then are answered; new ones do not come any more.
async fn drained(scope: &AgentScope, life: &Life) {
    scope.until_draining().await;
    life.idle().await;
}

impl Deref for Call {
    type Target = UnarySession;

    fn deref(&self) -> &UnarySession {
        &self.0
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.life.end();
    }
}

impl UnarySession {
    /// Brings frames up; answers with a result for each batch among them, in order.
    ///
    /// # Errors
    /// What is wrong with the push, or what the session ended with.
    pub(super) async fn push(
        &self,
        frames: Vec<wire::ExchangeRequest>,
    ) -> Result<wire::PushResponse, Status> {
        up::bounded(&frames)?;
        match self.up.push(frames).await? {
            Some(frames) => Ok(wire::PushResponse { frames }),
            None => Err(self.ended().await),
        }
    }

    /// Waits for frames that go down.
    ///
    /// # Errors
    /// What is wrong with the pull, or what the session ended with.
    pub(super) async fn pull(
        &self,
        request: wire::PullRequest,
    ) -> Result<wire::PullResponse, Status> {
        let wait = down::wait(request.wait)?;
        let pulled = tokio::select! {
            biased;
            pulled = self.down.pull(request.received_number, wait) => pulled?,
            status = self.ended() => return Err(status),
        };
        match pulled {
            Some(pulled) => Ok(pulled),
            None => Err(self.ended().await),
        }
    }

    /// Waits for what the session ends with.
    async fn ended(&self) -> Status {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or_else(over)
    }
}
