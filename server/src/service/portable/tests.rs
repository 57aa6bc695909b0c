//! Exports and imports on a real database (R-ADM-1); with real agents, see `tests/it/portable.rs`.

use std::time::Duration;

use tokio_stream::StreamExt;

use crate::domain::access::{Role, Side};
use crate::domain::copy::{Absence, Copy, CopyState};
use crate::domain::ids::{MemberId, NetworkId, NodeId};
use crate::domain::limits::WALK_STEP_NODES_MAX;
use crate::domain::member::{MemberState, PeerChoice};
use crate::domain::report::{Observation, Seen};
use crate::domain::sync_set::Options;
use crate::service::ingest::{ImportStep, Imported};
use crate::service::members::Filter;
use crate::service::nodes::NodeChoice;
use crate::service::portable::ImportResult;
use crate::service::portable::read::id_in;
use crate::service::testing::{
    ALICE, Fixture, NOW, absent, document as a_document, folder, new_set, one, present,
    repository_of,
};
use crate::service::{AdminScope, Error};
use crate::storage::sync::due::After;
use crate::storage::sync::generations;
use crate::storage::sync::imports::Importing;
use crate::storage::sync::load::Declared;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn admin(fixture: &Fixture) -> AdminScope {
    let user = fixture.user(ALICE, Role::Admin).await;
    AdminScope { user }
}

