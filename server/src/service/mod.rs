//! Who may, in which order, in one transaction.
//!
//! A handler gets a scope, not a coordinator: what it holds is what its caller may do. Each noun adds its verbs to the
//! scopes in a file of its own.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::ids::NetworkId;
use crate::storage::Store;

pub mod access;
pub mod accounts;
pub mod authentication;
pub mod backup;
pub mod choice;
pub mod clock;
pub mod command;
pub mod conflicts;
pub mod content;
pub mod create_set;
pub mod endings;
pub mod error;
pub mod exchange;
pub mod feed;
pub mod ingest;
pub mod journal;
pub mod member_watch;
pub mod members;
pub mod nodes;
pub mod owners;
pub mod pauses;
mod places;
pub mod portable;
pub mod presence;
pub mod preview;
pub mod retention;
pub mod rights;
pub mod scope;
pub mod skipped;
pub mod sync_sets;
pub mod target_folders;
pub mod verify;
pub mod wakeup;

#[cfg(test)]
mod management_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use authentication::Authentication;
pub use clock::Clock;
pub use command::Sessions;
pub use error::Error;
pub use ingest::Ingest;
pub use presence::Presence;
pub use rights::Rights;
pub use scope::{AdminScope, AgentScope, OperatorScope, Principal, UserScope};
pub use wakeup::Wakeup;

/// All that the coordinator is made of; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Coordinator {
    parts: Arc<Parts>,
}

/// The parts of a [`Coordinator`]; `app` makes them, in this order.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who a token speaks for, and when it ends.
    pub authentication: Authentication,
    /// Which repositories are connected here.
    pub presence: Presence,
    /// Bells that ring after commits.
    pub wakeup: Wakeup,
    /// The sessions of agents that are connected here.
    pub sessions: Sessions,
    /// What agents told lately of the rights of users.
    pub rights: Rights,
    /// The writers of all networks.
    pub ingest: Ingest,
    /// Networks into which sets are being imported.
    pub imports: Mutex<BTreeSet<NetworkId>>,
    /// Cancelled as the first act of draining: streams say so to their peers and end.
    pub draining: CancellationToken,
    /// Every task that must end before the database is closed.
    pub tasks: TaskTracker,
}

impl Deref for Coordinator {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Coordinator {
    /// A coordinator over an open database with the current schema.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let authentication = Authentication::new(store.clone(), clock.clone());
        let (wakeup, tasks) = (Wakeup::default(), TaskTracker::new());
        let writers = (store.clone(), clock.clone(), wakeup.clone(), tasks.clone());
        let ingest = Ingest::new(writers.0, writers.1, writers.2, writers.3);
        Self {
            parts: Arc::new(Parts {
                store,
                clock,
                authentication,
                presence: Presence::default(),
                imports: Mutex::default(),
                draining: CancellationToken::new(),
                tasks,
                wakeup,
                sessions: Sessions::default(),
                rights: Rights::default(),
                ingest,
            }),
        }
    }

    /// Removes what is left of imports that broke off with the coordinator (R-ADM-1).
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_imports(&self) -> Result<(), Error> {
        for network in self.store.networks_with_imports().await? {
            self.ingest.end_import(network).await?;
        }
        Ok(())
    }

    /// Runs work to its end even if the caller goes away meanwhile (ARCHITECTURE, invariant 7).
    ///
    /// # Errors
    /// What the work failed with; [`Error::Internal`] when it panicked.
    pub async fn uncancelled<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let task = self.tasks.spawn(work);
        task.await.unwrap_or_else(|failure| {
            Err(Error::Internal {
                detail: format!("a task ended early: {failure}"),
            })
        })
    }
}
