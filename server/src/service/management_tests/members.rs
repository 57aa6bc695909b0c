//! Seeing, syncing and deleting members.

use futures::StreamExt;

use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, NodeId};
use crate::domain::limits::SYNC_NAMES_MAX;
use crate::domain::member::{MemberState, PeerChoice};
use crate::domain::projection::NodeKind;
use crate::domain::report::Seen;
use crate::domain::sync_set::Options;
use crate::service::Error;
use crate::service::member_watch::MemberChange;
use crate::service::members::{Filter, STATE_PENDING, STATE_SYNCED, ShownHold};
use crate::service::testing::{Fixture, absent, present};

const ALL: Filter = Filter {
    state: None,
    reason: None,
};

fn in_state(state: i32) -> Filter {
    Filter {
        state: Some(state),
        reason: None,
    }
}

#[tokio::test]
async fn a_member_is_shown_with_both_copies_and_their_places() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a.txt"]).await;
    let id = fixture.member_named(&set, "a.txt").await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let shown = viewer.member(set.set.id, id).await.unwrap();
    assert_eq!(shown.member.state, MemberState::Synced);
    let (hq, cloud) = (
        shown.copies.on_premise.unwrap(),
        shown.copies.cloud.unwrap(),
    );
    assert_eq!(
        (hq.path.as_str(), hq.copy.revision.as_str()),
        ("docs/a.txt", "1")
    );
    assert_eq!(cloud.path, "docs/a.txt");
    assert_eq!(cloud.copy.node, NodeId("c:a.txt".to_owned()));
    assert_eq!(cloud.copy.projection.content, hq.copy.projection.content);
    let unknown = MemberId(uuid::Uuid::now_v7());
    let missing = viewer.member(set.set.id, unknown).await;
    assert!(matches!(missing, Err(Error::MemberNotFound { .. })));
}

#[tokio::test]
async fn r_sta_2_lists_filter_and_page_over_one_set_and_over_all() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a", "b", "c"]).await;
    fixture
        .report(
            Side::OnPremise,
            vec![present("a", "docs", "2", Some("new".to_owned()))],
        )
        .await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let id = set.set.id;
    assert_eq!(viewer.members(id, None, ALL, 9).await.unwrap().len(), 4);
    let pending = viewer.members(id, None, in_state(STATE_PENDING), 9).await;
    assert_eq!(pending.unwrap().len(), 1);
    let clashes = Filter {
        state: None,
        reason: Some(1),
    };
    assert!(
        viewer
            .members(id, None, clashes, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = viewer.members_of_all(after, ALL, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.member.set, last.member.id));
        seen.push(last.member.id);
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted());
    let synced = viewer.members_of_all(None, in_state(STATE_SYNCED), 9).await;
    assert_eq!(synced.unwrap().len(), 3);
}

#[tokio::test]
async fn r_req_1_a_folder_is_synced_with_all_below_it() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await;
    fixture
        .report(
            Side::OnPremise,
            vec![
                present("sub", "docs", "1", None),
                present("deep", "sub", "1", None),
                present("leaf", "deep", "1", Some("leaf".to_owned())),
            ],
        )
        .await;
    let (alice, id) = (fixture.alice().await, set.set.id);
    let sub = fixture.member_named(&set, "sub").await;
    assert_eq!(alice.request_sync(id, &[sub]).await.unwrap(), 3);
    let a = fixture.member_named(&set, "a").await;
    assert_eq!(alice.request_sync(id, &[a, a]).await.unwrap(), 1);
    assert_eq!(alice.request_sync(id, &[]).await.unwrap(), 5);
    let docs = fixture.member_named(&set, "docs").await;
    assert_eq!(alice.request_sync(id, &[docs]).await.unwrap(), 5);
}

#[tokio::test]
async fn r_req_1_all_named_members_must_be_there_and_not_too_many() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await;
    let (alice, id) = (fixture.alice().await, set.set.id);
    let unknown = MemberId(uuid::Uuid::now_v7());
    let refused = alice.request_sync(id, &[unknown]).await;
    assert!(matches!(refused, Err(Error::MemberNotFound { .. })));
    let many = vec![unknown; SYNC_NAMES_MAX + 1];
    let refused = alice.request_sync(id, &many).await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.request_sync(id, &[]).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
}

#[tokio::test]
async fn a_copy_is_deleted_with_a_choice_about_the_other() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a", "b"]).await;
    let (alice, id) = (fixture.alice().await, set.set.id);
    let a = fixture.member_named(&set, "a").await;
    let bob = fixture.user("bob", Role::User).await;
    let refused = bob
        .delete_member(id, a, Side::Cloud, PeerChoice::Remove)
        .await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    alice
        .delete_member(id, a, Side::OnPremise, PeerChoice::Remove)
        .await
        .unwrap();
    fixture.deliver_all(Side::OnPremise).await;
    fixture.deliver_all(Side::Cloud).await;
    let gone = alice.member(id, a).await;
    assert!(
        matches!(gone, Err(Error::MemberNotFound { .. })),
        "{gone:?}"
    );
    let again = alice.delete_member(id, a, Side::OnPremise, PeerChoice::Keep);
    assert!(matches!(again.await, Err(Error::MemberNotFound { .. })));
}

#[tokio::test]
async fn spec_7_the_cloud_copy_is_not_deleted_where_the_set_forbids_it() {
    let fixture = Fixture::new().await;
    let options = Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    let set = fixture.synced(options, &["a"]).await;
    let a = fixture.member_named(&set, "a").await;
    let admin = fixture.user("root", Role::Admin).await;
    let refused = admin
        .delete_member(set.set.id, a, Side::Cloud, PeerChoice::Keep)
        .await;
    assert!(matches!(refused, Err(Error::DeleteNotAllowed { .. })));
}

