//! Backups of a coordinator that serves, and what comes back from one (R-AGT-4).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tandem_tests::pair::{PATIENCE, Pair, fill, write};
use tandem_tests::process::Launch;
use tandem_tests::program::Program;
use tandem_tests::tree::Tree;

/// More than rides inline or is kept in the database, so that it lies in an object.
const LARGE: usize = 300_000;

fn large(seed: u8) -> Vec<u8> {
    let bytes = (0..LARGE).map(|at| u8::try_from(at % 251).unwrap_or(0).wrapping_mul(seed | 1));
    bytes.collect()
}

/// How a command of `tandemd` ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `tandemd VERB --data-dir DATA ARGUMENTS… DIRECTORY`.
async fn tandemd(verb: &str, data: &Path, arguments: &[&str], directory: &Path) -> Result<Ended> {
    let logs = data.parent().context("a data directory at the top")?;
    let mut process = Launch::of(Program::Tandemd)?
        .named(verb)
        .args([verb, "--log", "warn", "--data-dir"])
        .arg(data)
        .args(arguments)
        .arg(directory)
        .start(logs)?;
    let status = process.wait(PATIENCE).await?;
    Ok(Ended {
        code: status.code(),
        output: process.lines().join("\n"),
        errors: process.error_output(),
    })
}

async fn back_up(pair: &Pair, name: &str) -> Result<PathBuf> {
    let backup = pair.data().with_extension(name);
    let ended = tandemd("backup", &pair.data(), &["--output", "json"], &backup).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["manifest"]["left_out"], 0);
    Ok(backup)
}

async fn put_back(pair: &Pair, backup: &Path) -> Result<Ended> {
    let arguments = ["--replace", "--output", "json"];
    tandemd("restore", &pair.data(), &arguments, backup).await
}

/// How often a repository began to be listed anew.
async fn generations(pair: &mut Pair) -> Result<usize> {
    let journal = pair.tandem(&["journal", "list"]).await?;
    let entries = journal.as_array().context("no list")?.iter();
    let begun = entries.filter(|entry| {
        let message = entry["message"].as_str().unwrap_or_default();
        message.contains("a new generation began")
    });
    Ok(begun.count())
}

/// I23: what was done since the backup stays done on the files, whatever the coordinator has forgotten.
#[tokio::test]
async fn r_agt_4_after_a_restore_nothing_is_lost_and_nothing_deleted() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 10)?;
    write(&left.join("large before.bin"), large(1))?;
    pair.start_in_sync(&["--delete-on-premise"]).await?;
    let backup = back_up(&pair, "backup").await?;
    // Since the backup, both sides, and in agreement.
    write(&left.join("folder 0/file 0.txt"), "edited on-premise")?;
    write(&right.join("folder 1/file 1.txt"), "edited on the cloud")?;
    write(&left.join("since/new.txt"), "new on-premise")?;
    write(&right.join("new large.bin"), large(2))?;
    fs::remove_file(left.join("folder 2/file 2.txt"))?;
    fs::remove_file(right.join("folder 3/file 3.txt"))?;
    pair.same().await?;
    pair.until("the deletions arrived", || {
        !left.join("folder 3/file 3.txt").exists() && !right.join("folder 2/file 2.txt").exists()
    })
    .await?;
    pair.stop().await?;
    // And while nobody looked.
    write(
        &left.join("folder 4/file 4.txt"),
        "edited while it was down",
    )?;
    fs::remove_file(right.join("folder 0/file 5.txt"))?;
    let before = Tree::read(&left)?;
    let restored = put_back(&pair, &backup).await?;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(restored.json()["repositories"], 2);
    let aside = restored.json()["put_aside"].as_array().map_or(0, Vec::len);
    assert!(aside >= 2, "database and content are kept: {restored:?}");
    pair.start(&["--delete-on-premise"])?;
    pair.event("ready").await?;
    pair.until("what one side lacked is made again", || {
        right.join("folder 0/file 5.txt").exists()
    })
    .await?;
    pair.same().await?;
    assert_eq!(generations(&mut pair).await?, 2);
    let after = Tree::read(&left)?;
    assert_eq!(after, before, "and what both sides deleted stays deleted");
    write(&left.join("since/new.txt"), "and edited after the restore")?;
    pair.same().await?;
    pair.stop().await
}

