//! A synced folder that leaves its site library, and comes back (R-MOV-1).

use anyhow::{Context, Result};
use tandem_client::agent::memory::{PRIVATE, ROOT, Rules};
use tandem_proto::v1::{FailureReason, Hold, Member, MemberState};
use tandem_tests::memory_pair::{FOLDER, MemoryPair, NETWORK};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::poll;

/// Waits until the member of this name is in this state, and answers it.
async fn member(pair: &MemoryPair, name: &str, state: MemberState) -> Result<Member> {
    let found = poll(PATIENCE, "the member is in that state", async || {
        let members = pair.coordinator.members(NETWORK).await.ok()?;
        let named = |member: &&Member| {
            let node = member.on_premise.as_ref();
            node.is_some_and(|node| node.path.ends_with(name)) && member.state() == state
        };
        members.iter().find(named).cloned()
    });
    let found = found.await;
    let story = pair.coordinator.story(NETWORK).await?;
    found.with_context(|| format!("{name} {state:?}\n{story}"))
}

#[tokio::test]
async fn r_mov_1_a_folder_outside_every_library_fails_until_it_is_back_and_loses_nothing()
-> Result<()> {
    for cloud in [false, true] {
        let pair = MemoryPair::start(Rules::default()).await?;
        let node = pair
            .left()
            .with(|tree| tree.create_document(&pair.folder, "a.txt", "first"))?;
        pair.same().await?;
        let moved = if cloud { pair.right() } else { pair.left() };
        let root = moved.with(|tree| tree.find(FOLDER)).unwrap_or_default();
        moved.with(|tree| tree.move_to(&root, PRIVATE))?;
        let failed = member(&pair, FOLDER, MemberState::Failed).await?;
        let failure = failed.failure.unwrap_or_default();
        assert_eq!(failure.reason(), FailureReason::UnsupportedNode);
        let side = if cloud { "cloud" } else { "on-premise" };
        assert!(failure.detail.contains(side), "{failure:?}");

        pair.left().with(|tree| tree.write(&node, "second"))?;
        let waits = member(&pair, "a.txt", MemberState::Pending).await?;
        assert_eq!(waits.hold(), Hold::Parent);

        moved.with(|tree| tree.move_to(&root, ROOT))?;
        pair.same().await?;
        let copy = pair.right().with(|tree| tree.find("contracts/a.txt"));
        let content = copy.and_then(|copy| pair.right().with(|tree| tree.content(&copy)));
        assert_eq!(content.as_deref(), Some(&b"second"[..]));
        pair.assert_no_conflict().await?;
        pair.on_premise.stop().await?;
        pair.cloud.stop().await?;
    }
    Ok(())
}
