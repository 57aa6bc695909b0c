//! Writes the frames to an agent.

use std::collections::{BTreeSet, VecDeque};

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tandem_proto::v1 as wire;
use tandem_proto::v1::exchange_response::Frame;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::commands::{Unanswered, standing};
use super::encode;
use super::outlet::Outlet;
use super::reader::{Answer, Reader};
use crate::domain::ids::{MemberId, NodeId};
use crate::service::command::Asked;
use crate::service::exchange::{Outgoing, Session, Wires};
use crate::service::ingest::Accepted;
use crate::service::{AgentScope, Error};

/// Seconds after which an agent comes back to a coordinator that stops.
const RECONNECT_SECONDS: i64 = 1;

/// The writing half of a session, and its end.
pub(super) struct Writer {
    scope: AgentScope,
    session: Session,
    wires: Wires,
    answers: mpsc::Receiver<Answer>,
    unanswered: Unanswered,
    outlet: Outlet,
    /// What waits for a place: one page of what is due at most, since more is read only once it is empty (R-AGT-7).
    queue: VecDeque<Frame>,
}

/// What is to be done next for the way down.
enum Down {
    /// A frame that waited is sent.
    Sent,
    Ping(oneshot::Sender<()>),
    Ask(Asked),
    /// Something may be due.
    Due,
}

/// A batch that was answered.
struct Answered {
    number: i64,
    members: Vec<MemberId>,
    nodes: Vec<(usize, NodeId)>,
    result: Result<Accepted, Error>,
}

/// Why nothing more is sent.
enum End {
    /// The agent is gone, or has said all.
    Closed,
    /// The session ends with this.
    With(Status),
}

impl Writer {
    pub(super) fn new(
        scope: AgentScope,
        session: Session,
        wires: Wires,
        answers: mpsc::Receiver<Answer>,
        unanswered: Unanswered,
        outlet: Outlet,
    ) -> Self {
        Self {
            scope,
            session,
            wires,
            answers,
            unanswered,
            outlet,
            queue: VecDeque::new(),
        }
    }

    /// Writes until the agent has said all, or is gone.
    ///
    /// # Errors
    /// What the session ends with otherwise.
    pub(super) async fn run(mut self, reader: Reader) -> Result<(), Status> {
        let end = tokio::select! {
            end = self.write() => end,
            read = reader.run() => match read {
                // What was read is still answered.
                Ok(()) => End::Closed,
                Err(status) => End::With(status),
            },
        };
        match end {
            End::Closed => {
                self.finish().await;
                Ok(())
            }
            End::With(status) => Err(status),
        }
    }

    /// Answers what was read before the agent half-closed.
    async fn finish(&mut self) {
        self.answers.close();
        while let Some(answer) = self.answers.recv().await {
            let answered = answered(answer).await;
            if self.answer(answered).await.is_err() {
                return;
            }
        }
    }