#[tokio::test]
async fn a_copy_that_is_not_there_cannot_be_deleted() {
    let fixture = Fixture::new().await;
    let set = fixture.set_with(Options::default()).await;
    let refused = fixture
        .alice()
        .await
        .delete_member(set.set.id, set.set.root, Side::Cloud, PeerChoice::Keep)
        .await;
    assert!(matches!(
        refused,
        Err(Error::WrongState { state: "NO_COPY" })
    ));
}

#[tokio::test]
async fn r_sta_2_any_reader_learns_how_a_node_is_synced() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let info = viewer.node_sync_info("cloud", "c:a").await.unwrap();
    let (member, owner) = info.member.unwrap();
    assert_eq!(
        (member.member.kind, owner.as_str()),
        (NodeKind::Document, "alice")
    );
    let mut link = present("link", "docs", "1", None);
    if let Seen::Present(presence) = &mut link.seen {
        presence.node_trait = crate::domain::report::NodeTrait::Link;
    }
    fixture.report(Side::OnPremise, vec![link]).await;
    let info = viewer.node_sync_info("hq", "link").await.unwrap();
    assert!(info.member.is_none() && !info.skipped.is_empty());
    let missing = viewer.node_sync_info("hq", "none").await;
    assert!(matches!(missing, Err(Error::NodeNotFound { .. })));
    let empty = viewer.node_sync_info("hq", "").await;
    assert!(matches!(empty, Err(Error::InvalidField { .. })));
}

#[tokio::test]
async fn watchers_see_the_present_then_changes_then_ends() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await;
    let a = fixture.member_named(&set, "a").await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let mut feed = viewer.watch_members(set.set.id).await.unwrap();
    let mut next = async || feed.next().await.unwrap().unwrap();
    for _ in 0..2 {
        assert!(matches!(next().await, MemberChange::Is(_)));
    }
    assert_eq!(next().await, MemberChange::Current);
    let edited = present("a", "docs", "2", Some("edited".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    match next().await {
        MemberChange::Is(view) => {
            assert_eq!(
                (view.member.id, view.member.state),
                (a, MemberState::Pending)
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(next().await, MemberChange::Current);
    fixture
        .alice()
        .await
        .unsync_set(set.set.id, false)
        .await
        .unwrap();
    let mut ended = 0;
    while let Some(message) = feed.next().await {
        ended += usize::from(matches!(message.unwrap(), MemberChange::Ended(_)));
    }
    assert_eq!(ended, 2);
}

#[tokio::test]
async fn watchers_are_told_again_of_what_lies_below_a_folder_that_is_renamed() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await;
    fixture
        .report(Side::OnPremise, vec![present("f", "docs", "1", None)])
        .await;
    for (node, parent) in [("g", "f"), ("b", "f")] {
        let content = (node == "b").then(|| "b".to_owned());
        let seen = present(node, parent, "1", content);
        fixture.report(Side::OnPremise, vec![seen]).await;
    }
    let seen = present("c", "g", "1", Some("c".to_owned()));
    fixture.report(Side::OnPremise, vec![seen]).await;
    fixture.deliver_all(Side::Cloud).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let mut feed = viewer.watch_members(set.set.id).await.unwrap();
    let mut told = async || {
        let mut paths = Vec::new();
        loop {
            match feed.next().await.unwrap().unwrap() {
                MemberChange::Is(view) => paths.push(view.copies.on_premise.unwrap().path),
                MemberChange::Current => break paths,
                MemberChange::Ended(member) => panic!("{member:?}"),
            }
        }
    };
    assert_eq!(told().await.len(), 6);
    let mut renamed = present("f", "docs", "2", None);
    if let Seen::Present(presence) = &mut renamed.seen {
        std::sync::Arc::make_mut(&mut presence.projection).name = "h".to_owned();
    }
    fixture.report(Side::OnPremise, vec![renamed]).await;
    let mut paths = told().await;
    paths.sort();
    assert_eq!(paths, ["docs/h", "docs/h/b", "docs/h/g", "docs/h/g/c"]);
}

#[tokio::test]
async fn r_del_3_held_members_say_so_and_watchers_learn_of_it() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..20).map(|at| format!("d{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let set = fixture.synced(Options::default(), &names).await;
    let gone = names.iter().map(|name| absent(name)).collect();
    fixture.report(Side::OnPremise, gone).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let pending = viewer
        .members(set.set.id, None, in_state(STATE_PENDING), 100)
        .await
        .unwrap();
    assert_eq!(pending.len(), 20);
    assert!(
        pending
            .iter()
            .all(|view| view.hold == Some(ShownHold::MassDelete))
    );
    let held = viewer.sync_set(set.set.id).await.unwrap();
    let store = &fixture.test.store;
    let stamps = store.member_stamps(&held.set, None, 100).await.unwrap();
    assert_eq!(stamps.iter().filter(|(_, stamp)| stamp.held).count(), 20);
}

#[tokio::test]
async fn feeds_end_when_the_coordinator_drains() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &[]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let mut feed = viewer.watch_members(set.set.id).await.unwrap();
    fixture.coordinator.draining.cancel();
    let mut last = None;
    while let Some(message) = feed.next().await {
        last = Some(message);
    }
    assert!(matches!(last, Some(Err(Error::Draining))));
}
