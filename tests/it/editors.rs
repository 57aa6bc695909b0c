//! How programs save, and what people do while nobody looks.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tandem_tests::pair::{Pair, write};

/// The node ids of all members by name, as the coordinator sees them.
async fn members(pair: &mut Pair) -> Result<Vec<(String, String)>> {
    let members = pair.tandem(&["member", "list"]).await?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (text(&member["on_premise"]["name"]), text(&member["uid"])))
        .collect())
}

fn uid_of(members: &[(String, String)], name: &str) -> String {
    members
        .iter()
        .find(|(known, _)| known == name)
        .unwrap()
        .1
        .clone()
}

/// Writes beside, renames the old one away, renames the new one in, removes the old one.
fn office_save(path: &Path, content: &str) -> Result<()> {
    let (new, old) = (path.with_extension("tmp"), path.with_extension("bak"));
    fs::write(&new, content)?;
    fs::rename(path, &old)?;
    fs::rename(&new, path)?;
    Ok(fs::remove_file(&old)?)
}

/// Writes beside and renames over the old one.
fn vim_save(path: &Path, content: &str) -> Result<()> {
    let new = path.with_extension("swp");
    fs::write(&new, content)?;
    Ok(fs::rename(&new, path)?)
}

#[tokio::test]
async fn a_save_that_puts_a_new_file_in_the_old_ones_place_keeps_the_member() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("vim.txt"), "1")?;
    write(&left.join("office.txt"), "1")?;
    pair.start_in_sync(&[]).await?;
    let before = members(&mut pair).await?;
    vim_save(&left.join("vim.txt"), "saved by vim")?;
    office_save(&left.join("office.txt"), "saved by office")?;
    let saved = [right.join("vim.txt"), right.join("office.txt")];
    pair.until("both saves arrived", || {
        saved
            .iter()
            .all(|file| fs::read(file).is_ok_and(|content| content.starts_with(b"saved")))
    })
    .await?;
    pair.same().await?;
    let after = members(&mut pair).await?;
    for name in ["vim.txt", "office.txt"] {
        assert_eq!(uid_of(&before, name), uid_of(&after, name), "{name}");
    }
    pair.stop().await
}

#[tokio::test]
async fn r_rec_10_two_names_are_swapped_while_the_peer_is_away() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("a"), "was a")?;
    write(&left.join("b"), "was b")?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    fs::rename(left.join("a"), left.join("c"))?;
    fs::rename(left.join("b"), left.join("a"))?;
    fs::rename(left.join("c"), left.join("b"))?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert_eq!(fs::read(right.join("a"))?, b"was b");
    assert_eq!(fs::read(right.join("b"))?, b"was a");
    let conflicts = pair.tandem(&["conflict", "list"]).await?;
    assert_eq!(conflicts.as_array().unwrap().len(), 0, "{conflicts}");
    pair.stop().await
}

#[tokio::test]
async fn r_mov_5_a_folder_and_the_folder_in_it_change_places() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("a/in a.txt"), "x")?;
    write(&left.join("a/b/in b.txt"), "y")?;
    pair.start_in_sync(&[]).await?;
    let before = members(&mut pair).await?;
    pair.stop().await?;
    fs::rename(left.join("a/b"), left.join("b"))?;
    fs::rename(left.join("a"), left.join("b/a"))?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert!(right.join("b/a/in a.txt").exists() && right.join("b/in b.txt").exists());
    let after = members(&mut pair).await?;
    assert_eq!(uid_of(&before, "a"), uid_of(&after, "a"));
    pair.stop().await
}

#[tokio::test]
async fn a_new_file_with_the_number_of_a_deleted_one_is_another_node() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("old.txt"), "old")?;
    write(&left.join("stays.txt"), "stays")?;
    pair.start_in_sync(&[]).await?;
    let before = members(&mut pair).await?;
    pair.stop().await?;
    fs::remove_file(left.join("old.txt"))?;
    // ext4 gives a freed inode number out again at once.
    write(&left.join("new.txt"), "new")?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert!(!right.join("old.txt").exists());
    let after = members(&mut pair).await?;
    assert_ne!(uid_of(&before, "old.txt"), uid_of(&after, "new.txt"));
    pair.stop().await
}
