//! What an agent shows of itself.

/// Whether the agent has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// A session is being opened.
    #[default]
    Connecting,
    /// A session is open.
    Connected,
    /// The next try comes after a wait.
    Waiting,
    /// Another running copy holds the repository's identity; an admin must rebind it (R-AGT-2).
    Cloned,
}

/// Counters since the agent was started, and its present state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whether there is a session.
    pub link: Link,
    /// Sessions opened so far.
    pub sessions: u64,
    /// Nodes reported and accepted, those in scan pages included.
    pub reported: u64,
    /// Nodes listed by scans.
    pub scanned: u64,
    /// Scans that are running.
    pub scans_running: u64,
    /// Deliveries that were received and are not answered yet.
    pub deliveries_waiting: u64,
    /// Deliveries applied.
    pub applied: u64,
    /// Deliveries answered as stale.
    pub stale: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// Batches that wait for their acceptance.
    pub batches_waiting: u64,
    /// Content bytes sent, those that rode inline included.
    pub bytes_up: u64,
    /// Content bytes received, those that rode inline included.
    pub bytes_down: u64,
    /// Set while the repository's root is gone or was replaced: the agent reports nothing.
    pub root_gone: bool,
    /// The last thing that went wrong; cleared by the next session.
    pub last_error: Option<String>,
}
