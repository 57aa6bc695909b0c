//! Follows the pair: shows how far it is, one line for each change, and when both sides are the same.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tandem_client::agent::runtime::{Link, Progress};
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1alpha as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::setup::NETWORK;
use super::show::Show;
use super::sides::Sides;

/// Agents that have nothing to say for so long after their settling time have reported all that changed.
const QUIET: Duration = Duration::from_millis(80);
/// How often is looked for what no entry of the journal tells of.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The code for "some members failed".
const SOME_FAILED: u8 = 2;

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
        let mut entries = self.entries().await?;
        let mut quiet = Quiet::new(self.sides.progress());
        let mut settled = false;
        loop {
            let set = self.look().await?;
            quiet.note(self.sides.progress());
            show.progress(&set, settled);
            let done = set.counters.unwrap_or_default().pending == 0
                && !set.scanning
                && set.held_deletions == 0;
            if quiet.lasts() && (done || set.held_deletions > 0) {
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
            tokio::select! {
                () = self.stop.cancelled() => return Ok(ExitCode::SUCCESS),
                entry = entries.message() => {
                    let entry = entry.map_err(Error::from)?.context("the journal ended")?;
                    show.entries(&entry.entries);
                    settled &= entry.entries.is_empty();
                }
                () = self.sides.changed() => {}
                () = tokio::time::sleep(quiet.left().unwrap_or(LOOK_AGAIN)) => {}
            }
        }
    }

    async fn entries(&self) -> anyhow::Result<tonic::Streaming<wire::WatchJournalResponse>> {
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
        let failed = set.counters.unwrap_or_default().failed;
        if failed == 0 && set.held_deletions == 0 {
            show.in_sync(set);
            return Ok(());
        }
        let request = wire::ListMembersRequest {
            parent: set.name.clone(),
            page_size: 1000,
            state: wire::MemberState::Failed as i32,
            ..Default::default()
        };
        let members = self
            .client
            .members()
            .list_members(request)
            .await
            .map_err(Error::from)?;
        show.failed(set, &members.into_inner().members);
        Ok(())
    }

    fn end(&self, set: &wire::SyncSet) -> anyhow::Result<ExitCode> {
        let failed = set.counters.unwrap_or_default().failed > 0 || set.held_deletions > 0;
        Ok(if failed {
            ExitCode::from(SOME_FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Since when both agents have nothing to say.
struct Quiet {
    seen: [Progress; 2],
    since: Instant,
}

impl Quiet {
    fn new(seen: [Progress; 2]) -> Self {
        Self {
            seen,
            since: Instant::now(),
        }
    }

    fn note(&mut self, now: [Progress; 2]) {
        let busy = now.iter().any(|side| {
            side.link != Link::Connected
                || side.batches_waiting > 0
                || side.deliveries_waiting > 0
                || side.scans_running > 0
        });
        if busy || now != self.seen {
            self.since = Instant::now();
            self.seen = now;
        }
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
