//! R-JRN-1.

use std::time::Duration;

use futures::StreamExt;

use crate::domain::access::{Role, Side};
use crate::domain::sync_set::Options;
use crate::service::journal::{JournalFilter, Mark, Place, Start};
use crate::service::retention::{Retention, RetentionOptions};
use crate::service::testing::{Fixture, present};
use crate::service::{Error, UserScope};
use crate::storage::{Error as StorageError, sql};

const ALL: JournalFilter = JournalFilter {
    set: None,
    member: None,
};

async fn positions(scope: &UserScope, filter: JournalFilter, size: usize) -> Vec<i64> {
    let (mut start, mut seen) = (Start::First, Vec::new());
    loop {
        let read = scope.journal(start, filter, size).await.unwrap();
        assert!(read.entries.len() <= size);
        seen.extend(read.entries.iter().map(|row| row.at.position));
        start = Start::Behind(read.place);
        if !read.more {
            return seen;
        }
    }
}

async fn execute(fixture: &Fixture, text: &'static str) {
    let store = &fixture.test.store;
    let done = store.write(|tx| async move {
        sql::execute(&*tx, text, []).await?;
        Ok::<_, StorageError>(())
    });
    done.await.unwrap();
}

async fn end(scope: &UserScope) -> Place {
    scope.journal(Start::First, ALL, 1_000).await.unwrap().place
}

#[tokio::test]
async fn r_jrn_1_pages_hold_every_entry_once_and_in_order() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a", "b"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let all = positions(&viewer, ALL, 1_000).await;
    assert_eq!(
        all,
        (1..=i64::try_from(all.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(positions(&viewer, ALL, 1).await, all);
    let a = fixture.member_named(&set, "a").await;
    let of_a = JournalFilter {
        set: Some(set.set.id),
        member: Some(a),
    };
    let some = positions(&viewer, of_a, 1).await;
    assert!(!some.is_empty() && some.len() < all.len());
}

#[tokio::test]
async fn r_jrn_1_the_place_moves_on_although_everything_is_filtered_out() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let nobody = JournalFilter {
        set: Some(Default::default()),
        member: None,
    };
    let read = viewer.journal(Start::First, nobody, 10).await.unwrap();
    assert!(read.entries.is_empty() && !read.more);
    assert_eq!(read.place, end(&viewer).await);
}

#[tokio::test]
async fn r_jrn_1_places_of_another_history_are_refused() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let good = end(&viewer).await;
    let mark = |position, mark| Place {
        at: Mark { position, mark },
        ..good.clone()
    };
    let wrong = [
        Place {
            network: "other".to_owned(),
            ..good.clone()
        },
        Place {
            generation: good.generation + 1,
            ..good.clone()
        },
        mark(good.at.position, good.at.mark ^ 1),
        mark(good.at.position + 1, good.at.mark),
        mark(1, good.at.mark ^ 1),
        mark(-1, 0),
    ];
    for place in wrong {
        let refused = viewer.journal(Start::Behind(place.clone()), ALL, 1).await;
        assert!(matches!(refused, Err(Error::CursorEpoch)), "{place:?}");
        let refused = viewer.watch_journal(Start::Behind(place), ALL).await;
        assert!(matches!(refused, Err(Error::CursorEpoch)));
    }
    let read = viewer.journal(Start::Behind(good), ALL, 1).await.unwrap();
    assert!(read.entries.is_empty());
}

#[tokio::test]
async fn r_jrn_1_places_older_than_what_is_kept_are_refused_with_the_floor() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let early = viewer.journal(Start::First, ALL, 1).await.unwrap().place;
    let last = end(&viewer).await;
    execute(&fixture, "DELETE FROM journal WHERE position < 3").await;
    let refused = viewer.journal(Start::Behind(early), ALL, 1).await;
    assert!(matches!(refused, Err(Error::CursorCompacted { floor: 3 })));
    let first = viewer.journal(Start::First, ALL, 1).await.unwrap();
    assert_eq!(first.entries[0].at.position, 3);
    execute(&fixture, "DELETE FROM journal").await;
    let read = viewer.journal(Start::Behind(last), ALL, 1).await.unwrap();
    assert!(read.entries.is_empty() && !read.more);
    let read = viewer.journal(Start::First, ALL, 1).await.unwrap();
    assert!(read.entries.is_empty() && !read.more);
}

