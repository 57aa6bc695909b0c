//! What a session sends: roots to watch, nodes to look at, and what is due, within the agent's window (R-AGT-7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Hello, Ready, Root};
use crate::domain::delivery::Delivery;
use crate::domain::ids::{MemberId, NodeId};
use crate::domain::limits::{DELIVERIES_FRAME_BYTES_MAX, DUE_PAGE_MAX, OBSERVE_NODES_MAX};
use crate::service::command::Asked;
use crate::service::presence::Present;
use crate::service::{AgentScope, Error};
use crate::storage::sync::due::After;

/// Something to be sent.
#[derive(Debug)]
pub enum Outgoing {
    /// The roots changed.
    Watch(Vec<Root>),
    /// Nodes are to be looked at.
    Observe(Vec<NodeId>),
    /// Copies are to be changed; at most a frame of them.
    Deliver(Vec<Ready>),
}

/// A delivery that has no outcome yet.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    bytes: i64,
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
    roots: Option<Vec<Root>>,
    observing: BTreeSet<NodeId>,
    bell: watch::Receiver<u64>,
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
        let present = scope.coordinator.presence.enter(scope.repository);
        Self {
            epoch,
            deliveries_max: hello.deliveries_max,
            bytes_max: hello.bytes_max,
            in_flight: BTreeMap::new(),
            bytes_in_flight: 0,
            after: After::default(),
            exhausted: false,
            roots: None,
            observing: BTreeSet::new(),
            bell,
            _present: present,
            scope,
        }
    }

    /// Outcomes of these members were accepted: there is room for others, and for what is due for them now.
    pub fn answered(&mut self, members: impl IntoIterator<Item = MemberId>) {
        for member in members {
            if let Some(delivery) = self.in_flight.remove(&member) {
                self.bytes_in_flight -= delivery.bytes;
                self.look_again();
            }
        }
    }

    /// Nodes were reported: they may be asked for again.
    pub fn observed<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        if !self.observing.is_empty() {
            for node in nodes {
                self.observing.remove(node);
            }
        }
    }

    /// Nodes were reported before their parents: the agent looks again by itself, so this session need not ask.
    pub fn looked_at_again<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        self.observing.extend(nodes.into_iter().cloned());
    }

    fn look_again(&mut self) {
        if self.exhausted {
            self.after = After::default();
            self.exhausted = false;
        }
    }

    /// Waits until there may be something to send.
    pub async fn wait(&mut self) {
        if self.room() && !self.exhausted {
            return;
        }
        let timer = match self.next_due_in().await {
            Some(wait) => wait,
            None => Duration::from_secs(3600),
        };
        tokio::select! {
            changed = self.bell.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            () = tokio::time::sleep(timer) => {}
        }
        self.look_again();
    }

    fn room(&self) -> bool {
        self.in_flight.len() < self.deliveries_max && self.bytes_in_flight < self.bytes_max
    }

    /// Time until work that waits for its time is due.
    async fn next_due_in(&self) -> Option<Duration> {
        let coordinator = &self.scope.coordinator;
        let now = coordinator.clock.now();
        let next = coordinator
            .store
            .next_due_at(self.scope.repository, now)
            .await
            .ok()??;
        Some(Duration::from_micros(
            u64::try_from(next - now).unwrap_or(0),
        ))
    }

    /// What can be sent now; empty when nothing can.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn next(&mut self) -> Result<Vec<Outgoing>, Error> {
        let mut outgoing = Vec::new();
        if !self.exhausted {
            outgoing.extend(self.changed_roots().await?.map(Outgoing::Watch));
            outgoing.extend(self.nodes_to_observe().await?.map(Outgoing::Observe));
        }
        let ready = self.deliverable().await?;
        if !ready.is_empty() {
            outgoing.push(Outgoing::Deliver(ready));
        }
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

    async fn nodes_to_observe(&mut self) -> Result<Option<Vec<NodeId>>, Error> {
        let store = &self.scope.coordinator.store;
        let nodes = store
            .to_observe(self.scope.repository, OBSERVE_NODES_MAX)
            .await?;
        let new: Vec<NodeId> = nodes
            .into_iter()
            .filter(|node| !self.observing.contains(node))
            .collect();
        self.observing.extend(new.iter().cloned());
        Ok((!new.is_empty()).then_some(new))
    }

    /// One page of what is due, as far as the window has room.
    async fn deliverable(&mut self) -> Result<Vec<Ready>, Error> {
        if !self.room() || self.exhausted {
            return Ok(Vec::new());
        }
        let room = self.deliveries_max - self.in_flight.len();
        let limit = room.min(DUE_PAGE_MAX);
        let coordinator = self.scope.coordinator.clone();
        let now = coordinator.clock.now();
        let (repository, side) = (self.scope.repository, self.scope.side);
        // Deliveries on their way are still listed as due, so a page has to reach beyond them.
        let due = coordinator
            .store
            .due(repository, self.after, now, limit)
            .await?;
        let members: Vec<MemberId> = due
            .iter()
            .filter_map(|due| due.member)
            .filter(|member| !self.in_flight.contains_key(member))
            .collect();
        let found = coordinator
            .store
            .deliveries(self.scope.network, side, &members)
            .await?;
        self.exhausted = due.len() < limit;
        self.after = due.last().copied().unwrap_or(self.after);
        let mut ready = Vec::new();
        let mut inline_bytes = 0;
        for (delivery, inline) in found {
            let waits = delivery
                .needs()
                .is_some_and(|first| !self.in_flight.contains_key(&first));
            let full = !self.room() || inline_bytes > DELIVERIES_FRAME_BYTES_MAX / 2;
            if waits {
                continue;
            }
            if full {
                self.rewind(&delivery, &due);
                break;
            }
            inline_bytes += inline.as_ref().map_or(256, |bytes| bytes.len() + 256);
            let bytes = delivery.content.map_or(0, |content| content.size);
            self.bytes_in_flight += bytes;
            self.in_flight.insert(delivery.member, InFlight { bytes });
            ready.push(Ready { delivery, inline });
        }
        Ok(ready)
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
