//! What `tandemd verify` finds, and that damaged content fails its own members only.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tandem_tests::pair::{PATIENCE, Pair, fill, write};
use tandem_tests::process::Launch;
use tandem_tests::program::Program;
use tandem_tests::tree::Tree;
use tandem_tests::wait::poll;

/// More than is kept in the database, so that it lies in an object.
const LARGE: usize = 300_000;

/// Runs `tandemd verify` on the data of a pair, which may be at work.
async fn verify(pair: &Pair, arguments: &[&str]) -> Result<(Option<i32>, Value)> {
    let data = pair.data();
    let mut process = Launch::of(Program::Tandemd)?
        .args(["verify", "--output", "json", "--log", "warn", "--data-dir"])
        .arg(&data)
        .args(arguments)
        .start(data.parent().context("a data directory at the top")?)?;
    let status = process.wait(PATIENCE).await?;
    let answer = serde_json::from_str(&process.lines().join(""));
    let answer = answer.with_context(|| process.log())?;
    Ok((status.code(), answer))
}

fn objects(content: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(content.join("blobs"))? {
        for object in fs::read_dir(folder?.path())? {
            found.push(object?.path());
        }
    }
    Ok(found)
}

async fn member(pair: &mut Pair, name: &str) -> Option<Value> {
    let members = pair.tandem(&["member", "list"]).await.ok()?;
    let mut members = members.as_array()?.iter();
    let found = members.find(|member| member["on_premise"]["name"] == name);
    found.cloned()
}

#[tokio::test]
async fn a_pair_at_work_is_as_it_must_be() -> Result<()> {
    let mut pair = Pair::new()?;
    let left = pair.contracts();
    fill(&left, 20)?;
    write(&left.join("large.bin"), vec![1; LARGE])?;
    pair.start_in_sync(&[]).await?;
    let writes = left.clone();
    let writing = std::thread::spawn(move || -> Result<()> {
        for number in 0..100 {
            write(
                &writes.join(format!("new/{number}.txt")),
                format!("{number}"),
            )?;
            fs::rename(
                writes.join(format!("new/{number}.txt")),
                writes.join(format!("folder 0/moved {number}.txt")),
            )?;
        }
        Ok(())
    });
    loop {
        let (code, answer) = verify(&pair, &[]).await?;
        assert_eq!(
            (code, &answer["found"]),
            (Some(0), &Value::Array(Vec::new()))
        );
        if writing.is_finished() {
            break;
        }
    }
    ensure!(
        writing.join().is_ok_and(|done| done.is_ok()),
        "the writer failed"
    );
    pair.same().await?;
    pair.stop().await?;
    let (code, answer) = verify(&pair, &[]).await?;
    assert_eq!(code, Some(0), "{answer}");
    assert!(answer["contents"].as_u64() >= Some(21), "{answer}");
    Ok(())
}

/// The object goes before its delivery: the member fails, everything else goes on, and the agent that has the content
/// sends it again when its repository is scanned.
#[tokio::test]
async fn r_cnt_1_missing_content_fails_its_members_only_and_is_found() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fill(&left, 3)?;
    pair.start_in_sync(&[]).await?;
    let set = pair.set().await?;
    let set = set["uid"].as_str().context("no uid")?.to_owned();
    pair.tandem(&["set", "pause", &set]).await?;
    write(&left.join("large.bin"), vec![1; LARGE])?;
    let content = pair.data().join("content");
    pair.until("the content is there, and not delivered", || {
        objects(&content).is_ok_and(|objects| objects.len() == 1)
    })
    .await?;
    poll(PATIENCE, "the member is noted", async || {
        member(&mut pair, "large.bin").await
    })
    .await?;
    fs::remove_file(&objects(&content)?[0])?;
    write(&left.join("small.txt"), "goes on")?;
    pair.tandem(&["set", "resume", &set]).await?;
    pair.until("the others go on", || right.join("small.txt").exists())
        .await?;
    let failed = poll(PATIENCE, "the member fails", async || {
        let member = member(&mut pair, "large.bin").await?;
        member
            .to_string()
            .contains("CONTENT_UNAVAILABLE")
            .then_some(member)
    });
    let failed = failed.await?;
    assert!(!right.join("large.bin").exists(), "{failed}");
    let (code, answer) = verify(&pair, &["--quick"]).await?;
    assert_eq!(code, Some(2), "{answer}");
    let found = answer["found"].as_array().context("no list")?;
    assert_eq!(found.len(), 1, "{answer}");
    assert_eq!(found[0]["fault"], "CONTENT_MISSING");
    let at = found[0]["at"].as_str().unwrap_or_default();
    let uid = failed["uid"].as_str().context("no uid")?;
    assert!(at.contains(uid), "{at} names {uid}");
    pair.tandem(&["repository", "scan", "on-premise"]).await?;
    pair.until("it is sent again, and delivered", || {
        right.join("large.bin").exists()
    })
    .await?;
    pair.same().await?;
    assert!(Tree::is_same(&left, &right));
    pair.stop().await?;
    let (code, answer) = verify(&pair, &[]).await?;
    assert_eq!(code, Some(0), "{answer}");
    Ok(())
}
