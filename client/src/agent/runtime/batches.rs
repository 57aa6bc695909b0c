//! Packs what is reported into batches, and puts them in line without overtaking outcomes.

use prost::Message;
use tandem_proto::v1::{
    ChangeItem, ContentRef, ExchangeLimits, Observation, change_item::Item, observation::State,
};

use super::{Core, applying::Moment};
use crate::{
    agent::{
        outbox::Receipt,
        repository::{INLINE_BYTES_MAX, Repository, Seen},
    },
    error::Error,
};

/// Bytes that the frame around the items takes at most.
const BATCH_OVERHEAD_BYTES: usize = 2 * 1024;
const BATCH_BYTES_DEFAULT: i32 = 1024 * 1024;
const BATCH_ITEMS_DEFAULT: i32 = 1000;
const BATCHES_UNANSWERED_DEFAULT: i32 = 8;

/// What the coordinator accepts, as sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) items_max: usize,
    /// Notes on mended causes that may ride along; the others heal by the hourly retry.
    pub(super) causes_max: usize,
    pub(super) bytes_max: usize,
    pub(super) unanswered_max: usize,
    pub(super) inline_bytes_max: usize,
    pub(super) content_bytes_max: i64,
}

// === impl Limits ===

impl From<ExchangeLimits> for Limits {
    fn from(limits: ExchangeLimits) -> Self {
        let size = |value: i32, default: i32| {
            usize::try_from(if value > 0 { value } else { default }).unwrap_or(usize::MAX)
        };
        let inline = i32::try_from(INLINE_BYTES_MAX).unwrap_or(i32::MAX);
        let bytes_max = size(limits.batch_bytes_max, BATCH_BYTES_DEFAULT);
        let items_max = size(limits.batch_items_max, BATCH_ITEMS_DEFAULT);
        Self {
            items_max: (items_max - items_max / 10).max(1),
            causes_max: items_max / 10,
            bytes_max: bytes_max.saturating_sub(BATCH_OVERHEAD_BYTES),
            unanswered_max: size(limits.batches_unanswered_max, BATCHES_UNANSWERED_DEFAULT),
            inline_bytes_max: size(limits.inline_bytes_max, inline).min(size(0, inline)),
            content_bytes_max: match limits.content_bytes_max {
                0 => i64::MAX,
                bytes => bytes,
            },
        }
    }
}

/// Splits in order, so that no part exceeds the limits; `weigh` tells items and bytes.
pub(super) fn pack<T>(
    values: Vec<T>,
    limits: &Limits,
    weigh: impl Fn(&T) -> (usize, usize),
) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let (mut items, mut bytes) = (0, 0);
    for value in values {
        let (more_items, more_bytes) = weigh(&value);
        let fits = items + more_items <= limits.items_max && bytes + more_bytes <= limits.bytes_max;
        match parts.last_mut() {
            Some(part) if fits => {
                part.push(value);
                items += more_items;
                bytes += more_bytes;
            }
            _ => {
                parts.push(vec![value]);
                (items, bytes) = (more_items, more_bytes);
            }
        }
    }
    parts
}

/// Bytes of one observation inside a batch.
pub(super) fn weight(observation: &Observation) -> (usize, usize) {
    (1, observation.encoded_len() + 16)
}

/// Wraps an observation.
pub(super) fn observed(observation: Observation) -> ChangeItem {
    ChangeItem {
        item: Some(Item::Observation(observation)),
    }
}

/// In which state a node is reported.
pub(super) fn seen(observation: &Observation) -> Seen {
    Seen {
        node_id: observation.node_id.clone(),
        revision: observation.revision.clone(),
    }
}

/// The content that an observation names.
pub(super) fn content_of(observation: &Observation) -> Option<&ContentRef> {
    match &observation.state {
        Some(State::Present(present)) => present.content.as_ref(),
        Some(State::Absent(_)) | None => None,
    }
}

/// What became of observations that were to be reported.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// Durably noted.
    pub(super) noted: Vec<Seen>,
    /// Touched by a delivery since they were read: to be read again.
    pub(super) touched: Vec<Observation>,
}

impl<R: Repository> Core<R> {
    /// Reports what was read since that moment, but for what deliveries touched meanwhile.
    pub(super) async fn report(
        &self,
        observations: Vec<Observation>,
        since: Moment,
        limits: &Limits,
    ) -> Result<Reported, Error> {
        let mut reported = Reported::default();
        let mut receipts = Vec::new();
        for part in pack(observations, limits, weight) {
            receipts.push(
                self.put_in_line(part, since, limits.causes_max, &mut reported)
                    .await?,
            );
        }
        for receipt in receipts {
            receipt.wait().await?;
        }
        self.note(|progress| progress.batches_waiting = self.outbox.len() as u64);
        if !reported.noted.is_empty() {
            self.repository.reported(&reported.noted).await?;
        }
        Ok(reported)
    }

    async fn put_in_line(
        &self,
        part: Vec<Observation>,
        since: Moment,
        causes_max: usize,
        reported: &mut Reported,
    ) -> Result<Receipt, Error> {
        let rule = self
            .repository
            .description()
            .capabilities
            .name_rule
            .unwrap_or_default();
        let slot = self.outbox.slot().await?;
        // Between the check and the place in line nothing may begin to be applied.
        let still = self.applying.still();
        let (touched, fresh): (Vec<_>, Vec<_>) = part
            .into_iter()
            .partition(|observation| still.touched(observation, since));
        let mut items = Vec::with_capacity(fresh.len());
        let mut changed = Vec::new();
        for observation in fresh {
            reported.noted.push(seen(&observation));
            changed.extend(self.causes.changed_by(&observation, rule));
            items.push(observed(observation));
        }
        changed.truncate(causes_max);
        items.append(&mut changed);
        reported.touched.extend(touched);
        Ok(slot.append(items, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_order_and_limits() {
        let limits = Limits {
            items_max: 3,
            bytes_max: 10,
            ..Limits::from(ExchangeLimits::default())
        };
        let parts = pack(vec![1, 2, 3, 4, 9, 12, 1], &limits, |value| (1, *value));
        assert_eq!(parts, [vec![1, 2, 3], vec![4], vec![9], vec![12], vec![1]]);
        assert!(pack(Vec::new(), &limits, |value: &usize| (1, *value)).is_empty());
    }
}
