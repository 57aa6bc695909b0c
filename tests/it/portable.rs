//! Sets that move to another coordinator, between real processes (R-ADM-1).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tandem_proto::v1::{JournalKind, MemberState, Side};
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::tree::Tree;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";
const FILES: [&str; 4] = [
    "contracts/a.txt",
    "contracts/deep/b.txt",
    "contracts/deep/c.txt",
    "note.txt",
];

/// Two directories, and the agents beside them.
struct Directories {
    home: tempfile::TempDir,
    agents: Vec<Process>,
}

impl Directories {
    fn new() -> Result<Self> {
        Ok(Self {
            home: tempfile::TempDir::with_prefix("tandem-e2e-")?,
            agents: Vec::new(),
        })
    }

    fn left(&self, path: &str) -> PathBuf {
        self.home.path().join("left").join(path)
    }

    fn right(&self, path: &str) -> PathBuf {
        self.home.path().join("right").join(path)
    }

    /// Starts agents beside the directories, with what they remember.
    async fn connect(&mut self, coordinator: &Coordinator) -> Result<()> {
        for (side, name) in [(Side::OnPremise, "left"), (Side::Cloud, "right")] {
            let root = self.home.path().join(name);
            let state = self.home.path().join(format!("{name}-state"));
            let agent = DirectoryAgent::beside(coordinator, NETWORK, side, &root, &state);
            self.agents.push(agent.await?.start()?);
        }
        Ok(())
    }

    async fn disconnect(&mut self) -> Result<()> {
        for mut agent in self.agents.drain(..) {
            agent.terminate()?;
            agent.wait(PATIENCE).await?;
        }
        Ok(())
    }

    fn is_same(&self) -> bool {
        Tree::is_same(&self.left("contracts"), &self.right("inbox/contracts"))
            && fs::read(self.left("note.txt")).ok() == fs::read(self.right("inbox/note.txt")).ok()
    }

    /// Which file lies where, and when it was written last.
    fn stamps(&self) -> Result<BTreeSet<(PathBuf, u64, i64, i64)>> {
        let mut stamps = BTreeSet::new();
        for root in ["left", "right"] {
            stamp(&self.home.path().join(root), &mut stamps)?;
        }
        Ok(stamps)
    }
}

fn stamp(folder: &Path, stamps: &mut BTreeSet<(PathBuf, u64, i64, i64)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        stamps.insert((entry.path(), meta.ino(), meta.ctime(), meta.ctime_nsec()));
        if meta.is_dir() {
            stamp(&entry.path(), stamps)?;
        }
    }
    Ok(())
}

async fn coordinator() -> Result<Coordinator> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    Ok(coordinator)
}

/// Runs a command as soon as both agents are connected.
async fn when_connected(coordinator: &Coordinator, arguments: &[&str]) -> Result<Value> {
    let done = poll(
        PATIENCE,
        "both agents are connected",
        async || match coordinator.tandem(NETWORK, arguments).await {
            Err(error) if error.to_string().contains("not connected") => None,
            done => Some(done),
        },
    );
    done.await?
}

/// Waits until so many members are synced and nothing is listed any more.
async fn synced(coordinator: &Coordinator, members: usize) -> Result<()> {
    let done = poll(PATIENCE, "all members are synced", async || {
        let shown = coordinator.members(NETWORK).await.ok()?;
        let sets = coordinator.tandem(NETWORK, &["set", "list"]).await.ok()?;
        let mut sets = sets.as_array()?.iter();
        let synced = shown
            .iter()
            .all(|member| member.state() == MemberState::Synced);
        (shown.len() == members && synced && sets.all(|set| set["scanning"] == false)).then_some(())
    });
    let done = done.await;
    done.context(coordinator.story(NETWORK).await?)
}

/// A coordinator with a set of a folder and a set of a document, both synced.
async fn with_sets(directories: &mut Directories) -> Result<Coordinator> {
    let first = coordinator().await?;
    for file in FILES {
        write(&directories.left(file), format!("first of {file}"))?;
    }
    fs::create_dir_all(directories.right("inbox"))?;
    directories.connect(&first).await?;
    for source in ["hq:contracts", "hq:note.txt"] {
        let create = [
            "set",
            "create",
            "--source",
            source,
            "--target",
            "site:inbox",
        ];
        when_connected(&first, &create).await?;
    }
    synced(&first, 6).await?;
    assert!(directories.is_same());
    Ok(first)
}

/// Names of nodes of the entries of these kinds.
async fn told(coordinator: &Coordinator, kinds: &[JournalKind]) -> Result<BTreeSet<String>> {
    let journal = coordinator.journal(NETWORK).await?;
    let told = journal.iter().filter(|entry| kinds.contains(&entry.kind()));
    Ok(told.map(|entry| entry.node_name.clone()).collect())
}

