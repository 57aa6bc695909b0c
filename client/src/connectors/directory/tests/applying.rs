//! Deliveries (R-AGT-6, R-REC-6).

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::atomic::{AtomicBool, Ordering},
};

use tandem_proto::v1::{
    FailureReason, Property, PropertyValue, ReleaseNode, WatchRoot, property_value::Kind,
};

use super::{super::faults::Point, *};

#[tokio::test]
async fn a_tree_is_made_in_one_go_and_is_no_news() {
    let fixture = Fixture::new().await;
    let outcomes = fixture
        .apply_all(vec![
            work(create(1, in_node(&fixture.root), folder("x")), None),
            work(create(2, in_member(1), folder("y")), None),
            work(create(3, in_member(2), document("f", "text")), Some("text")),
        ])
        .await;
    for outcome in &outcomes {
        assert!(
            matches!(outcome.answer, Some(Answer::Applied(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(fixture.read("x/y/f"), "text");
    assert!(!fixture.path(".tandem").exists(), "nothing of ours is left");
    assert!(fixture.told().await.is_empty(), "the echo is no news");
    let id = fixture.id("x/y/f").await;
    let seen = fixture.observe(&id).await;
    assert_eq!(seen.member_mark[..], [3; 16]);
    fixture.write("x/y/f", "by a user");
    assert_eq!(text(&fixture.told().await[&id]), "by a user");
}

#[tokio::test]
async fn r_agt_6_a_repeated_create_finds_its_node() {
    let mut fixture = Fixture::new().await;
    let delivery = create(1, in_node(&fixture.root), document("f", "text"));
    let first = applied(fixture.apply(delivery.clone(), Some("text")).await);
    fs::rename(fixture.path("f"), fixture.path("g")).expect("a user renames it");
    fixture.reopen().await;
    let again = applied(fixture.apply(delivery, Some("text")).await);
    assert_eq!((&again.node_id, name(&again)), (&first.node_id, "g"));
    assert_eq!(fs::read_dir(fixture.path("")).expect("listed").count(), 1);
}

#[tokio::test]
async fn an_update_replaces_content_and_keeps_node_mode_and_owner() {
    let fixture = Fixture::with(|root| {
        fs::write(root.join("a"), "one").expect("a");
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o640)).expect("mode");
    })
    .await;
    let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
    let result = applied(
        fixture
            .apply(update(1, &before, document("a", "two")), Some("two"))
            .await,
    );
    assert_eq!(result.node_id, id);
    assert_eq!(fixture.read("a"), "two");
    let mode = fs::metadata(fixture.path("a")).expect("a").mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(fixture.told().await.is_empty());
    let (versions, more) = fixture
        .directory()
        .versions(&id, "", 10)
        .await
        .expect("listed");
    assert_eq!((versions.len(), more), (1, false));
    assert_eq!((versions[0].size, versions[0].actor.as_str()), (3, "alice"));
    assert_eq!(
        (versions[0].path.as_str(), versions[0].comment.as_str()),
        ("a", "replaced by sync")
    );
}

#[tokio::test]
async fn r_rec_6_another_revision_is_stale_and_nothing_changes() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (_, before) = fixture.scan(10).await.into_iter().next().expect("a");
    fixture.write("a", "by a user");
    let seen = stale(
        fixture
            .apply(update(1, &before, document("a", "two")), Some("two"))
            .await,
    );
    assert_eq!(text(&seen), "by a user");
    assert_eq!(fixture.read("a"), "by a user");
    let again = stale(fixture.apply(delete(1, &before), None).await);
    assert_eq!(again.revision, seen.revision);
    let result = applied(fixture.apply(delete(1, &seen), None).await);
    assert_eq!(absent(&result), Some(AbsenceKind::Deleted));
    assert!(!fixture.path("a").exists());
    let again = applied(fixture.apply(delete(1, &seen), None).await);
    assert_eq!(absent(&again), Some(AbsenceKind::Deleted));
    let (versions, _) = fixture
        .directory()
        .versions("", "", 10)
        .await
        .expect("listed");
    assert_eq!(versions.len(), 1, "archived once");
}

#[tokio::test]
async fn a_write_between_check_and_replace_wins() {
    for in_place in [true, false] {
        let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
        let (_, before) = fixture.scan(10).await.into_iter().next().expect("a");
        let (path, other) = (fixture.path("a"), fixture.home.path().join("other"));
        let once = AtomicBool::new(false);
        fixture.directory().core.faults.set(
            Point::Checked,
            Box::new(move || {
                if once.swap(true, Ordering::SeqCst) {
                    return Ok(());
                }
                if in_place {
                    return fs::write(&path, "late");
                }
                fs::write(&other, "late")?;
                fs::rename(&other, &path)
            }),
        );
        let renamed = update(1, &before, document("b", "two"));
        let answer = fixture.apply(renamed, Some("two")).await;
        assert_eq!(text(&stale(answer)), "late", "in place: {in_place}");
        assert_eq!(fixture.read("a"), "late");
        assert!(!fixture.path("b").exists());
    }
}

#[tokio::test]
async fn moves_and_renames_refuse_a_name_that_is_taken() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        for name in ["a", "x/b"] {
            fs::write(root.join(name), name).expect("a file");
        }
    })
    .await;
    let seen = fixture.scan(10).await;
    let a = seen.values().find(|node| name(node) == "a").expect("a");
    let (x, b) = (fixture.id("x").await, fixture.id("x/b").await);
    let to = |name: &str| {
        let mut delivery = update(1, a, document(name, "a"));
        if let Some(Action::Update(update)) = delivery.action.as_mut() {
            update.parent = in_node(&x);
        }
        delivery
    };
    let clash = failed(fixture.apply(to("b"), None).await);
    assert_eq!(clash.reason(), FailureReason::TargetFolderNameClash);
    assert_eq!(clash.blocking_node_id, b);
    let clash = failed(
        fixture
            .apply(create(2, in_node(&x), document("b", "new")), Some("new"))
            .await,
    );
    assert_eq!(
        (clash.reason(), clash.blocking_node_id),
        (FailureReason::TargetFolderNameClash, b)
    );
    let moved = applied(fixture.apply(to("c"), None).await);
    assert_eq!((name(&moved), &moved.parent_node_id), ("c", &x));
    assert_eq!(fixture.read("x/c"), "a");
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn failures_say_why() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (_, a) = fixture.scan(10).await.into_iter().next().expect("a");
    let root = in_node(&fixture.root);
    for illegal in ["", ".", "..", "a/b", "a\0b", ".tandem", &"x".repeat(256)] {
        let delivery = create(1, root.clone(), document(illegal, "x"));
        let answer = failed(fixture.apply(delivery, Some("x")).await);
        assert_eq!(
            answer.reason(),
            FailureReason::UnsupportedNode,
            "{illegal:?}"
        );
    }
    let nowhere = create(1, in_node(&uuid::Uuid::new_v4().to_string()), folder("x"));
    let answer = failed(fixture.apply(nowhere, None).await);
    assert_eq!(answer.reason(), FailureReason::TargetFolderNotFound);
    let wrong = create(1, root, document("b", "announced"));
    let answer = failed(fixture.apply(wrong, Some("received")).await);
    assert_eq!(answer.reason(), FailureReason::ContentUnavailable);
    fs::remove_file(fixture.path("a")).expect("removed");
    fixture.told().await;
    let answer = failed(
        fixture
            .apply(update(1, &a, document("a", "two")), Some("two"))
            .await,
    );
    assert_eq!(answer.reason(), FailureReason::TargetNodeNoLongerExists);
    assert_eq!(fs::read_dir(fixture.path("")).expect("listed").count(), 0);
}

