//! Reports what the connector sees change.

use std::{sync::Arc, time::Duration};

use tandem_proto::v1::Observation;
use tokio::time::timeout;

use super::conversation::Conversation;
use crate::{
    agent::repository::{self, Repository},
    error::Error,
    recover::Backoff,
};

/// Changes that are asked for at once.
const CHANGES_MAX: usize = 1000;
/// How long changes of other nodes wait for a delivery that is being applied.
const TOUCHED_DELAY: Duration = Duration::from_millis(20);
/// A repository that says nothing for so long does not say that its root is gone.
const BACK_AFTER: Duration = Duration::from_millis(500);

/// Runs until the session stops.
pub(super) async fn run<R: Repository>(conversation: Arc<Conversation<R>>) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    while let Some(step) = conversation.unless_stopped(step(&conversation)).await {
        match step? {
            Step::Reported => backoff.reset(),
            Step::Touched => wait_for_outcomes(&conversation).await,
            Step::Nothing => tokio::time::sleep(backoff.next_delay()).await,
        }
    }
    Ok(())
}

enum Step {
    /// Something was reported.
    Reported,
    /// All that changed is being applied to.
    Touched,
    /// Nothing could be reported; the connector offers it again.
    Nothing,
}

async fn step<R: Repository>(conversation: &Conversation<R>) -> Result<Step, Error> {
    let core = &conversation.core;
    core.outbox.room().await;
    let since = core.applying.now();
    let offered = match offered(conversation).await {
        Ok(offered) => offered,
        Err(error) => {
            conversation.note_trouble(&error);
            return Ok(Step::Nothing);
        }
    };
    conversation.note_root_back();
    let ready = conversation.with_content(offered).await?;
    if ready.is_empty() {
        return Ok(Step::Nothing);
    }
    let reported = core.report(ready, since, &conversation.limits).await?;
    Ok(if reported.noted.is_empty() {
        Step::Touched
    } else {
        Step::Reported
    })
}

/// Waits for changes; a root that was gone and now lets itself be waited for is back.
async fn offered<R: Repository>(
    conversation: &Conversation<R>,
) -> Result<Vec<Observation>, repository::Error> {
    let mut changes = conversation.core.repository.changes(CHANGES_MAX);
    if conversation.core.progress.borrow().root_gone {
        match timeout(BACK_AFTER, &mut changes).await {
            Ok(offered) => return offered,
            Err(_) => conversation.note_root_back(),
        }
    }
    changes.await
}

async fn wait_for_outcomes<R: Repository>(conversation: &Conversation<R>) {
    let mut ends = conversation.core.applying.ends();
    // Other nodes may have changed meanwhile.
    let _ = timeout(TOUCHED_DELAY, ends.changed()).await;
}

impl<R: Repository> Conversation<R> {
    /// Sees to it that the coordinator has the content; leaves out nodes whose content has changed meanwhile.
    pub(super) async fn with_content(
        &self,
        mut observations: Vec<Observation>,
    ) -> Result<Vec<Observation>, Error> {
        let failed = self.upload(&mut observations).await?;
        observations.retain(|observation| !failed.contains(&observation.node_id));
        Ok(observations)
    }

    /// Logs a connector's trouble; a missing root only once.
    pub(super) fn note_trouble(&self, error: &repository::Error) {
        let gone = matches!(error, repository::Error::RootGone(_));
        let mut first = true;
        self.core.note(|progress| {
            first = !(gone && progress.root_gone);
            progress.root_gone = gone;
            progress.last_error = Some(error.to_string());
        });
        if first {
            tracing::warn!(%error, "the repository cannot be read; nothing is reported until it can");
        }
    }

    /// The root answers again.
    pub(super) fn note_root_back(&self) {
        if self.core.progress.borrow().root_gone {
            tracing::info!("the repository is back");
            self.core.note(|progress| {
                progress.root_gone = false;
                progress.last_error = None;
            });
        }
    }
}
