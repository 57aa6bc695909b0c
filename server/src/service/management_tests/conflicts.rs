//! Conflicts, versions, and bringing losers back.

use crate::domain::access::{Role, Side};
use crate::domain::conflict::ConflictKind;
use crate::domain::ids::ConflictId;
use crate::domain::sync_set::Options;
use crate::service::Error;
use crate::service::sync_sets::SetView;
use crate::service::testing::{Fixture, absent, content_ref, present};

fn edited(node: &str, parent: &str, text: &str) -> crate::domain::report::Observation {
    present(node, parent, text, Some(text.to_owned()))
}

/// `a` was changed on both sides, to `ours` and `theirs`; the cloud's holds everywhere.
async fn conflict(fixture: &Fixture) -> (SetView, ConflictId) {
    let set = fixture.synced(Options::default(), &["a"]).await;
    let ours = edited("a", "docs", "ours");
    fixture.report(Side::OnPremise, vec![ours]).await;
    let theirs = edited("c:a", "c:docs", "theirs");
    fixture.report(Side::Cloud, vec![theirs]).await;
    fixture.deliver_all(Side::OnPremise).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let found = viewer.conflicts(None, None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    (set, found[0].id)
}

#[tokio::test]
async fn r_con_4_a_conflict_is_shown_with_both_states() {
    let fixture = Fixture::new().await;
    let (set, id) = conflict(&fixture).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let found = viewer.conflict(id).await.unwrap();
    assert_eq!(
        (found.kind, found.winner),
        (ConflictKind::ChangeChange, Side::Cloud)
    );
    let content = |side: Side| {
        let state = found.states.get(side).as_ref().unwrap();
        state.projection.content.unwrap()
    };
    assert_eq!(content(Side::OnPremise), content_ref("ours"));
    assert_eq!(content(Side::Cloud), content_ref("theirs"));
    let a = fixture.member_named(&set, "a").await;
    assert_eq!(viewer.conflicts(Some(a), None, 10).await.unwrap().len(), 1);
    assert!(
        viewer
            .conflicts(Some(a), Some(id), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let root = Some(set.set.root);
    assert!(viewer.conflicts(root, None, 10).await.unwrap().is_empty());
    let missing = viewer.conflict(ConflictId(uuid::Uuid::now_v7())).await;
    assert!(matches!(missing, Err(Error::ConflictNotFound { .. })));
}

#[tokio::test]
async fn r_con_5_a_loser_becomes_an_ordinary_change_of_both_sides() {
    let fixture = Fixture::new().await;
    let (set, id) = conflict(&fixture).await;
    let bob = fixture.user("bob", Role::User).await;
    let refused = bob.restore_loser(id).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let alice = fixture.alice().await;
    let (of, member) = alice.restore_loser(id).await.unwrap();
    assert_eq!(of, set.set.id);
    fixture.deliver_all(Side::OnPremise).await;
    fixture.deliver_all(Side::Cloud).await;
    let restored = alice.member(of, member).await.unwrap();
    for side in Side::BOTH {
        let copy = restored.copies.get(side).as_ref().unwrap();
        assert_eq!(copy.copy.projection.content, Some(content_ref("ours")));
    }
}

#[tokio::test]
async fn r_con_5_a_version_is_listed_and_restored_by_its_name() {
    let fixture = Fixture::new().await;
    let (set, _) = conflict(&fixture).await;
    let (alice, id) = (fixture.alice().await, set.set.id);
    let a = fixture.member_named(&set, "a").await;
    let all = alice.versions(id, a, None, 100).await.unwrap();
    let loser = all.iter().find(|kept| kept.reason == "LOSER").unwrap();
    assert_eq!(loser.digest, content_ref("ours").digest);
    let first = alice.versions(id, a, None, 1).await.unwrap();
    let below = Some((first[0].position, first[0].side));
    let rest = alice.versions(id, a, below, 100).await.unwrap();
    assert_eq!(all, [first, rest].concat());
    let key = (loser.position, loser.side);
    alice.restore_version(id, a, key, "v").await.unwrap();
    let missing = alice.restore_version(id, a, (999, Side::Cloud), "v").await;
    assert!(matches!(missing, Err(Error::VersionNotFound { version }) if version == "v"));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.restore_version(id, a, key, "v").await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
}

#[tokio::test]
async fn a_deletion_that_lost_cannot_be_restored() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    fixture.report(Side::OnPremise, vec![absent("a")]).await;
    let theirs = edited("c:a", "c:docs", "theirs");
    fixture.report(Side::Cloud, vec![theirs]).await;
    let alice = fixture.alice().await;
    let found = alice.conflicts(None, None, 10).await.unwrap();
    assert_eq!(found[0].kind, ConflictKind::DeleteChange);
    let refused = alice.restore_loser(found[0].id).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })));
}
