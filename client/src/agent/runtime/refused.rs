//! Mends refused batches under their number, with a new id (R-AGT-3, R-CNT-1).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tandem_proto::v1::{
    ChangeItem, ErrorReason, Failed, FailureReason, Observation, Outcome, Refusal,
    change_item::Item, observation::State, outcome::Answer,
};
use tonic::Code;

use super::{
    batches::{content_of, observed},
    conversation::Conversation,
    upload::Wanted,
};
use crate::{
    agent::{outbox::Pending, repository::Repository},
    error::Error,
};

/// How often nodes are read again for one batch because their bytes are not what they say.
const READINGS_MAX: u32 = 2;

impl<R: Repository> Conversation<R> {
    /// Makes the batch acceptable, or fails with what only a new session can mend; `times` counts the refusals in a row.
    pub(super) async fn mend(
        &self,
        batch: &Pending,
        refusal: &Refusal,
        missing: &[Bytes],
        times: u32,
    ) -> Result<(), Error> {
        tracing::info!(batch = batch.number, reason = ?refusal.reason(), message = %refusal.message, "a batch was refused");
        let items = batch.items.to_vec();
        let items = match refusal.reason() {
            ErrorReason::ContentMissing => self.with_missing(items, batch.number, missing).await?,
            ErrorReason::InvalidField => without_invalid(items, refusal)?,
            ErrorReason::FolderCycle => {
                let nodes = nodes_in(&items, |_| true);
                self.replaced(items, batch.number, &nodes).await?
            }
            ErrorReason::DigestMismatch if !missing.is_empty() => {
                self.with_true_content(items, batch.number, missing, times)
                    .await?
            }
            reason => {
                let text = format!("batch {} was refused: {}", batch.number, refusal.message);
                return Err(Error::with_reason(
                    Code::FailedPrecondition,
                    passing(reason),
                    text,
                ));
            }
        };
        Ok(self.core.outbox.rewrite(batch.number, items).await?)
    }

    /// Sends what is missing; nodes that no longer have it are observed again.
    async fn with_missing(
        &self,
        items: Vec<ChangeItem>,
        number: i64,
        missing: &[Bytes],
    ) -> Result<Vec<ChangeItem>, Error> {
        self.known.remove(missing);
        let missing: HashSet<&Bytes> = missing.iter().collect();
        let wanted: Vec<Wanted> = items
            .iter()
            .flat_map(observations_in)
            .filter_map(|observation| {
                let content = content_of(observation)?;
                missing.contains(&content.digest).then(|| Wanted {
                    node_id: observation.node_id.clone(),
                    digest: content.digest.clone(),
                    size: content.size,
                })
            })
            .collect();
        let digests: HashMap<String, Bytes> = wanted
            .iter()
            .map(|content| (content.node_id.clone(), content.digest.clone()))
            .collect();
        let lost = self.send_contents(wanted).await?;
        let lost: HashSet<String> = lost
            .into_iter()
            .filter(|node_id| !self.knows(digests.get(node_id)))
            .collect();
        self.replaced(items, number, &lost).await
    }

    fn knows(&self, digest: Option<&Bytes>) -> bool {
        digest.is_some_and(|digest| self.known.has(digest))
    }

    /// Content that changed while it was read was told wrong: its nodes are read again. Nodes that still tell it wrong
    /// are left out until they change, so that the others get across.
    async fn with_true_content(
        &self,
        items: Vec<ChangeItem>,
        number: i64,
        wrong: &[Bytes],
        times: u32,
    ) -> Result<Vec<ChangeItem>, Error> {
        let nodes = nodes_in(&items, |seen| {
            content_of(seen).is_some_and(|content| wrong.contains(&content.digest))
        });
        if times <= READINGS_MAX {
            return self.replaced(items, number, &nodes).await;
        }
        tracing::error!(
            ?nodes,
            "the repository tells other bytes than it hands out; these nodes are left out"
        );
        Ok(items
            .into_iter()
            .flat_map(|item| replace(item, &nodes, &HashMap::new()))
            .map(|item| unanswerable(item, &nodes))
            .collect())
    }

