use bytes::Bytes;
use tandem_proto::v1::{
    CreateNode, DeleteNode, Delivery, DeliveryId, FailureReason, NameRule, NodeKind, NodeTrait,
    Observation, Outcome, Place, Projection, ScanOutcome, UpdateNode, WatchRoot, delivery::Action,
    observation::State, outcome::Answer, place::Folder,
};

use super::{
    tree::{ROOT, content_ref},
    *,
};
use crate::agent::repository::Seen;

fn tree() -> (MemoryTree, String) {
    let mut tree = MemoryTree::new("n", Rules::default());
    let folder = tree.create_folder(ROOT, "contracts").unwrap();
    tree.watch(&[WatchRoot {
        node_id: folder.clone(),
        include_subfolders: true,
        ..WatchRoot::default()
    }]);
    (tree, folder)
}

fn document(name: &str, content: &'static str) -> Projection {
    Projection {
        kind: NodeKind::Document.into(),
        name: name.to_owned(),
        content: Some(content_ref(&Bytes::from_static(content.as_bytes()))),
        ..Projection::default()
    }
}

fn delivery(member: &'static [u8], version: i64, action: Action) -> Delivery {
    let id = DeliveryId {
        member_id: Bytes::from_static(member),
        source_version: version,
    };
    Delivery {
        id: Some(id),
        action: Some(action),
        ..Delivery::default()
    }
}

fn create(folder: &str, projection: Projection) -> Action {
    let parent = Place {
        folder: Some(Folder::NodeId(folder.to_owned())),
    };
    Action::Create(CreateNode {
        parent: Some(parent),
        projection: Some(projection),
        locked: false,
    })
}

fn update(tree: &MemoryTree, node_id: &str, projection: Projection) -> Action {
    Action::Update(UpdateNode {
        node_id: node_id.to_owned(),
        expected_revision: tree.observation(node_id).revision,
        projection: Some(projection),
        ..UpdateNode::default()
    })
}

fn result_of(outcome: &Outcome) -> &tandem_proto::v1::Observation {
    match outcome.answer.as_ref().unwrap() {
        Answer::Applied(applied) => applied.result.as_ref().unwrap(),
        other => panic!("not applied: {other:?}"),
    }
}

fn reason_of(outcome: &Outcome) -> FailureReason {
    match outcome.answer.as_ref().unwrap() {
        Answer::Failed(failed) => failed.reason(),
        other => panic!("did not fail: {other:?}"),
    }
}

fn seen(tree: &MemoryTree) -> Vec<Seen> {
    let offered = tree.take_changes(1000);
    offered
        .into_iter()
        .map(|seen| Seen {
            node_id: seen.node_id,
            revision: seen.revision,
        })
        .collect()
}

#[test]
fn changes_are_offered_newest_and_parents_first_until_they_are_reported() {
    let (mut tree, folder) = tree();
    let inner = tree.create_folder(&folder, "inner").unwrap();
    let note = tree.create_document(&inner, "a.txt", "one").unwrap();
    let old = seen(&tree);
    assert_eq!(
        old.iter().map(|seen| &seen.node_id).collect::<Vec<_>>(),
        [&inner, &note]
    );
    tree.write(&note, "two").unwrap();
    tree.reported(&old);
    let again = seen(&tree);
    assert_eq!(again.len(), 1, "the newer state was not reported");
    assert_eq!(again[0].node_id, note);
    tree.reported(&again);
    assert!(seen(&tree).is_empty());
}

#[test]
fn deleting_a_folder_is_offered_once_for_all_below_it() {
    let (mut tree, folder) = tree();
    let inner = tree.create_folder(&folder, "inner").unwrap();
    tree.create_document(&inner, "a.txt", "one").unwrap();
    tree.delete(&inner).unwrap();
    let offered = tree.take_changes(10);
    assert_eq!(offered.len(), 1);
    assert!(matches!(offered[0].state, Some(State::Absent(_))));
}

#[test]
fn r_agt_6_a_repeated_create_finds_the_marked_node() {
    let (mut tree, folder) = tree();
    let wanted = delivery(b"m", 1, create(&folder, document("a.txt", "one")));
    let first = tree.apply_delivery(&wanted, None);
    let second = tree.apply_delivery(&wanted, None);
    assert_eq!(first, second);
    assert_eq!(result_of(&first).member_mark, "m");
    assert_eq!(tree.listing(&folder).len(), 1);
    assert!(seen(&tree).is_empty(), "what was delivered is not offered");
}

