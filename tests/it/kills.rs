//! SIGKILL at random moments of a busy sync; then it converges, and nothing is lost or half (I3, I5, I22).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_proto::v1::Side;
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, Pair, write};
use tandem_tests::process::Process;
use tandem_tests::tree::Tree;
use tandem_tests::wait::eventually;

const NETWORK: &str = "acme";

/// Runs of one test; four tests make twenty.
const RUNS: usize = 5;

/// A content that tells whether it is whole, and who wrote it.
fn token(writer: &str, number: usize, size: usize) -> Vec<u8> {
    let line = format!("{writer} {number}\n");
    let mut content = line.repeat(size / line.len() + 1).into_bytes();
    content.extend_from_slice(b"end\n");
    content
}

/// Every visible file is whole: one line repeated, and its end.
fn assert_whole(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != ".tandem") {
                assert_whole(&path)?;
            }
            continue;
        }
        let Ok(content) = fs::read_to_string(&path) else {
            continue;
        };
        let lines: BTreeSet<&str> = content.lines().collect();
        ensure!(
            content.ends_with("end\n") && lines.len() == 2,
            "{} is not whole: {} bytes",
            path.display(),
            content.len()
        );
    }
    Ok(())
}

async fn killed_at_random(seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    let size = |random: &mut StdRng| random.random_range(10..40_000);
    for number in 0..150 {
        let name = format!("folder {}/{number}.txt", number % 7);
        write(
            &left.join(name),
            token("on-premise", number, size(&mut random)),
        )?;
    }
    let mut written = 149;
    for _ in 0..RUNS {
        pair.start(&[])?;
        pair.event("ready").await?;
        for _ in 0..20 {
            written += 1;
            let side = if right.exists() && random.random() {
                &right
            } else {
                &left
            };
            // A folder that both sides make under one name would be a name clash, and rightly fail.
            let folder = side.join(format!("folder {}", random.random_range(0..7)));
            let folder = if folder.is_dir() {
                folder
            } else {
                side.clone()
            };
            let content = token("somebody", written, size(&mut random));
            write(&folder.join(format!("{written}.txt")), content)?;
        }
        // The moment of the kill is what varies; nothing waits for a result here.
        tokio::time::sleep(Duration::from_millis(random.random_range(5..900))).await;
        pair.kill().await?;
        assert_whole(&left)?;
        if pair.cloud().exists() {
            assert_whole(&pair.cloud())?;
        }
    }
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    // A work folder comes and goes as long as it lives.
    pair.stop().await?;
    assert_whole(&left)?;
    let files = Tree::read(&left)?.files();
    let expected: BTreeSet<String> = (0..=written)
        .map(|number| format!("{number}.txt"))
        .collect();
    let found: BTreeSet<String> = files
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    let lost: Vec<&String> = expected.difference(&found).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

#[tokio::test]
async fn killed_five_times_with_seed_1() -> Result<()> {
    killed_at_random(1).await
}

#[tokio::test]
async fn killed_five_times_with_seed_2() -> Result<()> {
    killed_at_random(2).await
}

#[tokio::test]
async fn killed_five_times_with_seed_3() -> Result<()> {
    killed_at_random(3).await
}

#[tokio::test]
async fn killed_five_times_with_seed_4() -> Result<()> {
    killed_at_random(4).await
}

/// A coordinator and an agent beside each directory, each in a process of its own.
struct Apart {
    coordinator: Coordinator,
    agents: [DirectoryAgent; 2],
    running: [Option<Process>; 2],
}

impl Apart {
    async fn start() -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let beside = async |side, name: &str| {
            let root = coordinator.directory().join(name);
            let state = coordinator.directory().join(format!("{name}-state"));
            DirectoryAgent::beside(&coordinator, NETWORK, side, &root, &state).await
        };
        let agents = [
            beside(Side::OnPremise, "hq").await?,
            beside(Side::Cloud, "site").await?,
        ];
        fs::create_dir(agents[0].root.join("contracts"))?;
        let running = [Some(agents[0].start()?), Some(agents[1].start()?)];
        coordinator
            .create_set_when_connected(NETWORK, "contracts")
            .await?;
        Ok(Self {
            coordinator,
            agents,
            running,
        })
    }

    fn folders(&self) -> [PathBuf; 2] {
        [0, 1].map(|side| self.agents[side].root.join("contracts"))
    }

    /// Kills those whose bit is set: 1 and 2 the agents, 4 the coordinator.
    async fn kill(&mut self, which: u32) -> Result<()> {
        if which & 4 != 0 {
            self.coordinator.kill().await?;
        }
        for (side, running) in self.running.iter_mut().enumerate() {
            if which & (1 << side) != 0
                && let Some(mut process) = running.take()
            {
                process.kill().await?;
            }
        }
        Ok(())
    }

    /// Starts whoever is not running.
    async fn go_on(&mut self) -> Result<()> {
        if !self.coordinator.runs() {
            self.coordinator.go_on().await?;
        }
        for (agent, running) in self.agents.iter().zip(&mut self.running) {
            if running.is_none() {
                *running = Some(agent.start()?);
            }
        }
        Ok(())
    }

    async fn same(&self) -> Result<()> {
        let [left, right] = self.folders();
        let same = eventually(PATIENCE, "both sides are the same", || {
            Tree::is_same(&left, &right)
        });
        let Err(late) = same.await else {
            return Ok(());
        };
        let differences = Tree::read(&left)?.differences(&Tree::read(&right)?);
        let logs: Vec<String> = self.running.iter().flatten().map(Process::log).collect();
        let story = self.coordinator.story(NETWORK).await?;
        Err(late.context(format!(
            "{}\n{}\n{story}",
            differences.join("\n"),
            logs.join("\n")
        )))
    }
}

/// I22, R-AGT-6: every process may die at any moment, alone or with others.
async fn killed_apart(seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut apart = Apart::start().await?;
    let folders = apart.folders();
    let mut written = 0;
    for _ in 0..RUNS {
        for _ in 0..30 {
            // The copy on the cloud is there as soon as it was made once.
            let side = usize::from(folders[1].exists() && random.random());
            let content = token("somebody", written, random.random_range(10..40_000));
            // In one step: an empty file that nobody has filled yet would be synced as one.
            let beside = apart.coordinator.directory().join("beside");
            write(&beside, content)?;
            fs::rename(&beside, folders[side].join(format!("{written}.txt")))?;
            written += 1;
        }
        // The moment of the kill is what varies; nothing waits for a result here.
        tokio::time::sleep(Duration::from_millis(random.random_range(5..600))).await;
        apart.kill(random.random_range(1..8)).await?;
        for folder in folders.iter().filter(|folder| folder.exists()) {
            assert_whole(folder)?;
        }
        apart.go_on().await?;
    }
    apart.same().await?;
    assert_whole(&folders[0])?;
    let files = Tree::read(&folders[1])?.files();
    ensure!(files.len() == written, "{} of {written} files", files.len());
    let conflicts = apart.coordinator.tandem(NETWORK, &["conflict", "list"]);
    ensure!(
        conflicts.await? == serde_json::json!([]),
        "nobody edited one file twice"
    );
    Ok(())
}

#[tokio::test]
async fn separate_processes_killed_five_times_with_seed_1() -> Result<()> {
    killed_apart(1).await
}

#[tokio::test]
async fn separate_processes_killed_five_times_with_seed_2() -> Result<()> {
    killed_apart(2).await
}
