//! One session from handshake to end: starts the stages, hands frames to them, and lets them finish.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tandem_proto::v1::{BatchResult, Command, Delivery, ErrorReason, Hello, WatchRoot, Welcome};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    Core, apply,
    batches::Limits,
    commands, fetch,
    observe::{self, Again},
    progress::Link,
    report, room,
    scan::{self, FailedScans},
    send,
    turns::Turns,
    upload::Known,
};
use crate::{
    agent::{outbox::Standing, repository::Repository},
    error::Error,
    session::{self, Ended, Frame, Opened, Session},
};

/// The only version of the protocol so far.
const PROTOCOL: i32 = 1;
/// Deliveries that may wait when the window does not say.
const DELIVERIES_DEFAULT: usize = 1000;
/// Commands that may wait.
const COMMANDS_MAX: usize = 256;
/// Answers to batches that may wait; more than batches may be unanswered.
const RESULTS_MAX: usize = 256;
/// How long a drained session may still take to get its outbox across.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the coordinator may take to close its half.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a conversation came to its end.
pub(super) enum Finished {
    Shutdown,
    Ended(Ended),
}

/// What the stages of one session share.
pub(super) struct Conversation<R> {
    pub(super) core: Arc<Core<R>>,
    pub(super) sender: session::Sender,
    pub(super) limits: Limits,
    pub(super) epoch: i64,
    /// Cancelled when the session has ended: nothing is applied after that (R-AGT-6).
    pub(super) end: CancellationToken,
    /// Cancelled when no new work is to be begun.
    pub(super) stop: CancellationToken,
    pub(super) again: Again,
    pub(super) known: Known,
    pub(super) uploading: Turns,
    pub(super) roots: watch::Sender<Option<Vec<WatchRoot>>>,
    pub(super) failed_scans: FailedScans,
    in_progress: Mutex<HashSet<DeliveryKey>>,
}

type DeliveryKey = (bytes::Bytes, i64);

/// Where frames go.
struct Routes {
    results: mpsc::Sender<BatchResult>,
    deliveries: mpsc::Sender<Vec<Delivery>>,
    commands: mpsc::Sender<Command>,
}

struct Stages {
    reporting: JoinSet<Result<(), Error>>,
    sending: JoinSet<Result<(), Error>>,
    applying: JoinSet<Result<(), Error>>,
}

/// Holds one session until it ends, or until told to stop.
pub(super) async fn hold<R: Repository>(
    core: &Arc<Core<R>>,
    shutdown: &CancellationToken,
) -> Finished {
    core.note(|progress| progress.link = Link::Connecting);
    let opened = tokio::select! {
        () = shutdown.cancelled() => return Finished::Shutdown,
        opened = open(core) => opened,
    };
    match opened {
        Ok(opened) => converse(core, opened, shutdown).await,
        Err(ended) => Finished::Ended(ended),
    }
}

async fn open<R: Repository>(core: &Core<R>) -> Result<Opened, Ended> {
    let opened = Session::open(&core.client, hello(core)).await?;
    let key = opened.welcome.resume_key.clone();
    core.outbox
        .store_resume_key(key.clone())
        .await
        .map_err(Error::from)?;
    opened.session.confirm(key).await?;
    if let Err(error) = settle(core, &opened.welcome).await {
        close(opened).await;
        return Err(error.into());
    }
    core.note(|progress| {
        progress.link = Link::Connected;
        progress.sessions += 1;
        progress.last_error = None;
        progress.batches_waiting = core.outbox.len() as u64;
    });
    Ok(opened)
}

