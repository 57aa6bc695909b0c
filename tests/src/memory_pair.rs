//! Two repositories in memory, whose agents run within the test over real connections to a real coordinator.

use anyhow::{Context, Result};
use tandem_client::agent::memory::{MemoryRepository, ROOT, Rules};
use tandem_proto::v1::{MemberState, Side, SyncSetOptions};

use crate::agents::{TaskAgent, listing, memory};
use crate::coordinator::Coordinator;
use crate::pair::PATIENCE;
use crate::wait::{eventually, poll};

/// The network.
pub const NETWORK: &str = "acme";
/// The name of the synced folder.
pub const FOLDER: &str = "contracts";

/// Two repositories in memory, each with an agent, and a set over the folder `contracts`.
#[derive(Debug)]
pub struct MemoryPair {
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The agent beside the on-premise repository.
    pub on_premise: TaskAgent<MemoryRepository>,
    /// The agent beside the cloud repository.
    pub cloud: TaskAgent<MemoryRepository>,
    /// The synced folder on-premise.
    pub folder: String,
}

impl MemoryPair {
    /// Starts everything, and waits until the empty folder is on both sides.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(cloud_rules: Rules) -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let (left, right) = (
            memory(Side::OnPremise, Rules::default()),
            memory(Side::Cloud, cloud_rules),
        );
        let folder = left.with(|tree| tree.create_folder(ROOT, FOLDER))?;
        let on_premise = TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, left).await?;
        let cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, right).await?;
        let options = SyncSetOptions::default();
        coordinator.create_set(NETWORK, FOLDER, options).await?;
        let pair = Self {
            coordinator,
            on_premise,
            cloud,
            folder,
        };
        pair.same().await?;
        Ok(pair)
    }

    /// The on-premise repository.
    #[must_use]
    pub fn left(&self) -> &MemoryRepository {
        &self.on_premise.repository
    }

    /// The cloud repository.
    #[must_use]
    pub fn right(&self) -> &MemoryRepository {
        &self.cloud.repository
    }

    /// Waits for something.
    ///
    /// # Errors
    /// It does not come; tells the journal.
    pub async fn until(&self, what: &str, condition: impl FnMut() -> bool) -> Result<()> {
        let done = eventually(PATIENCE, what, condition).await;
        let story = self.coordinator.story(NETWORK).await?;
        done.context(story)
    }

    /// Waits until both sides are the same and no member is under way.
    ///
    /// # Errors
    /// That does not come; tells the journal.
    pub async fn same(&self) -> Result<()> {
        let same = poll(PATIENCE, "both sides are the same", async || {
            let equal = listing(self.left(), FOLDER) == listing(self.right(), FOLDER);
            let there = self.right().with(|tree| tree.find(FOLDER)).is_some();
            let members = self.coordinator.members(NETWORK).await.ok()?;
            let done = |state| state == MemberState::Synced;
            let done = members.iter().all(|member| done(member.state()));
            (equal && there && done).then_some(())
        });
        let same = same.await;
        let story = self.coordinator.story(NETWORK).await?;
        same.context(story)
    }

    /// No conflict was found so far.
    ///
    /// # Errors
    /// The journal cannot be read.
    ///
    /// # Panics
    /// There was one.
    pub async fn assert_no_conflict(&self) -> Result<()> {
        self.coordinator.assert_no_conflict(NETWORK).await
    }
}
