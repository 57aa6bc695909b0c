//! The thread that owns the database: all requests that wait share one transaction.

use std::{io, thread};

use tokio::sync::mpsc;

use super::{Error, rows::Rows, said};

/// Requests that may share a transaction.
const GROUP_MAX: usize = 64;

/// What follows once the transaction is over; the argument is the cause if it failed.
type Completion = Box<dyn FnOnce(Option<&str>)>;

/// Whether what follows a request may only follow once it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Flushed before it is answered.
    Now,
    /// With the next request that is flushed: what a crash of the machine undoes is only done again.
    Later,
}

type Run = Box<dyn FnOnce(&Rows) -> Completion + Send>;

/// Work inside the next transaction.
pub(super) struct Job {
    run: Run,
    durability: Durability,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Job")
    }
}

/// Wraps work and what follows its commit or failure.
pub(super) fn job<T: 'static>(
    durability: Durability,
    work: impl FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
    then: impl FnOnce(Result<T, Error>) + Send + 'static,
) -> Job {
    let run: Run = Box::new(move |rows| {
        let result = rows.nested(work);
        Box::new(move |failure: Option<&str>| match failure {
            Some(cause) => then(Err(Error::Commit(cause.to_owned()))),
            None => then(result),
        })
    });
    Job { run, durability }
}

/// Starts the thread; it ends when no one can ask any more.
pub(super) fn spawn(rows: Rows, queue: mpsc::Receiver<Job>) -> io::Result<()> {
    thread::Builder::new()
        .name("outbox".to_owned())
        .spawn(move || write(&rows, queue))?;
    Ok(())
}

fn write(rows: &Rows, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let mut completions = Vec::with_capacity(group.len());
        let flushed = group.iter().any(|job| job.durability == Durability::Now);
        let outcome = rows.transaction(flushed, || {
            completions.extend(group.drain(..).map(|job| (job.run)(rows)));
        });
        // A transaction that could not even begin has run nothing: the requests are answered by their dropping.
        group.clear();
        let failure = outcome.err().map(|error| match error {
            Error::Commit(cause) => cause,
            Error::Sqlite(error) => said(&error),
            error => error.to_string(),
        });
        completions
            .into_iter()
            .for_each(|complete| complete(failure.as_deref()));
    }
}
