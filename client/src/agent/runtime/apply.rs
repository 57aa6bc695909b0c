//! Applies deliveries group by group, and notes the outcomes before anything else is said of their nodes (R-AGT-6).

use std::sync::Arc;

use tandem_proto::v1::{Delivery, Outcome, outcome::Answer};
use tokio::{sync::mpsc, time::Instant};

use super::{
    applying::{Key, keys_of},
    conversation::Conversation,
    fetch::Group,
};
use crate::{agent::repository::Repository, error::Error};

/// Runs until no group comes any more or the session has ended; a group once begun is finished.
pub(super) async fn run<R: Repository>(
    conversation: Arc<Conversation<R>>,
    mut groups: mpsc::Receiver<Group>,
) -> Result<(), Error> {
    while let Some(Some(group)) = conversation.unless_stopped(groups.recv()).await {
        if conversation
            .unless_stopped(conversation.core.outbox.room())
            .await
            .is_none()
        {
            break;
        }
        conversation.apply(group).await?;
    }
    Ok(())
}

impl<R: Repository> Conversation<R> {
    async fn apply(&self, group: Group) -> Result<(), Error> {
        let (mut deliveries, failures): (Vec<Delivery>, Vec<Outcome>) =
            group.failed.into_iter().unzip();
        deliveries.extend(group.work.iter().map(|work| work.delivery.clone()));
        let keys: Vec<Key> = deliveries.iter().flat_map(keys_of).collect();
        self.core.applying.begin(&keys);
        let mut outcomes = failures;
        if !group.work.is_empty() {
            outcomes.extend(self.core.repository.apply(group.work).await);
            tandem_crash::at("K8");
        }
        let noted = match self.tell_of_refilled(&deliveries, &outcomes).await {
            Ok(()) => self.note_outcomes(&deliveries, outcomes).await,
            error => error,
        };
        self.core.applying.end(&keys);
        self.answered(&deliveries);
        noted
    }

    /// Makes the outcomes durable; from then on observations of the nodes may follow.
    async fn note_outcomes(
        &self,
        deliveries: &[Delivery],
        outcomes: Vec<Outcome>,
    ) -> Result<(), Error> {
        if outcomes.len() != deliveries.len() {
            tracing::error!(
                asked = deliveries.len(),
                answered = outcomes.len(),
                "the connector did not answer every delivery"
            );
        }
        let outcomes = self.with_outcome_content(deliveries, outcomes).await;
        self.count(&outcomes);
        let now = Instant::now();
        for (delivery, outcome) in deliveries.iter().zip(&outcomes) {
            self.core.room.note(delivery, outcome, now);
            if let Some(Answer::Failed(failed)) = &outcome.answer {
                self.core.causes.remember(delivery, failed);
            }
        }
        self.core.report_outcomes(outcomes, &self.limits).await
    }

    fn count(&self, outcomes: &[Outcome]) {
        self.core.note(|progress| {
            for outcome in outcomes {
                match outcome.answer {
                    Some(Answer::Applied(_)) => progress.applied += 1,
                    Some(Answer::Stale(_)) => progress.stale += 1,
                    Some(Answer::Failed(_)) | None => progress.failed += 1,
                }
            }
        });
    }
}
