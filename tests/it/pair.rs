//! Two directories through real programs: what a newcomer does first.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tandem_tests::generate;
use tandem_tests::pair::{Pair, write};
use tandem_tests::tree::Tree;

#[tokio::test]
async fn a_tree_is_mirrored_and_changes_flow_both_ways() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("a.txt"), "one")?;
    write(&left.join("deep/er/b.txt"), "two")?;
    write(&left.join("large.bin"), vec![7; 300_000])?;
    fs::create_dir(left.join("empty"))?;
    pair.start_in_sync(&[]).await?;
    Tree::assert_same(&left, &right);

    write(&left.join("a.txt"), "one, changed")?;
    write(&right.join("from cloud.txt"), "hello")?;
    write(&right.join("deep/er/b.txt"), "two, changed on the cloud")?;
    pair.same().await?;
    assert_eq!(fs::read(left.join("from cloud.txt"))?, b"hello");
    assert_eq!(
        fs::read(left.join("deep/er/b.txt"))?,
        b"two, changed on the cloud"
    );

    fs::rename(left.join("deep"), left.join("renamed"))?;
    fs::remove_file(left.join("a.txt"))?;
    pair.same().await?;
    assert!(right.join("renamed/er/b.txt").exists() && !right.join("a.txt").exists());
    pair.stop().await
}

#[tokio::test]
async fn once_ends_when_both_sides_are_the_same_and_goes_on_where_it_stopped() -> Result<()> {
    let pair = Pair::new()?;
    write(&pair.contracts().join("a.txt"), "one")?;
    let first = pair.once(&[]).await?;
    assert_eq!(first.code, Some(0), "{first:?}");
    Tree::assert_same(&pair.contracts(), &pair.mirror());

    write(&pair.contracts().join("a.txt"), "changed while nothing ran")?;
    fs::create_dir(pair.mirror().join("new folder"))?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(0), "{second:?}");
    Tree::assert_same(&pair.contracts(), &pair.mirror());
    assert!(pair.contracts().join("new folder").is_dir());
    Ok(())
}

#[tokio::test]
async fn once_ends_with_code_2_when_what_is_left_waits_for_what_failed() -> Result<()> {
    let pair = Pair::new()?;
    write(&pair.contracts().join("a.txt"), "a")?;
    assert_eq!(pair.once(&[]).await?.code, Some(0));
    // Two folders of one name clash, and what is in them waits for them.
    write(&pair.contracts().join("docs/ours.txt"), "ours")?;
    write(&pair.mirror().join("docs/theirs.txt"), "theirs")?;
    let clash = pair.once(&[]).await?;
    assert_eq!(clash.code, Some(2), "{clash:?}");
    fs::rename(pair.mirror().join("docs"), pair.mirror().join("theirs"))?;
    let healed = pair.once(&[]).await?;
    assert_eq!(healed.code, Some(0), "{healed:?}");
    assert!(pair.mirror().join("docs/ours.txt").exists());
    assert!(pair.contracts().join("theirs/theirs.txt").exists());
    Ok(())
}

#[tokio::test]
async fn it_ends_with_an_error_when_an_agent_has_given_up() -> Result<()> {
    for side in ["on-premise", "cloud"] {
        let mut pair = Pair::new()?;
        write(&pair.contracts().join("a.txt"), "a")?;
        pair.start_in_sync(&[]).await?;
        let tokens = pair.tandem(&["token", "list"]).await?;
        let tokens = tokens.as_array().context("no list")?;
        let of_agent = |token: &&Value| {
            let repository = token["repository"].as_str().unwrap_or_default();
            repository.ends_with(side)
        };
        let token = tokens.iter().find(of_agent).context("no token")?;
        let token = token["name"].as_str().context("no name")?;
        pair.tandem(&["token", "revoke", token]).await?;
        let (code, said) = pair.ended().await?;
        assert_eq!(code, Some(1), "{said}");
        let expected = format!("the {side} agent has given up");
        assert!(said.contains(&expected), "{said}");
    }
    Ok(())
}

/// Reading this much takes longer than both agents have to be quiet.
const LARGE_BYTES: usize = 128 * 1024 * 1024;

#[tokio::test]
async fn once_does_not_end_while_a_large_change_is_still_being_read() -> Result<()> {
    let pair = Pair::new()?;
    write(&pair.contracts().join("large"), "small yet")?;
    assert_eq!(pair.once(&[]).await?.code, Some(0));
    generate::large_file(&pair.contracts().join("large"), 1, LARGE_BYTES)?;
    let second = pair.once(&[]).await?;
    assert_eq!(second.code, Some(0), "{second:?}");
    Tree::assert_same(&pair.contracts(), &pair.mirror());
    Ok(())
}