async fn export(fixture: &Fixture) -> String {
    let mut feed = admin(fixture).await.export_sets(&[]).await.unwrap();
    let mut text = Vec::new();
    while let Some(lines) = feed.next().await {
        text.extend(lines.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Imports pieces of seven bytes: a line may come in any number of messages.
async fn import(fixture: &Fixture, text: &str) -> Result<ImportResult, Error> {
    let mut import = admin(fixture).await.begin_import().await?;
    for piece in text.as_bytes().chunks(7) {
        if let Err(error) = import.take(piece).await {
            import.give_up().await?;
            return Err(error);
        }
    }
    let finished = import.finish().await;
    if finished.is_err() {
        import.give_up().await?;
    }
    finished
}

/// Alice's set of `docs` with two documents, as it is exported.
async fn exported() -> String {
    let fixture = Fixture::new().await;
    let options = Options {
        max_delete_percent: 70,
        ..Options::default()
    };
    fixture.synced(options, &["a.txt", "b.txt"]).await;
    export(&fixture).await
}

async fn members(fixture: &Fixture) -> Vec<(MemberId, MemberState)> {
    let alice = fixture.alice().await;
    let sets = alice.sync_sets(None, 10).await.unwrap();
    let Some(set) = sets.first() else {
        return Vec::new();
    };
    let members = alice
        .members(set.set.id, None, Filter::default(), 100)
        .await;
    let members = members.unwrap().into_iter();
    members
        .map(|view| (view.member.id, view.member.state))
        .collect()
}

async fn is_listing(fixture: &Fixture) -> bool {
    let store = &fixture.coordinator.store;
    let listing = generations::rescanning_in(store.reader(), fixture.network.id).await;
    !listing.unwrap().is_empty()
}

async fn due(fixture: &Fixture, side: Side) -> usize {
    let store = &fixture.coordinator.store;
    let repository = fixture.repository(side).id;
    let due = store.due(repository, After::default(), NOW, 100).await;
    due.unwrap().len()
}

fn document(node: &str, parent: &str, name: &str, content: &str) -> Observation {
    let mut seen = present(node, parent, "another", Some(content.to_owned()));
    if let Seen::Present(presence) = &mut seen.seen {
        std::sync::Arc::make_mut(&mut presence.projection).name = name.to_owned();
    }
    seen
}

/// What both sides hold, listed again.
async fn list_both(fixture: &Fixture, a_on_premise: &str) {
    let left = vec![
        document("a.txt", "docs", "a.txt", a_on_premise),
        document("b.txt", "docs", "b.txt", "first of b.txt"),
    ];
    list_with(fixture, left).await;
}

/// What both sides hold, listed again: on the cloud all, on-premise this.
async fn list_with(fixture: &Fixture, left: Vec<Observation>) {
    let right = vec![
        document("c:a.txt", "c:docs", "a.txt", "first of a.txt"),
        document("c:b.txt", "c:docs", "b.txt", "first of b.txt"),
    ];
    for (side, seen) in [(Side::OnPremise, left), (Side::Cloud, right)] {
        // The content goes before the page that names it.
        fixture.report(side, seen.clone()).await;
        fixture.list(side, seen).await;
    }
    until(async || !is_listing(fixture).await).await;
}

/// Looks again and again; a test that waits in vain fails, and does not hang.
async fn until(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

async fn until_settled(fixture: &Fixture) {
    let is_synced = |(_, state): &(MemberId, MemberState)| *state == MemberState::Synced;
    until(async || members(fixture).await.iter().all(is_synced)).await;
}

#[tokio::test]
async fn r_adm_1_what_is_imported_and_equal_is_paired_without_any_delivery() {
    let text = exported().await;
    let fixture = Fixture::new().await;
    let done = import(&fixture, &text).await.unwrap();
    assert_eq!(
        (done.sync_sets, done.members, done.already_there),
        (1, 3, 0)
    );
    let alice = fixture.alice().await;
    let set = alice.sync_sets(None, 10).await.unwrap().remove(0);
    assert_eq!(set.set.options.max_delete_percent, 70);
    assert_eq!((set.set.owner.as_str(), set.scanning), (ALICE, true));
    assert_eq!(set.set.counters.members, 3);
    assert!(is_listing(&fixture).await, "nothing is decided before");
    list_both(&fixture, "first of a.txt").await;
    until_settled(&fixture).await;
    for side in Side::BOTH {
        assert_eq!(due(&fixture, side).await, 0);
    }
    let set = alice.sync_set(set.set.id).await.unwrap();
    let counters = set.set.counters;
    assert_eq!(
        (counters.members, counters.pending, counters.failed),
        (3, 0, 0)
    );
    assert_eq!(counters.bytes, 2 * 14);
}

#[tokio::test]
async fn r_adm_1_what_changed_on_one_side_since_the_export_is_no_conflict() {
    let text = exported().await;
    let fixture = Fixture::new().await;
    import(&fixture, &text).await.unwrap();
    list_both(&fixture, "second").await;
    until(async || due(&fixture, Side::Cloud).await > 0).await;
    assert_eq!(due(&fixture, Side::Cloud).await, 1, "the change is pushed");
    assert_eq!(due(&fixture, Side::OnPremise).await, 0);
    fixture.deliver_all(Side::Cloud).await;
    until_settled(&fixture).await;
}

#[tokio::test]
async fn r_adm_1_a_deletion_that_somebody_asked_for_is_done_where_its_set_was_imported() {
    for (peer, words) in [(PeerChoice::Remove, "REMOVE"), (PeerChoice::Keep, "KEEP")] {
        let old = Fixture::new().await;
        let set = old.synced(Options::default(), &["a.txt", "b.txt"]).await;
        let b = old.member_named(&set, "b.txt").await;
        let alice = old.alice().await;
        let delete = alice.delete_member(set.set.id, b, Side::OnPremise, peer);
        delete.await.unwrap();
        let text = export(&old).await;
        assert!(text.contains(&format!("\"choice\":\"{words}\"")), "{text}");
        let fixture = Fixture::new().await;
        import(&fixture, &text).await.unwrap();
        list_both(&fixture, "first of a.txt").await;
        until(async || due(&fixture, Side::OnPremise).await > 0).await;
        assert_eq!(due(&fixture, Side::Cloud).await, 0);
        fixture.deliver_all(Side::OnPremise).await;
        let removed = usize::from(peer == PeerChoice::Remove);
        assert_eq!(due(&fixture, Side::Cloud).await, removed);
        fixture.deliver_all(Side::Cloud).await;
        assert_eq!(members(&fixture).await.len(), 2);
    }
}

/// Alice's set of two documents, one of which was unsynced, as it is exported before that is done.
async fn exported_leaving(remove_cloud_copy: bool) -> String {
    let old = locking().await;
    let chosen = ["a.txt", "b.txt"];
    old.agent(Side::OnPremise, repository_of(&chosen.map(a_document)));
    old.agent(Side::Cloud, |_| one(folder("inbox")));
    let mut new = new_set();
    new.definition.options.lock_on_premise_copy = true;
    let choice = |node: &str| NodeChoice::Id(NodeId(node.to_owned()));
    new.definition.nodes = chosen.map(choice).to_vec();
    let alice = old.alice().await;
    let set = alice.create_set(&new).await.unwrap().set;
    for name in chosen {
        old.report(Side::OnPremise, vec![locked(name, "lib", true)])
            .await;
    }
    old.deliver_all(Side::Cloud).await;
    let b = old.member_named(&set, "b.txt").await;
    let unsync = alice.unsync_member(set.set.id, b, remove_cloud_copy);
    unsync.await.unwrap();
    export(&old).await
}

/// An on-premise repository that can keep copies read-only.
async fn locking() -> Fixture {
    let fixture = Fixture::new().await;
    let declared = Declared {
        locks: true,
        ..Declared::default()
    };
    fixture.test.declare(fixture.hq.id, &declared).await;
    fixture
}

/// A document with the content that all of them have here.
fn locked(node: &str, parent: &str, locked: bool) -> Observation {
    let name = node.rsplit(':').next().unwrap();
    let mut seen = document(node, parent, name, "first");
    if let Seen::Present(presence) = &mut seen.seen {
        presence.locked = locked;
    }
    seen
}

#[tokio::test]
async fn r_adm_1_an_unsync_of_one_document_is_done_where_its_set_was_imported() {
    for removes in [true, false] {
        let text = exported_leaving(removes).await;
        assert!(text.contains("\"leaving\""), "{text}");
        let fixture = locking().await;
        import(&fixture, &text).await.unwrap();
        for name in ["a.txt", "b.txt"] {
            let cloud = locked(&format!("c:{name}"), "inbox", false);
            fixture.report(Side::Cloud, vec![cloud]).await;
            let on_premise = locked(name, "lib", true);
            fixture.report(Side::OnPremise, vec![on_premise]).await;
        }
        until(async || !is_listing(&fixture).await).await;
        until(async || due(&fixture, Side::OnPremise).await == 1).await;
        fixture.deliver_all(Side::OnPremise).await;
        assert_eq!(due(&fixture, Side::Cloud).await, usize::from(removes));
        fixture.deliver_all(Side::Cloud).await;
        assert_eq!(members(&fixture).await.len(), 1, "b.txt has left");
    }
}

#[tokio::test]
async fn r_adm_1_a_choice_about_a_deletion_that_was_seen_counts_where_its_set_was_imported() {
    let old = Fixture::new().await;
    let options = Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    old.synced(options, &["a.txt", "b.txt"]).await;
    let mut deleted = absent("b.txt");
    if let Seen::Absent { choice, .. } = &mut deleted.seen {
        *choice = Some(PeerChoice::Remove);
    }
    old.report(Side::OnPremise, vec![deleted]).await;
    let text = export(&old).await;
    let fixture = Fixture::new().await;
    import(&fixture, &text).await.unwrap();
    let a = document("a.txt", "docs", "a.txt", "first of a.txt");
    list_with(&fixture, vec![a]).await;
    until(async || due(&fixture, Side::Cloud).await == 1).await;
    fixture.deliver_all(Side::Cloud).await;
    assert_eq!(members(&fixture).await.len(), 2, "b.txt is none");
}

#[tokio::test]
async fn r_del_4_what_was_deleted_before_the_export_does_not_come_back_with_a_restored_repository()
{
    let old = Fixture::new().await;
    let set = old.synced(Options::default(), &["a.txt", "b.txt"]).await;
    old.report(Side::OnPremise, vec![absent("b.txt")]).await;
    old.deliver_all(Side::Cloud).await;
    assert_eq!(old.members_of(set.set.id).await, 2);
    let text = export(&old).await;
    let gone = text.lines().filter(|line| line.contains("\"gone\""));
    assert_eq!(gone.count(), 2, "on both sides: {text}");
    let fixture = Fixture::new().await;
    import(&fixture, &text).await.unwrap();
    list_both(&fixture, "first of a.txt").await;
    until_settled(&fixture).await;
    assert_eq!(members(&fixture).await.len(), 2, "b.txt is none");
    let alice = fixture.alice().await;
    let set = alice.sync_sets(None, 10).await.unwrap().remove(0).set.id;
    let (store, first) = (&fixture.coordinator.store, NodeId::default());
    let left = store.skipped(set, fixture.hq.id, &first, 10).await.unwrap();
    assert_eq!(left.len(), 1, "it is left");
    // What is not listed again stays gone.
    let quiet = Fixture::new().await;
    import(&quiet, &text).await.unwrap();
    let set = quiet.alice().await.sync_sets(None, 10).await.unwrap();
    let (store, set) = (&quiet.coordinator.store, set[0].set.id);
    let gone = store.gone(set, quiet.hq.id, &first, 10).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].state, CopyState::Gone(Absence::Deleted));
}

#[tokio::test]
async fn r_adm_1_an_import_is_repeatable_also_where_the_export_was_made() {
    let origin = Fixture::new().await;
    origin.synced(Options::default(), &["a.txt"]).await;
    let text = export(&origin).await;
    let fixture = Fixture::new().await;
    import(&fixture, &text).await.unwrap();
    for fixture in [&fixture, &origin] {
        let before = members(fixture).await;
        let done = import(fixture, &text).await.unwrap();
        assert_eq!((done.sync_sets, done.already_there), (0, 1));
        assert_eq!(members(fixture).await, before);
    }
    let again = export(&fixture).await;
    assert_eq!(again.lines().count(), text.lines().count());
}

#[tokio::test]
async fn r_adm_1_a_pause_and_what_was_unlinked_are_imported_too() {
    let origin = Fixture::new().await;
    let options = Options {
        allow_delete_on_cloud: false,
        ..Options::default()
    };
    let set = origin.synced(options, &["a.txt", "b.txt"]).await.set.id;
    origin.report(Side::OnPremise, vec![absent("a.txt")]).await;
    let alice = origin.alice().await;
    alice.pause_set(set, true).await.unwrap();
    let text = export(&origin).await;
    let fixture = Fixture::new().await;
    assert_eq!(import(&fixture, &text).await.unwrap().members, 2);
    let alice = fixture.alice().await;
    let set = alice.sync_sets(None, 10).await.unwrap().remove(0).set;
    assert!(set.paused);
    let skipped = alice.skipped_nodes(set.id, None, 10).await.unwrap();
    let skipped = skipped.iter().map(|one| (one.side, one.node.0.as_str()));
    assert_eq!(skipped.collect::<Vec<_>>(), [(Side::Cloud, "c:a.txt")]);
}

/// Files that are not whole, or not in order, each with what is said of it.
fn out_of_order(text: &str) -> Vec<(String, &'static str)> {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != left_out);
        let kept: Vec<&str> = kept.map(|(_, line)| *line).collect();
        kept.join("\n")
    };
    let mut twice = lines.clone();
    twice.insert(4, lines[4]);
    vec![
        (text[..text.len() / 2].to_owned(), "the line was cut"),
        (
            lines[..5].join("\n"),
            "lines[6]: is missing: the file was cut",
        ),
        (String::new(), "lines[1]: is missing"),
        ("no export".to_owned(), "lines[1].type: the first line"),
        (twice.join("\n"), "lines[6].uid: was told before"),
        (
            without(4),
            "lines[5].members: is 3, and 2 members were told",
        ),
        (without(2), "lines[5].members: is 3, and 2"),
        (without(5), "lines[6].type: the file ends within a set"),
        (
            text.replace(
                "\"parent_node_id\":\"docs\"",
                "\"parent_node_id\":\"b.txt\"",
            ),
            "lines[6].members: node a.txt lies in no folder of the set",
        ),
    ]
}

/// Files with a wrong field, each with what is said of it.
fn with_wrong_fields(text: &str) -> Vec<(String, &'static str)> {
    let cases = [
        (
            "\"version\":1",
            "\"version\":2",
            "lines[1].version: is 2, and this coordinator reads version 1",
        ),
        (
            "\"hq\"",
            "\"other\"",
            "lines[2].on_premise_repository: there is no repository networks/acme/repositories/other; register it",
        ),
        (
            "\"cloud_repository\":\"cloud\"",
            "\"cloud_repository\":\"hq\"",
            "lines[2].cloud_repository: hq must be a repository of side CLOUD",
        ),
        (
            "CLOUD_WINS",
            "NOBODY_WINS",
            "lines[2].options.conflict_policy: must be one of CLOUD_WINS, ON_PREMISE_WINS",
        ),
        (
            "\"max_delete_percent\":70",
            "\"max_delete_percent\":0",
            "lines[2].options.max_delete_percent: must be 1 to 100",
        ),
        (
            "\"owner\":",
            "\"master\":",
            "lines[2]: unknown field `master`",
        ),
        (
            "\"name\":\"b.txt\"",
            "\"name\":\"../b.txt\"",
            "lines[5].base.look.name: a name contains neither",
        ),
        (
            "\"digest\":\"",
            "\"digest\":\"zz",
            "lines[4].base.look.digest: must be a SHA-256 digest",
        ),
    ];
    let changed = cases.map(|(right, wrong, said)| {
        assert!(text.contains(right), "{text}");
        (text.replace(right, wrong), said)
    });
    changed.to_vec()
}

#[tokio::test]
async fn r_adm_1_bad_lines_are_named_and_leave_nothing_behind() {
    let text = exported().await;
    let cases = out_of_order(&text)
        .into_iter()
        .chain(with_wrong_fields(&text));
    let fixture = Fixture::new().await;
    for (bad, expected) in cases {
        let refused = import(&fixture, &bad).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}, not {expected}");
        assert_eq!(members(&fixture).await, []);
    }
    // A set that is whole stays, whatever comes behind it.
    let bad = format!("{text}{{}}\n");
    let refused = import(&fixture, &bad).await.unwrap_err().to_string();
    let expected = "lines[8].type: nothing comes behind the line `end` (1 sets before it";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(members(&fixture).await.len(), 3, "the nodes were free");
}

