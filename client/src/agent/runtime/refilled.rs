//! Tells what lies in a folder that could not be removed, before it tells that (R-DEL-2): what is new in it keeps the
//! folder, and is to be known when the coordinator hears that it is still there.

use tandem_proto::v1::{
    Delivery, NodeKind, Outcome, delivery::Action, observation::State, outcome::Answer,
};

use super::conversation::Conversation;
use crate::{
    agent::repository::{self, Repository},
    error::Error,
};

/// Nodes of a folder that are told; one that is new is enough to keep it, and the others are reported as any change is.
const CHILDREN_MAX: usize = 1000;

impl<R: Repository> Conversation<R> {
    /// To be called before the outcomes are noted. What cannot be read now is reported later, as any change is.
    pub(super) async fn tell_of_refilled(
        &self,
        deliveries: &[Delivery],
        outcomes: &[Outcome],
    ) -> Result<(), Error> {
        let refilled = deliveries.iter().zip(outcomes);
        for folder in refilled.filter_map(|(delivery, outcome)| refilled_folder(delivery, outcome))
        {
            tokio::select! {
                () = self.end.cancelled() => return Ok(()),
                told = self.tell_of_content(folder) => told?,
            }
        }
        Ok(())
    }

    async fn tell_of_content(&self, folder: &str) -> Result<(), Error> {
        let since = self.core.applying.now();
        let observed = match self.observe_content(folder).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(%error, node = %folder, "the folder was not removed, and its content cannot be read now");
                return Ok(());
            }
        };
        let ready = self.with_content(observed).await?;
        self.core.report(ready, since, &self.limits).await?;
        Ok(())
    }

    async fn observe_content(
        &self,
        folder: &str,
    ) -> Result<Vec<tandem_proto::v1::Observation>, repository::Error> {
        let repository = &self.core.repository;
        let (children, _) = repository.list_folder(folder, "", CHILDREN_MAX).await?;
        let node_ids: Vec<String> = children.into_iter().map(|child| child.node_id).collect();
        repository.observe(&node_ids).await
    }
}

/// The folder that was to be removed, and is still there.
fn refilled_folder<'a>(delivery: &Delivery, outcome: &'a Outcome) -> Option<&'a str> {
    let (Some(Action::Delete(_)), Some(Answer::Applied(applied))) =
        (&delivery.action, &outcome.answer)
    else {
        return None;
    };
    let result = applied.result.as_ref()?;
    match &result.state {
        Some(State::Present(present)) if present.kind == i32::from(NodeKind::Folder) => {
            Some(&result.node_id)
        }
        _ => None,
    }
}
