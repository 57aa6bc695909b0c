//! What must be true of outcomes before they are noted: the content that they name is known to the coordinator.

use std::collections::HashSet;

use prost::Message;
use tandem_proto::v1::{
    ChangeItem, Delivery, Observation, Outcome, change_item::Item, observation::State,
    outcome::Answer,
};

use super::{
    Core,
    batches::{Limits, content_of, pack, seen},
    conversation::Conversation,
    fetch,
    fit::fit,
};
use crate::{
    agent::repository::{Repository, Seen},
    error::Error,
};

/// How often a node is observed again because its content changed while it was sent.
const ROUNDS_MAX: u32 = 3;

impl<R: Repository> Conversation<R> {
    /// Sends the content that outcomes name and the coordinator did not deliver itself. Where that fails because the
    /// session is over, the batch is mended later.
    pub(super) async fn with_outcome_content(
        &self,
        deliveries: &[Delivery],
        mut outcomes: Vec<Outcome>,
    ) -> Vec<Outcome> {
        for (delivery, outcome) in deliveries.iter().zip(&mut outcomes) {
            forget_delivered_bytes(delivery, outcome);
        }
        for _ in 0..ROUNDS_MAX {
            let sending = self.send_of_outcomes(deliveries, &mut outcomes);
            let lost = tokio::select! {
                () = self.end.cancelled() => break,
                lost = sending => lost.unwrap_or_default(),
            };
            if lost.is_empty() {
                return outcomes;
            }
            self.look_again(&lost, &mut outcomes).await;
        }
        outcomes
    }

    /// Answers the nodes that changed before their content was sent.
    async fn send_of_outcomes(
        &self,
        deliveries: &[Delivery],
        outcomes: &mut [Outcome],
    ) -> Result<HashSet<String>, Error> {
        let mut named: Vec<Observation> = deliveries
            .iter()
            .zip(outcomes)
            .filter_map(|(delivery, outcome)| {
                let told = told_by(outcome)?;
                let digest = &content_of(told)?.digest;
                let delivered = fetch::content_of(delivery).map(|content| &content.digest);
                (delivered != Some(digest)).then(|| told.clone())
            })
            .collect();
        self.upload(&mut named).await
    }

    async fn look_again(&self, lost: &HashSet<String>, outcomes: &mut [Outcome]) {
        let node_ids: Vec<String> = lost.iter().cloned().collect();
        let Ok(observed) = self.core.repository.observe(&node_ids).await else {
            return;
        };
        for outcome in outcomes {
            if let Some(Answer::Stale(stale)) = &mut outcome.answer
                && let Some(seen) = &mut stale.seen
                && let Some(fresh) = observed.iter().find(|fresh| fresh.node_id == seen.node_id)
            {
                *seen = fresh.clone();
            }
        }
    }
}

impl<R: Repository> Core<R> {
    /// Makes outcomes durable, in order.
    pub(super) async fn report_outcomes(
        &self,
        mut outcomes: Vec<Outcome>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let rule = self
            .repository
            .description()
            .capabilities
            .name_rule
            .unwrap_or_default();
        let told: Vec<Seen> = outcomes
            .iter()
            .filter_map(|outcome| told_ref(outcome).map(seen))
            .collect();
        outcomes
            .iter_mut()
            .filter_map(told_by)
            .for_each(|told| fit(told, limits));
        let mut receipts = Vec::new();
        for part in pack(outcomes, limits, |outcome| (1, outcome.encoded_len() + 16)) {
            let mended = part
                .iter()
                .filter_map(told_ref)
                .flat_map(|told| self.causes.changed_by(told, rule));
            let mended: Vec<ChangeItem> = mended.take(limits.causes_max).collect();
            let mut items: Vec<ChangeItem> = part.into_iter().map(item).collect();
            items.extend(mended);
            receipts.push(self.outbox.slot().await?.append(items, None));
        }
        for receipt in receipts {
            receipt.wait().await?;
        }
        if !told.is_empty()
            && let Err(error) = self.repository.reported(&told).await
        {
            // They are offered again, which changes nothing (R-PRJ-5).
            tracing::warn!(%error, "the connector could not note what was reported");
        }
        Ok(())
    }
}

fn item(outcome: Outcome) -> ChangeItem {
    ChangeItem {
        item: Some(Item::Outcome(outcome)),
    }
}

fn told_by(outcome: &mut Outcome) -> Option<&mut Observation> {
    match outcome.answer.as_mut()? {
        Answer::Applied(applied) => applied.result.as_mut(),
        Answer::Stale(stale) => stale.seen.as_mut(),
        Answer::Failed(_) => None,
    }
}

fn told_ref(outcome: &Outcome) -> Option<&Observation> {
    match outcome.answer.as_ref()? {
        Answer::Applied(applied) => applied.result.as_ref(),
        Answer::Stale(stale) => stale.seen.as_ref(),
        Answer::Failed(_) => None,
    }
}

/// Bytes that came with the delivery need not travel back.
fn forget_delivered_bytes(delivery: &Delivery, outcome: &mut Outcome) {
    let delivered = fetch::content_of(delivery).map(|content| content.digest.clone());
    if let Some(Answer::Applied(applied)) = &mut outcome.answer {
        let result = applied
            .result
            .as_mut()
            .and_then(|result| match &mut result.state {
                Some(State::Present(present)) => present.content.as_mut(),
                Some(State::Absent(_)) | None => None,
            });
        if let Some(content) = result
            && Some(&content.digest) == delivered.as_ref()
        {
            content.inline = None;
        }
        if let Some(content) = applied
            .delivered
            .as_mut()
            .and_then(|named| named.content.as_mut())
        {
            content.inline = None;
        }
    }
}
