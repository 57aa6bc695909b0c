//! Fetches the content of deliveries, one group ahead of what is being applied.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    ContentRef, Delivery, Failed, FailureReason, Outcome, delivery::Action, outcome::Answer,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    conversation::Conversation,
    download::{Download, Downloaded},
    upload::SMALL_BYTES_MAX,
};
use crate::{
    agent::repository::{Content, Repository, Work},
    error::Error,
};

/// Deliveries that are applied together.
const GROUP_DELIVERIES_MAX: usize = 1000;
/// Content bytes of a group that are held in memory.
const GROUP_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// From so many deliveries on, more are likely to follow at once.
const MANY: usize = 32;
/// How long a group of many waits for more: applying it costs a few flushes, however large it is.
const GATHER: Duration = Duration::from_millis(15);

/// Deliveries to be applied together, in order.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) work: Vec<Work>,
    /// Deliveries whose content could not be had, with their answers.
    pub(super) failed: Vec<(Delivery, Outcome)>,
}

/// What a delivery needs before it can be applied.
enum Need {
    /// Nothing.
    Nothing,
    /// These bytes, which are here.
    Inline(Bytes),
    /// Content to be fetched.
    Fetch(Download),
}

/// Runs until the session stops.
pub(super) async fn run<R: Repository>(
    conversation: Arc<Conversation<R>>,
    mut deliveries: mpsc::Receiver<Vec<Delivery>>,
    groups: mpsc::Sender<Group>,
) -> Result<(), Error> {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match deliveries.recv().await {
                Some(more) => waiting.extend(more),
                None => return Ok(()),
            }
        }
        // What comes while the one before is applied joins the group: each costs its flushes once.
        let Ok(place) = groups.reserve().await else {
            return Ok(());
        };
        gather(&mut waiting, &mut deliveries).await;
        place.send(conversation.fetch(take_group(&mut waiting)).await);
    }
}

/// Takes what has come, and of many what comes soon.
async fn gather(waiting: &mut VecDeque<Delivery>, deliveries: &mut mpsc::Receiver<Vec<Delivery>>) {
    let deadline = Instant::now() + GATHER;
    while waiting.len() < GROUP_DELIVERIES_MAX {
        let next = match deliveries.try_recv() {
            Ok(more) => Some(more),
            Err(_) if waiting.len() < MANY => None,
            Err(_) => timeout_at(deadline, deliveries.recv())
                .await
                .unwrap_or(None),
        };
        match next {
            Some(more) => waiting.extend(more),
            None => return,
        }
    }
}

/// As many as may be held in memory together, at least one.
fn take_group(waiting: &mut VecDeque<Delivery>) -> Vec<Delivery> {
    let mut bytes = 0;
    let mut group = Vec::new();
    while let Some(delivery) = waiting.front() {
        bytes += content_of(delivery).map_or(0, |content| content.size.min(SMALL_BYTES_MAX));
        let full = group.len() >= GROUP_DELIVERIES_MAX || bytes > GROUP_BYTES_MAX;
        if full && !group.is_empty() {
            break;
        }
        group.extend(waiting.pop_front());
    }
    group
}

/// The content that a delivery names.
pub(super) fn content_of(delivery: &Delivery) -> Option<&ContentRef> {
    let projection = match delivery.action.as_ref()? {
        Action::Create(create) => create.projection.as_ref(),
        Action::Update(update) => update.projection.as_ref(),
        Action::Delete(_) | Action::Release(_) => None,
    };
    projection?.content.as_ref()
}

impl<R: Repository> Conversation<R> {
    async fn fetch(&self, deliveries: Vec<Delivery>) -> Group {
        let mut needs = Vec::with_capacity(deliveries.len());
        for delivery in &deliveries {
            needs.push(self.need_of(delivery).await);
        }
        let downloads = needs.iter().filter_map(|need| match need {
            Need::Fetch(download) => Some(download.clone()),
            Need::Nothing | Need::Inline(_) => None,
        });
        let mut downloaded = self.download(downloads.collect()).await;
        let mut group = Group::default();
        for (delivery, need) in deliveries.into_iter().zip(needs) {
            let content = match need {
                Need::Nothing => Ok(None),
                Need::Inline(bytes) => verified(&delivery, bytes),
                Need::Fetch(download) => match downloaded.take(&download) {
                    Downloaded::Bytes(bytes) => verified(&delivery, bytes),
                    Downloaded::Blocks(blocks) => Ok(Some(Content::Blocks(blocks))),
                    Downloaded::Failed(reason, message) => Err((reason, message)),
                },
            };
            match content {
                Ok(content) => group.work.push(Work { delivery, content }),
                Err((reason, message)) => {
                    let outcome = failure(&delivery, reason, message);
                    group.failed.push((delivery, outcome));
                }
            }
        }
        group
    }

    async fn need_of(&self, delivery: &Delivery) -> Need {
        let Some(content) = content_of(delivery) else {
            return Need::Nothing;
        };
        if let Some(bytes) = &content.inline {
            return Need::Inline(bytes.clone());
        }
        if content.size == 0 {
            return Need::Inline(Bytes::new());
        }
        if let Some(Action::Update(update)) = &delivery.action
            && self
                .core
                .repository
                .open(&update.node_id, &content.digest)
                .await
                .is_ok()
        {
            // The copy has it already: only something else changed.
            return Need::Nothing;
        }
        let replaces = match &delivery.action {
            Some(Action::Update(update)) => Some(update.node_id.clone()),
            _ => None,
        };
        let member_id = delivery
            .id
            .as_ref()
            .map(|id| id.member_id.clone())
            .unwrap_or_default();
        Need::Fetch(Download {
            member_id,
            digest: content.digest.clone(),
            size: content.size,
            replaces,
        })
    }
}

fn verified(delivery: &Delivery, bytes: Bytes) -> Result<Option<Content>, (FailureReason, String)> {
    let wanted = content_of(delivery)
        .map(|content| &content.digest[..])
        .unwrap_or_default();
    if Sha256::digest(&bytes)[..] == *wanted {
        Ok(Some(Content::Bytes(bytes)))
    } else {
        let text = "the content that arrived does not have the digest that was named";
        Err((FailureReason::ContentUnavailable, text.to_owned()))
    }
}

/// The answer to a delivery that could not be begun.
pub(super) fn failure(delivery: &Delivery, reason: FailureReason, message: String) -> Outcome {
    let mut failed = Failed {
        message,
        ..Failed::default()
    };
    failed.set_reason(reason);
    Outcome {
        delivery_id: delivery.id.clone(),
        answer: Some(Answer::Failed(failed)),
    }
}
