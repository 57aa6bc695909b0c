//! Lets one call of the database fail, so that a test can show that whatever fails is made good (TESTING.md, L5).
//!
//! Counted by thread: a test that uses it runs on one.

use std::cell::Cell;

use sea_orm::DbErr;

use super::Error;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This call, from 1, does nothing and fails.
    Call(u64),
    /// This commit, from 1, is done, and its answer is lost.
    Answer(u64),
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Once; the next call succeeds.
    Once(Moment),
    /// The coordinator stops there: nothing succeeds until another one is started.
    Stop(Moment),
}

/// How much there was to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    /// Statements, beginnings and commits of transactions.
    pub(crate) calls: u64,
    /// Commits alone.
    pub(crate) commits: u64,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static STOPPED: Cell<bool> = const { Cell::new(false) };
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { calls: 0, commits: 0 }) };
}

/// Begins to count anew; from now on this fails, once.
pub(crate) fn arm(fault: Option<Fault>) {
    FAULT.set(fault);
    STOPPED.set(false);
    COUNTED.set(Counted::default());
}

/// Whether the coordinator stopped.
pub(crate) fn has_stopped() -> bool {
    STOPPED.get()
}

/// Another coordinator is started; it does not stop.
pub(crate) fn start_again() {
    STOPPED.set(false);
    FAULT.set(None);
}

/// What was counted since.
pub(crate) fn counted() -> Counted {
    COUNTED.get()
}

/// Before a call.
pub(super) fn call() -> Result<(), Error> {
    let mut counted = COUNTED.get();
    counted.calls += 1;
    COUNTED.set(counted);
    fail_if(Moment::Call(counted.calls))
}

/// After a commit.
pub(super) fn committed() -> Result<(), Error> {
    let mut counted = COUNTED.get();
    counted.commits += 1;
    COUNTED.set(counted);
    fail_if(Moment::Answer(counted.commits))
}

fn fail_if(now: Moment) -> Result<(), Error> {
    let fault = FAULT.get();
    if fault == Some(Fault::Stop(now)) {
        STOPPED.set(true);
    }
    match STOPPED.get() || fault == Some(Fault::Once(now)) {
        true => Err(Error::Unavailable(DbErr::Custom(format!("{now:?} fails")))),
        false => Ok(()),
    }
}
