//! Lists roots, streaming and resumable (R-AGT-5): the next step is read while the present one is uploaded and noted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use tandem_proto::v1::{ChangeItem, ScanEnd, ScanOutcome, ScanPage, WatchRoot, change_item::Item};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    applying::Moment,
    batches::{Limits, pack, seen, weight},
    conversation::Conversation,
};
use crate::{
    agent::{
        outbox::{Receipt, ScanState},
        repository::{self, Repository, ScanStep, Seen},
    },
    error::Error,
    recover::Backoff,
};

/// Nodes listed by one step.
const STEP_NODES: usize = 1000;
/// Steps that are read ahead.
const AHEAD_MAX: usize = 1;
/// How long after a scan that came to nothing the next one begins.
pub(super) const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How long a step waits for a delivery that is being applied to what it lists.
const TOUCHED_DELAY: Duration = Duration::from_millis(50);

/// Runs until the session stops: scans what the latest list of roots asks for.
pub(super) async fn run<R: Repository>(conversation: Arc<Conversation<R>>) -> Result<(), Error> {
    let mut lists = conversation.roots.subscribe();
    loop {
        let roots = lists.borrow_and_update().clone();
        tokio::select! {
            scanned = scan_all(&conversation, roots) => {
                scanned?;
                if lists.changed().await.is_err() {
                    return Ok(());
                }
            }
            changed = lists.changed() => if changed.is_err() {
                return Ok(());
            }
        }
    }
}

async fn scan_all<R: Repository>(
    conversation: &Conversation<R>,
    roots: Option<Vec<WatchRoot>>,
) -> Result<(), Error> {
    let Some(roots) = roots else {
        return Ok(());
    };
    let outbox = &conversation.core.outbox;
    let asked: Vec<WatchRoot> = roots
        .into_iter()
        .filter(|root| !root.scan_id.is_empty())
        .collect();
    outbox
        .keep_scans(asked.iter().map(|root| root.scan_id.clone()).collect())
        .await?;
    conversation
        .core
        .note(|progress| progress.scans_running = asked.len() as u64);
    for root in asked {
        let state = outbox.scan(root.scan_id.clone()).await?.unwrap_or_default();
        if !state.done {
            scan(conversation, &root, state.position).await?;
        }
        conversation.core.note(|progress| {
            progress.scans_running = progress.scans_running.saturating_sub(1);
        });
    }
    Ok(())
}

/// When scans of roots came to nothing. The coordinator asks again at once, and what was in the way is hardly gone yet;
/// its new list ends the old one's scans, so the pause is not theirs.
#[derive(Debug, Default)]
pub(super) struct FailedScans(Mutex<HashMap<String, Instant>>);

impl FailedScans {
    fn note(&self, root: &str) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.insert(root.to_owned(), Instant::now());
    }

    async fn pause(&self, root: &str) {
        if let Some(failed_at) = self.failed_at(root) {
            tokio::time::sleep_until(failed_at + FAILED_PAUSE).await;
        }
    }

    fn failed_at(&self, root: &str) -> Option<Instant> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(root).copied()
    }
}

/// A step as it was read.
struct Read {
    from: Vec<u8>,
    since: Moment,
    step: Result<ScanStep, repository::Error>,
}

