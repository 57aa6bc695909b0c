//! Seeing, steering and ending sets.

use std::ops::Range;

use crate::domain::access::{Role, Side};
use crate::domain::sync_set::{Gate, Options};
use crate::service::Error;
use crate::service::sync_sets::{HoldDecision, SetState, SetView};
use crate::service::testing::{Fixture, absent, present};
use crate::storage::sync::members::Filter;

async fn with_documents(fixture: &Fixture, count: usize) -> SetView {
    let names: Vec<String> = (0..count).map(|at| format!("d{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fixture.synced(Options::default(), &names).await
}

async fn delete(fixture: &Fixture, documents: Range<usize>) {
    let gone = documents.map(|at| absent(&format!("d{at:02}"))).collect();
    fixture.report(Side::OnPremise, gone).await;
}

#[tokio::test]
async fn r_del_3_the_owner_decides_about_held_deletions() {
    let fixture = Fixture::new().await;
    let set = with_documents(&fixture, 24).await.set.id;
    let alice = fixture.alice().await;
    for decision in [HoldDecision::Confirm, HoldDecision::Refuse] {
        let refused = alice.resolve_hold(set, decision).await;
        assert!(matches!(refused, Err(Error::NothingHeld { .. })));
    }
    delete(&fixture, 0..20).await;
    let held = alice.sync_set(set).await.unwrap();
    assert_eq!(held.set.guard.gate, Gate::Held);
    assert_eq!(held.held_deletions(), 20);
    let bob = fixture.user("bob", Role::User).await;
    let refused = bob.resolve_hold(set, HoldDecision::Confirm).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let (after, resolved) = alice
        .resolve_hold(set, HoldDecision::Confirm)
        .await
        .unwrap();
    assert_eq!((resolved, after.held_deletions()), (20, 0));
    fixture.deliver_all(Side::Cloud).await;
    let left = alice.members(set, None, Filter::default(), 100).await;
    assert_eq!(left.unwrap().len(), 5);
}

#[tokio::test]
async fn r_del_3_refusing_is_a_job_on_the_whole_set() {
    let fixture = Fixture::new().await;
    let set = with_documents(&fixture, 24).await.set.id;
    delete(&fixture, 0..20).await;
    let admin = fixture.user("root", Role::Admin).await;
    let (_, resolved) = admin.resolve_hold(set, HoldDecision::Refuse).await.unwrap();
    assert_eq!(resolved, 20);
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while admin.sync_set(set).await.unwrap().set.guard.gate == Gate::Held {
        bell.changed().await.unwrap();
    }
    let members = admin.members(set, None, Filter::default(), 100).await;
    assert_eq!(members.unwrap().len(), 25);
}

#[tokio::test]
async fn r_uns_1_a_set_ends_for_its_owner_only_and_twice_is_once() {
    let fixture = Fixture::new().await;
    let set = with_documents(&fixture, 3).await.set.id;
    let (alice, bob) = (fixture.alice().await, fixture.user("bob", Role::User).await);
    let refused = bob.unsync_set(set, false).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let refused = alice.unsync_set(set, true).await;
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
    alice.unsync_set(set, false).await.unwrap();
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    loop {
        match alice.sync_set(set).await {
            Ok(ending) => assert_eq!(ending.state(), SetState::Ending),
            Err(Error::SyncSetNotFound { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
        alice.unsync_set(set, false).await.ok();
        bell.changed().await.unwrap();
    }
    let refused = alice.unsync_set(set, false).await;
    assert!(matches!(refused, Err(Error::SyncSetNotFound { .. })));
}

#[tokio::test]
async fn r_agt_5_a_set_is_under_way_until_what_a_scan_missed_is_looked_at() {
    let fixture = Fixture::new().await;
    let set = with_documents(&fixture, 2).await.set.id;
    let alice = fixture.alice().await;
    let text = |name: &str| Some(format!("first of {name}"));
    let left = vec![present("d01", "docs", "1", text("d01"))];
    fixture.list(Side::OnPremise, left).await;
    let both = ["d00", "d01"].map(|name| {
        let node = format!("c:{name}");
        present(&node, "c:docs", "1", text(name))
    });
    fixture.list(Side::Cloud, both.to_vec()).await;
    let listed = alice.sync_set(set).await.unwrap();
    assert_eq!((listed.state(), listed.scanning), (SetState::Pending, true));
    delete(&fixture, 0..1).await;
    let told = alice.sync_set(set).await.unwrap();
    assert!(!told.scanning, "it was looked at, and is gone");
}

#[tokio::test]
async fn sets_tell_their_state() {
    let fixture = Fixture::new().await;
    let mut set = with_documents(&fixture, 1).await;
    set = fixture.alice().await.sync_set(set.set.id).await.unwrap();
    assert_eq!(set.set.counters.members, 2);
    set.scanning = false;
    set.set.counters.pending = 0;
    assert_eq!(set.state(), SetState::Synced);
    set.set.counters.pending = 1;
    assert_eq!(set.state(), SetState::Pending);
    set.set.counters.failed = 1;
    assert_eq!(set.state(), SetState::Failed);
    set.set.ending = true;
    assert_eq!(set.state(), SetState::Ending);
}
