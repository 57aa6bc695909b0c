//! Pausing and resuming sets and repositories (R-SET-7).

use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::journal::JournalKind;
use crate::domain::sync_set::Options;
use crate::service::Error;
use crate::service::members::ShownHold;
use crate::service::testing::{Fixture, NOW, present};
use crate::storage::sync::due::After;

async fn due(fixture: &Fixture, side: Side) -> Vec<MemberId> {
    let store = &fixture.coordinator.store;
    let repository = fixture.repository(side).id;
    let due = store.due(repository, After::default(), NOW, 100).await;
    due.unwrap()
        .into_iter()
        .filter_map(|due| due.member)
        .collect()
}

/// What could be sent to an agent that asked a moment before the pause.
async fn sent(fixture: &Fixture, side: Side, member: MemberId) -> usize {
    let store = &fixture.coordinator.store;
    let ready = store.deliveries(fixture.network.id, side, &[member]).await;
    ready.unwrap().len()
}

async fn hold(fixture: &Fixture, set: SyncSetId, member: MemberId) -> Option<ShownHold> {
    let view = fixture.alice().await.member(set, member).await;
    view.unwrap().hold
}

async fn entries(fixture: &Fixture, kind: JournalKind) -> usize {
    let store = &fixture.coordinator.store;
    let rows = store.journal_after(fixture.network.id, 0, 1_000).await;
    let rows = rows.unwrap().into_iter();
    rows.filter(|row| row.kind == kind as i32).count()
}

async fn edit(fixture: &Fixture, revision: &str) {
    let content = Some(format!("content of revision {revision}"));
    let edited = present("a", "docs", revision, content);
    fixture.report(Side::OnPremise, vec![edited]).await;
}

#[tokio::test]
async fn r_set_7_a_paused_set_notes_changes_and_delivers_them_when_it_is_resumed() {
    let fixture = Fixture::new().await;
    let view = fixture.synced(Options::default(), &["a", "b"]).await;
    let (set, alice) = (view.set.id, fixture.alice().await);
    let member = fixture.member_named(&view, "a").await;
    for _ in 0..2 {
        assert!(alice.pause_set(set, true).await.unwrap().set.paused);
    }
    assert_eq!(entries(&fixture, JournalKind::Paused).await, 1);
    let observed = entries(&fixture, JournalKind::Observed).await;
    edit(&fixture, "2").await;
    assert_eq!(entries(&fixture, JournalKind::Observed).await, observed + 1);
    assert_eq!(due(&fixture, Side::Cloud).await, []);
    assert_eq!(sent(&fixture, Side::Cloud, member).await, 0);
    assert_eq!(hold(&fixture, set, member).await, Some(ShownHold::Paused));
    let quiet = fixture.member_named(&view, "b").await;
    assert_eq!(hold(&fixture, set, quiet).await, None, "it does not wait");

    let mut bell = fixture.coordinator.wakeup.repository(fixture.cloud.id);
    bell.mark_unchanged();
    for _ in 0..2 {
        assert!(!alice.pause_set(set, false).await.unwrap().set.paused);
    }
    assert!(bell.has_changed().unwrap(), "the agent is woken at once");
    assert_eq!(entries(&fixture, JournalKind::Resumed).await, 1);
    assert_eq!(due(&fixture, Side::Cloud).await, [member]);
    assert_eq!(sent(&fixture, Side::Cloud, member).await, 1);
    assert_eq!(hold(&fixture, set, member).await, None);
}

#[tokio::test]
async fn r_set_7_a_paused_repository_holds_all_its_sets_whichever_side_it_is() {
    let fixture = Fixture::new().await;
    let view = fixture.synced(Options::default(), &["a"]).await;
    let (set, alice) = (view.set.id, fixture.alice().await);
    let admin = fixture.principal("root", Role::Admin);
    let admin = fixture.coordinator.for_admin(&admin, "acme").await.unwrap();
    let member = fixture.member_named(&view, "a").await;
    for (name, revision) in [("cloud", "2"), ("hq", "3")] {
        for _ in 0..2 {
            assert!(admin.pause_repository(name, true).await.unwrap().paused);
        }
        edit(&fixture, revision).await;
        let shown = alice.sync_set(set).await.unwrap().set;
        assert_eq!((shown.paused, shown.repository_paused), (false, true));
        assert_eq!(due(&fixture, Side::Cloud).await, []);
        assert_eq!(sent(&fixture, Side::Cloud, member).await, 0);
        assert_eq!(hold(&fixture, set, member).await, Some(ShownHold::Paused));
        let mut bell = fixture.coordinator.wakeup.repository(fixture.cloud.id);
        bell.mark_unchanged();
        assert!(!admin.pause_repository(name, false).await.unwrap().paused);
        assert!(bell.has_changed().unwrap(), "the agent is woken at once");
        assert_eq!(due(&fixture, Side::Cloud).await, [member]);
    }
    assert_eq!(entries(&fixture, JournalKind::Paused).await, 2);
    assert_eq!(entries(&fixture, JournalKind::Resumed).await, 2);
    let unknown = admin.pause_repository("elsewhere", true).await;
    assert!(matches!(unknown, Err(Error::RepositoryNotFound { .. })));
}

#[tokio::test]
async fn r_set_7_only_the_owner_and_admins_pause_and_an_end_ends_the_pause() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await.set.id;
    let (alice, bob) = (fixture.alice().await, fixture.user("bob", Role::User).await);
    let refused = bob.pause_set(set, true).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.pause_set(set, true).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let unknown = alice.pause_set(SyncSetId::default(), true).await;
    assert!(matches!(unknown, Err(Error::SyncSetNotFound { .. })));
    alice.pause_set(set, true).await.unwrap();
    alice.unsync_set(set, false).await.unwrap();
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while let Ok(ending) = alice.sync_set(set).await {
        assert!(!ending.set.is_paused());
        bell.changed().await.unwrap();
    }
}
