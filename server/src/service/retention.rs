//! Shortens the journals from their beginnings, when they are to be kept for a time only (R-JRN-1).
//!
//! Component recipe: [`RetentionOptions`] → [`Retention::new`] → [`Retention::run`]. It works in small doses with a pause
//! between them, so that nobody who writes waits for long. A reader whose place is behind what is kept goes on; an older place
//! is refused, with the oldest position that is kept.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Coordinator, Error};
use crate::domain::limits::{
    DAY_MICROSECONDS, JOURNAL_DOSE_PAUSE_MILLISECONDS, JOURNAL_DOSE_ROWS,
    RETENTION_INTERVAL_SECONDS,
};

/// How long entries are kept, and how hard is worked at it.
#[derive(Debug, Clone)]
pub struct RetentionOptions {
    /// Days for which entries are kept; 0 = for ever.
    pub days: u32,
    /// Between two passes.
    pub interval: Duration,
    /// Entries that one transaction removes at most.
    pub dose: usize,
    /// Between two transactions.
    pub pause: Duration,
}

impl RetentionOptions {
    /// Keeps entries for so many days; 0 = for ever.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self {
            days,
            interval: Duration::from_secs(RETENTION_INTERVAL_SECONDS),
            dose: JOURNAL_DOSE_ROWS,
            pause: Duration::from_millis(JOURNAL_DOSE_PAUSE_MILLISECONDS),
        }
    }
}

/// Shortens in the background.
#[derive(Debug)]
pub struct Retention {
    coordinator: Coordinator,
    options: RetentionOptions,
}

impl Retention {
    /// A retention of all journals of a coordinator.
    #[must_use]
    pub const fn new(coordinator: Coordinator, options: RetentionOptions) -> Self {
        Self {
            coordinator,
            options,
        }
    }

    /// Shortens now and then, until it is told to stop; a dose that has begun is finished.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.options.days == 0 {
            return;
        }
        let mut ticks = tokio::time::interval(self.options.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.pass_until(&shutdown).await {
                Ok(0) => {}
                Ok(entries) => tracing::info!(entries, "journals shortened"),
                Err(error) => tracing::warn!(%error, "shortening failed; it is tried again"),
            }
        }
    }

    /// Shortens every journal once; answers the number of entries that went.
    ///
    /// # Errors
    /// When the database fails; what was done so far holds.
    pub async fn pass(&self) -> Result<u64, Error> {
        self.pass_until(&CancellationToken::new()).await
    }

    async fn pass_until(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        if self.options.days == 0 {
            return Ok(0);
        }
        let kept = i64::from(self.options.days) * DAY_MICROSECONDS;
        let before = self.coordinator.clock.now() - kept;
        let (store, mut entries) = (&self.coordinator.store, 0);
        for network in store.networks_with_journals().await? {
            while !shutdown.is_cancelled() {
                let dose = store.shorten_journal(network, before, self.options.dose);
                let dose = dose.await?;
                entries += dose;
                if dose == 0 {
                    break;
                }
                let pause = tokio::time::sleep(self.options.pause);
                shutdown.run_until_cancelled(pause).await;
            }
        }
        Ok(entries)
    }
}
