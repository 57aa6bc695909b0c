//! Bad input over a real socket to a real `tandemd serve`: a clear answer, nothing lost, and the coordinator lives on.

mod batches;
mod foreign;
mod frames;

use anyhow::{Context, Result, ensure};
use tandem_client::agent::memory::{MemoryRepository, Rules};
use tandem_client::client::Client;
use tandem_proto::v1::{
    BatchResult, ChangeBatch, ErrorReason, Failure, FailureReason, Hello, Projection, Refusal,
    Side, SyncSetOptions, batch_result,
};
use tandem_tests::agents::{TaskAgent, listing, memory};
use tandem_tests::coordinator::{AgentToken, Coordinator, ON_PREMISE};
use tandem_tests::hand_agent::{FOLDER, HandAgent, document, hello, observed};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::eventually;

pub(crate) const NETWORK: &str = "acme";

/// Why a batch was refused, which it must be.
pub(crate) fn refusal_of(result: BatchResult) -> Result<Refusal> {
    match result.answer {
        Some(batch_result::Answer::Refused(refusal)) => Ok(refusal),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

/// A coordinator with a set between an on-premise agent led by hand and a correct one on the cloud.
pub(crate) struct Site {
    pub(crate) coordinator: Coordinator,
    pub(crate) token: AgentToken,
    pub(crate) client: Client,
    pub(crate) agent: HandAgent,
    pub(crate) cloud: TaskAgent<MemoryRepository>,
    reported: Vec<String>,
}

pub(crate) fn first_hello() -> Hello {
    hello(NETWORK, ON_PREMISE, Side::OnPremise)
}

impl Site {
    pub(crate) async fn start() -> Result<Self> {
        Self::over(Coordinator::start().await?).await
    }

    /// With an agent by hand that holds no stream.
    pub(crate) async fn start_calls() -> Result<Self> {
        Self::with(Coordinator::start().await?, true).await
    }

    pub(crate) async fn over(coordinator: Coordinator) -> Result<Self> {
        Self::with(coordinator, false).await
    }

    async fn with(coordinator: Coordinator, calls: bool) -> Result<Self> {
        coordinator.network(NETWORK).await?;
        let repository = memory(Side::Cloud, Rules::default());
        let cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, repository).await?;
        let token = coordinator.agent_token(NETWORK, ON_PREMISE).await?;
        let client = coordinator.client(&token.secret).await?;
        let mut agent = match calls {
            true => HandAgent::open_calls(&client, first_hello()).await?,
            false => HandAgent::open(&client, first_hello()).await?,
        };
        let creating = coordinator.create_set(NETWORK, FOLDER, SyncSetOptions::default());
        agent.while_answering(creating).await??;
        agent.scan().await?;
        let mut site = Self {
            coordinator,
            token,
            client,
            agent,
            cloud,
            reported: Vec::new(),
        };
        site.works().await?;
        Ok(site)
    }

    /// Sends a batch that must be refused, and answers how.
    pub(crate) async fn refused(&mut self, batch: ChangeBatch) -> Result<Refusal> {
        let number = batch.number;
        let result = self.agent.report(batch).await?;
        ensure!(result.number == number, "{result:?}");
        refusal_of(result)
    }

    /// What the cloud made of a document.
    pub(crate) fn on_cloud(&self, name: &str) -> Projection {
        let mut found = listing(&self.cloud.repository, FOLDER);
        found.remove(name).unwrap_or_default()
    }

    /// Waits until the cloud's copy of a document is so.
    pub(crate) async fn until_on_cloud(
        &self,
        name: &str,
        holds: impl Fn(&Projection) -> bool,
    ) -> Result<()> {
        let what = format!("{name} is so on the cloud");
        let done = eventually(PATIENCE, &what, || holds(&self.on_cloud(name))).await;
        let story = self.coordinator.story(NETWORK).await?;
        done.context(story)
    }

    /// Why the member of this name failed, if it did.
    pub(crate) async fn failure_of(&self, name: &str) -> Result<Option<FailureReason>> {
        let members = self.coordinator.members(NETWORK).await?;
        let named = members.iter().find(|member| {
            let copy = member.on_premise.as_ref();
            copy.is_some_and(|copy| copy.name == name)
        });
        let failure = named.and_then(|member| member.failure.as_ref());
        Ok(failure.map(Failure::reason))
    }

    /// These were reported beside, and belong on the other side too.
    pub(crate) fn also_has(&mut self, names: &[&str]) {
        self.reported
            .extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// Opens the agent's next session.
    pub(crate) async fn reopen(&mut self) -> Result<()> {
        let hello = self.agent.hello_again(first_hello());
        self.agent = HandAgent::open(&self.client, hello).await?;
        Ok(())
    }

    /// Opens the agent's next session, without a stream.
    pub(crate) async fn reopen_calls(&mut self) -> Result<()> {
        let hello = self.agent.hello_again(first_hello());
        self.agent = HandAgent::open_calls(&self.client, hello).await?;
        Ok(())
    }

    /// The coordinator lives, a correct batch under the next number is accepted, and all that was ever accepted is on
    /// the other side, and nothing else.
    pub(crate) async fn works(&mut self) -> Result<()> {
        self.coordinator.lives()?;
        let name = format!("{}.txt", self.reported.len());
        let batch = self
            .agent
            .batch(vec![observed(document(&name, &name, &name))]);
        let result = self.agent.report(batch).await?;
        let accepted = matches!(result.answer, Some(batch_result::Answer::Accepted(_)));
        ensure!(accepted, "a correct batch was refused: {result:?}");
        self.reported.push(name);
        self.reported.sort();
        let cloud = &self.cloud.repository;
        let arrived = eventually(PATIENCE, "everything is on the cloud", || {
            let found: Vec<String> = listing(cloud, FOLDER).into_keys().collect();
            found == self.reported
        });
        let arrived = arrived.await;
        let story = self.coordinator.story(NETWORK).await?;
        arrived.context(story)
    }
}

/// The refusal is machine-readable and tells people what to mend.
pub(crate) fn assert_says(refusal: &Refusal, reason: ErrorReason, field: &str, rule: &str) {
    assert_eq!(refusal.reason(), reason, "{refusal:?}");
    assert_eq!(refusal.field, field, "{refusal:?}");
    assert!(refusal.message.contains(rule), "{refusal:?}");
}