    /// Puts fresh observations in the place of these nodes' old ones.
    ///
    /// A node with an outcome on its way is left out instead: that one tells more, and must not be overtaken.
    async fn replaced(
        &self,
        items: Vec<ChangeItem>,
        number: i64,
        nodes: &HashSet<String>,
    ) -> Result<Vec<ChangeItem>, Error> {
        if nodes.is_empty() {
            return Ok(items);
        }
        let answered = self.answered_behind(number);
        let since = self.core.applying.now();
        let asked: Vec<String> = nodes.iter().cloned().collect();
        let observations = self
            .with_content(self.core.repository.observe(&asked).await?)
            .await?;
        let still = self.core.applying.still();
        let fresh: HashMap<String, Observation> = observations
            .into_iter()
            .filter(|seen| !answered.contains(&seen.node_id) && !still.touched(seen, since))
            .map(|seen| (seen.node_id.clone(), seen))
            .collect();
        drop(still);
        self.again.look(
            asked
                .into_iter()
                .filter(|node_id| !fresh.contains_key(node_id)),
        );
        Ok(items
            .into_iter()
            .flat_map(|item| replace(item, nodes, &fresh))
            .collect())
    }

    /// Nodes whose outcome waits in a later batch.
    fn answered_behind(&self, number: i64) -> HashSet<String> {
        let later = self
            .core
            .outbox
            .pending()
            .into_iter()
            .filter(|batch| batch.number > number);
        later
            .flat_map(|batch| {
                batch
                    .items
                    .iter()
                    .filter(|item| is_outcome(item))
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .flat_map(|item| {
                observations_in(&item)
                    .map(|seen| seen.node_id.clone())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Reasons that a new session mends stay what they are; others must not be taken for a broken connection.
fn passing(reason: ErrorReason) -> ErrorReason {
    match reason {
        ErrorReason::StaleEpoch => ErrorReason::SessionSuperseded,
        ErrorReason::RollbackSuspected => ErrorReason::RollbackSuspected,
        _ => ErrorReason::BatchGap,
    }
}

/// The nodes of observations that are meant.
fn nodes_in(items: &[ChangeItem], meant: impl Fn(&Observation) -> bool) -> HashSet<String> {
    let seen = items.iter().flat_map(observations_in);
    seen.filter(|seen| meant(seen))
        .map(|seen| seen.node_id.clone())
        .collect()
}

/// An outcome that tells of one of these nodes becomes a failure, so that it is answered.
fn unanswerable(mut item: ChangeItem, nodes: &HashSet<String>) -> ChangeItem {
    if let Some(Item::Outcome(outcome)) = &mut item.item
        && told_by(outcome).is_some_and(|told| nodes.contains(&told.node_id))
    {
        let mut failed = Failed {
            message: "the repository tells other bytes than it hands out".to_owned(),
            ..Failed::default()
        };
        failed.set_reason(FailureReason::ContentUnavailable);
        outcome.answer = Some(Answer::Failed(failed));
    }
    item
}

fn is_outcome(item: &ChangeItem) -> bool {
    matches!(item.item, Some(Item::Outcome(_)))
}

/// Every observation inside an item.
fn observations_in(item: &ChangeItem) -> impl Iterator<Item = &Observation> {
    let (one, many): (Option<&Observation>, &[Observation]) = match &item.item {
        Some(Item::Observation(observation)) => (Some(observation), &[]),
        Some(Item::ScanPage(page)) => (None, &page.children),
        Some(Item::Outcome(outcome)) => (told_by(outcome), &[]),
        Some(Item::ScanEnd(_) | Item::CauseChanged(_)) | None => (None, &[]),
    };
    one.into_iter().chain(many)
}

fn told_by(outcome: &Outcome) -> Option<&Observation> {
    match outcome.answer.as_ref()? {
        Answer::Applied(applied) => applied.result.as_ref(),
        Answer::Stale(stale) => stale.seen.as_ref(),
        Answer::Failed(_) => None,
    }
}

/// One item with fresh observations; several when a node has left the listed folder.
fn replace(
    item: ChangeItem,
    nodes: &HashSet<String>,
    fresh: &HashMap<String, Observation>,
) -> Vec<ChangeItem> {
    match item.item {
        Some(Item::Observation(observation)) if nodes.contains(&observation.node_id) => fresh
            .get(&observation.node_id)
            .cloned()
            .map(observed)
            .into_iter()
            .collect(),
        Some(Item::ScanPage(mut page)) => {
            let mut elsewhere = Vec::new();
            page.children = page
                .children
                .into_iter()
                .filter_map(|child| {
                    if !nodes.contains(&child.node_id) {
                        return Some(child);
                    }
                    let fresh = fresh.get(&child.node_id)?.clone();
                    let stays = fresh.parent_node_id == page.folder_node_id
                        && matches!(fresh.state, Some(State::Present(_)));
                    if stays {
                        return Some(fresh);
                    }
                    elsewhere.push(observed(fresh));
                    None
                })
                .collect();
            elsewhere.push(ChangeItem {
                item: Some(Item::ScanPage(page)),
            });
            elsewhere
        }
        Some(Item::Outcome(outcome)) => {
            vec![ChangeItem {
                item: Some(Item::Outcome(with_fresh(outcome, fresh))),
            }]
        }
        item => vec![ChangeItem { item }],
    }
}

/// An outcome that tells the present state; what was delivered stays named, so that the difference counts as a change
/// of this side.
fn with_fresh(mut outcome: Outcome, fresh: &HashMap<String, Observation>) -> Outcome {
    match &mut outcome.answer {
        Some(Answer::Applied(applied)) => {
            if let Some(result) = &mut applied.result
                && let Some(fresh) = fresh.get(&result.node_id)
            {
                if applied.delivered.is_none()
                    && let Some(State::Present(present)) = &result.state
                {
                    applied.delivered = Some(present.clone());
                    applied.delivered_parent_node_id = result.parent_node_id.clone();
                }
                *result = fresh.clone();
            }
        }
        Some(Answer::Stale(stale)) => {
            if let Some(seen) = &mut stale.seen
                && let Some(fresh) = fresh.get(&seen.node_id)
            {
                *seen = fresh.clone();
            }
        }
        Some(Answer::Failed(_)) | None => {}
    }
    outcome
}

/// Takes out what the coordinator says is malformed; a malformed outcome becomes a failure, so that it is answered.
fn without_invalid(
    mut items: Vec<ChangeItem>,
    refusal: &Refusal,
) -> Result<Vec<ChangeItem>, Error> {
    let index = index_behind(&refusal.field, "items[").filter(|index| *index < items.len());
    let Some(index) = index else {
        let text = format!(
            "a batch was refused as malformed: {} ({})",
            refusal.message, refusal.field
        );
        return Err(Error::new(Code::Internal, text));
    };
    tracing::error!(field = %refusal.field, message = %refusal.message, item = ?items[index], "an item is malformed and was left out");
    let child = index_behind(&refusal.field, "children[");
    match (&mut items[index].item, child) {
        (Some(Item::ScanPage(page)), Some(child)) if child < page.children.len() => {
            page.children.remove(child);
        }
        (Some(Item::Outcome(outcome)), _) if !matches!(outcome.answer, Some(Answer::Failed(_))) => {
            let mut failed = Failed {
                message: refusal.message.clone(),
                ..Failed::default()
            };
            failed.set_reason(FailureReason::Unknown);
            outcome.answer = Some(Answer::Failed(failed));
        }
        _ => {
            items.remove(index);
        }
    }
    Ok(items)
}

fn index_behind(field: &str, prefix: &str) -> Option<usize> {
    let (_, rest) = field.split_once(prefix)?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(node_id: &str) -> ChangeItem {
        observed(Observation {
            node_id: node_id.to_owned(),
            ..Observation::default()
        })
    }

    #[test]
    fn r_agt_3_only_the_malformed_item_is_left_out() {
        let refusal = Refusal {
            field: "items[1].observation.node_id".to_owned(),
            ..Refusal::default()
        };
        let items = vec![node("a"), node("b"), node("c")];
        assert_eq!(
            without_invalid(items.clone(), &refusal).unwrap(),
            [node("a"), node("c")]
        );
        let nowhere = Refusal {
            field: "session_epoch".to_owned(),
            ..Refusal::default()
        };
        assert!(without_invalid(items, &nowhere).is_err());
    }
}