#[tokio::test]
async fn r_set_5_a_node_that_is_in_a_set_is_not_imported_into_another() {
    let text = exported().await;
    let fixture = Fixture::new().await;
    fixture.agents();
    let alice = fixture.alice().await;
    alice.create_set(&new_set()).await.unwrap();
    let refused = import(&fixture, &text).await.unwrap_err().to_string();
    let expected = "lines[3].on_premise.node_id: docs is in a sync set already";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(members(&fixture).await.len(), 1, "that set stays as it is");
}

#[tokio::test]
async fn r_adm_1_what_an_import_left_that_broke_off_is_removed() {
    let text = exported().await;
    let fixture = Fixture::new().await;
    let lines: Vec<&str> = text.lines().collect();
    let mut half = lines[..4].join("\n") + "\n";
    let uid: serde_json::Value = serde_json::from_str(lines[4]).unwrap();
    for number in 0..300 {
        let other = uuid::Uuid::now_v7().to_string();
        let line = lines[4].replace("b.txt", &format!("b{number}.txt"));
        half += &line.replace(uid["uid"].as_str().unwrap(), &other);
        half += "\n";
    }
    let mut broken = admin(&fixture).await.begin_import().await.unwrap();
    broken.take(half.as_bytes()).await.unwrap();
    let store = &fixture.coordinator.store;
    let node = NodeId("a.txt".to_owned());
    assert!(store.is_member(fixture.hq.id, &node).await.unwrap());
    let second = admin(&fixture).await.begin_import().await.unwrap_err();
    assert!(matches!(second, Error::RateLimited { .. }), "one at a time");
    // As when the coordinator is killed: nobody gives up.
    drop(broken);
    let networks = fixture.coordinator.store.networks_with_imports();
    assert_eq!(networks.await.unwrap(), [fixture.network.id]);
    fixture.coordinator.forget_imports().await.unwrap();
    assert!(!store.is_member(fixture.hq.id, &node).await.unwrap());
    let networks = fixture.coordinator.store.networks_with_imports();
    assert_eq!(networks.await.unwrap(), []);
    assert_eq!(import(&fixture, &text).await.unwrap().members, 3);
}

