//! What is flushed before it is told, and what a full disk keeps from being saved.

use std::fs;
use std::sync::atomic::Ordering;

use super::*;

/// Transactions of the index that were flushed so far.
fn flushed(fixture: &Fixture) -> usize {
    fixture
        .directory()
        .core
        .index
        .flushed
        .load(Ordering::Relaxed)
}

fn run(fixture: &Fixture, sql: &'static str) {
    let index = &fixture.directory().core.index;
    let done = index.run(move |transaction| transaction.execute_batch(sql));
    done.expect("the index takes it");
}

#[tokio::test]
async fn r_lck_1_the_mode_that_a_lock_replaces_is_durable_before_the_lock_is_told() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let (_, mut seen) = fixture.scan(10).await.into_iter().next().expect("a");
    let mut flushes = Vec::new();
    for (content, locked) in [("two", false), ("three", true)] {
        let mut delivery = update(1, &seen, document("a", content));
        if let Some(Action::Update(update)) = delivery.action.as_mut() {
            update.locked = locked;
        }
        let before = flushed(&fixture);
        seen = applied(fixture.apply(delivery, Some(content)).await);
        flushes.push(flushed(&fixture) - before);
    }
    assert_eq!(flushes[1], flushes[0] + 1, "{flushes:?}");
}

#[tokio::test]
async fn ids_that_a_full_disk_kept_from_the_index_are_durable_before_they_are_told() {
    let fixture = Fixture::new().await;
    run(
        &fixture,
        "CREATE TRIGGER full BEFORE INSERT ON node BEGIN SELECT RAISE(ABORT, 'full'); END",
    );
    fixture.write("a", "one");
    let offered = tokio::time::timeout(PATIENCE, fixture.directory().changes(10));
    offered
        .await
        .expect("the change is seen")
        .expect_err("what is not noted cannot be offered");
    run(&fixture, "DROP TRIGGER full");
    let before = flushed(&fixture);
    let told = fixture.changes().await;
    assert_eq!(told.iter().map(name).collect::<Vec<_>>(), ["a"]);
    assert!(flushed(&fixture) > before, "its id is new to the disk");
    let index = &fixture.directory().core.index;
    let names: Vec<String> = index
        .run(|transaction| {
            let mut named = transaction.prepare("SELECT name FROM node ORDER BY name")?;
            let rows = named.query_map([], |row| row.get(0))?;
            rows.collect()
        })
        .expect("the index answers");
    assert!(names.contains(&"a".to_owned()), "{names:?}");
}