async fn scan<R: Repository>(
    conversation: &Conversation<R>,
    root: &WatchRoot,
    mut position: Vec<u8>,
) -> Result<(), Error> {
    if position.is_empty() {
        conversation.again.look([root.node_id.clone()]);
    }
    conversation.failed_scans.pause(&root.node_id).await;
    let mut backoff = Backoff::new();
    loop {
        let (steps, mut ahead) = mpsc::channel(AHEAD_MAX);
        let reading = read_ahead(conversation, root, position.clone(), steps);
        let taking = take_steps(conversation, root, &mut ahead);
        let (stopped, ()) = futures::join!(taking, reading);
        match stopped? {
            Taken::Done => return Ok(()),
            Taken::Again(from) => position = from,
            Taken::Trouble(from) => {
                position = from;
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// Reads on until the end or a failure, or nobody takes steps any more.
async fn read_ahead<R: Repository>(
    conversation: &Conversation<R>,
    root: &WatchRoot,
    mut from: Vec<u8>,
    steps: mpsc::Sender<Read>,
) {
    loop {
        let since = conversation.core.applying.now();
        let step = tokio::select! {
            () = steps.closed() => return,
            step = conversation.core.repository.scan(root, &from, STEP_NODES) => step,
        };
        let next = step.as_ref().ok().filter(|step| step.outcome.is_none());
        let next = next.map(|step| step.position.clone());
        let read = Read { from, since, step };
        if steps.send(read).await.is_err() {
            return;
        }
        match next {
            Some(position) => from = position,
            None => return,
        }
    }
}

/// Why steps were no longer taken.
enum Taken {
    /// The scan came to its end.
    Done,
    /// The step from here on is to be read again: a delivery or a user touched what it lists.
    Again(Vec<u8>),
    /// The repository could not be read from here on.
    Trouble(Vec<u8>),
}

async fn take_steps<R: Repository>(
    conversation: &Conversation<R>,
    root: &WatchRoot,
    ahead: &mut mpsc::Receiver<Read>,
) -> Result<Taken, Error> {
    let taken = take_until_stopped(conversation, root, ahead).await;
    // The reader notices and stops too.
    ahead.close();
    while ahead.try_recv().is_ok() {}
    taken
}

async fn take_until_stopped<R: Repository>(
    conversation: &Conversation<R>,
    root: &WatchRoot,
    ahead: &mut mpsc::Receiver<Read>,
) -> Result<Taken, Error> {
    while let Some(Read { from, since, step }) = ahead.recv().await {
        let step = match step {
            Ok(step) => step,
            Err(error) => return conversation.scan_trouble(root, from, error).await,
        };
        let finished = step.outcome.is_some();
        if !conversation.report_step(root, step, since).await? {
            return Ok(Taken::Again(from));
        }
        if finished {
            return Ok(Taken::Done);
        }
    }
    Ok(Taken::Done)
}

impl<R: Repository> Conversation<R> {
    async fn scan_trouble(
        &self,
        root: &WatchRoot,
        from: Vec<u8>,
        error: repository::Error,
    ) -> Result<Taken, Error> {
        self.note_trouble(&error);
        let outcome = match error {
            repository::Error::RootGone(_) | repository::Error::NodeNotFound(_) => {
                ScanOutcome::RootGone
            }
            repository::Error::Unavailable(_) => return Ok(Taken::Trouble(from)),
            repository::Error::VersionNotFound(_)
            | repository::Error::ContentChanged(_)
            | repository::Error::Unsupported(_)
            | repository::Error::Refused(_) => ScanOutcome::Abandoned,
        };
        let state = ScanState {
            scan_id: root.scan_id.clone(),
            position: from,
            done: true,
        };
        self.core
            .outbox
            .append(vec![end(&root.scan_id, outcome)], Some(state))
            .await?;
        self.failed_scans.note(&root.node_id);
        Ok(Taken::Done)
    }

    /// Uploads and notes one step; false when it has to be read again.
    async fn report_step(
        &self,
        root: &WatchRoot,
        mut step: ScanStep,
        since: Moment,
    ) -> Result<bool, Error> {
        let children = step
            .pages
            .iter_mut()
            .flat_map(|page| page.children.iter_mut());
        let changed = self.upload(children).await?;
        if !changed.is_empty() {
            // Left out they are suspects, which a report of their own clears.
            for page in &mut step.pages {
                page.children
                    .retain(|child| !changed.contains(&child.node_id));
            }
            self.again.look(changed);
        }
        self.note_step(root, step, since).await
    }

    async fn note_step(
        &self,
        root: &WatchRoot,
        step: ScanStep,
        since: Moment,
    ) -> Result<bool, Error> {
        let noted: Vec<Seen> = step
            .pages
            .iter()
            .flat_map(|page| &page.children)
            .map(seen)
            .collect();
        let state = ScanState {
            scan_id: root.scan_id.clone(),
            position: step.position,
            done: step.outcome.is_some(),
        };
        let pages = step
            .pages
            .into_iter()
            .flat_map(|page| split(page, &self.limits))
            .collect();
        let parts = pack(pages, &self.limits, page_weight);
        let receipt = self.put_in_line(parts, step.outcome, state, since).await?;
        let Some(receipt) = receipt else {
            return Ok(false);
        };
        receipt.wait().await?;
        self.core
            .note(|progress| progress.scanned += noted.len() as u64);
        if !noted.is_empty() {
            self.core.repository.reported(&noted).await?;
        }
        Ok(true)
    }

    /// Nothing when a delivery touched what the pages list.
    async fn put_in_line(
        &self,
        parts: Vec<Vec<ScanPage>>,
        outcome: Option<ScanOutcome>,
        state: ScanState,
        since: Moment,
    ) -> Result<Option<Receipt>, Error> {
        let core = &self.core;
        core.outbox.room().await;
        let mut ends = core.applying.ends();
        let slot = core.outbox.slot().await?;
        {
            let still = core.applying.still();
            let mut children = parts.iter().flatten().flat_map(|page| &page.children);
            if !children.any(|child| still.touched(child, since)) {
                let scan_end = outcome.map(|outcome| end(&state.scan_id, outcome));
                let batches = batches(parts, scan_end);
                return Ok(Some(slot.append_all(batches, Some(state))));
            }
        }
        // Outcomes in between may be of other nodes: then the next reading finds the same, and waits again.
        let _ = timeout(TOUCHED_DELAY, ends.changed()).await;
        Ok(None)
    }
}

/// The end of the scan goes with the last pages, or alone.
fn batches(parts: Vec<Vec<ScanPage>>, scan_end: Option<ChangeItem>) -> Vec<Vec<ChangeItem>> {
    let pages = |part: Vec<ScanPage>| part.into_iter().map(item).collect();
    let mut batches: Vec<Vec<ChangeItem>> = parts.into_iter().map(pages).collect();
    match batches.last_mut() {
        Some(last) => last.extend(scan_end),
        None => batches.push(scan_end.into_iter().collect()),
    }
    batches
}

fn end(scan_id: &Bytes, outcome: ScanOutcome) -> ChangeItem {
    let mut end = ScanEnd {
        scan_id: scan_id.clone(),
        ..ScanEnd::default()
    };
    end.set_outcome(outcome);
    ChangeItem {
        item: Some(Item::ScanEnd(end)),
    }
}

fn item(page: ScanPage) -> ChangeItem {
    ChangeItem {
        item: Some(Item::ScanPage(page)),
    }
}

fn page_weight(page: &ScanPage) -> (usize, usize) {
    (page.children.len() + 1, page.encoded_len() + 16)
}

/// Splits a page that is too large for one batch, between two node ids.
fn split(mut page: ScanPage, limits: &Limits) -> Vec<ScanPage> {
    let limits = Limits {
        items_max: limits.items_max.saturating_sub(1).max(1),
        ..*limits
    };
    let parts = pack(std::mem::take(&mut page.children), &limits, weight);
    let count = parts.len();
    if count == 0 {
        return vec![page];
    }
    let mut after = page.after_node_id.clone();
    let mut pages = Vec::with_capacity(count);
    for (index, children) in parts.into_iter().enumerate() {
        let last = children
            .last()
            .map(|child| child.node_id.clone())
            .unwrap_or_default();
        let through = if index + 1 == count {
            page.through_node_id.clone()
        } else {
            last
        };
        let after_node_id = std::mem::replace(&mut after, through.clone());
        pages.push(ScanPage {
            after_node_id,
            through_node_id: through,
            children,
            ..page.clone()
        });
    }
    pages
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{ExchangeLimits, Observation};

    use super::*;

    #[test]
    fn r_agt_5_a_split_page_covers_the_same_range_without_gaps() {
        let child = |name: &str| Observation {
            node_id: name.to_owned(),
            ..Observation::default()
        };
        let page = ScanPage {
            after_node_id: "a".to_owned(),
            through_node_id: "z".to_owned(),
            children: ["b", "c", "d"].map(child).to_vec(),
            ..ScanPage::default()
        };
        let limits = Limits {
            items_max: 3,
            ..Limits::from(ExchangeLimits::default())
        };
        let pages = split(page, &limits);
        let ranges: Vec<_> = pages
            .iter()
            .map(|page| {
                (
                    page.after_node_id.as_str(),
                    page.through_node_id.as_str(),
                    page.children.len(),
                )
            })
            .collect();
        assert_eq!(ranges, [("a", "c", 2), ("c", "z", 1)]);
    }
}
