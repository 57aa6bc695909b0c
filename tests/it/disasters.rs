//! What administrators fear: missing disks, restored backups, copies.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use tandem_tests::pair::{Pair, fill, write};
use tandem_tests::tree::Tree;

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp -a failed");
    Ok(())
}

/// A pair whose sides are the same, ended again.
async fn synced_and_stopped(files: usize) -> Result<Pair> {
    let mut pair = Pair::new()?;
    fill(&pair.contracts(), files)?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    Ok(pair)
}

#[tokio::test]
async fn r_del_3_a_small_folder_found_empty_is_held_and_what_comes_back_is_released() -> Result<()>
{
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 5)?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    let aside = left.with_extension("aside");
    fs::create_dir(&aside)?;
    for entry in fs::read_dir(&left)? {
        let entry = entry?;
        fs::rename(entry.path(), aside.join(entry.file_name()))?;
    }
    let held = pair.once(&[]).await?;
    assert_eq!(held.code, Some(2), "{held:?}");
    assert_eq!(Tree::read(&right)?.files().len(), 5, "nothing was deleted");
    for entry in fs::read_dir(&aside)? {
        let entry = entry?;
        fs::rename(entry.path(), left.join(entry.file_name()))?;
    }
    let released = pair.once(&[]).await?;
    assert_eq!(released.code, Some(0), "{released:?}");
    Tree::assert_same(&left, &right);
    Ok(())
}

#[tokio::test]
async fn r_agt_10_a_tree_restored_with_cp_and_a_lost_index_transfers_and_deletes_nothing()
-> Result<()> {
    let mut pair = synced_and_stopped(30).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    let backup = left.with_extension("backup");
    copy_all(&left, &backup)?;
    fs::remove_dir_all(&left)?;
    copy_all(&backup, &left)?;
    fs::remove_dir_all(pair.data().join("on-premise"))?;
    let before = Tree::read(&right)?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert_eq!(Tree::read(&right)?, before);
    assert_eq!(Tree::read(&left)?, before);
    nothing_was_applied_since_the_last_generation(&mut pair).await?;
    pair.stop().await
}

async fn nothing_was_applied_since_the_last_generation(pair: &mut Pair) -> Result<()> {
    let journal = pair.tandem(&["journal", "list"]).await?;
    let kinds: Vec<&str> = journal
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["kind"].as_str())
        .collect();
    let at = kinds.iter().rposition(|kind| *kind == "SESSION").unwrap();
    assert!(!kinds[at..].contains(&"APPLIED"), "{:?}", &kinds[at..]);
    Ok(())
}

#[tokio::test]
async fn r_agt_10_files_that_lost_their_ids_transfer_and_delete_nothing() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 30)?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    let before = Tree::read(&right)?;
    for number in 0..5 {
        let folder = left.join(format!("folder {number}"));
        let kept = left.with_extension(format!("kept {number}"));
        fs::rename(&folder, &kept)?;
        // Without `-a` the extended attributes stay behind, and with them the ids.
        let status = Command::new("cp")
            .arg("-r")
            .arg(&kept)
            .arg(&folder)
            .status()?;
        ensure!(status.success(), "cp -r failed");
    }
    fs::remove_dir_all(pair.data().join("on-premise"))?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert_eq!(Tree::read(&right)?, before);
    assert_eq!(Tree::read(&left)?, before);
    nothing_was_applied_since_the_last_generation(&mut pair).await?;
    write(&left.join("folder 3/file 3.txt"), "edited afterwards")?;
    pair.same().await?;
    pair.stop().await
}

#[tokio::test]
async fn r_agt_4_a_coordinator_restored_from_yesterday_loses_and_doubles_nothing() -> Result<()> {
    let mut pair = synced_and_stopped(10).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    let backup = pair.data().with_extension("backup");
    fs::create_dir(&backup)?;
    copy_all(&pair.data().join("tandem.db"), &backup.join("tandem.db"))?;
    // Members that the restored coordinator has never heard of, on both sides.
    pair.start_in_sync(&[]).await?;
    write(&left.join("since/yesterday.txt"), "new")?;
    write(&right.join("from cloud.txt"), "new too")?;
    pair.same().await?;
    pair.stop().await?;
    for file in ["tandem.db-wal", "tandem.db-shm"] {
        let _ = fs::remove_file(pair.data().join(file));
    }
    fs::copy(backup.join("tandem.db"), pair.data().join("tandem.db"))?;
    let before = Tree::read(&left)?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert_eq!(Tree::read(&left)?, before);
    write(
        &left.join("since/yesterday.txt"),
        "and edited after the restore",
    )?;
    pair.same().await?;
    pair.stop().await
}

#[tokio::test]
async fn r_agt_2_an_agent_with_copied_state_is_refused_before_any_effect() -> Result<()> {
    let mut pair = synced_and_stopped(5).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    let state = pair.data().join("on-premise");
    let copy = pair.data().join("copied");
    copy_all(&state, &copy)?;
    // The original goes on, so the copy's resume key is used up.
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    fs::remove_dir_all(&state)?;
    fs::rename(&copy, &state)?;
    fs::remove_file(left.join("folder 0/file 0.txt"))?;
    pair.start(&[])?;
    pair.event("ready").await?;
    pair.until("the clone is shown", || {
        pair.log().contains("REPOSITORY_CLONED") || pair.log().contains("another running copy")
    })
    .await?;
    assert!(
        right.join("folder 0/file 0.txt").exists(),
        "the clone had an effect"
    );
    pair.tandem(&["repository", "rebind", "on-premise"]).await?;
    let shown = pair.tandem(&["repository", "show", "on-premise"]).await?;
    assert_eq!(shown["side"], "ON_PREMISE");
    pair.stop().await
}

#[tokio::test]
async fn a_missing_root_deletes_nothing() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 5)?;
    pair.start_in_sync(&[]).await?;
    let before = Tree::read(&right)?;
    fs::rename(&left, left.with_extension("unmounted"))?;
    fs::create_dir(&left)?;
    write(&right.join("meanwhile.txt"), "on the cloud")?;
    pair.event("change").await?;
    assert!(
        Tree::read(&left)?.entries.is_empty(),
        "something was written into another root"
    );
    fs::remove_dir_all(&left)?;
    fs::rename(left.with_extension("unmounted"), &left)?;
    pair.same().await?;
    assert_eq!(Tree::read(&left)?.files().len(), before.files().len() + 1);
    pair.stop().await
}