#[test]
fn r_agt_6_a_repeated_update_archives_once_and_a_later_one_is_stale() {
    let (mut tree, folder) = tree();
    let note = tree.create_document(&folder, "a.txt", "one").unwrap();
    let action = update(&tree, &note, document("b.txt", "two"));
    let wanted = delivery(b"m", 1, action.clone());
    let first = tree.apply_delivery(&wanted, None);
    assert_eq!(tree.apply_delivery(&wanted, None), first);
    assert_eq!(tree.content(&note).unwrap(), "two");
    assert_eq!(tree.kept_versions(&note, "", 10).0.len(), 1);
    let late = tree.apply_delivery(&delivery(b"m", 2, action), None);
    assert!(matches!(late.answer, Some(Answer::Stale(_))), "{late:?}");
    let (versions, _) = tree.kept_versions("", "", 10);
    tree.restore_version(&note, &versions[0].version_id)
        .unwrap()
        .unwrap();
    assert_eq!(tree.content(&note).unwrap(), "one");
}

#[test]
fn r_del_2_a_folder_is_removed_only_when_it_is_empty() {
    let (mut tree, folder) = tree();
    let inner = tree.create_folder(&folder, "inner").unwrap();
    let kept = tree.create_document(&inner, "mine.txt", "x").unwrap();
    let action = |tree: &MemoryTree, node_id: &str| {
        Action::Delete(DeleteNode {
            node_id: node_id.to_owned(),
            expected_revision: tree.observation(node_id).revision,
            with_content: false,
        })
    };
    let outcome = tree.apply_delivery(&delivery(b"f", 1, action(&tree, &inner)), None);
    assert!(matches!(result_of(&outcome).state, Some(State::Present(_))));
    tree.apply_delivery(&delivery(b"d", 1, action(&tree, &kept)), None);
    let outcome = tree.apply_delivery(&delivery(b"f", 2, action(&tree, &inner)), None);
    assert!(matches!(result_of(&outcome).state, Some(State::Absent(_))));
    assert_eq!(tree.kept_versions(&kept, "", 10).0.len(), 1);
}

#[test]
fn r_uns_1_a_folder_goes_with_its_content_but_not_with_what_other_sets_watch() {
    let (mut tree, folder) = tree();
    let doomed = tree.create_folder(&folder, "doomed").unwrap();
    let inner = tree.create_folder(&doomed, "inner").unwrap();
    let mine = tree.create_document(&inner, "mine.txt", "x").unwrap();
    let other = tree.create_folder(&doomed, "other set").unwrap();
    let theirs = tree.create_document(&other, "theirs.txt", "y").unwrap();
    let root = |node_id: &str| WatchRoot {
        node_id: node_id.to_owned(),
        include_subfolders: true,
        ..WatchRoot::default()
    };
    tree.watch(&[root(&folder), root(&other)]);
    let action = |tree: &MemoryTree| {
        Action::Delete(DeleteNode {
            node_id: doomed.clone(),
            expected_revision: tree.observation(&doomed).revision,
            with_content: true,
        })
    };
    let outcome = tree.apply_delivery(&delivery(b"f", 1, action(&tree)), None);
    assert!(matches!(result_of(&outcome).state, Some(State::Present(_))));
    assert!(tree.content(&theirs).is_some());
    assert!(tree.content(&mine).is_none());
    assert_eq!(tree.kept_versions(&mine, "", 10).0.len(), 1);
    tree.watch(&[root(&folder)]);
    let outcome = tree.apply_delivery(&delivery(b"f", 2, action(&tree)), None);
    assert!(matches!(result_of(&outcome).state, Some(State::Absent(_))));
    assert_eq!(tree.kept_versions(&theirs, "", 10).0.len(), 1);
}

#[test]
fn r_rec_10_names_clash_by_the_declared_rule() {
    let names = NameRule {
        case_insensitive: true,
        unicode_insensitive: true,
    };
    let mut tree = MemoryTree::new(
        "n",
        Rules {
            names,
            ..Rules::default()
        },
    );
    let first = tree.create_document(ROOT, "Cafe\u{301}", "x").unwrap();
    let refused = tree.create_document(ROOT, "CAF\u{c9}", "y").unwrap_err();
    assert_eq!(refused, Refused::NameClash(first.clone()));
    let outcome = tree.apply_delivery(
        &delivery(b"m", 1, create(ROOT, document("caf\u{e9}", "z"))),
        None,
    );
    assert_eq!(reason_of(&outcome), FailureReason::TargetFolderNameClash);
    tree.rename(&first, "caf\u{e9}").unwrap();
    for name in ["", ".", "..", "a/b", "a\0b"] {
        assert!(
            matches!(tree.rename(&first, name), Err(Refused::BadName(_))),
            "{name:?}"
        );
    }
}