    async fn write(&mut self) -> End {
        let scope = self.scope.clone();
        let mut pending = FuturesOrdered::new();
        let mut draining = false;
        loop {
            let step = tokio::select! {
                biased;
                () = self.wires.superseded.cancelled() => {
                    return End::With(Error::SessionSuperseded.into());
                }
                () = scope.until_revoked() => return End::With(Error::Unauthenticated.into()),
                () = self.outlet.closed() => return End::Closed,
                () = scope.until_draining(), if !draining => {
                    draining = true;
                    self.queue.push_back(drain());
                    Ok(())
                }
                Some(done) = pending.next(), if !pending.is_empty() => self.answer(done).await,
                Some(answer) = self.answers.recv() => {
                    pending.push_back(answered(answer));
                    Ok(())
                }
                down = next_down(
                    &self.outlet,
                    &mut self.queue,
                    (&mut self.wires.pinged, &mut self.wires.asked),
                    (!draining).then_some(&mut self.session),
                ) => match down {
                    Down::Sent => {
                        tandem_crash::at("S7");
                        Ok(())
                    }
                    // Whoever asked waits no longer.
                    Down::Ping(ping) if ping.is_closed() => Ok(()),
                    Down::Ask(asked) if asked.reply.is_closed() => Ok(()),
                    Down::Ping(ping) => {
                        self.queue.push_back(Frame::Ping(self.unanswered.ping(ping)));
                        Ok(())
                    }
                    Down::Ask(asked) => {
                        self.queue.push_back(Frame::Command(self.unanswered.ask(asked)));
                        Ok(())
                    }
                    Down::Due => self.queue_due().await,
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn answer(&mut self, done: Answered) -> Result<(), End> {
        if let Ok(accepted) = &done.result {
            self.session.answered(done.members);
            let unknown: BTreeSet<usize> = accepted
                .notes
                .iter()
                .filter(|note| note.unknown_parent)
                .map(|note| note.item)
                .collect();
            let (again, seen): (Vec<_>, Vec<_>) = done
                .nodes
                .iter()
                .partition(|(index, _)| unknown.contains(index));
            self.session
                .observed(seen.into_iter().map(|(_, node)| node));
            self.session
                .looked_at_again(again.into_iter().map(|(_, node)| node));
        }
        let result = encode::batch_result(done.number, done.result);
        let sent = self.outlet.result(Frame::BatchResult(result)).await;
        tandem_crash::at("S6");
        sent.map_err(|_| End::Closed)
    }

    async fn queue_due(&mut self) -> Result<(), End> {
        let outgoing = self
            .session
            .next()
            .await
            .map_err(|error| End::With(error.into()))?;
        for outgoing in outgoing {
            let frame = match outgoing {
                Outgoing::Watch(roots) => {
                    let roots = encode::watch_roots(&roots);
                    Frame::Command(standing(wire::command::Request::WatchRoots(roots)))
                }
                Outgoing::Observe(nodes, read_content) => {
                    let observe = wire::ObserveNodes {
                        node_ids: nodes.into_iter().map(|node| node.0).collect(),
                        read_content,
                    };
                    Frame::Command(standing(wire::command::Request::ObserveNodes(observe)))
                }
                Outgoing::Deliver(ready) => {
                    let deliveries = ready.into_iter().map(encode::delivery).collect();
                    Frame::Deliveries(wire::Deliveries { deliveries })
                }
            };
            self.queue.push_back(frame);
        }
        Ok(())
    }
}

fn drain() -> Frame {
    let delay = prost_types::Duration {
        seconds: RECONNECT_SECONDS,
        nanos: 0,
    };
    Frame::Drain(wire::Drain {
        reconnect_delay: Some(delay),
    })
}

type Questions<'a> = (
    &'a mut mpsc::Receiver<oneshot::Sender<()>>,
    &'a mut mpsc::Receiver<Asked>,
);

/// Waits for a place for what is queued; with nothing queued, for something to queue. Nothing is taken up before somebody
/// waits for it, so that what an agent gets is never older than its call. Without a session nothing new is due.
async fn next_down(
    outlet: &Outlet,
    queue: &mut VecDeque<Frame>,
    (pinged, asked): Questions<'_>,
    session: Option<&mut Session>,
) -> Down {
    outlet.wanted().await;
    if !queue.is_empty() {
        outlet.send_first(queue).await;
        return Down::Sent;
    }
    let due = async {
        match session {
            Some(session) => session.wait().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(ping) = pinged.recv() => Down::Ping(ping),
        Some(asked) = asked.recv() => Down::Ask(asked),
        () = due => Down::Due,
    }
}

async fn answered(answer: Answer) -> Answered {
    let Answer {
        number,
        members,
        nodes,
        pending,
    } = answer;
    let result = match pending {
        Ok(pending) => pending.answer().await,
        Err(error) => Err(error),
    };
    Answered {
        number,
        members,
        nodes,
        result,
    }
}
