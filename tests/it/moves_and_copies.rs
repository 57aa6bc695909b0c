//! Moves that are moves, also while the sync runs, and copies that are new nodes (R-MOV-2, R-MOV-6, R-CPY-1).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use tandem_tests::pair::{PATIENCE, Pair, fill, write};
use tandem_tests::tree::Tree;
use tandem_tests::wait::poll;

/// The files below a folder by name, with their inodes: another number is another file, made anew.
fn inodes(folder: &Path) -> Result<BTreeSet<(PathBuf, u64)>> {
    let files = Tree::read(folder)?.files().into_iter();
    files
        .map(|path| {
            let inode = fs::metadata(folder.join(&path))?.ino();
            Ok((path, inode))
        })
        .collect()
}

/// The last position among entries of the journal.
fn last_position(entries: &[Value]) -> u64 {
    let last = entries.last().and_then(|last| last["position"].as_u64());
    last.unwrap_or_default()
}

/// What the journal tells behind a position, as soon as a delivery has taken effect.
async fn news(pair: &mut Pair, position: u64) -> Result<Vec<Value>> {
    let applied = poll(PATIENCE, "the move is journaled", async || {
        let entries = pair.tandem(&["journal", "list"]).await.ok()?;
        let mut entries = entries.as_array().cloned()?;
        entries.retain(|entry| entry["position"].as_u64() > Some(position));
        let applied = entries.iter().any(|entry| entry["kind"] == "APPLIED");
        applied.then_some(entries)
    });
    applied.await
}

#[tokio::test]
async fn r_mov_2_a_folder_moved_in_its_set_is_one_move_however_much_is_in_it() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left.join("big"), 100)?;
    fs::create_dir(left.join("archive"))?;
    pair.start_in_sync(&[]).await?;
    for (here, there, to) in [
        (&left, &right, "archive/big"),
        (&right, &left, "archive/big"),
    ] {
        let before = inodes(&there.join("big"))?;
        let entries = pair.tandem(&["journal", "list"]).await?;
        let position = last_position(entries.as_array().map_or(&[], Vec::as_slice));
        fs::rename(here.join("big"), here.join(to))?;
        pair.same().await?;
        assert_eq!(inodes(&there.join(to))?, before, "the same files, moved");
        let entries = news(&mut pair, position).await?;
        let told: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry["kind"].as_str())
            .collect();
        assert_eq!(told, ["OBSERVED", "APPLIED"], "{entries:?}");
        let position = last_position(&entries);
        fs::rename(here.join(to), here.join("big"))?;
        pair.same().await?;
        news(&mut pair, position).await?;
    }
    pair.stop().await
}

#[tokio::test]
async fn r_mov_6_moving_while_a_sync_runs_also_into_new_folders_is_ordinary() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 300)?;
    pair.start(&[])?;
    pair.until("the sync runs", || right.join("folder 0").exists())
        .await?;
    for number in 0..60 {
        let name = format!("folder {}/file {number}.txt", number % 5);
        let new = left.join(format!("moved {}/deeper {}", number % 3, number % 7));
        fs::create_dir_all(&new)?;
        fs::rename(left.join(name), new.join(format!("file {number}.txt")))?;
    }
    // A folder moves into one that was made a moment ago, and that one moves on at once.
    fs::create_dir(left.join("fresh"))?;
    fs::rename(left.join("folder 4"), left.join("fresh/folder 4"))?;
    fs::rename(left.join("fresh"), left.join("moved 0/fresh"))?;
    pair.same().await?;
    let files = Tree::read(&right)?.files();
    let names: BTreeSet<_> = files.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(
        (files.len(), names.len()),
        (300, 300),
        "none is lost or doubled"
    );
    let conflicts = pair.tandem(&["conflict", "list"]).await?;
    assert_eq!(conflicts.as_array().map(Vec::len), Some(0), "{conflicts}");
    pair.stop().await
}

/// Copies as `cp -a` does: with time, mode and all attributes, also those that agents keep their notes in.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp -a failed");
    Ok(())
}

#[tokio::test]
async fn r_cpy_1_a_copy_is_a_new_node_and_synced_only_inside_a_synced_folder() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("folder/a.txt"), "content of a")?;
    pair.start_in_sync(&[]).await?;
    let original = pair.tandem(&["member", "list"]).await?;
    copy(
        &right.join("folder/a.txt"),
        &pair.cloud().join("outside.txt"),
    )?;
    copy(
        &left.join("folder/a.txt"),
        &left.join("folder/made here.txt"),
    )?;
    copy(&right.join("folder/a.txt"), &right.join("made there.txt"))?;
    copy(&right.join("folder"), &right.join("folder, copied"))?;
    pair.same().await?;
    for copied in [
        "folder/made here.txt",
        "made there.txt",
        "folder, copied/a.txt",
    ] {
        assert_eq!(fs::read(left.join(copied))?, b"content of a", "{copied}");
        assert_eq!(fs::read(right.join(copied))?, b"content of a", "{copied}");
    }
    // The original is still the same member, and each copy is one of its own.
    write(&left.join("folder/a.txt"), "only a was edited")?;
    pair.same().await?;
    assert_eq!(fs::read(right.join("made there.txt"))?, b"content of a");
    assert_eq!(fs::read(pair.cloud().join("outside.txt"))?, b"content of a");
    let members = pair.tandem(&["member", "list"]).await?;
    let uids = |members: &Value| -> BTreeSet<String> {
        let members = members.as_array().cloned().unwrap_or_default();
        let uids = members.iter().filter_map(|member| member["uid"].as_str());
        uids.map(str::to_owned).collect()
    };
    let (before, after) = (uids(&original), uids(&members));
    assert!(before.is_subset(&after), "{members}");
    // The root, folder and a.txt; two copied documents; the copied folder and what is in it.
    assert_eq!((before.len(), after.len()), (3, 7), "{members}");
    pair.stop().await
}
