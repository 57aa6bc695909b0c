//! Whichever call of the database fails, once, the end is the same (TESTING.md, L5 and I22).
//!
//! A life of a set on real SQLite: it is made, documents and folders come, change, move and go, both sides change one
//! document. It is lived again for each call that can fail, for each commit whose answer can be lost, and for a coordinator
//! that stops at each of these moments.

mod life;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use life::live;
use tokio::runtime::Runtime;

use crate::service::testing::{Fixture, Template};
use crate::storage::faults::{Counted, Fault, Moment};

/// Threads that live; most of the time they wait for the disk.
const THREADS: usize = 4;

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap()
}

/// A database that is prepared once for many lives.
fn template() -> Template {
    runtime().block_on(async { Fixture::new().await.template().await })
}

/// Lives once, on this thread alone: what was counted, and the end.
fn lived(template: &Template, fault: Option<Fault>) -> (Counted, String) {
    runtime().block_on(Box::pin(live(template, fault)))
}

/// Lives with each fault; every end must be the expected one.
fn all_end_as(template: &Template, expected: &str, faults: &[Fault]) {
    let next = AtomicU64::new(0);
    let different = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let take = || usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                while let Some(fault) = faults.get(take()) {
                    let end = catch_unwind(AssertUnwindSafe(|| lived(template, Some(*fault)).1));
                    let end = end.unwrap_or_else(|_| format!("{fault:?}: a panic, told above"));
                    if end != expected {
                        different.lock().unwrap().push((*fault, end));
                    }
                }
            });
        }
    });
    let different = different.into_inner().unwrap();
    if let Some((fault, end)) = different.first() {
        let count = different.len();
        let faults: Vec<Fault> = different.iter().map(|(fault, _)| *fault).collect();
        panic!("{count} ends differ: {faults:?}\nfirst {fault:?}:\n{end}\ninstead of\n{expected}");
    }
}

/// Every call, and every answer of a commit.
fn moments(counted: Counted) -> impl Iterator<Item = Moment> {
    let answers = (1..=counted.commits).map(Moment::Answer);
    (1..=counted.calls).map(Moment::Call).chain(answers)
}

#[test]
fn r_agt_3_whichever_call_of_the_database_fails_the_end_is_the_same() {
    let template = template();
    let (counted, expected) = lived(&template, None);
    assert!(counted.calls > 100 && counted.commits > 10, "{counted:?}");
    let faults: Vec<Fault> = moments(counted).map(Fault::Once).collect();
    all_end_as(&template, &expected, &faults);
}

/// Stops at S2, S4, S5, S8 and S9.
#[test]
fn r_agt_6_at_whichever_call_the_coordinator_stops_the_end_is_the_same() {
    let template = template();
    let (counted, expected) = lived(&template, None);
    let faults: Vec<Fault> = moments(counted).map(Fault::Stop).collect();
    all_end_as(&template, &expected, &faults);
}