#[test]
fn r_prj_5_a_rule_that_adds_a_title_shows_in_the_outcome() {
    let mut tree = MemoryTree::new(
        "n",
        Rules {
            titles: true,
            ..Rules::default()
        },
    );
    let outcome = tree.apply_delivery(
        &delivery(b"m", 1, create(ROOT, document("a.txt", "x"))),
        None,
    );
    let Some(Answer::Applied(applied)) = outcome.answer else {
        panic!()
    };
    assert_eq!(applied.delivered.unwrap().name, "a.txt");
    assert_eq!(applied.delivered_parent_node_id, ROOT);
    let Some(State::Present(made)) = applied.result.unwrap().state else {
        panic!()
    };
    assert_eq!(made.properties[0].name, "cm:title");
}

#[test]
fn faults_fail_what_they_are_told_to() {
    let (mut tree, folder) = tree();
    let wanted = delivery(b"m", 1, create(&folder, document("a.txt", "one")));
    tree.faults.next = Some((1, FailureReason::QuotaLimitViolation));
    assert_eq!(
        reason_of(&tree.apply_delivery(&wanted, None)),
        FailureReason::QuotaLimitViolation
    );
    tree.faults
        .chosen
        .insert("a.txt".to_owned(), FailureReason::RuleFailed);
    assert_eq!(
        reason_of(&tree.apply_delivery(&wanted, None)),
        FailureReason::RuleFailed
    );
    tree.faults.chosen.clear();
    let node = result_of(&tree.apply_delivery(&wanted, None))
        .node_id
        .clone();
    tree.faults.stale_next = 1;
    let action = update(&tree, &node, document("b.txt", "one"));
    let stale = tree.apply_delivery(&delivery(b"m", 2, action.clone()), None);
    assert!(matches!(stale.answer, Some(Answer::Stale(_))));
    let applied = tree.apply_delivery(&delivery(b"m", 3, action), None);
    assert!(matches!(applied.answer, Some(Answer::Applied(_))));
}

#[test]
fn bytes_with_another_digest_are_never_shown() {
    let (mut tree, folder) = tree();
    let wanted = delivery(b"m", 1, create(&folder, document("a.txt", "one")));
    let outcome = tree.apply_delivery(&wanted, Some(Bytes::from_static(b"two")));
    assert_eq!(reason_of(&outcome), FailureReason::ContentUnavailable);
    assert!(tree.listing(&folder).is_empty());
}

#[test]
fn r_agt_5_a_scan_in_small_steps_lists_every_node_once() {
    let (mut tree, folder) = tree();
    for index in 0..5 {
        let inner = tree.create_folder(&folder, &format!("f{index}")).unwrap();
        for name in ["a", "b", "c"] {
            tree.create_document(&inner, name, "x").unwrap();
        }
        tree.create_folder(&inner, "deep").unwrap();
    }
    let link = tree.create_folder(&folder, "link").unwrap();
    tree.set_trait(&link, NodeTrait::Link).unwrap();
    tree.create_document(&link, "outside", "x").unwrap();
    let root = WatchRoot {
        node_id: folder,
        include_subfolders: true,
        ..WatchRoot::default()
    };
    for step_size in [1, 2, 3, 100] {
        let (mut position, mut listed, mut covered) = (Vec::new(), Vec::new(), 0);
        loop {
            let step = tree.scan(&root, &position, step_size).unwrap();
            covered += step
                .pages
                .iter()
                .filter(|page| page.through_node_id.is_empty())
                .count();
            listed.extend(step.pages.into_iter().flat_map(|page| page.children));
            if step.outcome == Some(ScanOutcome::Complete) {
                break;
            }
            assert_ne!(step.position, position);
            position = step.position;
        }
        let mut names: Vec<_> = listed.iter().map(|seen| seen.node_id.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), listed.len()), (26, 26), "step {step_size}");
        assert_eq!(
            covered, 11,
            "each folder is listed to its end, a link is not followed"
        );
    }
    tree.faults.root_gone = true;
    assert!(tree.scan(&root, &[], 10).is_err());
}

