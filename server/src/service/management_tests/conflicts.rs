//! Conflicts, versions, and bringing losers back.

use crate::domain::access::{Role, Side};
use crate::domain::conflict::ConflictKind;
use crate::domain::ids::ConflictId;
use crate::domain::member::{Hold, MemberState};
use crate::domain::policy::ConflictPolicy;
use crate::domain::sync_set::Options;
use crate::service::members::{MemberView, ShownHold};
use crate::service::sync_sets::SetView;
use crate::service::testing::{Fixture, absent, content_ref, present};
use crate::service::{Error, UserScope};

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
        (ConflictKind::ChangeChange, Some(Side::Cloud))
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

/// SPEC §12.
#[tokio::test]
async fn a_conflict_of_another_network_is_as_unknown_as_none() {
    let fixture = Fixture::new().await;
    let (_, id) = conflict(&fixture).await;
    let other = fixture.test.store.create_network("other", "", 0).await;
    let network = other.unwrap();
    let stranger = UserScope {
        network: network.id,
        network_name: network.name,
        ..fixture.user("eve", Role::Admin).await
    };
    let shown = stranger.conflict(id).await;
    assert!(matches!(shown, Err(Error::ConflictNotFound { .. })));
    assert!(stranger.conflicts(None, None, 10).await.unwrap().is_empty());
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

fn manual() -> Options {
    Options {
        conflict_policy: ConflictPolicy::Manual,
        ..Options::default()
    }
}

/// `a` was changed on both sides, to `ours` and `theirs`, and nothing is decided.
async fn open_conflict(fixture: &Fixture) -> (SetView, ConflictId) {
    let set = fixture.synced(manual(), &["a"]).await;
    let ours = edited("a", "docs", "ours");
    fixture.report(Side::OnPremise, vec![ours]).await;
    let theirs = edited("c:a", "c:docs", "theirs");
    fixture.report(Side::Cloud, vec![theirs]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let found = viewer.conflicts(None, None, 10).await.unwrap();
    assert_eq!((found.len(), found[0].open), (1, true));
    (set, found[0].id)
}

#[tokio::test]
async fn r_con_3_an_open_conflict_holds_its_member_and_tells_what_is_there_now() {
    let fixture = Fixture::new().await;
    let (set, id) = open_conflict(&fixture).await;
    fixture.deliver_all(Side::OnPremise).await;
    fixture.deliver_all(Side::Cloud).await;
    let later = edited("a", "docs", "later");
    fixture.report(Side::OnPremise, vec![later]).await;
    let (alice, a) = (fixture.alice().await, fixture.member_named(&set, "a").await);
    let member = alice.member(set.set.id, a).await.unwrap();
    assert_eq!(member.hold, Some(ShownHold::Own(Hold::ManualConflict)));
    let content = |view: &MemberView, side| {
        let copy = view.copies.get(side).as_ref();
        copy.unwrap().copy.projection.content
    };
    assert_eq!(
        content(&member, Side::OnPremise),
        Some(content_ref("later"))
    );
    assert_eq!(content(&member, Side::Cloud), Some(content_ref("theirs")));
    let found = alice.conflict(id).await.unwrap();
    let ours = found.states.on_premise.as_ref().unwrap();
    assert_eq!(ours.projection.content, Some(content_ref("later")));
    assert_eq!((found.open, found.winner), (true, None));
    assert_eq!(alice.conflicts(None, None, 10).await.unwrap().len(), 1);
    // What the conflict was about at first is kept for ever too (R-CON-4).
    let kept = alice.versions(set.set.id, a, None, 100).await.unwrap();
    let first = kept
        .iter()
        .find(|kept| kept.digest == content_ref("ours").digest);
    assert_eq!(first.unwrap().reason, "LOSER");
}

#[tokio::test]
async fn r_con_3_an_open_conflict_is_decided_once_by_whoever_owns_the_set() {
    let fixture = Fixture::new().await;
    let (set, id) = open_conflict(&fixture).await;
    let bob = fixture.user("bob", Role::User).await;
    let refused = bob.resolve_conflict(id, Side::Cloud).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let alice = fixture.alice().await;
    let refused = alice.restore_loser(id).await;
    assert!(matches!(refused, Err(Error::WrongState { state: "OPEN" })));
    for _ in 0..2 {
        let decided = alice.resolve_conflict(id, Side::OnPremise).await.unwrap();
        assert_eq!(
            (decided.open, decided.winner),
            (false, Some(Side::OnPremise))
        );
    }
    let refused = alice.resolve_conflict(id, Side::Cloud).await;
    assert!(matches!(
        refused,
        Err(Error::WrongState { state: "RESOLVED" })
    ));
    fixture.deliver_all(Side::Cloud).await;
    let a = fixture.member_named(&set, "a").await;
    let member = alice.member(set.set.id, a).await.unwrap();
    assert_eq!(member.member.state, MemberState::Synced);
    for side in Side::BOTH {
        let copy = member.copies.get(side).as_ref().unwrap();
        assert_eq!(copy.copy.projection.content, Some(content_ref("ours")));
    }
    let kept = alice.versions(set.set.id, a, None, 100).await.unwrap();
    let loser = kept.iter().find(|kept| kept.reason == "LOSER").unwrap();
    assert_eq!(loser.digest, content_ref("theirs").digest);
}

#[tokio::test]
async fn r_con_3_an_open_conflict_ends_with_its_set() {
    let fixture = Fixture::new().await;
    let (set, id) = open_conflict(&fixture).await;
    let alice = fixture.alice().await;
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    alice.unsync_set(set.set.id, false).await.unwrap();
    while alice.conflict(id).await.unwrap().open {
        bell.changed().await.unwrap();
    }
    let found = alice.conflict(id).await.unwrap();
    assert_eq!((found.open, found.winner), (false, None));
}
