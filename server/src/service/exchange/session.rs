//! What a session sends: roots to watch, nodes to look at, and what is due, within the agent's window (R-AGT-7).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Hello, Ready, Root};
use crate::domain::delivery::Delivery;
use crate::domain::ids::{MemberId, NodeId};
use crate::domain::limits::{
    DELIVERIES_FRAME_BYTES_MAX, DUE_FROM_START_MICROSECONDS, DUE_PAGE_MAX, OBSERVE_NODES_MAX,
};
use crate::service::command::Asked;
use crate::service::presence::Present;
use crate::service::{AgentScope, Error};
use crate::storage::sync::due::After;

/// How long a session without anything to wait for waits.
const IDLE: Duration = Duration::from_secs(3600);

/// Something to be sent.
#[derive(Debug)]
pub enum Outgoing {
    /// The roots changed.
    Watch(Vec<Root>),
    /// Nodes are to be looked at; true = and their content is to be read.
    Observe(Vec<NodeId>, bool),
    /// Copies are to be changed; at most a frame of them.
    Deliver(Vec<Ready>),
}

/// A delivery that has no outcome yet.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    bytes: i64,
    /// What was due when it was sent; a later entry of the member is news.
    since: i64,
}

/// A live session.
#[derive(Debug)]
pub struct Session {
    /// Whose it is.
    pub scope: AgentScope,
    /// Its epoch.
    pub epoch: i64,
    deliveries_max: usize,
    bytes_max: i64,
    in_flight: BTreeMap<MemberId, InFlight>,
    bytes_in_flight: i64,
    after: After,
    exhausted: bool,
    /// Something behind `after` was passed over: it waits for a delivery that is on its way.
    passed_over: bool,
    /// When reading last began from the start.
    began_at: i64,
    /// When work that waits for its time is due, or older entries are to be read again.
    next_due_at: Option<Instant>,
    /// A bell rang, and the older entries were not read since.
    rung: bool,
    /// Roots, and nodes to look at, may have changed.
    watch_anew: bool,
    roots: Option<Vec<Root>>,
    /// Nodes that are looked at, each with whether its content is read.
    observing: BTreeMap<NodeId, bool>,
    bell: watch::Receiver<u64>,
    watch_bell: watch::Receiver<u64>,
    _present: Present,
}

/// What others want of a live session.
#[derive(Debug)]
pub struct Wires {
    /// Questions for the agent.
    pub asked: mpsc::Receiver<Asked>,
    /// Pings to be answered.
    pub pinged: mpsc::Receiver<oneshot::Sender<()>>,
    /// Another session took over.
    pub superseded: CancellationToken,
}

impl Session {
    pub(super) fn new(scope: AgentScope, epoch: i64, hello: &Hello) -> Self {
        let bell = scope.coordinator.wakeup.repository(scope.repository);
        let watch_bell = scope.coordinator.wakeup.watching(scope.repository);
        let present = scope.coordinator.presence.enter(scope.repository);
        Self {
            epoch,
            deliveries_max: hello.deliveries_max,
            bytes_max: hello.bytes_max,
            in_flight: BTreeMap::new(),
            bytes_in_flight: 0,
            after: After::default(),
            exhausted: false,
            passed_over: false,
            began_at: 0,
            next_due_at: None,
            rung: false,
            watch_anew: true,
            roots: None,
            observing: BTreeMap::new(),
            bell,
            watch_bell,
            _present: present,
            scope,
        }
    }

    /// Outcomes of these members were accepted: there is room for others, and for what is due for them now.
    pub fn answered(&mut self, members: impl IntoIterator<Item = MemberId>) {
        let mut any = false;
        for member in members {
            if let Some(delivery) = self.in_flight.remove(&member) {
                self.bytes_in_flight -= delivery.bytes;
                any = true;
            }
        }
        if any && (self.passed_over || self.in_flight.is_empty()) {
            self.begin_anew();
        }
    }

