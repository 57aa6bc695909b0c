//! The two agents.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use tandem_client::agent::repository::Repository;
use tandem_client::agent::runtime::{Link, Options, Progress};
use tandem_client::client::Endpoint;
use tandem_client::connectors::directory::{self, Directory};
use tandem_client::error::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::home::Home;
use super::setup::{Tokens, repository_name, wire_side};
use crate::domain::projection::Side;

/// Time that an agent gets for its first session.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Both agents, running.
#[derive(Debug)]
pub(super) struct Sides {
    agents: [Running; 2],
}

#[derive(Debug)]
struct Running {
    directory: Arc<Directory>,
    progress: watch::Receiver<Progress>,
    /// What it ended with, if not because it was told to.
    failure: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl Sides {
    pub(super) async fn start(
        home: &Home,
        address: &str,
        tokens: &Tokens,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let on_premise = start(home, address, &tokens.on_premise, Side::OnPremise, stop);
        let cloud = start(home, address, &tokens.cloud, Side::Cloud, stop);
        let (on_premise, cloud) = tokio::try_join!(on_premise, cloud)?;
        Ok(Self {
            agents: [on_premise, cloud],
        })
    }

    /// Waits until both hold a session.
    pub(super) async fn connected(&self) -> anyhow::Result<()> {
        for agent in &self.agents {
            let mut progress = agent.progress.clone();
            let connected = progress.wait_for(|progress| progress.link == Link::Connected);
            tokio::time::timeout(CONNECT_WITHIN, connected)
                .await
                .context("an agent found no way to the coordinator")?
                .context("an agent ended early")?;
        }
        Ok(())
    }

    /// What both have done so far.
    pub(super) fn progress(&self) -> [Progress; 2] {
        [0, 1].map(|side: usize| self.agents[side].progress.borrow().clone())
    }

    /// Nothing that changed in either directory waits to be told; in one whose root is gone there is nothing to tell.
    pub(super) fn are_at_rest(&self) -> bool {
        self.agents
            .iter()
            .all(|agent| agent.directory.is_at_rest() || agent.progress.borrow().root_gone)
    }

    /// Waits until either makes progress, or has ended.
    pub(super) async fn changed(&self) {
        let [on_premise, cloud] = &self.agents;
        let (mut on_premise, mut cloud) = (on_premise.progress.clone(), cloud.progress.clone());
        on_premise.mark_unchanged();
        cloud.mark_unchanged();
        tokio::select! {
            _ = on_premise.changed() => {}
            _ = cloud.changed() => {}
        }
    }

    /// Both agents run.
    ///
    /// # Errors
    /// One has given up; without it nothing is kept the same.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (agent, side) in self.agents.iter().zip(["on-premise", "cloud"]) {
            if let Some(failure) = agent.failure.borrow().as_ref() {
                anyhow::bail!("the {side} agent has given up: {failure}");
            }
        }
        Ok(())
    }

    /// Waits until both have ended; they were told to stop.
    pub(super) async fn stop(self) {
        for agent in self.agents {
            agent.task.abort();
            let _ = agent.task.await;
        }
    }
}

async fn start(
    home: &Home,
    address: &str,
    token: &str,
    side: Side,
    stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let client = Endpoint::new(address, token)?.connect_lazy();
    let options = directory::Options::new(home.directory(side), home.state(side));
    let who = Options::new(repository_name(side), wire_side(side));
    let agent = directory::beside(options, client, who)
        .await
        .with_context(|| format!("cannot keep {}", home.directory(side).display()))?;
    let (directory, progress) = (agent.repository(), agent.progress());
    let (tell, failure) = watch::channel(None);
    let task = tokio::spawn(run(agent.run(stop.clone()), tell));
    Ok(Running {
        directory,
        progress,
        failure,
        task,
    })
}

/// Runs an agent and tells what it ended with, also when that is a panic.
async fn run(
    agent: impl Future<Output = Result<(), Error>> + Send,
    tell: watch::Sender<Option<String>>,
) {
    let told = match std::panic::AssertUnwindSafe(agent).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("a fault in the agent; see the log".to_owned()),
    };
    tell.send_replace(told);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(agent: impl Future<Output = Result<(), Error>> + Send) -> Option<String> {
        let (tell, failure) = watch::channel(None);
        run(agent, tell).await;
        failure.borrow().clone()
    }

    #[tokio::test]
    async fn what_an_agent_ended_with_is_told_unless_it_was_told_to_end() {
        assert_eq!(told(async { Ok(()) }).await, None);
        let error = told(async { Err(Error::transport("no way")) }).await;
        assert!(error.is_some_and(|error| error.contains("no way")));
        let panic = told(async { panic!("as the test wants it") }).await;
        assert!(panic.is_some_and(|panic| panic.contains("fault")));
    }
}
