//! Reads the frames of an agent.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tandem_proto::v1 as wire;
use tandem_proto::v1::exchange_request::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::commands::Unanswered;
use super::decode;
use crate::domain::ids::{MemberId, NodeId};
use crate::domain::report::Item;
use crate::domain::session::ResumeKey;
use crate::service::ingest::{Batch, Pending};
use crate::service::{AgentScope, Error};
use crate::transport::convert;

/// A batch on its way: its number, whom and what it tells of, and its answer to come.
pub(super) struct Answer {
    pub(super) number: i64,
    pub(super) members: Vec<MemberId>,
    /// The nodes that were observed, each with the index of its item.
    pub(super) nodes: Vec<(usize, NodeId)>,
    pub(super) pending: Result<Pending, Error>,
}

/// The frames of an agent, as they come: over a stream, or in the pushes of a unary session.
pub(super) type Inbound =
    Pin<Box<dyn Stream<Item = Result<wire::ExchangeRequest, Status>> + Send + Sync>>;

/// The reading half of a session.
pub(super) struct Reader {
    scope: AgentScope,
    inbound: Inbound,
    answers: mpsc::Sender<Answer>,
    unanswered: Unanswered,
}

impl Reader {
    pub(super) fn new(
        scope: AgentScope,
        inbound: Inbound,
        answers: mpsc::Sender<Answer>,
        unanswered: Unanswered,
    ) -> Self {
        Self {
            scope,
            inbound,
            answers,
            unanswered,
        }
    }

    /// Reads until the agent half-closes.
    ///
    /// # Errors
    /// What the stream is to end with.
    pub(super) async fn run(mut self) -> Result<(), Status> {
        while let Some(request) = next(&mut self.inbound).await? {
            match request.frame {
                Some(Frame::ChangeBatch(batch)) => {
                    if !self.batch(batch).await {
                        return Ok(());
                    }
                }
                Some(Frame::CommandResult(result)) => self.unanswered.answer(result),
                Some(Frame::Pong(pong)) => self.unanswered.pong(&pong),
                Some(Frame::ResumeKeyStored(stored)) => self.confirm(&stored).await?,
                Some(Frame::Hello(_)) => {
                    return Err(Error::protocol("`hello` comes once, as the first frame").into());
                }
                None => {
                    return Err(Error::protocol("a frame with an arm that is not known").into());
                }
            }
        }
        Ok(())
    }

    /// Hands a batch over. A place for its answer is taken first, so that whoever floods is read no further (R-AGT-7).
    async fn batch(&self, batch: wire::ChangeBatch) -> bool {
        let Ok(place) = self.answers.reserve().await else {
            return false;
        };
        let number = batch.number;
        tandem_crash::at("S1");
        let decoded = decode::batch(self.scope.repository, batch);
        let (members, nodes) = decoded.as_ref().map(told_of).unwrap_or_default();
        let pending = match decoded {
            Ok(batch) => self.scope.begin_batch(batch).await,
            Err(error) => Err(error),
        };
        place.send(Answer {
            number,
            members,
            nodes,
            pending,
        });
        true
    }

    async fn confirm(&self, stored: &wire::ResumeKeyStored) -> Result<(), Status> {
        let key = ResumeKey::from_bytes(&stored.resume_key).ok_or_else(|| {
            Error::invalid(
                "resume_key_stored.resume_key",
                "the key of the welcome, 16 bytes",
            )
        })?;
        Ok(self.scope.confirm_key(key).await?)
    }
}

/// The next frame; none when the agent half-closes.
///
/// # Errors
/// What a frame that cannot be read breaks.
pub(super) async fn next(inbound: &mut Inbound) -> Result<Option<wire::ExchangeRequest>, Error> {
    let message = inbound.next().await.transpose();
    message.map_err(|status| convert::unreadable(&status))
}

fn told_of(batch: &Batch) -> (Vec<MemberId>, Vec<(usize, NodeId)>) {
    let members = batch.items.iter().filter_map(|item| match item {
        Item::Outcome { member, .. } => Some(*member),
        _ => None,
    });
    let items = batch.items.iter().enumerate();
    let nodes = items.filter_map(|(index, item)| match item {
        Item::Observed(observation) => Some((index, observation.node.clone())),
        _ => None,
    });
    (members.collect(), nodes.collect())
}