    /// Nodes were reported: they may be asked for again.
    pub fn observed<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        if !self.observing.is_empty() {
            for node in nodes {
                // It may have been asked for again since.
                self.watch_anew |= self.observing.remove(node).is_some();
            }
        }
    }

    /// Nodes were reported before their parents: the agent looks again by itself, so this session need not ask.
    pub fn looked_at_again<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        for node in nodes {
            self.observing.entry(node.clone()).or_default();
        }
    }

    /// Reads what is due from the start. Else reading goes on where it was: what becomes due comes behind it.
    fn begin_anew(&mut self) {
        self.after = After::default();
        self.exhausted = false;
        self.passed_over = false;
        self.rung = false;
        self.began_at = self.scope.coordinator.clock.now();
    }

    /// Gates that open and sets that end change what of the older entries is due, so these are read now and then too.
    fn look_again(&mut self) {
        let now = self.scope.coordinator.clock.now();
        if self.in_flight.is_empty() || now - self.began_at >= DUE_FROM_START_MICROSECONDS {
            self.begin_anew();
            return;
        }
        self.exhausted = false;
        self.rung = true;
    }

    /// Waits until there may be something to send.
    pub async fn wait(&mut self) {
        if self.watch_anew || self.room() && !self.exhausted {
            return;
        }
        let idle = Instant::now() + IDLE;
        tokio::select! {
            changed = self.bell.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                self.look_again();
            }
            changed = self.watch_bell.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                self.watch_anew = true;
            }
            () = tokio::time::sleep_until(self.next_due_at.unwrap_or(idle)) => {
                self.next_due_at = None;
                self.begin_anew();
            }
        }
    }

    fn room(&self) -> bool {
        self.in_flight.len() < self.deliveries_max && self.bytes_in_flight < self.bytes_max
    }

    /// When work that waits for its time is due.
    async fn next_due_at(&mut self, now: i64) -> Result<Option<Instant>, Error> {
        let from_start = Duration::from_micros(DUE_FROM_START_MICROSECONDS.unsigned_abs());
        // What a bell told of may lie among the older entries, which were not read again.
        let again = (std::mem::take(&mut self.rung) && !self.in_flight.is_empty())
            .then(|| Instant::now() + from_start);
        let coordinator = &self.scope.coordinator;
        let next = coordinator
            .store
            .next_due_at(self.scope.repository, now)
            .await?;
        let next = next.map(|next| {
            Instant::now() + Duration::from_micros(u64::try_from(next - now).unwrap_or(0))
        });
        Ok(next.into_iter().chain(again).min())
    }

    /// What can be sent now; empty when nothing can.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn next(&mut self) -> Result<Vec<Outgoing>, Error> {
        let mut outgoing = Vec::new();
        if std::mem::take(&mut self.watch_anew) {
            // Read in this order and sent in the other: whatever is looked at because it is a new root is watched before.
            let observe = self.nodes_to_observe().await?;
            outgoing.extend(self.changed_roots().await?.map(Outgoing::Watch));
            outgoing.extend(observe);
        }
        let frames = self.deliverable().await?;
        outgoing.extend(frames.into_iter().map(Outgoing::Deliver));
        Ok(outgoing)
    }

    async fn changed_roots(&mut self) -> Result<Option<Vec<Root>>, Error> {
        let roots = self
            .scope
            .coordinator
            .store
            .roots(self.scope.repository)
            .await?;
        if self.roots.as_ref() == Some(&roots) {
            return Ok(None);
        }
        self.roots = Some(roots.clone());
        Ok(Some(roots))
    }

    /// What is to be looked at and is not yet; what is looked at already is read only if it was not asked for so.
    async fn nodes_to_observe(&mut self) -> Result<Vec<Outgoing>, Error> {
        let store = &self.scope.coordinator.store;
        let nodes = store
            .to_observe(self.scope.repository, OBSERVE_NODES_MAX)
            .await?;
        let mut asked: [Vec<NodeId>; 2] = Default::default();
        for (node, read) in nodes {
            let known = self.observing.get(&node);
            if known.is_none_or(|reading| read && !reading) {
                self.observing.insert(node.clone(), read);
                asked[usize::from(read)].push(node);
            }
        }
        let [looked_at, read] = asked;
        let asked = [(looked_at, false), (read, true)].into_iter();
        let asked = asked.filter(|(nodes, _)| !nodes.is_empty());
        Ok(asked
            .map(|(nodes, read)| Outgoing::Observe(nodes, read))
            .collect())
    }

    /// One page of what is due in frames, as far as the window has room.
    async fn deliverable(&mut self) -> Result<Vec<Vec<Ready>>, Error> {
        if !self.room() || self.exhausted {
            return Ok(Vec::new());
        }
        let room = self.deliveries_max - self.in_flight.len();
        let limit = room.min(DUE_PAGE_MAX);
        let coordinator = self.scope.coordinator.clone();
        let (repository, now) = (self.scope.repository, coordinator.clock.now());
        let due = coordinator
            .store
            .due(repository, self.after, now, limit)
            .await?;
        self.exhausted = due.len() < limit;
        self.after = due.last().copied().unwrap_or(self.after);
        let members = self.sendable(&due);
        let found = coordinator
            .store
            .deliveries(self.scope.network, self.scope.side, &members)
            .await?;
        let frames = self.frames(found, &due);
        if self.exhausted {
            self.next_due_at = self.next_due_at(now).await?;
        }
        Ok(frames)
    }

    /// Deliveries on their way are still listed as due; with news for them they are passed over.
    fn sendable(&mut self, due: &[After]) -> Vec<MemberId> {
        let mut members = Vec::new();
        for due in due {
            let Some(member) = due.member else { continue };
            match self.in_flight.get(&member) {
                Some(sent) => self.passed_over |= due.since > sent.since,
                None => members.push(member),
            }
        }
        members
    }

    fn frames(&mut self, found: Vec<(Delivery, Option<Bytes>)>, due: &[After]) -> Vec<Vec<Ready>> {
        let since: BTreeMap<_, _> = due.iter().map(|due| (due.member, due.since)).collect();
        let mut frames = vec![Vec::new()];
        let mut frame_bytes = 0;
        for (delivery, inline) in found {
            let first = delivery.needs();
            if first.is_some_and(|first| !self.in_flight.contains_key(&first)) {
                self.passed_over = true;
                continue;
            }
            if !self.room() {
                self.rewind(&delivery, due);
                break;
            }
            let bytes = delivery.content.map_or(0, |content| content.size);
            let since = since.get(&Some(delivery.member)).copied().unwrap_or(0);
            self.bytes_in_flight += bytes;
            self.in_flight
                .insert(delivery.member, InFlight { bytes, since });
            frame_bytes += inline.as_ref().map_or(256, |bytes| bytes.len() + 256);
            if frame_bytes > DELIVERIES_FRAME_BYTES_MAX / 2 {
                frames.push(Vec::new());
                frame_bytes = 0;
            }
            if let Some(frame) = frames.last_mut() {
                frame.push(Ready { delivery, inline });
            }
        }
        frames.retain(|frame| !frame.is_empty());
        frames
    }

    /// The page did not fit: the next one begins with this delivery.
    fn rewind(&mut self, delivery: &Delivery, due: &[After]) {
        let at = due
            .iter()
            .position(|due| due.member == Some(delivery.member));
        self.after = match at {
            Some(0) | None => self.after_before(due),
            Some(at) => due[at - 1],
        };
        self.exhausted = false;
    }

    fn after_before(&self, due: &[After]) -> After {
        due.first().map_or_else(After::default, |first| After {
            since: first.since,
            member: Some(MemberId(uuid::Uuid::nil())),
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.scope
            .coordinator
            .sessions
            .leave(self.scope.repository, self.epoch);
        tracing::info!(
            repository.name = %self.scope.repository_name, epoch = self.epoch, "session ended"
        );
    }
}