#[test]
fn r_mov_1_a_watched_document_is_offered_wherever_it_goes_also_with_its_folder() {
    let mut tree = MemoryTree::new("n", Rules::default());
    let folder = tree.create_folder(ROOT, "folder").unwrap();
    let document = tree.create_document(ROOT, "a.txt", "one").unwrap();
    tree.watch(&[WatchRoot {
        node_id: document.clone(),
        document: true,
        ..WatchRoot::default()
    }]);
    let offered = |tree: &mut MemoryTree| {
        let offered = tree.take_changes(10);
        let seen: Vec<Seen> = offered.iter().map(seen_of).collect();
        tree.reported(&seen);
        offered
    };
    tree.move_to(&document, &folder).unwrap();
    tree.create_document(&folder, "b.txt", "not watched")
        .unwrap();
    let seen = offered(&mut tree);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].parent_node_id, folder);
    tree.delete(&folder).unwrap();
    let seen = offered(&mut tree);
    assert_eq!(seen.len(), 1);
    assert!(matches!(seen[0].state, Some(State::Absent(_))));
    assert_eq!(seen[0].node_id, document);
}

#[test]
fn r_agt_5_a_chosen_document_is_told_by_itself_when_it_goes_with_a_watched_folder() {
    let (mut tree, folder) = tree();
    let inner = tree.create_folder(&folder, "inner").unwrap();
    let document = tree.create_document(&inner, "a.txt", "one").unwrap();
    tree.create_document(&inner, "b.txt", "two").unwrap();
    let chosen = WatchRoot {
        node_id: document.clone(),
        document: true,
        ..WatchRoot::default()
    };
    let mut roots = tree.roots.clone();
    roots.push(chosen);
    tree.watch(&roots);
    let told = tree.take_changes(10);
    tree.reported(&told.iter().map(seen_of).collect::<Vec<_>>());
    tree.delete(&inner).unwrap();
    let told: Vec<String> = tree
        .take_changes(10)
        .into_iter()
        .map(|one| one.node_id)
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&inner) && told.contains(&document));
}

fn seen_of(observation: &Observation) -> Seen {
    Seen {
        node_id: observation.node_id.clone(),
        revision: observation.revision.clone(),
    }
}

#[test]
fn r_lck_1_locked_copies_refuse_users_but_not_sync() {
    let (mut tree, folder) = tree();
    let Action::Create(create) = create(&folder, document("a.txt", "one")) else {
        panic!()
    };
    let locked = Action::Create(CreateNode {
        locked: true,
        ..create
    });
    let outcome = tree.apply_delivery(&delivery(b"m", 1, locked), None);
    let node = result_of(&outcome).node_id.clone();
    assert_eq!(
        tree.write(&node, "mine"),
        Err(Refused::Locked(node.clone()))
    );
    let action = update(&tree, &node, document("a.txt", "two"));
    tree.apply_delivery(&delivery(b"m", 2, action), None);
    assert_eq!(tree.content(&node).unwrap(), "two");
    assert!(
        tree.write(&node, "mine").is_ok(),
        "the update did not lock it again"
    );
}

#[test]
fn r_lck_2_what_somebody_edits_online_is_told_and_left_alone() {
    let (mut tree, folder) = tree();
    let note = tree.create_document(&folder, "a.txt", "one").unwrap();
    tree.create_document(&folder, "b.txt", "one").unwrap();
    tree.set_edited(&note, true);
    assert!(tree.observation(&note).edited_online);
    assert!(tree.info(&note).locked_for_editing);
    let new = update(&tree, &note, document("a.txt", "two"));
    let delete = |tree: &MemoryTree, node_id: &str| DeleteNode {
        node_id: node_id.to_owned(),
        expected_revision: tree.observation(node_id).revision,
        with_content: true,
    };
    let gone = Action::Delete(delete(&tree, &note));
    for action in [new, gone] {
        let bytes = Some(Bytes::from_static(b"two"));
        let refused = tree.apply_delivery(&delivery(b"m", 1, action), bytes);
        assert_eq!(reason_of(&refused), FailureReason::LockedForEditing);
    }
    let whole = Action::Delete(delete(&tree, &folder));
    tree.apply_delivery(&delivery(b"f", 1, whole), None);
    let names: Vec<String> = tree.listing(&folder).into_keys().collect();
    assert_eq!(names, ["a.txt"], "what is edited keeps its folder");
    assert_eq!(tree.content(&note).as_deref(), Some(&b"one"[..]));
    tree.set_edited(&note, false);
    assert!(!tree.observation(&note).edited_online);
    let new = update(&tree, &note, document("a.txt", "two"));
    let written = tree.apply_delivery(&delivery(b"m", 2, new), Some(Bytes::from_static(b"two")));
    assert_eq!(result_of(&written).node_id, note);
}