#[tokio::test]
async fn r_mem_4_what_is_left_comes_in_in_steps_and_stays_when_the_last_ones_were_missed() {
    let fixture = Fixture::new().await;
    import(&fixture, &exported().await).await.unwrap();
    let alice = fixture.alice().await;
    let set = alice.sync_sets(None, 10).await.unwrap().remove(0).set;
    let members_of = alice.members(set.id, None, Filter::default(), 10).await;
    let a = members_of.unwrap().into_iter().find_map(|view| {
        let copy = view.copies.on_premise?.copy;
        (copy.node.0 == "a.txt").then_some(copy)
    });
    let a = a.unwrap();
    let left: Vec<Copy> = (0..2 * WALK_STEP_NODES_MAX + 1)
        .map(|number| Copy {
            node: NodeId(format!("l{number}")),
            state: CopyState::Left,
            member: None,
            ..a.clone()
        })
        .collect();
    let (ingest, network) = (&fixture.coordinator.ingest, fixture.network.id);
    let step = async |step| ingest.import(network, step).await.unwrap();
    // As when the coordinator is killed once the set is there, and not all that it leaves.
    let importing = Importing {
        set: set.id,
        repositories: set.repositories,
    };
    let begin = || ImportStep::Begin(importing.clone());
    step(begin()).await;
    assert_eq!(step(ImportStep::Left(left.clone())).await, Imported::Done);
    let store = &fixture.coordinator.store;
    let one = NodeId("l7".to_owned());
    assert!(!store.is_member(fixture.hq.id, &one).await.unwrap());
    assert_eq!(step(ImportStep::GoOn).await, Imported::More);
    assert_eq!(step(ImportStep::GoOn).await, Imported::More);
    fixture.coordinator.forget_imports().await.unwrap();
    assert_eq!(store.networks_with_imports().await.unwrap(), []);
    assert_eq!(members(&fixture).await.len(), 3, "the set stays");
    let first = NodeId::default();
    let skipped = store.skipped(set.id, fixture.hq.id, &first, 5_000);
    assert_eq!(skipped.await.unwrap().len(), left.len());
    step(begin()).await;
    let again = step(ImportStep::Left(left)).await;
    assert_eq!(again, Imported::Done, "they are nobody's");
}

#[tokio::test]
async fn spec_12_an_import_cannot_reach_what_is_of_another_network() {
    let uid = uuid::Uuid::now_v7();
    let (one, other) = (id_in(NetworkId(1), uid), id_in(NetworkId(2), uid));
    assert!(one != other && one != uid && one == id_in(NetworkId(1), uid));
    assert_eq!(
        one.get_timestamp(),
        uid.get_timestamp(),
        "it tells when it was made"
    );
}
