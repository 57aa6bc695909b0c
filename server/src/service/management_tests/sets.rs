//! Seeing, steering and ending sets.

use std::ops::Range;

use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::stay::StayReason;
use crate::domain::sync_set::{Gate, Options};
use crate::service::Error;
use crate::service::command::{NodeInfo, Reply};
use crate::service::sync_sets::{HoldDecision, SetState, SetView};
use crate::service::testing::{Fixture, absent, folder, one, present};
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
    alice.unsync_set(set, false).await.unwrap();
    gone(&fixture, set).await;
    alice.unsync_set(set, false).await.unwrap();
    let other = alice.unsync_set(set, true).await;
    assert!(matches!(other, Err(Error::WrongState { state: "ENDED" })));
    let refused = bob.unsync_set(set, false).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let unknown = alice.unsync_set(SyncSetId::default(), false).await;
    assert!(matches!(unknown, Err(Error::SyncSetNotFound { .. })));
}

/// Waits until nothing is left of a set; it shows as ending until then.
async fn gone(fixture: &Fixture, set: SyncSetId) {
    let admin = fixture.user("root", Role::Admin).await;
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    loop {
        bell.mark_unchanged();
        match admin.sync_set(set).await {
            Ok(ending) => assert_eq!(ending.state(), SetState::Ending),
            Err(Error::SyncSetNotFound { .. }) => return,
            Err(other) => panic!("{other:?}"),
        }
        bell.changed().await.unwrap();
    }
}

#[tokio::test]
async fn r_uns_1_the_removal_of_the_cloud_copy_is_queued_and_what_stays_is_listed() {
    let fixture = Fixture::new().await;
    let view = with_documents(&fixture, 2).await;
    let (set, alice) = (view.set.id, fixture.alice().await);
    let edited = present("c:d00", "c:docs", "elsewhere", Some("mine".to_owned()));
    fixture.report(Side::Cloud, vec![edited]).await;
    alice.unsync_set(set, true).await.unwrap();
    alice.unsync_set(set, true).await.unwrap();
    let other = alice.unsync_set(set, false).await;
    assert!(matches!(other, Err(Error::WrongState { state: "ENDED" })));
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while alice.sync_set(set).await.unwrap().set.counters.members > 2 {
        bell.changed().await.unwrap();
    }
    fixture.deliver_all(Side::OnPremise).await;
    let node = NodeId("d00".to_owned());
    let on_premise = fixture.coordinator.store.copy(fixture.hq.id, &node).await;
    assert_eq!(on_premise.unwrap(), None, "unlinked at once");
    fixture.deliver_all(Side::Cloud).await;
    gone(&fixture, set).await;
    alice.unsync_set(set, true).await.unwrap();
    let stays = alice.skipped_nodes(set, None, 10).await.unwrap();
    let stays: Vec<_> = stays
        .iter()
        .map(|one| (one.path.as_str(), one.reason))
        .collect();
    assert_eq!(stays, [("docs/d00", StayReason::NotPulled.text())]);
    let foreign = alice.skipped_nodes(SyncSetId::default(), None, 10).await;
    assert!(matches!(foreign, Err(Error::SyncSetNotFound { .. })));
}

#[tokio::test]
async fn r_uns_1_what_was_on_its_way_when_a_set_ended_goes_when_it_is_heard_of() {
    for removes in [true, false] {
        let fixture = Fixture::new().await;
        let set = fixture.set_with(Options::default()).await.set.id;
        let docs = vec![present("docs", "", "1", None)];
        fixture.report(Side::OnPremise, docs).await;
        let made = fixture.apply_due(Side::Cloud).await;
        assert_eq!(made.len(), 1);
        let unsynced = fixture.alice().await.unsync_set(set, removes).await;
        unsynced.unwrap();
        gone(&fixture, set).await;
        let fixture = fixture.restart().await;
        let alice = fixture.alice().await;
        fixture.batch(Side::Cloud, made).await;
        if removes {
            let back = alice.sync_set(set).await.unwrap();
            assert_eq!(back.state(), SetState::Ending);
            assert_eq!(back.nodes, [], "nothing of it is on-premise");
            let roots = fixture.coordinator.store.roots(fixture.cloud.id).await;
            assert_eq!(roots.unwrap().len(), 1, "it is watched until it is gone");
            alice.unsync_set(set, true).await.unwrap();
        }
        let removed = fixture.apply_due(Side::Cloud).await;
        assert_eq!(removed.len(), usize::from(removes));
        fixture.batch(Side::Cloud, removed).await;
        gone(&fixture, set).await;
        alice.unsync_set(set, removes).await.unwrap();
    }
}

#[tokio::test]
async fn r_set_1_a_set_ends_with_its_folder_also_before_anything_of_it_was_pushed() {
    let fixture = Fixture::new().await;
    let set = fixture.set_with(Options::default()).await.set.id;
    let inside = present("d", "docs", "1", Some("first".to_owned()));
    let docs = vec![present("docs", "", "1", None), inside];
    fixture.report(Side::OnPremise, docs).await;
    let made = fixture.apply_due(Side::Cloud).await;
    fixture.report(Side::OnPremise, vec![absent("docs")]).await;
    gone(&fixture, set).await;
    fixture.batch(Side::Cloud, made).await;
    let removed = fixture.apply_due(Side::Cloud).await;
    assert_eq!(removed.len(), 1, "the folder goes too");
    fixture.batch(Side::Cloud, removed).await;
    gone(&fixture, set).await;
}

#[tokio::test]
async fn r_mem_2_only_chosen_members_are_unsynced_alone_and_the_synced_folder_ends_its_set() {
    let fixture = Fixture::new().await;
    let view = with_documents(&fixture, 1).await;
    let (set, root, alice) = (view.set.id, view.set.root, fixture.alice().await);
    let inner = fixture.member_named(&view, "d00").await;
    let refused = alice.unsync_member(set, inner, false).await;
    assert!(matches!(
        refused,
        Err(Error::WrongState { state: "INDIRECT" })
    ));
    let bob = fixture.user("bob", Role::User).await;
    for member in [inner, root] {
        let refused = bob.unsync_member(set, member, false).await;
        assert!(matches!(refused, Err(Error::NotAllowed)));
    }
    let unknown = alice.unsync_member(set, MemberId::default(), false).await;
    assert!(matches!(unknown, Err(Error::MemberNotFound { .. })));
    alice.unsync_member(set, root, false).await.unwrap();
    gone(&fixture, set).await;
    alice.unsync_member(set, root, false).await.unwrap();
    let ended = alice.unsync_member(set, inner, false).await;
    assert!(matches!(ended, Err(Error::MemberNotFound { .. })));
}

fn folder_that_is(checked_out: bool) -> Option<Reply> {
    one(NodeInfo {
        node: NodeId("c:docs".to_owned()),
        checked_out,
        ..folder("docs")
    })
}

#[tokio::test]
async fn r_uns_1_only_a_cloud_copy_that_is_checked_out_is_not_removed() {
    let fixture = Fixture::new().await;
    let set = with_documents(&fixture, 1).await.set.id;
    let alice = fixture.alice().await;
    fixture.agent(Side::Cloud, |_| folder_that_is(true));
    let refused = alice.unsync_set(set, true).await;
    let checked_out = Error::WrongState {
        state: "CHECKED_OUT",
    };
    assert_eq!(refused.unwrap_err().to_string(), checked_out.to_string());
    assert!(!alice.sync_set(set).await.unwrap().set.ending);
    fixture.agent(Side::Cloud, |_| folder_that_is(false));
    alice.unsync_set(set, true).await.unwrap();
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
