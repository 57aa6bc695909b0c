//! Follows the pair: shows how far it is, one line for each change, and when both sides are the same.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tandem_client::agent::runtime::{Link, Progress};
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::setup::NETWORK;
use super::show::Show;
use super::sides::Sides;
use super::trouble::Trouble;

/// Agents that have nothing to say for so long after their settling time have reported all that changed.
const QUIET: Duration = Duration::from_millis(60);
/// How often is looked for what no entry of the journal tells of.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often is looked while there is work; each look costs the coordinator a little.
const LOOK_AT_WORK: Duration = Duration::from_millis(25);
/// How long nothing moves until members that wait for failed ones, or for a person, count as being as far as they come.
const STUCK: Duration = Duration::from_secs(3);
/// The code for "some members failed".
const SOME_FAILED: u8 = 2;

type Entries = tonic::Streaming<wire::WatchJournalResponse>;

/// Whom to follow.
pub(super) struct Follow<'a> {
    pub(super) client: &'a Client,
    pub(super) set: &'a wire::SyncSet,
    pub(super) sides: &'a Sides,
    pub(super) stop: &'a CancellationToken,
}

impl Follow<'_> {
    /// Runs until told to stop; with `once` until both sides are the same, or are as far as they come.
    pub(super) async fn run(&self, once: bool, show: &mut Show) -> anyhow::Result<ExitCode> {
        let mut entries = None;
        let mut quiet = Quiet::new(self.sides.progress());
        let mut settled = false;
        loop {
            self.sides.check()?;
            let set = self.look().await?;
            quiet.note(self.sides.progress(), self.sides.are_at_rest(), &set);
            show.progress(&set, settled);
            let done = is_done(&set) || quiet.is_stuck(&set);
            if quiet.lasts() && (done || set.held_deletions > 0) {
                if entries.is_none() && !once {
                    // What happens from here on is shown; what happened just before shows in the next look.
                    entries = Some(self.entries().await?);
                    continue;
                }
                if !settled {
                    settled = true;
                    self.settled(&set, show).await?;
                }
                if once {
                    return self.end(&set);
                }
            } else if !done {
                settled = false;
            }
            let wait = match quiet.left() {
                Some(left) if done => left.min(LOOK_AT_WORK),
                _ if settled => LOOK_AGAIN,
                _ => LOOK_AT_WORK,
            };
            tokio::select! {
                () = self.stop.cancelled() => return Ok(ExitCode::SUCCESS),
                shown = self.show_next(entries.as_mut(), show) => settled &= !shown?,
                () = self.sides.changed(), if settled => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Shows what the journal tells next, if it is followed yet; true when there was something.
    async fn show_next(
        &self,
        entries: Option<&mut Entries>,
        show: &mut Show,
    ) -> anyhow::Result<bool> {
        let Some(entries) = entries else {
            return std::future::pending().await;
        };
        let next = entries.message().await.map_err(Error::from)?;
        let next = next.context("the journal ended")?;
        show.entries(&next.entries);
        Ok(!next.entries.is_empty())
    }

    async fn entries(&self) -> anyhow::Result<Entries> {
        let request = wire::WatchJournalRequest {
            parent: NETWORK.to_owned(),
            from_end: true,
            ..Default::default()
        };
        let entries = self
            .client
            .journal()
            .watch_journal(request)
            .await
            .map_err(Error::from)?;
        Ok(entries.into_inner())
    }

    async fn look(&self) -> anyhow::Result<wire::SyncSet> {
        let request = wire::GetSyncSetRequest {
            name: self.set.name.clone(),
        };
        let set = self
            .client
            .sync_sets()
            .get_sync_set(request)
            .await
            .map_err(Error::from)?;
        set.into_inner().sync_set.context("the sync set is gone")
    }

    async fn settled(&self, set: &wire::SyncSet, show: &mut Show) -> anyhow::Result<()> {
        let trouble = Trouble::of(self.client, set).await?;
        if is_in_sync(set) {
            show.in_sync(set);
        } else {
            show.failed(set, &trouble);
        }
        show.skipped(trouble);
        Ok(())
    }

    fn end(&self, set: &wire::SyncSet) -> anyhow::Result<ExitCode> {
        Ok(if is_in_sync(set) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(SOME_FAILED)
        })
    }
}

/// R-CON-3.
fn may_wait_for_a_person(set: &wire::SyncSet) -> bool {
    let policy = set
        .options
        .as_ref()
        .map(wire::SyncSetOptions::conflict_policy);
    policy == Some(wire::ConflictPolicy::Manual)
}

fn is_done(set: &wire::SyncSet) -> bool {
    set.counters.unwrap_or_default().pending == 0 && !set.scanning && set.held_deletions == 0
}

fn is_in_sync(set: &wire::SyncSet) -> bool {
    is_done(set) && set.counters.unwrap_or_default().failed == 0
}

/// Since when both agents have nothing to say.
struct Quiet {
    seen: [Progress; 2],
    counters: wire::SyncSetCounters,
    since: Instant,
}

impl Quiet {
    fn new(seen: [Progress; 2]) -> Self {
        Self {
            seen,
            counters: wire::SyncSetCounters::default(),
            since: Instant::now(),
        }
    }

    fn note(&mut self, now: [Progress; 2], at_rest: bool, set: &wire::SyncSet) {
        let counters = set.counters.unwrap_or_default();
        let busy = now.iter().any(|side| {
            side.link != Link::Connected
                || side.batches_waiting > 0
                || side.deliveries_waiting > 0
                || side.scans_running > 0
        });
        if busy || !at_rest || now != self.seen || counters != self.counters {
            self.since = Instant::now();
            self.seen = now;
            self.counters = counters;
        }
    }

    /// Some members failed or wait for a person, others wait for those, and nothing moves any more: this is as far as
    /// it comes.
    fn is_stuck(&self, set: &wire::SyncSet) -> bool {
        let failed = set.counters.unwrap_or_default().failed > 0;
        (failed || may_wait_for_a_person(set)) && !set.scanning && self.since.elapsed() >= STUCK
    }

    fn lasts(&self) -> bool {
        self.since.elapsed() >= QUIET
    }

    fn left(&self) -> Option<Duration> {
        QUIET
            .checked_sub(self.since.elapsed())
            .filter(|left| !left.is_zero())
    }
}
