//! An edit of a large file sends only what changed, on each hop (R-CNT-1).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tandem_client::agent::memory::Rules;
use tandem_client::connectors::directory::{self, Directory};
use tandem_proto::v1::{Side, SyncSetOptions};
use tandem_tests::agents::{TaskAgent, memory};
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::poll;

const NETWORK: &str = "acme";
const MEBIBYTE: usize = 1024 * 1024;

/// Bytes that differ with the seed and everywhere inside.
fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    std::iter::repeat_with(next).flatten().take(bytes).collect()
}

struct Pair {
    coordinator: Coordinator,
    agents: [TaskAgent<Directory>; 2],
    files: [PathBuf; 2],
}

/// Content bytes that went up from one side and down to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moved {
    up: u64,
    down: u64,
}

impl Pair {
    async fn start(content: &[u8]) -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let left = coordinator.directory().join("left");
        let right = coordinator.directory().join("right");
        fs::create_dir_all(left.join("contracts"))?;
        fs::create_dir_all(&right)?;
        fs::write(left.join("contracts/large.bin"), content)?;
        let on_premise = agent(&coordinator, Side::OnPremise, &left).await?;
        let cloud = agent(&coordinator, Side::Cloud, &right).await?;
        coordinator
            .create_set(NETWORK, "contracts", SyncSetOptions::default())
            .await?;
        let pair = Self {
            coordinator,
            agents: [on_premise, cloud],
            files: [left, right].map(|root| root.join("contracts/large.bin")),
        };
        // The folder and the file.
        pair.same(1, 2, content).await?;
        Ok(pair)
    }

    fn moved(&self, from: usize) -> Moved {
        Moved {
            up: self.agents[from].progress.borrow().bytes_up,
            down: self.agents[1 - from].progress.borrow().bytes_down,
        }
    }

    fn applied(&self, side: usize) -> u64 {
        self.agents[side].progress.borrow().applied
    }

    /// Files are read, which takes a while, only after the receiver has applied something.
    async fn same(&self, to: usize, applied: u64, content: &[u8]) -> Result<()> {
        let same = poll(4 * PATIENCE, "both files are so", async || {
            let same = |file: &PathBuf| fs::read(file).is_ok_and(|found| found == content);
            let same = self.applied(to) >= applied && self.files.iter().all(same);
            same.then_some(())
        });
        let same = same.await;
        same.context(self.coordinator.story(NETWORK).await?)
    }

    /// Writes on one side and waits for the other; answers what had to travel for it.
    async fn edit(&self, from: usize, content: &[u8]) -> Result<Moved> {
        let (before, applied) = (self.moved(from), self.applied(1 - from));
        fs::write(&self.files[from], content)?;
        self.same(1 - from, applied + 1, content).await?;
        let after = self.moved(from);
        Ok(Moved {
            up: after.up - before.up,
            down: after.down - before.down,
        })
    }
}

async fn agent(coordinator: &Coordinator, side: Side, root: &Path) -> Result<TaskAgent<Directory>> {
    let state = root.with_extension("state");
    let directory = Directory::open(directory::Options::new(root, &state)).await?;
    TaskAgent::start(coordinator, NETWORK, side, Arc::new(directory)).await
}

fn assert_at_most(moved: Moved, bytes: u64) {
    assert!(moved.up <= bytes && moved.down <= bytes, "{moved:?}");
    assert!(moved.up > 0 && moved.down > 0, "{moved:?}");
}

#[tokio::test]
async fn r_cnt_1_an_edit_of_a_large_file_sends_only_what_changed_on_each_hop() -> Result<()> {
    let mut content = random(1, 64 * MEBIBYTE);
    let pair = Pair::start(&content).await?;
    let first = pair.moved(0);
    assert!(first.up >= content.len() as u64, "{first:?}");

    let middle = 32 * MEBIBYTE;
    content[middle..middle + MEBIBYTE].copy_from_slice(&random(2, MEBIBYTE));
    assert_at_most(pair.edit(0, &content).await?, 2_500_000);

    content.splice(middle..middle, random(3, MEBIBYTE));
    assert_at_most(pair.edit(0, &content).await?, 3_500_000);

    // The other way: what the cloud received it need not send.
    content.drain(middle..middle + MEBIBYTE);
    content[0] ^= 1;
    assert_at_most(pair.edit(1, &content).await?, 2_500_000);
    Ok(())
}

/// What the receiver's copy is made of is not read from it: where its bytes are others than is known of it, the whole does
/// not come out right, nothing of it is shown, and the next try looks at every part.
#[tokio::test]
async fn r_cnt_1_a_copy_that_is_damaged_is_replaced_by_the_right_content_all_the_same() -> Result<()>
{
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let left = coordinator.directory().join("left");
    fs::create_dir_all(left.join("contracts"))?;
    let file = left.join("contracts/large.bin");
    let mut content = random(1, 8 * MEBIBYTE);
    fs::write(&file, &content)?;
    let _on_premise = agent(&coordinator, Side::OnPremise, &left).await?;
    let repository = memory(Side::Cloud, Rules::default());
    let cloud =
        TaskAgent::start(&coordinator, NETWORK, Side::Cloud, Arc::clone(&repository)).await?;
    coordinator
        .create_set(NETWORK, "contracts", SyncSetOptions::default())
        .await?;
    let found = || {
        repository.with(|tree| {
            let id = tree.find("contracts/large.bin")?;
            tree.content(&id)
        })
    };
    poll(PATIENCE, "it is there", async || {
        (found()? == content).then_some(())
    })
    .await?;

    repository.with(|tree| tree.faults.damaged = true);
    let last = content.len() - 1;
    content[last] ^= 1;
    let before = cloud.progress.borrow().bytes_down;
    fs::write(&file, &content)?;
    let same = poll(PATIENCE, "it is there", async || {
        (found()? == content).then_some(())
    });
    same.await.context(coordinator.story(NETWORK).await?)?;
    let fetched = cloud.progress.borrow().bytes_down - before;
    assert!(fetched < 3_000_000, "{fetched}");
    Ok(())
}
