//! Sets of documents (R-SET-1, R-SET-3 to R-SET-5, R-MOV-4).

use tokio_stream::StreamExt;
use uuid::Uuid;

use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::member::{MemberState, PeerChoice};
use crate::domain::projection::NodeKind;
use crate::domain::report::{NodeTrait, Seen};
use crate::domain::stay::StayReason;
use crate::domain::sync_set::{Options, SetKind};
use crate::service::command::NodeInfo;
use crate::service::create_set::NewSet;
use crate::service::exchange::Outgoing;
use crate::service::member_watch::MemberChange;
use crate::service::members::MemberView;
use crate::service::nodes::NodeChoice;
use crate::service::sync_sets::SetView;
use crate::service::testing::{
    Fixture, NOW, absent, document, folder, new_set, one, present, repository_of,
};
use crate::service::{Error, UserScope};
use crate::storage::sync::due::After;
use crate::storage::sync::generations;
use crate::storage::sync::members::Filter;
use crate::storage::sync::scans::{self, ScanKind};

fn documents(nodes: &[&str]) -> NewSet {
    let mut new = new_set();
    let choice = |node: &&str| NodeChoice::Id(NodeId((*node).to_owned()));
    new.definition.nodes = nodes.iter().map(choice).collect();
    new
}

/// Headquarters with these nodes, and the cloud with its `inbox`.
async fn with(nodes: &[NodeInfo]) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.agent(Side::OnPremise, repository_of(nodes));
    fixture.agent(Side::Cloud, |_| one(folder("inbox")));
    fixture
}

async fn look_at(fixture: &Fixture, node: &str, parent: &str, revision: &str) {
    let content = Some(format!("{revision} of {node}"));
    let seen = vec![present(node, parent, revision, content)];
    fixture.report(Side::OnPremise, seen).await;
}

async fn due(fixture: &Fixture, side: Side) -> usize {
    let store = &fixture.coordinator.store;
    let repository = fixture.repository(side).id;
    let due = store.due(repository, After::default(), NOW, 100).await;
    due.unwrap().len()
}

/// Alice's set of `a` and `b`, synced.
async fn synced(fixture: &Fixture) -> SetView {
    let alice = fixture.alice().await;
    let made = alice.create_set(&documents(&["a", "b"])).await;
    let made = made.unwrap().set;
    look_at(fixture, "a", "lib", "1").await;
    look_at(fixture, "b", "lib", "1").await;
    fixture.deliver_all(Side::Cloud).await;
    made
}

#[tokio::test]
async fn r_set_1_documents_are_pushed_together_once_they_were_looked_at() {
    let fixture = with(&[document("a"), document("b")]).await;
    let alice = fixture.alice().await;
    let made = alice
        .create_set(&documents(&["a", "b", "a"]))
        .await
        .unwrap();
    let set = made.set;
    assert_eq!(set.set.kind, SetKind::Documents);
    assert_eq!(set.nodes, ["a", "b"].map(|node| NodeId(node.to_owned())));
    assert_eq!((set.set.counters.members, set.scanning), (2, true));
    let store = &fixture.coordinator.store;
    let asked = store.to_observe(fixture.hq.id, 10).await.unwrap();
    let nodes = set.nodes.iter().cloned();
    assert_eq!(asked, nodes.map(|node| (node, false)).collect::<Vec<_>>());
    let roots = store.roots(fixture.hq.id).await.unwrap();
    assert!(
        roots
            .iter()
            .all(|root| root.document && root.scan.is_none())
    );
    assert_eq!(roots.len(), 2);
    assert_eq!(
        due(&fixture, Side::Cloud).await,
        0,
        "no content is known yet"
    );
    look_at(&fixture, "a", "lib", "1").await;
    look_at(&fixture, "b", "elsewhere", "1").await;
    assert_eq!(due(&fixture, Side::Cloud).await, 2);
    fixture.deliver_all(Side::Cloud).await;
    let set = alice.sync_set(set.set.id).await.unwrap();
    let counters = &set.set.counters;
    assert_eq!((counters.pending, counters.failed), (0, 0));
    assert!(set.scanning, "the new cloud copies are still looked at");
    let members = alice.members(set.set.id, None, Filter::default(), 10).await;
    for member in members.unwrap() {
        assert!(member.member.direct && member.member.state == MemberState::Synced);
        assert_eq!(member.copies.cloud.unwrap().copy.parent.0, "inbox");
    }
    let roots = store.roots(fixture.cloud.id).await.unwrap();
    assert_eq!(roots.len(), 2, "the copies are watched, too");
    let asked = store.to_observe(fixture.cloud.id, 10).await.unwrap();
    assert_eq!(asked.len(), 2, "and looked at, once they are watched");
}