#[tokio::test]
async fn r_rec_11_what_left_the_synced_folders_is_stale_as_moved_out() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("x/a"), "one").expect("a");
    })
    .await;
    let seen = fixture.scan(10).await;
    let a = seen.values().find(|node| name(node) == "a").expect("a");
    let x = WatchRoot {
        node_id: fixture.id("x").await,
        include_subfolders: true,
        ..WatchRoot::default()
    };
    fixture.directory().watch(&[x]).await.expect("watched");
    fs::rename(fixture.path("x/a"), fixture.path("a")).expect("moved out");
    let update = update(1, a, document("a", "two"));
    for delivery in [update, delete(2, a)] {
        let answer = stale(fixture.apply(delivery, Some("two")).await);
        assert_eq!(absent(&answer), Some(AbsenceKind::MovedOut));
    }
    assert_eq!(fixture.read("a"), "one");
}

#[tokio::test]
async fn r_rec_10_a_folder_does_not_move_into_one_that_lies_in_it_and_waits_for_that_one() {
    let fixture = Fixture::with(|root| fs::create_dir_all(root.join("x/y")).expect("x/y")).await;
    let seen = fixture.scan(10).await;
    let x = seen.values().find(|node| name(node) == "x").expect("x");
    let mut into_y = update(1, x, folder("x"));
    if let Some(Action::Update(update)) = into_y.action.as_mut() {
        update.parent = in_node(&fixture.id("x/y").await);
    }
    let answer = failed(fixture.apply(into_y.clone(), None).await);
    assert_eq!(answer.reason(), FailureReason::TargetFolderNotFound);
    fs::rename(fixture.path("x/y"), fixture.path("y")).expect("moved out");
    fixture.told().await;
    applied(fixture.apply(into_y, None).await);
    assert!(fixture.path("y/x").is_dir());
}