#[tokio::test]
async fn r_rec_9_a_name_clash_fails_both_overwrites_nothing_and_heals_by_a_rename() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("keep.txt"), "keep")?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    write(&left.join("same.txt"), "from on-premise")?;
    write(&right.join("same.txt"), "from the cloud")?;
    let clash = pair.once(&[]).await?;
    assert_eq!(clash.code, Some(2), "{clash:?}");
    let failed = &clash
        .events
        .iter()
        .find(|event| event["event"] == "failed")
        .unwrap()["members"];
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
    assert_eq!(failed[0]["reason"], "TARGET_FOLDER_NAME_CLASH");
    assert!(failed[0]["remedy"].as_str().unwrap().contains("rename"));
    let sides: Vec<_> = failed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["side"])
        .collect();
    assert!(
        sides.contains(&&json!("CLOUD")) && sides.contains(&&json!("ON_PREMISE")),
        "{failed}"
    );
    let tried_again = failed[0]["tried_again"].as_str().unwrap();
    assert!(tried_again.ends_with("when the cause is seen to change"));
    let table = pair.once_for_people(&[]).await?;
    assert!(
        table.contains("same.txt") && table.contains("rename one of the two nodes"),
        "{table}"
    );
    assert_eq!(fs::read(left.join("same.txt"))?, b"from on-premise");
    assert_eq!(fs::read(right.join("same.txt"))?, b"from the cloud");

    pair.start(&[])?;
    pair.event("failed").await?;
    fs::rename(right.join("same.txt"), right.join("other.txt"))?;
    pair.same().await?;
    assert_eq!(fs::read(left.join("other.txt"))?, b"from the cloud");
    assert_eq!(fs::read(right.join("same.txt"))?, b"from on-premise");
    pair.stop().await
}

#[tokio::test]
async fn r_mem_1_what_is_skipped_is_listed_with_its_reason_and_is_no_failure() -> Result<()> {
    let mut pair = Pair::new()?;
    let left = pair.contracts();
    write(&left.join("sub/a.txt"), "one")?;
    std::os::unix::fs::symlink("a.txt", left.join("sub/link"))?;
    let _socket = std::os::unix::net::UnixListener::bind(left.join("socket"))?;
    let once = pair.once(&[]).await?;
    assert_eq!(once.code, Some(0), "{once:?}");
    let skipped = once.events.iter().find(|event| event["event"] == "skipped");
    let mut found: Vec<_> = skipped.unwrap()["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| ["path", "side", "reason"].map(|key| node[key].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    let special = "a socket, device or pipe has no content to sync";
    assert_eq!(
        found,
        [
            ["contracts/socket", "ON_PREMISE", special],
            [
                "contracts/sub/link",
                "ON_PREMISE",
                "a link is never followed"
            ],
        ]
    );
    let table = pair.once_for_people(&[]).await?;
    assert!(
        table.contains("contracts/sub/link") && table.contains(special),
        "{table}"
    );
    pair.start_in_sync(&[]).await?;
    let sets = pair.tandem(&["set", "list"]).await?;
    let set = sets[0]["name"].as_str().unwrap();
    let listed = pair.tandem(&["member", "skipped", set]).await?;
    let items = listed.as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed}");
    assert!(
        items
            .iter()
            .any(|item| item["path"] == "contracts/sub/link")
    );
    pair.stop().await
}

#[tokio::test]
async fn r_con_1_the_cloud_wins_and_the_loser_can_be_restored() -> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("contract.txt"), "first")?;
    pair.start_in_sync(&[]).await?;
    pair.stop().await?;
    write(&left.join("contract.txt"), "edited on-premise")?;
    write(&right.join("contract.txt"), "edited on the cloud")?;
    pair.start_in_sync(&[]).await?;
    pair.same().await?;
    assert_eq!(fs::read(left.join("contract.txt"))?, b"edited on the cloud");

    let conflicts = pair.tandem(&["conflict", "list"]).await?;
    let conflicts = conflicts.as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    let uid = conflicts[0]["uid"].as_str().unwrap().to_owned();
    pair.tandem(&["conflict", "restore", &uid]).await?;
    let restored = right.join("contract.txt");
    pair.until("the loser is back on the cloud", || {
        fs::read(&restored).is_ok_and(|content| content == b"edited on-premise")
    })
    .await?;
    pair.same().await?;
    pair.stop().await
}