#[tokio::test]
async fn r_set_4_documents_that_cannot_be_written_are_skipped_and_a_repeat_tells_so_again() {
    let mut locked = document("locked");
    locked.locked_for_editing = true;
    let mut denied = document("denied");
    denied.writable = false;
    let fixture = with(&[document("a"), locked, denied]).await;
    let alice = fixture.alice().await;
    let mut new = documents(&["denied", "a", "locked"]);
    new.request_id = Some(Uuid::now_v7());
    let made = alice.create_set(&new).await.unwrap();
    assert_eq!(made.set.nodes, [NodeId("a".to_owned())]);
    let told: Vec<(&str, &str)> = made
        .skipped
        .iter()
        .map(|left| (left.path.as_str(), left.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("denied", "you may not write it"),
            ("locked", "it is locked for editing")
        ]
    );
    assert_eq!(alice.create_set(&new).await.unwrap(), made);
    let all = alice.create_set(&documents(&["denied", "locked"])).await;
    assert!(matches!(all, Err(Error::NothingAccepted { node, .. }) if node == "denied"));
    let missing = alice.create_set(&documents(&["denied", "none"])).await;
    assert!(matches!(missing, Err(Error::NodeNotFound { node }) if node == "none"));
    assert_eq!(alice.sync_sets(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r_set_4_a_selection_is_one_folder_or_documents_that_may_be_synced() {
    let mut link = document("link");
    link.node_trait = NodeTrait::Link;
    let mut outside = document("outside");
    outside.in_library = false;
    let nodes = [document("a"), folder("f"), folder("g"), link, outside];
    let fixture = with(&nodes).await;
    let alice = fixture.alice().await;
    let refused = async |nodes: &[&str]| alice.create_set(&documents(nodes)).await.unwrap_err();
    let mixed = refused(&["a", "f"]).await;
    assert!(matches!(mixed, Error::MixedSelection { node } if node == "f"));
    let folders = refused(&["f", "g"]).await;
    assert!(matches!(folders, Error::InvalidField { .. }));
    let link = refused(&["a", "link"]).await;
    assert!(matches!(link, Error::NodeNotEligible { node, .. } if node == "link"));
    let outside = refused(&["a", "outside"]).await;
    assert!(matches!(outside, Error::OutsideLibrary { .. }));
    let none = refused(&[]).await;
    assert!(matches!(none, Error::InvalidField { .. }));
    let many = vec!["a"; 501];
    assert!(matches!(refused(&many).await, Error::InvalidField { .. }));
    let mut as_folder = documents(&["a"]);
    as_folder.definition.kind = Some(SetKind::Folder);
    let refused = alice.create_set(&as_folder).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidField { field, .. } if field == "definition.kind"));
    let mut flat = documents(&["a"]);
    flat.definition.options.include_subfolders = false;
    let refused = alice.create_set(&flat).await.unwrap_err();
    assert!(
        matches!(refused, Error::InvalidField { field, .. } if field.ends_with("include_subfolders"))
    );
}

#[tokio::test]
async fn r_set_5_of_two_selections_that_share_a_document_exactly_one_wins() {
    let fixture = with(&[document("a"), document("b"), document("c")]).await;
    let alice = fixture.alice().await;
    let (left, right) = (documents(&["a", "b"]), documents(&["b", "c"]));
    let (one, other) = tokio::join!(alice.create_set(&left), alice.create_set(&right));
    assert!(one.is_ok() != other.is_ok());
    let refused = one.err().or_else(|| other.err()).unwrap();
    assert!(matches!(refused, Error::AlreadySynced { node } if node == "b"));
    let sets = alice.sync_sets(None, 10).await.unwrap();
    assert_eq!((sets.len(), sets[0].nodes.len()), (1, 2));
}

#[tokio::test]
async fn r_set_1_the_set_goes_with_its_last_member() {
    let fixture = with(&[document("a"), document("b")]).await;
    let set = synced(&fixture).await.set.id;
    let alice = fixture.alice().await;
    fixture.report(Side::OnPremise, vec![absent("a")]).await;
    fixture.deliver_all(Side::Cloud).await;
    let left = alice.sync_set(set).await.unwrap();
    assert_eq!(left.nodes, [NodeId("b".to_owned())]);
    fixture.report(Side::OnPremise, vec![absent("b")]).await;
    fixture.deliver_all(Side::Cloud).await;
    let gone = alice.sync_set(set).await;
    assert!(matches!(gone, Err(Error::SyncSetNotFound { .. })));
    let store = &fixture.coordinator.store;
    assert!(store.roots(fixture.hq.id).await.unwrap().is_empty());
}

/// Whether the set still has this member.
async fn has(alice: &UserScope, set: SyncSetId, member: MemberId) -> bool {
    alice.member(set, member).await.is_ok()
}

#[tokio::test]
async fn r_set_1_one_document_of_several_is_unsynced_and_a_repeat_is_answered_the_same() {
    let fixture = with(&[document("a"), document("b")]).await;
    let view = synced(&fixture).await;
    let (set, alice) = (view.set.id, fixture.alice().await);
    let member = fixture.member_named(&view, "a").await;
    let last = fixture.member_named(&view, "b").await;
    let bob = fixture.user("bob", Role::User).await;
    let refused = bob.unsync_member(set, member, false).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    for _ in 0..2 {
        alice.unsync_member(set, member, false).await.unwrap();
        assert!(!has(&alice, set, member).await);
    }
    let other = alice.unsync_member(set, member, true).await;
    assert!(matches!(other, Err(Error::WrongState { state: "ENDED" })));
    let left = alice.sync_set(set).await.unwrap();
    assert_eq!(left.nodes, [NodeId("b".to_owned())]);
    look_at(&fixture, "a", "lib", "2").await;
    assert_eq!(due(&fixture, Side::Cloud).await, 0, "it is synced no more");
    let unknown = alice.unsync_member(set, MemberId::default(), false).await;
    assert!(matches!(unknown, Err(Error::MemberNotFound { .. })));
    alice.unsync_member(set, last, false).await.unwrap();
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while alice.sync_set(set).await.is_ok() {
        bell.changed().await.unwrap();
    }
}

#[tokio::test]
async fn r_uns_1_the_cloud_copy_of_one_document_of_several_is_removed_or_listed_as_staying() {
    let fixture = with(&[document("a"), document("b"), document("c")]).await;
    let alice = fixture.alice().await;
    let made = alice.create_set(&documents(&["a", "b", "c"])).await;
    let view = made.unwrap().set;
    let set = view.set.id;
    for node in ["a", "b", "c"] {
        look_at(&fixture, node, "lib", "1").await;
    }
    fixture.deliver_all(Side::Cloud).await;
    let member = fixture.member_named(&view, "a").await;
    let changed = fixture.member_named(&view, "b").await;
    for _ in 0..2 {
        alice.unsync_member(set, member, true).await.unwrap();
        assert!(has(&alice, set, member).await, "its cloud copy is to go");
    }
    let other = alice.unsync_member(set, member, false).await;
    assert!(matches!(other, Err(Error::WrongState { state: "ENDED" })));
    let delete = alice.delete_member(set, member, Side::Cloud, PeerChoice::Keep);
    let refused = delete.await;
    assert!(matches!(
        refused,
        Err(Error::WrongState { state: "ENDING" })
    ));
    fixture.deliver_all(Side::Cloud).await;
    assert!(!has(&alice, set, member).await);
    alice.unsync_member(set, member, true).await.unwrap();
    let other = alice.unsync_member(set, member, false).await;
    assert!(matches!(other, Err(Error::WrongState { state: "ENDED" })));
    assert!(alice.skipped_nodes(set, None, 10).await.unwrap().is_empty());
    let copies = alice.member(set, changed).await.unwrap().copies;
    let cloud = copies.cloud.unwrap().copy.node.0;
    let written = present(&cloud, "inbox", "elsewhere", Some("mine".to_owned()));
    fixture.report(Side::Cloud, vec![written]).await;
    alice.unsync_member(set, changed, true).await.unwrap();
    let stays = alice.skipped_nodes(set, None, 10).await.unwrap();
    let reasons: Vec<_> = stays.iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [StayReason::NotPulled.text()]);
    assert_eq!(alice.sync_set(set).await.unwrap().set.counters.members, 1);
}