#[tokio::test]
async fn r_jrn_1_watchers_see_each_entry_once_from_their_place_on() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let before = end(&viewer).await;
    let mut all = viewer.watch_journal(Start::First, ALL).await.unwrap();
    let mut new = viewer.watch_journal(Start::End, ALL).await.unwrap();
    let first = all.next().await.unwrap().unwrap();
    assert_eq!(first.place, before);
    let at_end = new.next().await.unwrap().unwrap();
    assert_eq!((at_end.entries.len(), at_end.place), (0, before.clone()));
    let edited = present("a", "docs", "2", Some("edited".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    for feed in [&mut all, &mut new] {
        let message = feed.next().await.unwrap().unwrap();
        assert_eq!(message.entries[0].at.position, before.at.position + 1);
        assert_eq!(message.place, end(&viewer).await);
    }
    fixture.coordinator.draining.cancel();
    let last = new.next().await.unwrap();
    assert!(matches!(last, Err(Error::Draining)));
    assert!(new.next().await.is_none());
}

#[tokio::test]
async fn r_jrn_1_idle_watchers_are_sent_their_place() {
    let fixture = Fixture::new().await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let idle = Duration::from_millis(1);
    let feed = viewer.watch_journal_with(Start::First, ALL, idle).await;
    let mut feed = feed.unwrap();
    for _ in 0..3 {
        let message = feed.next().await.unwrap().unwrap();
        assert!(message.entries.is_empty());
        let again = viewer.journal(Start::Behind(message.place), ALL, 1).await;
        again.unwrap();
    }
}

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

fn retention(fixture: &Fixture, days: u32, dose: usize) -> Retention {
    let options = RetentionOptions {
        dose,
        pause: Duration::ZERO,
        ..RetentionOptions::days(days)
    };
    Retention::new(fixture.coordinator.clone(), options)
}

#[tokio::test]
async fn r_jrn_1_the_journal_is_shortened_from_its_beginning_and_keeps_places_behind_it() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a", "b"]).await;
    let viewer = fixture.user("eve", Role::Viewer).await;
    let early = viewer.journal(Start::First, ALL, 1).await.unwrap().place;
    let old = end(&viewer).await;
    let mut watched = viewer.watch_journal(Start::End, ALL).await.unwrap();
    watched.next().await.unwrap().unwrap();
    assert_eq!(
        retention(&fixture, 7, 2).pass().await.unwrap(),
        0,
        "all is young"
    );
    fixture.coordinator.clock.advance(7 * DAY + 1);
    let edited = present("a", "docs", "2", Some("edited".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    assert_eq!(
        retention(&fixture, 0, 2).pass().await.unwrap(),
        0,
        "0 is for ever"
    );
    let floor = old.at.position + 1;
    let gone = retention(&fixture, 7, 2).pass().await.unwrap();
    assert_eq!(i64::try_from(gone).unwrap(), old.at.position);
    assert_eq!(positions(&viewer, ALL, 10).await[0], floor);
    let refused = viewer.journal(Start::Behind(early), ALL, 1).await;
    assert!(matches!(refused, Err(Error::CursorCompacted { floor: told }) if told == floor));
    let message = watched.next().await.unwrap().unwrap();
    assert_eq!(
        message.entries[0].at.position, floor,
        "who reads at the end misses nothing"
    );
    let kept = end(&viewer).await;
    let read = viewer
        .journal(Start::Behind(kept.clone()), ALL, 1)
        .await
        .unwrap();
    assert!(read.entries.is_empty());
    // However old all is, the last entry stays, and with it the place of whoever has read it.
    fixture.coordinator.clock.advance(70 * DAY);
    retention(&fixture, 7, 1_000).pass().await.unwrap();
    assert_eq!(positions(&viewer, ALL, 10).await, [kept.at.position]);
    viewer.journal(Start::Behind(kept), ALL, 1).await.unwrap();
    let found = crate::storage::verify::rules(fixture.test.store.reader(), 10).await;
    assert_eq!(found.unwrap(), []);
}
