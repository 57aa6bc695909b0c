//! How batches look in the database: without the bytes that ride inline.

use bytes::Bytes;
use prost::Message;
use tandem_proto::v1::{
    ChangeBatch, ChangeItem, ContentRef, Observation, Projection, change_item::Item, observation,
    outcome::Answer,
};

/// Visits every content that an item names.
pub fn for_each_content(item: &mut ChangeItem, visit: &mut dyn FnMut(&mut ContentRef)) {
    match &mut item.item {
        Some(Item::Observation(observation)) => of_observation(observation, visit),
        Some(Item::ScanPage(page)) => {
            page.children
                .iter_mut()
                .for_each(|child| of_observation(child, visit));
        }
        Some(Item::Outcome(outcome)) => match &mut outcome.answer {
            Some(Answer::Applied(applied)) => {
                applied
                    .result
                    .iter_mut()
                    .for_each(|result| of_observation(result, visit));
                applied
                    .delivered
                    .iter_mut()
                    .for_each(|delivered| of_projection(delivered, visit));
            }
            Some(Answer::Stale(stale)) => {
                stale
                    .seen
                    .iter_mut()
                    .for_each(|seen| of_observation(seen, visit));
            }
            Some(Answer::Failed(_)) | None => {}
        },
        Some(Item::ScanEnd(_) | Item::CauseChanged(_)) | None => {}
    }
}

fn of_observation(observation: &mut Observation, visit: &mut dyn FnMut(&mut ContentRef)) {
    if let Some(observation::State::Present(projection)) = &mut observation.state {
        of_projection(projection, visit);
    }
}

fn of_projection(projection: &mut Projection, visit: &mut dyn FnMut(&mut ContentRef)) {
    projection.content.iter_mut().for_each(visit);
}

/// The payload of a batch, and the bytes that it takes in memory.
pub(super) fn encode(items: &[ChangeItem]) -> (Bytes, usize) {
    let mut items = items.to_vec();
    let mut inline_bytes = 0;
    for item in &mut items {
        for_each_content(item, &mut |content| {
            inline_bytes += content.inline.take().map_or(0, |bytes| bytes.len());
        });
    }
    let payload = Bytes::from(
        ChangeBatch {
            items,
            ..ChangeBatch::default()
        }
        .encode_to_vec(),
    );
    let bytes = payload.len() + inline_bytes;
    (payload, bytes)
}

/// The items of a payload.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<ChangeItem>, prost::DecodeError> {
    ChangeBatch::decode(payload).map(|batch| batch.items)
}
