//! Users of a directory: people who are users of the operating system, and what its permission bits let them do (R-IDN-1,
//! R-IDN-2).

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tandem_client::agent::memory::{MemoryRepository, Rules};
use tandem_client::error::Error;
use tandem_proto::v1::{ErrorReason, FailureReason, MemberState, Role, Side, SyncSetOptions};
use tandem_tests::agents::{DirectoryAgent, TaskAgent, memory};
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";
/// Somebody whom every system has, and who owns nothing.
const NOBODY: &str = "nobody";

/// A directory with users on-premise, and a repository in memory on the cloud.
struct Site {
    coordinator: Coordinator,
    left: DirectoryAgent,
    process: Process,
    cloud: TaskAgent<MemoryRepository>,
}

fn allow(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// The agent of a directory with these users, not started.
async fn agent(coordinator: &Coordinator, side: Side, users: &str) -> Result<DirectoryAgent> {
    let home = coordinator.directory();
    let (root, state, file) = (home.join("left"), home.join("state"), home.join("users"));
    fs::write(&file, users)?;
    let agent = DirectoryAgent::beside(coordinator, NETWORK, side, &root, &state).await?;
    allow(&root, 0o755)?;
    Ok(agent.with(["--users".as_ref(), file.as_os_str()]))
}

impl Site {
    /// The operator of the tests is nobody on the system, and may write in `docs`.
    async fn start() -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let users = format!("# who is who\noperator = {NOBODY}\n");
        let left = agent(&coordinator, Side::OnPremise, &users).await?;
        write(&left.root.join("docs/a.txt"), "first")?;
        write(&left.root.join("closed/a.txt"), "first")?;
        allow(&left.root.join("docs"), 0o777)?;
        allow(&left.root.join("docs/a.txt"), 0o644)?;
        allow(&left.root.join("closed"), 0o755)?;
        let right = memory(Side::Cloud, Rules::default());
        Ok(Self {
            process: left.start()?,
            cloud: TaskAgent::start(&coordinator, NETWORK, Side::Cloud, right).await?,
            left,
            coordinator,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.left.root.join(name)
    }

    /// The copy of `a.txt`, once it is on the cloud.
    async fn copy(&self) -> Result<String> {
        let find = || self.cloud.repository.with(|tree| tree.find("docs/a.txt"));
        let there = eventually(PATIENCE, "it is pushed", || find().is_some()).await;
        there.context(self.coordinator.story(NETWORK).await?)?;
        find().context("the copy is gone again")
    }

    async fn holds(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        let holds = || fs::read_to_string(&path).is_ok_and(|content| content == text);
        let there = eventually(PATIENCE, "it is pulled", holds).await;
        there.context(self.coordinator.story(NETWORK).await?)
    }

    /// Waits until a member fails, and tells why.
    async fn failure(&self) -> Result<(FailureReason, String)> {
        poll(PATIENCE, "a member fails", async || {
            let members = self.coordinator.members(NETWORK).await.ok()?;
            let failed = |state| state == MemberState::Failed;
            let failed = members.into_iter().find(|member| failed(member.state()))?;
            let failure = failed.failure?;
            Some((failure.reason(), failure.message))
        })
        .await
    }
}

fn is(error: &anyhow::Error, reason: ErrorReason) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    status.is_some_and(|status| Error::from(status.clone()).is(reason))
}

#[tokio::test]
async fn r_idn_2_what_somebody_may_do_is_what_the_system_lets_their_user_do() -> Result<()> {
    let site = Site::start().await?;
    let made = site
        .coordinator
        .create_set_when_connected(NETWORK, "closed");
    let refused = made.await.expect_err("nobody may write there");
    assert!(is(&refused, ErrorReason::NodeNotWritable), "{refused:?}");
    let alice = site.coordinator.user(NETWORK, "alice", Role::User).await?;
    let options = SyncSetOptions::default();
    let coordinator = &site.coordinator;
    let made = coordinator.create_set_as(&alice, NETWORK, "docs", options);
    let refused = format!("{:#}", made.await.expect_err("alice has no line"));
    assert!(refused.contains("no user of this directory"), "{refused}");
    coordinator.create_set(NETWORK, "docs", options).await?;
    site.copy().await.map(drop)
}

#[tokio::test]
async fn r_idn_1_what_is_pulled_is_written_as_the_owner_and_fails_where_they_may_not() -> Result<()>
{
    let mut site = Site::start().await?;
    site.coordinator
        .create_set_when_connected(NETWORK, "docs")
        .await?;
    let copy = site.copy().await?;
    let right = &site.cloud.repository;
    right.with(|tree| tree.write(&copy, "theirs"))?;
    let (reason, text) = site.failure().await?;
    assert_eq!(reason, FailureReason::SourceNodeAccessDenied);
    assert!(text.contains("operator") && text.contains(NOBODY), "{text}");
    assert_eq!(fs::read_to_string(site.path("docs/a.txt"))?, "first");
    allow(&site.path("docs/a.txt"), 0o666)?;
    right.with(|tree| tree.write(&copy, "theirs again"))?;
    site.holds("docs/a.txt", "theirs again").await?;

    let folder = right.with(|tree| tree.find("docs")).context("no folder")?;
    let new = right.with(|tree| tree.create_document(&folder, "b.txt", "new"))?;
    site.holds("docs/b.txt", "new").await?;
    let owner = fs::metadata(site.path("docs/b.txt"))?.uid();
    let agent = fs::metadata(site.path("docs/a.txt"))?.uid();
    assert_eq!(
        owner == agent,
        agent != 0,
        "who is root gives away what is made"
    );
    right.with(|tree| tree.write(&new, "newer"))?;
    site.holds("docs/b.txt", "newer").await?;
    site.process.terminate()?;
    site.process.wait(PATIENCE).await.map(drop)
}

#[tokio::test]
async fn r_idn_2_users_that_cannot_be_are_refused_when_the_agent_starts() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    for (side, users, says) in [
        (Side::OnPremise, "operator = root", "may do everything"),
        (
            Side::OnPremise,
            "operator = no-such-user-here",
            "does not know",
        ),
        (Side::OnPremise, "operator", "line 1: there is no ="),
        (Side::Cloud, "operator = nobody", "on-premise directories"),
    ] {
        let mut process = agent(&coordinator, side, users).await?.start()?;
        let status = process.wait(PATIENCE).await?;
        let said = process.error_output();
        assert!(!status.success() && said.contains(says), "{said}");
    }
    Ok(())
}