const DONE: [JournalKind; 4] = [
    JournalKind::Applied,
    JournalKind::Left,
    JournalKind::Conflict,
    JournalKind::Failed,
];

/// Exports what one coordinator has, and imports it into a new one.
async fn moved(from: &Coordinator, directories: &mut Directories) -> Result<Coordinator> {
    let file = directories.home.path().join("sets.jsonl");
    let path = file.to_str().context("a path that is no text")?;
    let exported = from
        .tandem(NETWORK, &["set", "export", "--file", path])
        .await?;
    assert_eq!(exported["bytes"], fs::metadata(&file)?.len());
    directories.disconnect().await?;
    let into = coordinator().await?;
    for (sets, there) in [(2, 0), (0, 2)] {
        let imported = into.tandem(NETWORK, &["set", "import", path]).await?;
        assert_eq!(imported["sync_sets"], sets, "{imported}");
        assert_eq!(imported["already_there"], there, "{imported}");
    }
    Ok(into)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_adm_1_a_new_coordinator_pairs_what_is_equal_and_touches_no_file() -> Result<()> {
    let mut directories = Directories::new()?;
    let first = with_sets(&mut directories).await?;
    let second = moved(&first, &mut directories).await?;
    drop(first);
    let before = directories.stamps()?;
    directories.connect(&second).await?;
    synced(&second, 6).await?;
    assert_eq!(directories.stamps()?, before);
    assert_eq!(told(&second, &DONE).await?, BTreeSet::new());
    write(&directories.left("contracts/a.txt"), "second")?;
    write(&directories.right("inbox/note.txt"), "third")?;
    fs::remove_file(directories.right("inbox/contracts/deep/c.txt"))?;
    fs::remove_file(directories.left("contracts/deep/b.txt"))?;
    let flowed = eventually(PATIENCE, "edits and deletions flow", || {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        read(directories.right("inbox/contracts/a.txt")) == "second"
            && read(directories.left("note.txt")) == "third"
            && !directories.right("inbox/contracts/deep/b.txt").exists()
    });
    let flowed = flowed.await;
    flowed.context(second.story(NETWORK).await?)?;
    assert!(
        directories.left("contracts/deep/c.txt").exists(),
        "the option says so"
    );
    assert_eq!(
        told(&second, &[JournalKind::Conflict]).await?,
        BTreeSet::new()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_agt_4_what_happened_while_no_coordinator_listened_is_a_change_and_no_deletion()
-> Result<()> {
    let mut directories = Directories::new()?;
    let first = with_sets(&mut directories).await?;
    let second = moved(&first, &mut directories).await?;
    drop(first);
    write(&directories.left("contracts/a.txt"), "second")?;
    fs::remove_file(directories.left("contracts/deep/b.txt"))?;
    directories.connect(&second).await?;
    let settled = eventually(PATIENCE, "both sides are the same", || {
        directories.left("contracts/deep/b.txt").exists() && directories.is_same()
    });
    let settled = settled.await;
    settled.context(second.story(NETWORK).await?)?;
    synced(&second, 6).await?;
    let changed = ["a.txt", "b.txt"].map(ToOwned::to_owned);
    assert_eq!(told(&second, &DONE).await?, BTreeSet::from(changed));
    let kept = fs::read_to_string(directories.right("inbox/contracts/a.txt"))?;
    assert_eq!(kept, "second");
    assert_eq!(
        told(&second, &[JournalKind::Conflict]).await?,
        BTreeSet::new()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_adm_1_a_file_that_cannot_be_imported_is_refused_with_the_line() -> Result<()> {
    let coordinator = coordinator().await?;
    let home = tempfile::TempDir::new()?;
    let file = home.path().join("sets.jsonl");
    let path = file.to_str().context("a path that is no text")?;
    write(
        &file,
        "{\"type\":\"export\",\"format\":\"tandem.syncSets\",\"version\":9}\n",
    )?;
    let refused = coordinator.tandem(NETWORK, &["set", "import", path]).await;
    let refused = refused.map_or_else(|error| error.to_string(), |shown| shown.to_string());
    assert!(refused.contains("lines[1].version: is 9"), "{refused}");
    let missing = ["set", "import", "no-such-file"];
    let refused = coordinator.tandem(NETWORK, &missing).await;
    let refused = refused.map_or_else(|error| error.to_string(), |shown| shown.to_string());
    assert!(refused.contains("cannot read no-such-file"), "{refused}");
    let exported = ["set", "export", "00000000-0000-7000-8000-000000000000"];
    let refused = coordinator.tandem(NETWORK, &exported).await;
    let refused = refused.map_or_else(|error| error.to_string(), |shown| shown.to_string());
    assert!(refused.contains("SYNC_SET_NOT_FOUND"), "{refused}");
    Ok(())
}
