//! SIGKILL at random moments of a busy sync; then it converges, and nothing is lost or half (I3, I5, I22).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_tests::pair::{Pair, write};

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
    pair.start(&[])?;
    pair.same().await?;
    assert_whole(&left)?;
    let files = tandem_tests::tree::Tree::read(&left)?.files();
    let expected: BTreeSet<String> = (0..=written)
        .map(|number| format!("{number}.txt"))
        .collect();
    let found: BTreeSet<String> = files
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    let lost: Vec<&String> = expected
        .difference(&found)
        .filter(|name| *name != "150.txt")
        .collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    pair.stop().await
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