#[tokio::test]
async fn r_del_2_a_folder_with_something_left_in_it_stays() {
    let fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("x/f"), "f").expect("f");
    })
    .await;
    let seen = fixture.scan(10).await;
    let x = seen.values().find(|node| name(node) == "x").expect("x");
    let f = seen.values().find(|node| name(node) == "f").expect("f");
    let kept = applied(fixture.apply(delete(1, x), None).await);
    assert_eq!(name(&kept), "x");
    let outcomes = fixture
        .apply_all(vec![work(delete(2, f), None), work(delete(1, x), None)])
        .await;
    for outcome in outcomes {
        let result = applied(outcome.answer.expect("an answer"));
        assert_eq!(absent(&result), Some(AbsenceKind::Deleted));
    }
    assert!(!fixture.path("x").exists());
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn r_lck_1_a_locked_copy_is_read_only_until_it_is_released() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
    let locked = |seen: &Observation, content: &str| {
        let mut delivery = update(1, seen, document("a", content));
        if let Some(Action::Update(update)) = delivery.action.as_mut() {
            update.locked = true;
        }
        delivery
    };
    let mode = || fs::metadata(fixture.path("a")).expect("a").mode() & 0o222;
    let result = applied(fixture.apply(locked(&before, "one"), None).await);
    assert!(result.locked);
    assert_eq!(mode(), 0);
    let result = applied(fixture.apply(locked(&result, "two"), Some("two")).await);
    assert!(result.locked, "sync writes pass");
    assert_eq!((mode(), fixture.read("a").as_str()), (0, "two"));
    let release = ReleaseNode {
        node_id: id.clone(),
    };
    let result = applied(
        fixture
            .apply(delivery(1, Action::Release(release)), None)
            .await,
    );
    assert!(!result.locked);
    assert_eq!(mode(), 0o200);
    assert!(fixture.observe(&id).await.member_mark.is_empty());
    let mut made = create(2, in_node(&fixture.root), document("b", "b"));
    if let Some(Action::Create(create)) = made.action.as_mut() {
        create.locked = true;
    }
    assert!(applied(fixture.apply(made, Some("b")).await).locked);
    assert_eq!(
        fs::metadata(fixture.path("b")).expect("b").mode() & 0o222,
        0
    );
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn properties_are_kept_also_those_too_large_for_the_file() {
    let mut fixture = Fixture::new().await;
    let property = |name: &str, text: String| Property {
        name: name.to_owned(),
        value: Some(PropertyValue {
            kind: Some(Kind::Text(text)),
        }),
    };
    let mut projection = document("a", "a");
    projection.properties = vec![
        property("cm:title", "T".to_owned()),
        property("cm:description", "d".repeat(60_000)),
    ];
    let delivery = create(1, in_node(&fixture.root), projection.clone());
    let made = applied(fixture.apply(delivery, Some("a")).await);
    assert_eq!(present(&made).properties.len(), 2);
    fixture.reopen().await;
    assert_eq!(fixture.observe(&made.node_id).await.revision, made.revision);
    projection.properties.truncate(1);
    let fewer = applied(fixture.apply(update(1, &made, projection), None).await);
    assert_eq!(present(&fewer).properties.len(), 1);
    assert!(fixture.told().await.is_empty());
}

#[tokio::test]
async fn a_large_stream_is_verified_before_it_is_shown() {
    let fixture = Fixture::new().await;
    let big = "x".repeat(1_000_000);
    let stream = |text: &str| {
        let reader = std::io::Cursor::new(text.as_bytes().to_vec());
        Some(Content::Stream(Box::new(reader)))
    };
    let delivery = create(1, in_node(&fixture.root), document("big", &big));
    let wrong = Work {
        delivery: delivery.clone(),
        content: stream(&big[1..]),
    };
    let outcome = fixture.apply_all(vec![wrong]).await.remove(0);
    let answer = failed(outcome.answer.expect("an answer"));
    assert_eq!(answer.reason(), FailureReason::ContentUnavailable);
    assert_eq!(fs::read_dir(fixture.path("")).expect("listed").count(), 0);
    let right = Work {
        delivery,
        content: stream(&big),
    };
    let outcome = fixture.apply_all(vec![right]).await.remove(0);
    applied(outcome.answer.expect("an answer"));
    assert_eq!(fixture.read("big"), big);
}

