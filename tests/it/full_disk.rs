//! Disks without room, beside an agent and under the coordinator (SPEC §9): said why, nothing lost, nothing half, and on
//! it goes when there is room again.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tandem_client::error::Error;
use tandem_proto::v1::{ErrorReason, FailureReason, Member, MemberState, RequestSyncRequest, Side};
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::small_disk::SmallDisk;
use tandem_tests::tree::Tree;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";
const MEBIBYTE: usize = 1024 * 1024;

/// Separate processes: a coordinator, and an agent beside each directory.
struct Site {
    coordinator: Coordinator,
    set: String,
    /// The synced folder on-premise.
    left: PathBuf,
    /// Its copy on the cloud.
    right: PathBuf,
    cloud: Process,
    on_premise: Process,
}

impl Site {
    /// `cloud` is the agent on the cloud; whatever lies in the synced folder is on both sides then.
    async fn start(coordinator: Coordinator, cloud: DirectoryAgent) -> Result<Self> {
        let directory = coordinator.directory().to_path_buf();
        let (root, state) = (directory.join("hq"), directory.join("hq-state"));
        let on_premise =
            DirectoryAgent::beside(&coordinator, NETWORK, Side::OnPremise, &root, &state).await?;
        let left = root.join("contracts");
        write(&left.join("before.txt"), "before")?;
        let right = cloud.root.join("contracts");
        let (cloud, on_premise) = (cloud.start()?, on_premise.start()?);
        let set = coordinator
            .create_set_when_connected(NETWORK, "contracts")
            .await?;
        let site = Self {
            coordinator,
            set: set.name,
            left,
            right,
            cloud,
            on_premise,
        };
        site.same().await?;
        Ok(site)
    }

    async fn same(&self) -> Result<()> {
        let done = eventually(PATIENCE, "both sides are the same", || {
            Tree::is_same(&self.left, &self.right)
        });
        done.await.with_context(|| {
            let agents = [&self.on_premise, &self.cloud].map(Process::log);
            format!("{}\n{}", self.coordinator.log(), agents.join("\n"))
        })
    }

    async fn failed(&self) -> Result<Vec<Member>> {
        let mut members = self.coordinator.members(NETWORK).await?;
        members.retain(|member| member.state() == MemberState::Failed);
        Ok(members)
    }

    /// Waits until all members are synced.
    async fn synced(&self) -> Result<()> {
        let synced = poll(PATIENCE, "every member is synced", async || {
            let members = self.coordinator.members(NETWORK).await.ok()?;
            let all = members
                .iter()
                .all(|member| member.state() == MemberState::Synced && member.failure.is_none());
            all.then_some(())
        });
        synced.await
    }
}

/// Content that is like no other.
fn content(number: u8) -> Vec<u8> {
    (0..MEBIBYTE).map(|at| number ^ (at % 251) as u8).collect()
}

async fn cloud_agent(coordinator: &Coordinator, root: &str, state: &str) -> Result<DirectoryAgent> {
    let directory = coordinator.directory();
    let (root, state) = (directory.join(root), directory.join(state));
    DirectoryAgent::beside(coordinator, NETWORK, Side::Cloud, &root, &state).await
}

#[tokio::test]
async fn a_full_disk_of_an_agent_fails_what_needs_room_and_heals_by_itself() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let place = coordinator.directory().join("disk");
    fs::create_dir(&place)?;
    let disk = SmallDisk::mount(&place, 16, &coordinator.logs()).await?;
    let agent = cloud_agent(&coordinator, "disk/site", "site-state").await?;
    let site = Site::start(coordinator, agent.on(&disk)?).await?;
    let before = Tree::read(&site.right)?;

    disk.fill()?;
    for number in 0..3 {
        write(&site.left.join(format!("{number}.bin")), content(number))?;
    }
    write(&site.left.join("before.txt"), content(7))?;
    let failed = poll(PATIENCE, "four members have failed", async || {
        site.failed().await.ok().filter(|failed| failed.len() == 4)
    });
    for member in failed.await.with_context(|| site.coordinator.log())? {
        let failure = member.failure.context("failed without a failure")?;
        assert_eq!(
            failure.reason(),
            FailureReason::QuotaLimitViolation,
            "{failure:?}"
        );
        assert!(failure.message.contains("No space left"), "{failure:?}");
        assert!(failure.message.contains("make room"), "{failure:?}");
        assert_eq!(failure.remedy, "free space, or raise the quota");
    }
    assert_eq!(Tree::read(&site.right)?, before, "nothing is half there");

    disk.make_room()?;
    site.same().await?;
    site.synced().await
}

