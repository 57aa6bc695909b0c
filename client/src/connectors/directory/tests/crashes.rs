//! Crashes between any two steps (R-AGT-6): the agent stops, is opened again, and the delivery comes again.

use std::fs;

use super::{super::faults::Point, *};

const POINTS: [Point; 5] = [
    Point::Prepared,
    Point::Marked,
    Point::Checked,
    Point::Visible,
    Point::Done,
];

/// Applies deliveries with a crash at a point, and opens the directory again.
async fn crash(fixture: &mut Fixture, point: Point, works: Vec<Work>) {
    let faults = &fixture.directory().core.faults;
    faults.set(
        point,
        Box::new(|| panic!("the agent stops here, as the test wants it")),
    );
    let outcomes = fixture.apply_all(works).await;
    for outcome in outcomes {
        // The point may not lie on the way of these deliveries.
        assert!(outcome.answer.is_some());
    }
    fixture.reopen().await;
}

fn tidy(fixture: &Fixture) {
    assert!(!fixture.path(".tandem").exists(), "leftovers");
}

/// Stops at K6, K7 and K8.
#[tokio::test]
async fn a_create_is_there_once_whenever_the_agent_stops() {
    for point in POINTS {
        let mut fixture = Fixture::new().await;
        let works = || {
            vec![
                work(create(1, in_node(&fixture.root), folder("x")), None),
                work(create(2, in_member(1), document("f", "text")), Some("text")),
            ]
        };
        let (first, second) = (works(), works());
        crash(&mut fixture, point, first).await;
        tidy(&fixture);
        if fixture.path("x").exists() {
            let x = fixture.id("x").await;
            assert_eq!(
                fixture.observe(&x).await.member_mark[..],
                [1; 16],
                "{point:?}"
            );
        }
        for outcome in fixture.apply_all(second).await {
            applied(outcome.answer.expect("an answer"));
        }
        assert_eq!(fixture.read("x/f"), "text");
        let id = fixture.id("x/f").await;
        assert_eq!(fixture.observe(&id).await.member_mark[..], [2; 16]);
        assert_eq!(fs::read_dir(fixture.path("")).expect("listed").count(), 1);
        assert_eq!(fs::read_dir(fixture.path("x")).expect("listed").count(), 1);
        tidy(&fixture);
    }
}

/// Stops at K6, K7 and K8.
#[tokio::test]
async fn a_replacement_archives_once_whenever_the_agent_stops() {
    for point in POINTS {
        let mut fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
        let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
        let works = || vec![work(update(1, &before, document("a", "two")), Some("two"))];
        crash(&mut fixture, point, works()).await;
        tidy(&fixture);
        let result = fixture.apply_all(works()).await.remove(0);
        let result = applied(result.answer.expect("an answer"));
        assert_eq!(
            (&result.node_id, fixture.read("a").as_str()),
            (&id, "two"),
            "{point:?}"
        );
        let (versions, _) = fixture
            .directory()
            .versions(&id, "", 10)
            .await
            .expect("listed");
        assert_eq!(versions.len(), 1, "{point:?}");
        assert_eq!(versions[0].digest, content_ref("one").digest);
        tidy(&fixture);
    }
}

#[tokio::test]
async fn a_deletion_archives_once_whenever_the_agent_stops() {
    for point in POINTS {
        let mut fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
        let (id, before) = fixture.scan(10).await.into_iter().next().expect("a");
        let works = || vec![work(delete(1, &before), None)];
        crash(&mut fixture, point, works()).await;
        let result = fixture.apply_all(works()).await.remove(0);
        let result = applied(result.answer.expect("an answer"));
        assert!(absent(&result).is_some(), "{point:?}");
        assert!(!fixture.path("a").exists());
        let (versions, _) = fixture
            .directory()
            .versions(&id, "", 10)
            .await
            .expect("listed");
        assert_eq!(versions.len(), 1, "{point:?}");
        fixture
            .directory()
            .restore_version(&id, &versions[0].version_id)
            .await
            .expect("back");
        assert_eq!(fixture.read("a"), "one");
        assert_eq!(fixture.id("a").await, id);
        tidy(&fixture);
    }
}

