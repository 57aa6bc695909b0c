//! Check-out and check-in: nothing waits for them, and what is checked in is an ordinary change; an online edit is waited
//! for (R-LCK-2).

use std::fs;

use anyhow::{Context, Result};
use tandem_client::agent::memory::{MemoryRepository, Rules};
use tandem_client::error::Error;
use tandem_proto::v1::{ErrorReason, Hold, JournalKind, UnsyncSyncSetRequest};
use tandem_tests::memory_pair::{FOLDER, MemoryPair, NETWORK};
use tandem_tests::pair::{PATIENCE, Pair, write};
use tandem_tests::wait::poll;

const DOCUMENT: &str = "contracts/a.txt";

/// A pair with one document that is the same on both sides.
async fn pair() -> Result<MemoryPair> {
    let pair = MemoryPair::start(Rules::default()).await?;
    pair.left()
        .with(|tree| tree.create_document(&pair.folder, "a.txt", "first"))?;
    pair.same().await?;
    Ok(pair)
}

/// Somebody checks the document out, and writes into the working copy.
fn check_out(repository: &MemoryRepository, text: &'static str) -> Result<String> {
    let node = repository.with(|tree| tree.find(DOCUMENT));
    let node = node.context("there is no document")?;
    let working_copy = repository.with(|tree| tree.check_out(&node))?;
    repository.with(|tree| tree.write(&working_copy, text))?;
    Ok(working_copy)
}

fn holds(repository: &MemoryRepository, text: &str) -> bool {
    repository.with(|tree| {
        let content = tree.find(DOCUMENT).and_then(|node| tree.content(&node));
        content.as_deref() == Some(text.as_bytes())
    })
}

async fn assert_no_failure(pair: &MemoryPair) -> Result<()> {
    let journal = pair.coordinator.journal(NETWORK).await?;
    let failed = journal
        .iter()
        .any(|entry| entry.kind() == JournalKind::Failed);
    assert!(!failed, "{journal:?}");
    pair.assert_no_conflict().await
}

#[tokio::test]
async fn r_lck_2_a_check_out_blocks_nothing_and_its_working_copy_is_no_member() -> Result<()> {
    let pair = pair().await?;
    let working_copy = check_out(pair.right(), "theirs")?;
    let document = pair
        .left()
        .with(|tree| tree.find(DOCUMENT))
        .unwrap_or_default();
    pair.left().with(|tree| tree.write(&document, "ours"))?;
    pair.until("what is checked out is changed", || {
        holds(pair.right(), "ours")
    })
    .await?;
    let members = pair.coordinator.members(NETWORK).await?;
    assert_eq!(members.len(), 2, "the folder and the document: {members:?}");
    pair.right().with(|tree| tree.check_in(&working_copy))?;
    pair.until("the check-in is pulled", || holds(pair.left(), "theirs"))
        .await?;
    pair.same().await?;
    assert_no_failure(&pair).await
}

