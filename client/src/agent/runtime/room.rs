//! Deliveries that failed for want of room, and when it is worth trying them again (R-ERR-1: quota freed).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tandem_proto::v1::{
    CauseChanged, ChangeItem, Delivery, FailureReason, Outcome, change_item::Item, outcome::Answer,
};
use tokio::{sync::Notify, time::Instant};

use super::{conversation::Conversation, fetch};
use crate::{agent::repository::Repository, error::Error};

/// How often is looked whether there is room; so long waits a delivery at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A delivery that fails again and again although there seems to be room waits so long at most.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Bytes that must be free beside the content: for folders, archives and the agent's own notes.
const SPARE_BYTES: u64 = 1024 * 1024;
/// Deliveries that are remembered; the others heal by the hourly retry.
const WANTING_MAX: usize = 10_000;

/// Remembers what wants room.
#[derive(Debug, Default)]
pub(super) struct Room {
    wanting: Mutex<HashMap<Bytes, Wanting>>,
    wanted: Notify,
}

#[derive(Debug)]
struct Wanting {
    bytes: u64,
    failures: u32,
    not_before: Instant,
    /// It was tried again, and the outcome is not known yet.
    tried: bool,
}

impl Room {
    /// Remembers what failed for want of room, and forgets what did not.
    pub(super) fn note(&self, delivery: &Delivery, outcome: &Outcome, now: Instant) {
        let Some(member_id) = delivery.id.as_ref().map(|id| &id.member_id) else {
            return;
        };
        let mut wanting = self.lock();
        if !wants_room(outcome) {
            wanting.remove(member_id);
            return;
        }
        let failures = wanting.get(member_id).map_or(0, |known| known.failures) + 1;
        if failures == 1 && wanting.len() >= WANTING_MAX {
            return;
        }
        let content = fetch::content_of(delivery).map_or(0, |content| content.size);
        let wait = LOOK_EVERY.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let known = Wanting {
            bytes: u64::try_from(content).unwrap_or(0),
            failures,
            not_before: now + wait.min(WAIT_MAX),
            tried: false,
        };
        wanting.insert(member_id.clone(), known);
        self.wanted.notify_one();
    }

    /// Whether something waits for room.
    fn is_wanted(&self) -> bool {
        self.lock().values().any(|wanting| !wanting.tried)
    }

    /// The members for which so much room is enough; each is told once.
    fn enough(&self, room: u64, now: Instant, max: usize) -> Vec<ChangeItem> {
        let mut left = room.saturating_sub(SPARE_BYTES);
        let mut wanting = self.lock();
        let waiting = wanting
            .iter_mut()
            .filter(|(_, wanting)| !wanting.tried && wanting.not_before <= now);
        let mut items = Vec::new();
        for (member_id, wanting) in waiting {
            if items.len() < max && room >= SPARE_BYTES && wanting.bytes <= left {
                left -= wanting.bytes;
                wanting.tried = true;
                items.push(item(member_id.clone()));
            }
        }
        items
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Wanting>> {
        self.wanting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wants_room(outcome: &Outcome) -> bool {
    matches!(&outcome.answer, Some(Answer::Failed(failed))
        if failed.reason() == FailureReason::QuotaLimitViolation)
}

fn item(member_id: Bytes) -> ChangeItem {
    ChangeItem {
        item: Some(Item::CauseChanged(CauseChanged { member_id })),
    }
}

/// Looks for room while something wants it; runs until the session ends.
pub(super) async fn run<R: Repository>(conversation: Arc<Conversation<R>>) -> Result<(), Error> {
    let core = &conversation.core;
    loop {
        if !core.room.is_wanted() {
            core.room.wanted.notified().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        // A repository that is away is asked again.
        let Ok(Some(room)) = core.repository.room().await else {
            continue;
        };
        let max = conversation.limits.items_max;
        let items = core.room.enough(room, Instant::now(), max);
        if !items.is_empty() {
            tracing::info!(room, deliveries = items.len(), "there is room again");
            let slot = core.outbox.slot().await?;
            slot.append(items, None).wait().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{
        Applied, ContentRef, CreateNode, DeliveryId, Failed, Projection, delivery::Action,
    };

    use super::*;

    fn delivery(member: &'static [u8], size: i64) -> Delivery {
        let content = ContentRef {
            size,
            ..ContentRef::default()
        };
        let create = CreateNode {
            projection: Some(Projection {
                content: Some(content),
                ..Projection::default()
            }),
            ..CreateNode::default()
        };
        Delivery {
            id: Some(DeliveryId {
                member_id: Bytes::from_static(member),
                source_version: 1,
            }),
            action: Some(Action::Create(create)),
            ..Delivery::default()
        }
    }

    fn full() -> Outcome {
        let mut failed = Failed::default();
        failed.set_reason(FailureReason::QuotaLimitViolation);
        Outcome {
            answer: Some(Answer::Failed(failed)),
            ..Outcome::default()
        }
    }

    fn told(room: &Room, free: u64, now: Instant) -> usize {
        room.enough(free, now, 100).len()
    }

    #[test]
    fn r_err_1_what_wants_room_is_tried_once_when_there_is_enough_and_later_each_time() {
        let (room, now) = (Room::default(), Instant::now());
        let large = delivery(b"m", 5_000_000);
        room.note(&large, &full(), now);
        assert_eq!(told(&room, 9_000_000, now), 0, "it has just failed");
        let later = now + LOOK_EVERY;
        assert_eq!(told(&room, 4_000_000, later), 0, "still too little");
        assert_eq!(told(&room, 9_000_000, later), 1);
        assert_eq!(told(&room, 9_000_000, later), 0, "it is being tried");
        room.note(&large, &full(), later);
        assert_eq!(
            told(&room, 9_000_000, later + LOOK_EVERY),
            0,
            "twice as long"
        );
        assert_eq!(told(&room, 9_000_000, later + LOOK_EVERY * 2), 1);
    }

    #[test]
    fn what_succeeded_wants_no_room_and_room_is_given_out_once() {
        let (room, now) = (Room::default(), Instant::now());
        let (one, two) = (delivery(b"1", 3_000_000), delivery(b"2", 3_000_000));
        room.note(&one, &full(), now);
        room.note(&two, &full(), now);
        let later = now + LOOK_EVERY;
        assert_eq!(told(&room, 5_000_000, later), 1, "not both");
        let done = Outcome {
            answer: Some(Answer::Applied(Applied::default())),
            ..Outcome::default()
        };
        room.note(&one, &done, later);
        room.note(&two, &done, later);
        assert!(!room.is_wanted());
    }
}
