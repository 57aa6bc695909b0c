//! Sends the outbox in order, a few batches ahead of their answers (R-AGT-3).

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tandem_proto::v1::{
    BatchResult, ChangeBatch, ChangeItem, ItemNote, ItemNoteKind, Refusal, batch_result::Answer,
    change_item::Item,
};
use tokio::sync::mpsc;
use tonic::Code;

use super::conversation::Conversation;
use crate::{
    agent::{outbox::Pending, repository::Repository},
    error::Error,
};

/// How often one batch is mended in a session; then a new session begins, after a wait.
const MENDINGS_MAX: u32 = 5;

/// Runs until the session ends.
pub(super) async fn run<R: Repository>(
    conversation: Arc<Conversation<R>>,
    results: mpsc::Receiver<BatchResult>,
) -> Result<(), Error> {
    let next = conversation.core.outbox.identity().last_number + 1;
    let sending = Sending {
        conversation,
        results,
        next,
        in_flight: VecDeque::new(),
        mended: (0, 0),
    };
    sending.run().await
}

struct Sending<R> {
    conversation: Arc<Conversation<R>>,
    results: mpsc::Receiver<BatchResult>,
    /// The number of the batch to be sent next.
    next: i64,
    /// What was sent and is not answered, oldest first.
    in_flight: VecDeque<Pending>,
    /// The batch that was refused last, and how often in a row.
    mended: (i64, u32),
}

impl<R: Repository> Sending<R> {
    async fn run(mut self) -> Result<(), Error> {
        let mut changes = self.conversation.core.outbox.changes();
        loop {
            changes.mark_unchanged();
            self.send_waiting().await?;
            tokio::select! {
                result = self.results.recv() => match result {
                    Some(result) => self.take(result).await?,
                    None => return Ok(()),
                },
                _ = changes.changed() => {}
            }
        }
    }

    async fn send_waiting(&mut self) -> Result<(), Error> {
        while self.in_flight.len() < self.conversation.limits.unanswered_max
            && let Some(batch) = self.conversation.core.outbox.get(self.next)
        {
            let frame = ChangeBatch {
                number: batch.number,
                id: batch.id.clone(),
                session_epoch: self.conversation.epoch,
                items: batch.items.to_vec(),
                cursor: Bytes::new(),
            };
            tandem_crash::at("K2");
            self.conversation.sender.batch(frame).await?;
            tandem_crash::at("K3");
            self.in_flight.push_back(batch);
            self.next += 1;
        }
        Ok(())
    }

    /// Takes all answers that are there, so that a run of accepted batches costs one transaction.
    async fn take(&mut self, first: BatchResult) -> Result<(), Error> {
        let mut accepted = Vec::new();
        let mut result = Some(first);
        let mut refused = None;
        while let Some(answer) = result {
            let batch = self
                .in_flight
                .pop_front()
                .filter(|batch| batch.number == answer.number);
            let batch = batch.ok_or_else(|| out_of_order(answer.number))?;
            match answer.answer {
                Some(Answer::Accepted(notes)) => {
                    accepted.push((batch, notes.notes));
                }
                Some(Answer::Refused(refusal)) => {
                    refused = Some((batch, refusal, answer.missing_digests));
                    break;
                }
                None => return Err(out_of_order(answer.number)),
            }
            result = self.results.try_recv().ok();
        }
        self.note(accepted).await?;
        match refused {
            Some((batch, refusal, missing)) => self.refused(batch, refusal, missing).await,
            None => Ok(()),
        }
    }

    /// Stores that batches are accepted, and only then shows it.
    async fn note(&self, accepted: Vec<(Pending, Vec<ItemNote>)>) -> Result<(), Error> {
        let core = &self.conversation.core;
        if let Some((last, _)) = accepted.last() {
            tandem_crash::at("K4");
            core.outbox.accepted(last.number).await?;
        }
        for (batch, notes) in &accepted {
            self.conversation.note_accepted(batch, notes);
        }
        // Counted under the lock of the progress, so that the last to tell has counted last.
        core.note(|progress| progress.batches_waiting = core.outbox.len() as u64);
        Ok(())
    }

    async fn refused(
        &mut self,
        batch: Pending,
        refusal: Refusal,
        missing: Vec<Bytes>,
    ) -> Result<(), Error> {
        self.mended = match self.mended {
            (number, times) if number == batch.number => (number, times + 1),
            _ => (batch.number, 1),
        };
        if self.mended.1 > MENDINGS_MAX {
            return Err(Error::with_reason(
                Code::Internal,
                refusal.reason(),
                refusal.message,
            ));
        }
        self.take_gaps().await?;
        let times = self.mended.1;
        self.conversation
            .mend(&batch, &refusal, &missing, times)
            .await?;
        self.next = batch.number;
        Ok(())
    }

    /// What was sent behind a refused batch is refused as a gap; it is sent again behind the mended one.
    async fn take_gaps(&mut self) -> Result<(), Error> {
        while self.in_flight.pop_front().is_some() {
            let answer = self
                .results
                .recv()
                .await
                .map(|result| (result.number, result.answer));
            match answer {
                Some((_, Some(Answer::Refused(_)))) => {}
                Some((number, _)) => return Err(out_of_order(number)),
                None => return Err(Error::transport("the session was closed")),
            }
        }
        Ok(())
    }
}

impl<R: Repository> Conversation<R> {
    fn note_accepted(&self, batch: &Pending, notes: &[ItemNote]) {
        let nodes: usize = batch.items.iter().map(nodes_in).sum();
        self.core.note(|progress| progress.reported += nodes as u64);
        let unknown: Vec<String> = notes
            .iter()
            .filter(|note| note.kind() == ItemNoteKind::UnknownParent)
            .filter_map(|note| {
                node_of(
                    batch.items.get(usize::try_from(note.item_index).ok()?)?,
                    note,
                )
            })
            .collect();
        if !unknown.is_empty() {
            self.again.look_with_parents(unknown);
        }
        for note in notes
            .iter()
            .filter(|note| note.kind() == ItemNoteKind::NodeFailed)
        {
            tracing::warn!(batch = batch.number, item = note.item_index, message = %note.message, "the coordinator could not use what was reported");
        }
    }
}

fn nodes_in(item: &ChangeItem) -> usize {
    match &item.item {
        Some(Item::Observation(_)) => 1,
        Some(Item::ScanPage(page)) => page.children.len(),
        Some(Item::Outcome(_) | Item::ScanEnd(_) | Item::CauseChanged(_)) | None => 0,
    }
}

/// The node that a note is about. Outcomes name no node that a parent could be missing for.
fn node_of(item: &ChangeItem, note: &ItemNote) -> Option<String> {
    match item.item.as_ref()? {
        Item::Observation(observation) => Some(observation.node_id.clone()),
        Item::ScanPage(page) => {
            let child = page.children.get(usize::try_from(note.child_index).ok()?)?;
            Some(child.node_id.clone())
        }
        Item::Outcome(_) | Item::ScanEnd(_) | Item::CauseChanged(_) => None,
    }
}

fn out_of_order(number: i64) -> Error {
    Error::new(
        Code::Internal,
        format!("the coordinator answered batch {number} out of order"),
    )
}