#[tokio::test]
async fn r_lck_2_of_two_overlapping_check_outs_the_later_check_in_holds_on_both_sides() -> Result<()>
{
    for cloud_is_later in [true, false] {
        let pair = pair().await?;
        let on_premise = (pair.left(), check_out(pair.left(), "ours")?);
        let cloud = (pair.right(), check_out(pair.right(), "theirs")?);
        let (earlier, later, texts) = match cloud_is_later {
            true => (on_premise, cloud, ["ours", "theirs"]),
            false => (cloud, on_premise, ["theirs", "ours"]),
        };
        earlier.0.with(|tree| tree.check_in(&earlier.1))?;
        pair.until("the earlier one is on both sides", || {
            holds(pair.left(), texts[0]) && holds(pair.right(), texts[0])
        })
        .await?;
        later.0.with(|tree| tree.check_in(&later.1))?;
        pair.until("the later one is on both sides", || {
            holds(pair.left(), texts[1]) && holds(pair.right(), texts[1])
        })
        .await?;
        pair.same().await?;
        assert_no_failure(&pair).await?;
        pair.on_premise.stop().await?;
        pair.cloud.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn r_uns_1_what_is_checked_out_on_the_cloud_is_not_removed() -> Result<()> {
    let pair = pair().await?;
    let working_copy = check_out(pair.right(), "theirs")?;
    let members = pair.coordinator.members(NETWORK).await?;
    let member = members.first().context("there are no members")?;
    let (set, _) = member
        .name
        .split_once("/members/")
        .context("it has no set")?;
    let mut sets = pair.coordinator.operator().await?.sync_sets();
    let request = UnsyncSyncSetRequest {
        name: set.to_owned(),
        remove_cloud_copy: true,
    };
    let refused = sets.unsync_sync_set(request.clone()).await;
    let refused = Error::from(refused.expect_err("it is checked out"));
    assert!(refused.is(ErrorReason::WrongState), "{refused:?}");
    assert!(refused.message().contains("CHECKED_OUT"), "{refused:?}");
    pair.right().with(|tree| tree.check_in(&working_copy))?;
    pair.until("the check-in is pulled", || holds(pair.left(), "theirs"))
        .await?;
    sets.unsync_sync_set(request).await?;
    pair.until("the cloud copy is gone", || {
        pair.right().with(|tree| tree.find(FOLDER)).is_none()
    })
    .await?;
    assert!(holds(pair.left(), "theirs"));
    Ok(())
}

#[tokio::test]
async fn r_lck_2_lock_files_of_office_programs_are_check_outs_and_never_synced() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("a.odt"), "first")?;
    pair.start_in_sync(&[]).await?;
    let lock = right.join(".~lock.a.odt#");
    write(&lock, ",somebody,somewhere,26.11.2026 10:00,;")?;
    write(&right.join("a.odt"), "saved while it is open")?;
    let saved = || fs::read(left.join("a.odt")).is_ok_and(|text| text.starts_with(b"saved"));
    pair.until("what is saved is pulled", saved).await?;
    write(&right.join("marker.txt"), "after the lock file")?;
    pair.until("the marker is pulled", || left.join("marker.txt").exists())
        .await?;
    assert!(!left.join(".~lock.a.odt#").exists());
    let working_copy = "a working copy is never synced";
    let expected = "contracts/.~lock.a.odt#".to_owned();
    assert_eq!(pair.skipped().await?, [(expected, working_copy.to_owned())]);
    let set = pair.set().await?;
    let set = set["uid"]
        .as_str()
        .context("a set without a uid")?
        .to_owned();
    let unsync = ["set", "unsync", &set, "--remove-cloud-copy"];
    let refused = pair.tandem(&unsync).await.expect_err("it is checked out");
    assert!(refused.to_string().contains("CHECKED_OUT"), "{refused}");
    fs::remove_file(&lock)?;
    pair.tandem(&unsync).await?;
    pair.until("the cloud copy is gone", || !right.exists())
        .await?;
    assert!(saved());
    // Its set is gone: it may have ended by itself, and says so.
    pair.kill().await
}

/// Waits until the document shows that it waits for an online edit.
async fn held(pair: &MemoryPair) -> Result<()> {
    let shown = poll(PATIENCE, "the document is held", async || {
        let members = pair.coordinator.members(NETWORK).await.ok()?;
        let held = |hold| hold == Hold::Editing;
        members
            .iter()
            .any(|member| held(member.hold()))
            .then_some(())
    });
    shown.await
}

#[tokio::test]
async fn r_lck_2_an_online_edit_on_the_cloud_is_waited_for_by_both_sides() -> Result<()> {
    let pair = pair().await?;
    let [left, right] = [pair.left(), pair.right()].map(|repository| {
        let node = repository.with(|tree| tree.find(DOCUMENT));
        (repository, node.unwrap_or_default())
    });
    right.0.with(|tree| {
        tree.set_edited(&right.1, true);
        tree.write(&right.1, "a draft")
    })?;
    held(&pair).await?;
    right.0.with(|tree| tree.write(&right.1, "finished"))?;
    assert!(holds(pair.left(), "first"), "drafts do not go out");
    right.0.with(|tree| tree.set_edited(&right.1, false));
    pair.until("what was written is pulled", || {
        holds(pair.left(), "finished")
    })
    .await?;
    pair.same().await?;
    // The other way round: nothing is delivered to a copy that is being edited.
    right.0.with(|tree| tree.set_edited(&right.1, true));
    left.0.with(|tree| tree.write(&left.1, "ours"))?;
    held(&pair).await?;
    assert!(holds(pair.right(), "finished"));
    right.0.with(|tree| tree.set_edited(&right.1, false));
    pair.until("what waited is pushed", || holds(pair.right(), "ours"))
        .await?;
    pair.same().await?;
    assert_no_failure(&pair).await
}