#[tokio::test]
async fn many_files_are_made_with_few_flushes() {
    let fixture = Fixture::new().await;
    let works = (0..250_u32).map(|number| {
        let name = format!("f{number}");
        let mut delivery = create(0, in_node(&fixture.root), document(&name, &name));
        let member = uuid::Uuid::from_u128(u128::from(number) + 1);
        if let Some(id) = delivery.id.as_mut() {
            id.member_id = Bytes::copy_from_slice(member.as_bytes());
        }
        work(delivery, Some(&name))
    });
    let outcomes = fixture.apply_all(works.collect()).await;
    for outcome in outcomes {
        applied(outcome.answer.expect("an answer"));
    }
    assert_eq!(fs::read_dir(fixture.path("")).expect("listed").count(), 250);
    assert!(fixture.told().await.is_empty());
}

fn delete_with_content(seen: &Observation) -> Delivery {
    delivery(
        1,
        Action::Delete(DeleteNode {
            node_id: seen.node_id.clone(),
            expected_revision: seen.revision.clone(),
            with_content: true,
        }),
    )
}

#[tokio::test]
async fn r_uns_1_a_folder_goes_with_its_content_but_not_with_what_other_sets_watch() {
    let fixture = Fixture::with(|root| {
        for folder in ["doomed/inner", "doomed/deep/other"] {
            fs::create_dir_all(root.join(folder)).expect("folders");
        }
        fs::write(root.join("doomed/inner/mine"), "mine").expect("mine");
        fs::write(root.join("doomed/deep/other/theirs"), "theirs").expect("theirs");
        std::os::unix::fs::symlink("inner", root.join("doomed/link")).expect("a link");
    })
    .await;
    fixture.scan(10).await;
    let doomed = fixture.id("doomed").await;
    let other = fixture.id("doomed/deep/other").await;
    let root = |node_id: &str| WatchRoot {
        node_id: node_id.to_owned(),
        include_subfolders: true,
        ..WatchRoot::default()
    };
    let directory = fixture.directory();
    let roots = [root(&fixture.root), root(&other)];
    directory.watch(&roots).await.expect("watched");
    let seen = fixture.observe(&doomed).await;
    let result = applied(fixture.apply(delete_with_content(&seen), None).await);
    assert_eq!(name(&result), "doomed", "it stays");
    assert_eq!(fixture.read("doomed/deep/other/theirs"), "theirs");
    assert!(!fixture.path("doomed/inner").exists());
    assert!(fixture.path("doomed/link").symlink_metadata().is_err());
    let (versions, _) = directory.versions("", "", 10).await.expect("listed");
    let paths: Vec<&str> = versions.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["doomed/inner/mine"]);
    directory.watch(&roots[..1]).await.expect("watched");
    let result = applied(fixture.apply(delete_with_content(&seen), None).await);
    assert_eq!(absent(&result), Some(AbsenceKind::Deleted));
    assert!(!fixture.path("doomed").exists());
    let (versions, _) = directory.versions("", "", 10).await.expect("listed");
    assert_eq!(versions.len(), 2, "all of it is kept");
}

#[tokio::test]
async fn r_lck_2_no_document_is_made_or_renamed_to_look_like_a_lock_file() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "a").unwrap()).await;
    for taken in [".~lock.a.odt#", "~$a.docx"] {
        let made = create(1, in_node(&fixture.root), document(taken, "text"));
        let refused = failed(fixture.apply(made, Some("text")).await);
        assert_eq!(refused.reason(), FailureReason::UnsupportedNode, "{taken}");
        assert!(refused.message.contains("lock files"), "{refused:?}");
        let seen = fixture.observe(&fixture.id("a").await).await;
        let renamed = update(2, &seen, document(taken, "a"));
        let refused = failed(fixture.apply(renamed, None).await);
        assert_eq!(refused.reason(), FailureReason::UnsupportedNode, "{taken}");
        assert!(!fixture.path(taken).exists());
    }
    let made = create(3, in_node(&fixture.root), folder("~$a"));
    let made = applied(fixture.apply(made, None).await);
    assert_eq!(name(&made), "~$a", "a folder is none");
}
