//! How a directory is kept.

use std::{path::PathBuf, time::Duration};

use super::users::Users;

/// The longest settling time: a change must be visible on the other side within 100 ms.
pub(super) const SETTLE_MAX: Duration = Duration::from_millis(50);
/// The shortest: timestamps of files are no finer than the kernel's tick.
pub(super) const SETTLE_MIN: Duration = Duration::from_millis(10);

/// How a directory is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; it must exist. Nothing outside it is touched, but [`state`](Self::state).
    pub root: PathBuf,
    /// Where the index and the kept versions live; outside the root, made if missing.
    pub state: PathBuf,
    /// How long a path must be quiet before it is looked at; 10 to 50 ms, 25 ms by default.
    pub settle: Duration,
    /// How long versions are kept; 30 days by default, zero = for ever.
    pub versions_keep: Duration,
    /// How long a replaced file is watched for writes through handles opened before; 10 minutes by default.
    pub late_writes: Duration,
    /// Who may do what; nobody is asked by default, and everybody may what the agent may.
    pub users: Option<Users>,
}

impl Options {
    /// The usual way to keep `root`, with index and versions in `state`.
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            state: state.into(),
            settle: Duration::from_millis(20),
            versions_keep: Duration::from_secs(30 * 24 * 60 * 60),
            late_writes: Duration::from_secs(10 * 60),
            users: None,
        }
    }

    /// The settling time within its bounds.
    pub(super) fn settle(&self) -> Duration {
        self.settle.clamp(SETTLE_MIN, SETTLE_MAX)
    }
}
