//! Policies of sets through real programs and agents (R-CON-2, R-CON-3, R-REC-9).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use anyhow::{Context, Result};
use tandem_client::agent::memory::{ROOT, Rules};
use tandem_client::agent::repository::Repository;
use tandem_proto::v1::{ConflictPolicy, Side, SyncSetOptions};
use tandem_tests::agents::{TaskAgent, listing, memory};
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, Pair, write};
use tandem_tests::tree::Tree;
use tandem_tests::wait::eventually;

const NETWORK: &str = "acme";
const FOLDER: &str = "contracts";
/// More than rides inline.
const LARGE: usize = 100_000;

#[tokio::test]
async fn r_con_3_on_premise_wins_and_the_clouds_agent_archives_the_loser_with_its_comment()
-> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let (left, right) = (
        memory(Side::OnPremise, Rules::default()),
        memory(Side::Cloud, Rules::default()),
    );
    let folder = left.with(|tree| tree.create_folder(ROOT, FOLDER))?;
    let node = left.with(|tree| tree.create_document(&folder, "a.txt", "first"))?;
    let _on_premise =
        TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, Arc::clone(&left)).await?;
    let cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, Arc::clone(&right)).await?;
    let options = SyncSetOptions {
        conflict_policy: ConflictPolicy::OnPremiseWins.into(),
        ..SyncSetOptions::default()
    };
    coordinator.create_set(NETWORK, FOLDER, options).await?;
    let peer = || right.with(|tree| tree.find("contracts/a.txt"));
    let done = eventually(PATIENCE, "it is on the cloud", || peer().is_some()).await;
    done.with_context(|| coordinator.log())?;
    let peer = peer().context("it was there")?;

    cloud.stop().await?;
    left.with(|tree| tree.write(&node, "ours"))?;
    right.with(|tree| tree.write(&peer, "theirs"))?;
    let _cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, Arc::clone(&right)).await?;
    let both = eventually(PATIENCE, "on-premise wins on both sides", || {
        right.with(|tree| tree.content(&peer)) == Some("ours".into())
    });
    both.await.with_context(|| coordinator.log())?;
    assert_eq!(listing(&left, FOLDER), listing(&right, FOLDER));
    let archived = right.versions(&peer, "", 10).await?.0;
    let comments: Vec<&str> = archived.iter().map(|one| one.comment.as_str()).collect();
    assert!(
        comments
            .iter()
            .any(|comment| comment.starts_with("synced with conflict by")),
        "{comments:?}"
    );
    let conflicts = coordinator.tandem(NETWORK, &["conflict", "list"]).await?;
    assert_eq!(conflicts[0]["winner"], "ON_PREMISE");
    assert_eq!(conflicts[0]["policy"], "ON_PREMISE_WINS");
    Ok(())
}

/// A pair in sync, with these flags, that holds a small file and a large one, and is stopped.
async fn stopped(flags: &[&str]) -> Result<Pair> {
    let pair = Pair::new()?;
    write(&pair.contracts().join("small.txt"), "first")?;
    write(&pair.contracts().join("f/large.bin"), vec![1; LARGE])?;
    let first = pair.once(flags).await?;
    assert_eq!(first.code, Some(0), "{first:?}");
    Ok(pair)
}

#[tokio::test]
async fn r_con_3_keep_both_makes_siblings_of_small_and_of_large_losers() -> Result<()> {
    let pair = stopped(&["--conflict-policy", "keep-both"]).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("small.txt"), "ours")?;
    write(&right.join("small.txt"), "theirs")?;
    write(&left.join("f/large.bin"), vec![2; LARGE])?;
    write(&right.join("f/large.bin"), vec![3; LARGE])?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(0), "{second:?}");
    Tree::assert_same(&left, &right);
    let read = |path: &str| fs::read(right.join(path));
    assert_eq!(read("small.txt")?, b"theirs");
    assert_eq!(read("small (on-premise conflict 1).txt")?, b"ours");
    assert_eq!(read("f/large.bin")?, vec![3; LARGE]);
    assert_eq!(read("f/large (on-premise conflict 1).bin")?, vec![2; LARGE]);
    Ok(())
}

