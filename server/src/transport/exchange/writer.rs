//! Writes the frames to an agent.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tandem_proto::v1alpha as wire;
use tandem_proto::v1alpha::exchange_response::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::commands::{Unanswered, standing};
use super::reader::{Answer, Reader};
use super::{encode, frame};
use crate::domain::ids::{MemberId, NodeId};
use crate::service::exchange::{Outgoing, Session, Wires};
use crate::service::ingest::Accepted;
use crate::service::{AgentScope, Error};

/// Seconds after which an agent comes back to a coordinator that stops.
const RECONNECT_SECONDS: i64 = 1;

type Sender = mpsc::Sender<Result<wire::ExchangeResponse, Status>>;

/// The writing half of a stream, and its end.
pub(super) struct Writer {
    scope: AgentScope,
    session: Session,
    wires: Wires,
    answers: mpsc::Receiver<Answer>,
    unanswered: Unanswered,
    frames: Sender,
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
    /// The stream ends with this.
    With(Status),
}

impl Writer {
    pub(super) fn new(
        scope: AgentScope,
        session: Session,
        wires: Wires,
        answers: mpsc::Receiver<Answer>,
        unanswered: Unanswered,
        frames: Sender,
    ) -> Self {
        Self {
            scope,
            session,
            wires,
            answers,
            unanswered,
            frames,
        }
    }

    pub(super) async fn run(mut self, reader: Reader) {
        let end = tokio::select! {
            end = self.write() => end,
            read = reader.run() => match read {
                // What was read is still answered.
                Ok(()) => End::Closed,
                Err(status) => End::With(status),
            },
        };
        match end {
            End::Closed => self.finish().await,
            End::With(status) => {
                let _ = self.frames.send(Err(status)).await;
            }
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
                () = self.frames.closed() => return End::Closed,
                () = scope.until_draining(), if !draining => {
                    draining = true;
                    self.drain().await
                }
                Some(done) = pending.next(), if !pending.is_empty() => self.answer(done).await,
                Some(answer) = self.answers.recv() => {
                    pending.push_back(answered(answer));
                    Ok(())
                }
                Some(ping) = self.wires.pinged.recv() => {
                    let ping = self.unanswered.ping(ping);
                    self.send(Frame::Ping(ping)).await
                }
                Some(asked) = self.wires.asked.recv() => {
                    let command = self.unanswered.ask(asked);
                    self.send(Frame::Command(command)).await
                }
                () = self.session.wait(), if !draining => self.send_due().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn drain(&self) -> Result<(), End> {
        let delay = prost_types::Duration {
            seconds: RECONNECT_SECONDS,
            nanos: 0,
        };
        self.send(Frame::Drain(wire::Drain {
            reconnect_delay: Some(delay),
        }))
        .await
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
        self.send(Frame::BatchResult(result)).await
    }

    async fn send_due(&mut self) -> Result<(), End> {
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
                Outgoing::Observe(nodes) => {
                    let node_ids = nodes.into_iter().map(|node| node.0).collect();
                    let observe = wire::ObserveNodes { node_ids };
                    Frame::Command(standing(wire::command::Request::ObserveNodes(observe)))
                }
                Outgoing::Deliver(ready) => {
                    let deliveries = ready.into_iter().map(encode::delivery).collect();
                    Frame::Deliveries(wire::Deliveries { deliveries })
                }
            };
            self.send(frame).await?;
        }
        Ok(())
    }

    async fn send(&self, arm: Frame) -> Result<(), End> {
        self.frames
            .send(Ok(frame(arm)))
            .await
            .map_err(|_| End::Closed)
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