#[tokio::test]
async fn an_agent_whose_own_state_has_no_room_loses_nothing_and_goes_on() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let place = coordinator.directory().join("disk");
    fs::create_dir(&place)?;
    let disk = SmallDisk::mount(&place, 16, &coordinator.logs()).await?;
    let agent = cloud_agent(&coordinator, "disk/site", "disk/site-state").await?;
    let mut site = Site::start(coordinator, agent.on(&disk)?).await?;
    let before = Tree::read(&site.right)?;

    disk.fill()?;
    for number in 0..3 {
        write(&site.left.join(format!("{number}.bin")), content(number))?;
        write(&site.left.join(format!("{number}.txt")), [number])?;
    }
    // Either its notes find no room any more, or they still do and tell the coordinator.
    let said = poll(PATIENCE, "people are told why", async || {
        let log = site.cloud.error_output();
        let logged = log.contains("disk is full") && log.contains("make room");
        let failed = site.failed().await.ok()?;
        let shown = failed
            .iter()
            .filter_map(|member| member.failure.as_ref())
            .any(|failure| failure.reason() == FailureReason::QuotaLimitViolation);
        (logged || shown).then_some(())
    });
    said.await.with_context(|| site.cloud.log())?;
    assert_eq!(Tree::read(&site.right)?, before, "nothing is half there");
    ensure!(site.cloud.ended()?.is_none(), "{}", site.cloud.log());

    disk.make_room()?;
    site.same().await?;
    site.synced().await
}

#[tokio::test]
async fn a_full_disk_of_the_coordinator_stops_nothing_but_time() -> Result<()> {
    let coordinator = Coordinator::start_on_small_disk(32).await?;
    coordinator.network(NETWORK).await?;
    let agent = cloud_agent(&coordinator, "site", "site-state").await?;
    let mut site = Site::start(coordinator, agent).await?;

    site.coordinator.disk()?.fill()?;
    for number in 0..3 {
        write(&site.left.join(format!("{number}.bin")), content(number))?;
        write(&site.right.join(format!("{number}.txt")), [number])?;
    }
    write(
        &site.left.join("before.txt"),
        "edited while there was no room",
    )?;
    let coordinator = &site.coordinator;
    let said = eventually(PATIENCE, "the coordinator says why", || {
        let log = coordinator.log();
        log.contains("full") && log.contains("make room")
    });
    said.await.with_context(|| coordinator.log())?;
    let request = RequestSyncRequest {
        parent: site.set.clone(),
        names: Vec::new(),
    };
    let client = coordinator.operator().await?;
    // What fits into the part of the log that was written over may still be written.
    let refused = poll(PATIENCE, "a person is refused", async || {
        client.members().request_sync(request.clone()).await.err()
    });
    let refused = Error::from(refused.await?);
    assert!(refused.is(ErrorReason::StoreUnavailable), "{refused:?}");
    assert!(refused.retry_after().is_some(), "{refused:?}");
    assert!(
        !coordinator.members(NETWORK).await?.is_empty(),
        "reading goes on"
    );
    site.coordinator.lives()?;

    site.coordinator.disk()?.make_room()?;
    site.same().await?;
    site.synced().await?;
    // Whatever was answered as accepted is there for a coordinator that begins anew.
    let members = site.coordinator.members(NETWORK).await?.len();
    site.coordinator.kill().await?;
    site.coordinator.go_on().await?;
    assert_eq!(site.coordinator.members(NETWORK).await?.len(), members);
    write(&site.left.join("afterwards.txt"), "afterwards")?;
    site.same().await?;
    site.synced().await
}