/// Half-closes a session that was not begun, so that the confirmation of the resume key still gets across.
async fn close(opened: Opened) {
    let Opened {
        mut session,
        sender,
        ..
    } = opened;
    drop(sender);
    let closing = async { while session.next().await.is_ok() {} };
    // The coordinator need not answer the half-close.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

fn hello<R: Repository>(core: &Core<R>) -> Hello {
    let description = core.repository.description();
    let identity = core.outbox.identity();
    Hello {
        repository: core.options.repository_name.clone(),
        side: core.options.side.into(),
        installation_id: description.installation_id,
        index_id: description.index_id,
        generation: identity.generation,
        resume_key: identity.resume_key,
        last_batch_number: identity.last_number,
        last_batch_id: identity.last_id,
        protocol_min: PROTOCOL,
        protocol_max: PROTOCOL,
        capabilities: Some(description.capabilities),
        window: Some(core.options.window),
    }
}

/// Brings the outbox in line with what the coordinator remembers (R-AGT-3, R-AGT-4).
async fn settle<R: Repository>(core: &Core<R>, welcome: &Welcome) -> Result<(), Error> {
    match core.outbox.settle(welcome).await? {
        Standing::Continues => Ok(()),
        Standing::NewGeneration => {
            tracing::info!(generation = welcome.generation, "a new generation begins");
            core.repository.forget_reported().await?;
            Ok(core.outbox.begin_generation(welcome).await?)
        }
        Standing::RollbackSuspected => {
            core.outbox.doubt_generation().await?;
            Err(rollback_suspected("they remember different batches"))
        }
    }
}

/// Ends a session in which agent and coordinator turn out to remember different things (R-AGT-4).
pub(super) fn rollback_suspected(cause: &str) -> Error {
    Error::with_reason(
        Code::FailedPrecondition,
        ErrorReason::RollbackSuspected,
        format!(
            "agent or coordinator is older than the other remembers: {cause}; the next session begins a new generation"
        ),
    )
}

async fn converse<R: Repository>(
    core: &Arc<Core<R>>,
    opened: Opened,
    shutdown: &CancellationToken,
) -> Finished {
    let Opened {
        welcome,
        mut session,
        sender,
    } = opened;
    let conversation = Arc::new(Conversation {
        core: Arc::clone(core),
        sender,
        limits: Limits::from(welcome.limits.unwrap_or_default()),
        epoch: welcome.session_epoch,
        end: session.end(),
        stop: session.end().child_token(),
        again: Again::default(),
        known: Known::default(),
        uploading: Turns::default(),
        roots: watch::Sender::new(None),
        failed_scans: FailedScans::default(),
        in_progress: Mutex::default(),
    });
    let (routes, mut stages) = start(&conversation);
    let result = listen(&conversation, &mut session, &routes, &mut stages, shutdown).await;
    finish(conversation, session, routes, stages, result).await
}

fn start<R: Repository>(conversation: &Arc<Conversation<R>>) -> (Routes, Stages) {
    let window = conversation.core.options.window.deliveries_max;
    let waiting_max = usize::try_from(window).ok().filter(|max| *max > 0);
    let (results, answered) = mpsc::channel(RESULTS_MAX);
    let (deliveries, delivered) = mpsc::channel(waiting_max.unwrap_or(DELIVERIES_DEFAULT));
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    let (groups, fetched) = mpsc::channel(1);
    let mut reporting = JoinSet::new();
    let mut sending = JoinSet::new();
    sending.spawn(send::run(Arc::clone(conversation), answered));
    reporting.spawn(report::run(Arc::clone(conversation)));
    reporting.spawn(observe::run(Arc::clone(conversation)));
    reporting.spawn(scan::run(Arc::clone(conversation)));
    reporting.spawn(room::run(Arc::clone(conversation)));
    reporting.spawn(commands::run(Arc::clone(conversation), asked));
    reporting.spawn(fetch::run(Arc::clone(conversation), delivered, groups));
    let mut applying = JoinSet::new();
    applying.spawn(apply::run(Arc::clone(conversation), fetched));
    (
        Routes {
            results,
            deliveries,
            commands,
        },
        Stages {
            reporting,
            sending,
            applying,
        },
    )
}

/// `Ok` with the delay of a drain, or nothing on shutdown.
async fn listen<R: Repository>(
    conversation: &Conversation<R>,
    session: &mut Session,
    routes: &Routes,
    stages: &mut Stages,
    shutdown: &CancellationToken,
) -> Result<Option<Duration>, Ended> {
    loop {
        let frame = tokio::select! {
            frame = session.next() => frame?,
            failed = first_failure(&mut stages.reporting) => return Err(failed.into()),
            failed = first_failure(&mut stages.sending) => return Err(failed.into()),
            // Outcomes that cannot be noted, for instance on a full disk: nothing more would ever be applied.
            failed = first_failure(&mut stages.applying) => return Err(failed.into()),
            () = shutdown.cancelled() => return Ok(None),
        };
        match frame {
            Frame::Drain(delay) => return Ok(Some(delay)),
            frame => conversation.route(frame, routes).await?,
        }
    }
}

/// Waits until a stage fails; stages that came to a good end are forgotten.
async fn first_failure(stages: &mut JoinSet<Result<(), Error>>) -> Error {
    loop {
        match stages.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return error,
            Some(Err(fault)) => {
                return Error::new(
                    Code::Internal,
                    format!("a stage of the agent failed: {fault}"),
                );
            }
            None => return std::future::pending().await,
        }
    }
}