/// Stops at K10.
#[tokio::test]
async fn a_move_between_folders_is_in_one_place_whenever_the_agent_stops() {
    for point in POINTS {
        let mut fixture = Fixture::with(|root| {
            for folder in ["x", "y"] {
                fs::create_dir(root.join(folder)).expect("a folder");
            }
            fs::write(root.join("x/a"), "one").expect("a");
        })
        .await;
        let id = fixture.id("x/a").await;
        let (before, y) = (fixture.observe(&id).await, fixture.id("y").await);
        let works = || {
            let action = Action::Update(UpdateNode {
                node_id: id.clone(),
                expected_revision: before.revision.clone(),
                projection: Some(document("a", "one")),
                parent: in_node(&y),
                locked: false,
            });
            vec![work(delivery(1, action), None)]
        };
        crash(&mut fixture, point, works()).await;
        let places = ["x/a", "y/a"].map(|path| fixture.path(path).exists());
        assert_ne!(places[0], places[1], "{point:?}");
        let result = fixture.apply_all(works()).await.remove(0);
        let result = applied(result.answer.expect("an answer"));
        assert_eq!((&result.node_id, &result.parent_node_id), (&id, &y));
        assert_eq!(fixture.read("y/a"), "one", "{point:?}");
        assert!(!fixture.path("x/a").exists(), "{point:?}");
        tidy(&fixture);
    }
}

/// Stops at K9.
#[tokio::test]
async fn a_tree_is_deleted_bottom_up_whenever_the_agent_stops() {
    for point in POINTS {
        let mut fixture = Fixture::with(|root| {
            fs::create_dir(root.join("x")).expect("x");
            fs::write(root.join("x/a"), "one").expect("a");
        })
        .await;
        let (folder, file) = (fixture.id("x").await, fixture.id("x/a").await);
        let (outer, inner) = (fixture.observe(&folder).await, fixture.observe(&file).await);
        let works = || vec![work(delete(1, &inner), None), work(delete(2, &outer), None)];
        crash(&mut fixture, point, works()).await;
        assert!(!fixture.path("x/a").exists() || fixture.path("x").exists());
        for outcome in fixture.apply_all(works()).await {
            let result = applied(outcome.answer.expect("an answer"));
            assert!(absent(&result).is_some(), "{point:?}");
        }
        assert!(!fixture.path("x").exists(), "{point:?}");
        let versions = fixture.directory().versions(&file, "", 10).await;
        assert_eq!(versions.expect("listed").0.len(), 1, "{point:?}");
        tidy(&fixture);
    }
}

/// Stops at K9.
#[tokio::test]
async fn r_uns_1_a_folder_that_goes_with_its_content_keeps_all_of_it_once_whenever_the_agent_stops()
{
    for point in POINTS {
        let mut fixture = Fixture::with(|root| {
            fs::create_dir_all(root.join("x/y")).expect("x/y");
            fs::write(root.join("x/a"), "one").expect("a");
            fs::write(root.join("x/y/b"), "two").expect("b");
        })
        .await;
        let works = async |fixture: &Fixture| {
            let id = fixture.id("x").await;
            let mut whole = delete(1, &fixture.observe(&id).await);
            if let Some(Action::Delete(delete)) = whole.action.as_mut() {
                delete.with_content = true;
            }
            vec![work(whole, None)]
        };
        let first = works(&fixture).await;
        crash(&mut fixture, point, first).await;
        if fixture.path("x").exists() {
            let again = works(&fixture).await;
            let result = fixture.apply_all(again).await.remove(0);
            applied(result.answer.expect("an answer"));
        }
        assert!(!fixture.path("x").exists(), "{point:?}");
        let versions = fixture.directory().versions("", "", 10).await;
        let (versions, _) = versions.expect("listed");
        let mut paths: Vec<&str> = versions.iter().map(|one| one.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["x/a", "x/y/b"], "{point:?}");
        tidy(&fixture);
    }
}