#[tokio::test]
async fn r_con_3_manual_ends_once_with_code_2_and_is_resolved_by_command() -> Result<()> {
    let mut pair = stopped(&["--conflict-policy", "manual"]).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("small.txt"), "ours")?;
    write(&right.join("small.txt"), "theirs")?;
    write(&left.join("other.txt"), "flows")?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(2), "{second:?}");
    let failed = second
        .events
        .iter()
        .find(|event| event["event"] == "failed");
    let failed = failed.context("it says what is left")?;
    assert_eq!(failed["open_conflicts"], 1, "{failed}");
    assert_eq!(fs::read(left.join("small.txt"))?, b"ours");
    assert_eq!(fs::read(right.join("small.txt"))?, b"theirs");
    assert_eq!(fs::read(right.join("other.txt"))?, b"flows");
    let told = pair.once_for_people(&[]).await?;
    assert!(told.contains("wait for a decision: 1."), "{told}");

    pair.start(&[])?;
    pair.event("failed").await?;
    let conflicts = pair.tandem(&["conflict", "list"]).await?;
    assert_eq!(conflicts[0]["state"], "OPEN");
    let uid = conflicts[0]["uid"]
        .as_str()
        .context("a conflict without a uid")?;
    let members = pair.tandem(&["member", "list"]).await?;
    let members = members.as_array().context("no members")?;
    let waiting = members
        .iter()
        .filter(|one| one["hold"] == "MANUAL_CONFLICT");
    assert_eq!(waiting.count(), 1, "{members:?}");
    let keep = ["conflict", "resolve", uid, "--keep", "on-premise"];
    let decided = pair.tandem(&keep).await?;
    assert_eq!(decided["winner"], "ON_PREMISE");
    pair.same().await?;
    assert_eq!(fs::read(right.join("small.txt"))?, b"ours");
    let other = ["conflict", "resolve", uid, "--keep", "cloud"];
    let refused = pair.tandem(&other).await.unwrap_err();
    assert!(refused.to_string().contains("RESOLVED"), "{refused}");
    pair.stop().await
}

#[tokio::test]
async fn r_con_2_a_new_name_here_and_new_content_there_are_put_together() -> Result<()> {
    let pair = stopped(&["--conflict-grain", "per-field"]).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    fs::rename(left.join("f/large.bin"), left.join("moved.bin"))?;
    write(&right.join("f/large.bin"), vec![4; LARGE])?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(0), "{second:?}");
    Tree::assert_same(&left, &right);
    assert_eq!(fs::read(left.join("moved.bin"))?, vec![4; LARGE]);
    Ok(())
}

#[tokio::test]
async fn r_rec_9_r_uns_2_equal_trees_are_adopted_and_what_differs_fails() -> Result<()> {
    let pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    for side in [&left, &right] {
        write(&side.join("small.txt"), "same")?;
        write(&side.join("f/large.bin"), vec![1; LARGE])?;
    }
    write(&right.join("f/only there.txt"), "there")?;
    let inode = |path| fs::metadata(right.join(path)).map(|found| found.ino());
    let before = [inode("small.txt")?, inode("f/large.bin")?];
    let adopt = ["--name-clash-policy", "adopt-identical"];
    let first = pair.once(&adopt).await?;
    assert_eq!(first.code, Some(0), "{first:?}");
    Tree::assert_same(&left, &right);
    assert_eq!([inode("small.txt")?, inode("f/large.bin")?], before);
    assert!(left.join("f/only there.txt").exists());

    write(&left.join("new.txt"), "ours")?;
    write(&right.join("new.txt"), "theirs")?;
    let clash = pair.once(&[]).await?;
    assert_eq!(clash.code, Some(2), "{clash:?}");
    Ok(())
}

#[tokio::test]
async fn r_rec_9_the_on_premise_newcomer_is_renamed_in_the_directory() -> Result<()> {
    let pair = stopped(&["--name-clash-policy", "rename"]).await?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("docs/new.txt"), "ours")?;
    write(&right.join("docs/new.txt"), "theirs")?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(0), "{second:?}");
    Tree::assert_same(&left, &right);
    assert_eq!(fs::read(left.join("docs (1)/new.txt"))?, b"ours");
    assert_eq!(fs::read(left.join("docs/new.txt"))?, b"theirs");
    Ok(())
}