#[tokio::test]
async fn r_mov_4_a_chosen_document_in_a_synced_folder_keeps_its_set_and_is_listed_as_skipped() {
    let fixture = with(&[document("a"), document("b"), folder("docs")]).await;
    let set = synced(&fixture).await.set.id;
    let alice = fixture.alice().await;
    let folders = alice.create_set(&new_set()).await.unwrap().set.set.id;
    let docs = vec![present("docs", "lib", "1", None)];
    fixture.report(Side::OnPremise, docs).await;
    fixture.deliver_all(Side::Cloud).await;
    look_at(&fixture, "a", "docs", "2").await;
    fixture.deliver_all(Side::Cloud).await;
    let member = fixture
        .member_named(&alice.sync_set(set).await.unwrap(), "a")
        .await;
    let member = alice.member(set, member).await.unwrap();
    assert_eq!(member.copies.on_premise.unwrap().copy.parent.0, "docs");
    assert_eq!(member.copies.cloud.unwrap().copy.parent.0, "inbox");
    let skipped = alice.skipped_nodes(folders, None, 10).await.unwrap();
    let told: Vec<(Side, &str, &str)> = skipped
        .iter()
        .map(|one| (one.side, one.path.as_str(), one.reason))
        .collect();
    assert_eq!(
        told,
        [(Side::OnPremise, "docs/a", "it is in a sync set of its own")]
    );
    let after = Some((Side::OnPremise, NodeId("a".to_owned())));
    let rest = alice.skipped_nodes(folders, after, 10).await.unwrap();
    assert!(rest.is_empty());
    assert!(alice.skipped_nodes(set, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn r_mov_1_where_a_document_lies_is_told_by_its_agent_and_is_its_name_while_that_is_away() {
    let lies_in = |node: &str, folder: &str| NodeInfo {
        path: format!("{folder}/{node}"),
        ..document(node)
    };
    let fixture = with(&[lies_in("a", "plans/may"), lies_in("b", "plans")]).await;
    let set = synced(&fixture).await;
    let alice = fixture.alice().await;
    let paths = |view: &MemberView| {
        let path = |side: Side| view.copies.get(side).as_ref().map(|copy| copy.path.clone());
        (path(Side::OnPremise).unwrap(), path(Side::Cloud).unwrap())
    };
    let told = ("plans/may/a".to_owned(), "a".to_owned());
    let a = fixture.member_named(&set, "a").await;
    let shown = alice.member(set.set.id, a).await.unwrap();
    assert_eq!(
        paths(&shown),
        told,
        "the agent of the cloud answers nonsense"
    );
    let info = alice.node_sync_info("hq", "a").await.unwrap();
    assert_eq!(paths(&info.member.unwrap().0), told);
    let all = alice.members_of_all(None, Filter::default(), 10).await;
    let mut all: Vec<_> = all.unwrap().iter().map(paths).collect();
    all.sort();
    assert_eq!(all, [("plans/b".to_owned(), "b".to_owned()), told]);
    let mut feed = alice.watch_members(set.set.id).await.unwrap();
    match feed.next().await.unwrap().unwrap() {
        MemberChange::Is(view) => assert!(paths(&view).0.starts_with("plans/")),
        other => panic!("{other:?}"),
    }
    let fixture = {
        drop((feed, alice));
        fixture.restart().await
    };
    let shown = fixture.alice().await.member(set.set.id, a).await.unwrap();
    assert_eq!(paths(&shown), ("a".to_owned(), "a".to_owned()));
}

#[tokio::test]
async fn r_sta_2_watchers_of_a_document_are_told_again_when_a_folder_of_another_set_above_it_is_renamed()
 {
    let fixture = with(&[document("a"), document("b"), folder("docs")]).await;
    let set = synced(&fixture).await.set.id;
    let alice = fixture.alice().await;
    alice.create_set(&new_set()).await.unwrap();
    for (node, parent) in [("docs", "lib"), ("sub", "docs")] {
        let folder = vec![present(node, parent, "1", None)];
        fixture.report(Side::OnPremise, folder).await;
    }
    look_at(&fixture, "a", "sub", "2").await;
    fixture.deliver_all(Side::Cloud).await;
    let mut feed = alice.watch_members(set).await.unwrap();
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
    let mut first = told().await;
    first.sort();
    assert_eq!(first, ["b", "docs/sub/a"]);
    let mut renamed = present("docs", "lib", "2", None);
    if let Seen::Present(presence) = &mut renamed.seen {
        std::sync::Arc::make_mut(&mut presence.projection).name = "papers".to_owned();
    }
    fixture.report(Side::OnPremise, vec![renamed]).await;
    assert_eq!(told().await, ["papers/sub/a"], "and nothing of b");
    look_at(&fixture, "a", "lib", "3").await;
    assert_eq!(told().await, ["a"], "it is looked for elsewhere now");
}

#[tokio::test]
async fn r_agt_5_a_scan_that_reads_content_reads_chosen_documents_too() {
    let fixture = with(&[document("a"), document("b")]).await;
    synced(&fixture).await;
    let store = &fixture.test.store;
    for read in [false, true, false] {
        let (network, hq) = (fixture.network.id, fixture.hq.id);
        let scan = fixture.coordinator.ingest.ask_scan(network, hq, None, read);
        scan.await.unwrap();
        let asked = store.to_observe(hq, 10).await.unwrap();
        let read: Vec<bool> = asked.iter().map(|(_, read)| *read).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], read[1]);
    }
    let mut session = fixture.session(Side::OnPremise).await;
    let asked = session.next().await.unwrap();
    let asked = asked.iter().filter_map(|outgoing| match outgoing {
        Outgoing::Observe(nodes, read) => Some((nodes.len(), *read)),
        Outgoing::Watch(_) | Outgoing::Deliver(_) => None,
    });
    assert_eq!(
        asked.collect::<Vec<_>>(),
        [(2, true)],
        "asked for once is enough"
    );
    look_at(&fixture, "a", "lib", "1").await;
    assert_eq!(store.to_observe(fixture.hq.id, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r_agt_4_a_new_generation_counts_as_listed_when_every_document_is_answered() {
    let fixture = with(&[document("a"), document("b")]).await;
    synced(&fixture).await;
    let (network, hq) = (fixture.network.id, fixture.hq.id);
    let store = &fixture.test.store;
    let begin = store.write(|tx| async move {
        let asked = scans::ask_all_in(&*tx, hq, ScanKind::Generation, false).await?;
        assert!(asked);
        generations::begin_in(&*tx, hq).await
    });
    begin.await.unwrap();
    let listed = async || {
        let next =
            store.write(|tx| async move { generations::next_to_settle_in(&*tx, network).await });
        next.await.unwrap().is_some()
    };
    assert!(!listed().await);
    look_at(&fixture, "a", "lib", "1").await;
    assert!(!listed().await);
    // Absence is no deletion now: it is made again where it was.
    fixture.report(Side::OnPremise, vec![absent("b")]).await;
    let mut bell = fixture.coordinator.wakeup.repository(hq);
    while due(&fixture, Side::OnPremise).await == 0 {
        bell.changed().await.unwrap();
    }
    let members = store.due(hq, After::default(), NOW, 10).await.unwrap();
    let members: Vec<_> = members.iter().filter_map(|due| due.member).collect();
    let (delivery, _) = store
        .deliveries(network, Side::OnPremise, &members)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let action = format!("{:?}", delivery.action);
    assert!(
        action.starts_with("Create") && action.contains("lib"),
        "{action}"
    );
}

#[tokio::test]
async fn r_set_2_the_guard_counts_in_a_set_of_documents_too() {
    let names: Vec<String> = (0..24).map(|at| format!("d{at:02}")).collect();
    let nodes: Vec<NodeInfo> = names.iter().map(|name| document(name)).collect();
    let fixture = with(&nodes).await;
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let alice = fixture.alice().await;
    let set = alice.create_set(&documents(&ids)).await.unwrap().set.set.id;
    for name in &ids {
        look_at(&fixture, name, "lib", "1").await;
    }
    fixture.deliver_all(Side::Cloud).await;
    let gone = ids.iter().take(20).map(|name| absent(name)).collect();
    fixture.report(Side::OnPremise, gone).await;
    let held = alice.sync_set(set).await.unwrap();
    assert_eq!(held.held_deletions(), 20);
    assert_eq!(held.set.options, Options::default());
    assert!(nodes.iter().all(|node| node.kind == NodeKind::Document));
}
