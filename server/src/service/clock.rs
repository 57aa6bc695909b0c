//! Time as an argument: the system's, or one that tests move by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use time::OffsetDateTime;

/// Tells the time in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Stands still until it is advanced.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at this time.
    #[must_use]
    pub fn manual(now: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(now)))
    }

    /// The time in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now(&self) -> i64 {
        match self {
            Self::System => {
                let microseconds = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
                i64::try_from(microseconds).unwrap_or(i64::MAX)
            }
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock on; the system's moves by itself.
    pub fn advance(&self, microseconds: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(microseconds, Ordering::Relaxed);
        }
    }
}

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
