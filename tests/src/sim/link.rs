//! What travels between an agent and the coordinator, in order, until the connection is cut.

use std::collections::VecDeque;

use tandem_server::domain::delivery::Delivery;
use tandem_server::domain::engine::Note;
use tandem_server::domain::ids::{BatchId, Epoch, Generation, NodeId, ScanId};
use tandem_server::domain::names::NameRule;
use tandem_server::domain::report::Item;
use tandem_server::domain::session::{Greeting, ResumeKey};

/// A change batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number.
    pub number: i64,
    /// Its random id.
    pub id: BatchId,
    /// What it reports.
    pub items: Vec<Item>,
}

/// From the agent.
#[derive(Debug, Clone)]
pub enum Up {
    /// The handshake.
    Hello(Greeting, NameRule),
    /// The new resume key is durable.
    KeyStored(ResumeKey),
    /// A batch of the session with this epoch.
    Batch(Epoch, Batch),
}

/// A node to be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its id.
    pub node: NodeId,
    /// Whether it is a folder that is not going to be listed: the coordinator holds it for known.
    pub known: bool,
    /// Whether it is a single document.
    pub document: bool,
}

/// From the coordinator.
#[derive(Debug, Clone)]
pub enum Down {
    /// The answer to the handshake.
    Welcome {
        /// The epoch of the session.
        epoch: Epoch,
        /// The new key.
        key: ResumeKey,
        /// The repository's generation.
        generation: Generation,
        /// The number of the last batch accepted.
        batch_number: i64,
        /// Its id.
        batch_id: Option<BatchId>,
    },
    /// Refused: another copy of the repository is at work (R-AGT-2).
    Cloned,
    /// A batch was accepted, with remarks.
    Accepted(i64, Vec<Note>),
    /// Work.
    Deliver(Delivery),
    /// The roots to be watched.
    Watch(Vec<Root>),
    /// List a root.
    Scan(ScanId, NodeId),
    /// Look at nodes afresh.
    Observe(Vec<NodeId>),
}

/// The connection of one agent.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Numbers the connections; what was sent on an older one is lost.
    pub connection: u64,
    /// Whether the agent holds the present one for open.
    pub open: bool,
    /// On the way to the coordinator.
    pub up: VecDeque<Up>,
    /// On the way to the agent.
    pub down: VecDeque<Down>,
}

impl Link {
    /// Everything on the way is lost.
    pub fn cut(&mut self) {
        self.open = false;
        self.connection += 1;
        self.up.clear();
        self.down.clear();
    }
}