impl<R: Repository> Conversation<R> {
    async fn route(&self, frame: Frame, routes: &Routes) -> Result<(), Ended> {
        match frame {
            Frame::BatchResult(result) => {
                routes
                    .results
                    .send(result)
                    .await
                    .map_err(|_| stage_gone())?;
            }
            Frame::Deliveries(deliveries) => {
                let new = self.new_only(deliveries.deliveries);
                routes.deliveries.try_send(new).map_err(|_| {
                    Error::new(
                        Code::Internal,
                        "the coordinator sent more deliveries than the window allows",
                    )
                })?;
            }
            Frame::Command(command) => {
                if routes.commands.try_send(command).is_err() {
                    tracing::warn!("a command was dropped: too many wait");
                }
            }
            Frame::Drain(_) => {}
        }
        Ok(())
    }

    /// Leaves out what is in progress already: deliveries are at least once.
    fn new_only(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut in_progress = self
            .in_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deliveries.retain(|delivery| key_of(delivery).is_some_and(|key| in_progress.insert(key)));
        let waiting = in_progress.len() as u64;
        self.core
            .note(|progress| progress.deliveries_waiting = waiting);
        deliveries
    }

    /// These deliveries are answered, so they are no repeats when they come again.
    pub(super) fn answered<'a>(&self, deliveries: impl IntoIterator<Item = &'a Delivery>) {
        let mut in_progress = self
            .in_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for key in deliveries.into_iter().filter_map(key_of) {
            in_progress.remove(&key);
        }
        let waiting = in_progress.len() as u64;
        self.core
            .note(|progress| progress.deliveries_waiting = waiting);
    }

    /// Does the work unless the session is to stop first.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            done = work => Some(done),
        }
    }
}

fn key_of(delivery: &Delivery) -> Option<DeliveryKey> {
    delivery
        .id
        .as_ref()
        .map(|id| (id.member_id.clone(), id.source_version))
}

fn stage_gone() -> Error {
    Error::transport("the sending stage has ended")
}

/// Stops what may be stopped, finishes what was begun, and half-closes if the session still stands.
async fn finish<R: Repository>(
    conversation: Arc<Conversation<R>>,
    mut session: Session,
    routes: Routes,
    mut stages: Stages,
    result: Result<Option<Duration>, Ended>,
) -> Finished {
    conversation.stop.cancel();
    if result.is_err() {
        conversation.end.cancel();
    }
    stages.reporting.shutdown().await;
    let results = routes.results;
    drop((routes.deliveries, routes.commands));
    let mut applied = stages.applying;
    if result.is_ok() {
        let flush = flush(&conversation, &mut session, &results, applied);
        flush.await;
    } else if let Some(Ok(Err(error))) = applied.join_next().await {
        tracing::warn!(%error, "outcomes could not be stored; the deliveries come again");
    }
    stages.sending.shutdown().await;
    drop(conversation);
    match result {
        Err(ended) => Finished::Ended(ended),
        Ok(delay) => {
            let closing = async { while session.next().await.is_ok() {} };
            // The coordinator need not answer the half-close.
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
            delay.map_or(Finished::Shutdown, |delay| {
                Finished::Ended(Ended::Drained(delay))
            })
        }
    }
}

/// Waits until the present group is applied and everything noted is across, or the session ends, or time is up.
async fn flush<R: Repository>(
    conversation: &Conversation<R>,
    session: &mut Session,
    results: &mpsc::Sender<BatchResult>,
    mut applied: JoinSet<Result<(), Error>>,
) {
    let mut changes = conversation.core.outbox.changes();
    let mut applying = true;
    let mut open = true;
    let deadline = tokio::time::sleep(FLUSH_TIMEOUT);
    tokio::pin!(deadline);
    while applying || (open && !conversation.core.outbox.is_empty()) {
        tokio::select! {
            _ = applied.join_next(), if applying => applying = false,
            frame = session.next(), if open => match frame {
                Ok(Frame::BatchResult(result)) => open = results.send(result).await.is_ok(),
                Ok(_) => {}
                Err(_) => open = false,
            },
            _ = changes.changed() => {}
            () = &mut deadline, if !applying => return,
        }
    }
}
