//! What only PostgreSQL has. `tests/postgres` runs these; without it they are ignored, and listed as such.

use sea_orm::ConnectionTrait;

use super::super::testing::{Home, TestStore};
use super::super::{Error, Options, Place, Store, sql};

const INSERT: &str =
    "INSERT INTO network (name, display_name, created_at) VALUES (?, 'a network', 0)";

async fn count(store: &Store) -> i64 {
    let row = sql::one(store.reader(), "SELECT count(*) FROM network", []).await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn insert(store: &Store, name: &str) -> Result<u64, Error> {
    let write = store.write(|tx| async move { sql::execute(&*tx, INSERT, [name.into()]).await });
    write.await
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn a_connection_that_breaks_fails_its_own_transaction_and_none_that_follows() {
    let test = TestStore::new().await;
    assert!(test.home.is_postgres());
    let store = &test.store;
    insert(store, "before").await.unwrap();
    // The server ends the session in the middle of a transaction.
    let broken: Result<u64, Error> = store
        .write(|tx| async move {
            sql::execute(&*tx, INSERT, ["lost".into()]).await?;
            let end = "SELECT pg_terminate_backend(pg_backend_pid())";
            sql::execute(&*tx, end, []).await
        })
        .await;
    assert!(matches!(broken, Err(Error::Unavailable(_))), "{broken:?}");
    assert_eq!(count(store).await, 1);
    insert(store, "after").await.unwrap();
    assert_eq!(count(store).await, 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn who_loses_the_claim_writes_no_more_until_having_it_back() {
    let test = TestStore::new().await;
    let first = &test.store;
    // All sessions end, as when the server is started again; another coordinator is quicker.
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    first.reader().execute_unprepared(others).await.unwrap();
    let second = Store::open(test.home.options()).await.unwrap();
    insert(&second, "second").await.unwrap();
    let refused = insert(first, "first").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    second.close().await.unwrap();
    insert(first, "first").await.unwrap();
    assert_eq!(count(first).await, 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn a_transaction_that_lost_a_race_is_tried_again() {
    let test = TestStore::new().await;
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let tries_of = &tries;
    let done: Result<(), Error> = test
        .store
        .write(|tx| async move {
            let tried = tries_of.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            // A serialization failure, a deadlock, a lock that was waited for too long.
            if let Some(code) = ["40001", "40P01", "55P03"].get(tried) {
                let text = format!("DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$");
                tx.execute_unprepared(&text).await?;
            }
            Ok(())
        })
        .await;
    done.unwrap();
    assert_eq!(tries.into_inner(), 4);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn a_text_with_nul_fails_no_transaction() {
    let test = TestStore::new().await;
    insert(&test.store, "a\0b").await.unwrap();
    let name = sql::one(test.store.reader(), "SELECT name FROM network", []).await;
    let name: String = name.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(name, "a\u{fffd}b");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn a_reader_sees_one_state_however_long_it_reads() {
    let test = TestStore::new().await;
    let store = &test.store;
    let snapshot = store.snapshot().await.unwrap();
    let text = "SELECT count(*) FROM network";
    let mut seen = Vec::new();
    for name in ["a", "b"] {
        let row = sql::one(&snapshot, text, []).await.unwrap().unwrap();
        seen.push(row.try_get_by_index::<i64>(0).unwrap());
        insert(store, name).await.unwrap();
    }
    assert_eq!(seen, [0, 0]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn a_database_that_orders_text_otherwise_is_refused_and_a_wrong_url_shows_no_password() {
    let home = Home::empty().await;
    let Place::Postgres(url) = home.options().place else {
        panic!("these tests run on PostgreSQL");
    };
    // The rules of this one are those of a language.
    let text = "CREATE DATABASE tandem_unfit TEMPLATE template0 ENCODING 'UTF8' \
                LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'";
    let store = Store::open(Options::new(Place::Postgres(url.clone()))).await;
    let store = store.unwrap();
    let writer = &store.inner.writer;
    writer.execute_unprepared(text).await.unwrap();
    let (start, end) = (url.rfind('/').unwrap(), url.find('?').unwrap_or(url.len()));
    let (start, end) = match start < end {
        true => (start, end),
        false => (url[..end].rfind('/').unwrap(), end),
    };
    let unfit = format!("{}/tandem_unfit{}", &url[..start], &url[end..]);
    let refused = Store::open(Options::new(Place::Postgres(unfit))).await;
    assert!(matches!(refused, Err(Error::Unfit)), "{refused:?}");
    let drop = "DROP DATABASE tandem_unfit WITH (FORCE)";
    writer.execute_unprepared(drop).await.unwrap();
    let wrong = "postgres://tandem:hunter2@127.0.0.1:1/tandem".to_owned();
    let refused = Store::open(Options::new(Place::Postgres(wrong))).await;
    let told = format!("{:#}", anyhow::Error::from(refused.unwrap_err()));
    assert!(told.contains("check database.url"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
