//! Deletions of many nodes at once: the guard holds them until somebody decides (R-DEL-3).

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tandem_tests::pair::{Pair, fill, write};
use tandem_tests::tree::Tree;
use tandem_tests::wait::poll;

/// Files of the big tree. A debug build takes about eight seconds for each 1,000, so a run of the size that the rule is
/// meant for is asked for: `TANDEM_TREE_FILES=100000 cargo test --release --workspace --test it rm_rf`.
const TREE_FILES: usize = 2_000;
/// How long a tree of that size may take at most; nothing waits so long when all is well.
const PATIENCE_FOR_EACH_FILE: Duration = Duration::from_millis(40);
const FILES_IN_A_FOLDER: usize = 500;
/// What lies beside the big tree and stays, so that the synced folder is not empty.
const KEPT: usize = 5;

fn tree_files() -> Result<usize> {
    match env::var("TANDEM_TREE_FILES") {
        Ok(number) => number.parse().context("TANDEM_TREE_FILES is a number"),
        Err(_) => Ok(TREE_FILES),
    }
}

/// How many files lie below a folder; none when it is missing.
fn count(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .map(|path| if path.is_dir() { count(&path) } else { 1 })
        .sum()
}

/// A synced pair with a big tree in the folder `archive`, and a few files beside it.
async fn pair_with_archive(files: usize) -> Result<Pair> {
    let patience = PATIENCE_FOR_EACH_FILE * u32::try_from(files)?;
    let mut pair = Pair::new()?.with_patience(patience.max(tandem_tests::pair::PATIENCE));
    let left = pair.contracts();
    for number in 0..files {
        let name = format!("archive/{}/{number}.txt", number / FILES_IN_A_FOLDER);
        write(&left.join(name), number.to_string())?;
    }
    fill(&left, KEPT)?;
    pair.start_in_sync(&[]).await?;
    Ok(pair)
}

/// Waits until deletions are held.
async fn held(pair: &mut Pair) -> Result<()> {
    loop {
        let held = pair.event("failed").await?;
        if held["held_deletions"].as_u64() > Some(0) {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn r_del_3_rm_rf_of_a_big_tree_deletes_nothing_before_it_is_confirmed() -> Result<()> {
    let files = tree_files()?;
    let mut pair = pair_with_archive(files).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    pair.stop().await?;
    fs::remove_dir_all(left.join("archive"))?;
    pair.start(&[])?;
    held(&mut pair).await?;
    let whole = poll(pair.patience(), "all is counted", async || {
        let set = pair.set().await.ok()?;
        let held = set["held_deletions"].as_u64()?;
        // Folders count too.
        (held > files as u64).then_some(())
    });
    whole.await?;
    assert_eq!(count(&right), files + KEPT, "nothing was deleted");
    write(&left.join("meanwhile.txt"), "all else flows")?;
    let meanwhile = right.join("meanwhile.txt");
    pair.until("all else flows", || meanwhile.exists()).await?;

    pair.decide("confirm").await?;
    let archive = right.join("archive");
    pair.until("the archive is gone", || !archive.exists())
        .await?;
    pair.event("in_sync").await?;
    Tree::assert_same(&left, &right);
    assert_eq!(count(&right), KEPT + 1);
    pair.stop().await
}

#[tokio::test]
async fn r_del_3_rm_rf_while_the_sync_runs_is_held_half_way_and_refusing_restores_all() -> Result<()>
{
    let files = tree_files()?;
    let mut pair = pair_with_archive(files).await?;
    let left = pair.contracts();
    fs::remove_dir_all(left.join("archive"))?;
    held(&mut pair).await?;
    pair.decide("refuse").await?;
    pair.event("in_sync").await?;
    // What was deleted before half of the set was gone may have travelled; the guard counts it with the rest.
    let kept = count(&left);
    assert!(kept * 2 >= files, "only {kept} of {files} were kept");
    pair.same().await?;
    pair.stop().await
}

#[tokio::test]
async fn r_del_3_with_once_held_deletions_end_with_code_2_and_can_be_decided_later() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 40)?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    for number in 0..4 {
        fs::remove_dir_all(left.join(format!("folder {number}")))?;
    }
    let once = pair.once(&[]).await?;
    assert_eq!(once.code, Some(2), "{once:?}");
    assert_eq!(count(&right), 40, "nothing was deleted yet");

    pair.start(&[])?;
    held(&mut pair).await?;
    pair.decide("confirm").await?;
    pair.same().await?;
    assert_eq!(count(&right), 8);
    pair.stop().await
}