/// Neither batch numbers nor keys differ: only the mark of the restore tells.
#[tokio::test]
async fn r_agt_4_a_restore_is_noticed_by_agents_that_sent_nothing_since() -> Result<()> {
    let mut pair = Pair::new()?;
    fill(&pair.contracts(), 5)?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    let backup = back_up(&pair, "backup").await?;
    let restored = put_back(&pair, &backup).await?;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    pair.start_in_sync(&[]).await?;
    assert_eq!(generations(&mut pair).await?, 2);
    pair.stop().await?;
    pair.start_in_sync(&[]).await?;
    assert_eq!(generations(&mut pair).await?, 2, "each is listed anew once");
    pair.stop().await
}

#[tokio::test]
async fn r_cnt_1_content_that_a_backup_lost_is_asked_for_again() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("large.bin"), large(1))?;
    pair.start_in_sync(&[]).await?;
    let backup = back_up(&pair, "backup").await?;
    pair.stop().await?;
    let object = fs::read_dir(backup.join("content/blobs"))?
        .next()
        .context("no object in the backup")??;
    let object = fs::read_dir(object.path())?.next().context("no object")??;
    write(&object.path(), vec![0; LARGE])?;
    let restored = put_back(&pair, &backup).await?;
    assert_eq!(restored.code, Some(2), "{restored:?}");
    assert_eq!(restored.json()["left_out"][0]["is"], "damaged");
    fs::remove_file(right.join("large.bin"))?;
    pair.start(&[])?;
    pair.event("ready").await?;
    pair.until("the cloud copy is made again", || {
        right.join("large.bin").exists()
    })
    .await?;
    pair.same().await?;
    pair.stop().await
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_a_restore_only_when_told() -> Result<()> {
    let mut pair = Pair::new()?;
    fill(&pair.contracts(), 3)?;
    pair.start_in_sync(&[]).await?;
    let backup = back_up(&pair, "backup").await?;
    let again = tandemd("backup", &pair.data(), &[], &backup).await?;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.errors.contains("is there already"), "{again:?}");
    let served = tandemd("restore", &pair.data(), &["--replace"], &backup).await?;
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(
        served.errors.contains("another coordinator serves"),
        "{served:?}"
    );
    pair.stop().await?;
    let over = tandemd("restore", &pair.data(), &[], &backup).await?;
    assert_eq!(over.code, Some(1), "{over:?}");
    assert!(over.errors.contains("--replace"), "{over:?}");
    let elsewhere = pair.data().with_extension("elsewhere");
    let restored = tandemd("restore", &elsewhere, &[], &backup).await?;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(restored.output.contains("listed anew"), "{restored:?}");
    let mut byte = fs::read(backup.join("tandem.db"))?;
    byte[5_000] ^= 1;
    fs::write(backup.join("tandem.db"), byte)?;
    let before = fs::read(pair.data().join("tandem.db"))?;
    let damaged = tandemd("restore", &pair.data(), &["--replace"], &backup).await?;
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(
        damaged
            .errors
            .contains("not the one that its manifest names"),
        "{damaged:?}"
    );
    assert_eq!(fs::read(pair.data().join("tandem.db"))?, before);
    Ok(())
}

#[tokio::test]
async fn what_a_restore_left_half_done_is_not_served() -> Result<()> {
    let pair = Pair::new()?;
    fs::create_dir_all(pair.data())?;
    fs::write(pair.data().join("tandem.db.restoring"), "half")?;
    let logs = pair.data().with_extension("logs");
    fs::create_dir(&logs)?;
    let mut process = Launch::of(Program::Tandemd)?
        .args([
            "serve",
            "--migrate",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(pair.data())
        .start(&logs)?;
    let status = process.wait(PATIENCE).await?;
    assert_eq!(status.code(), Some(1));
    let errors = process.error_output();
    assert!(errors.contains("run `tandemd restore` again"), "{errors}");
    Ok(())
}
