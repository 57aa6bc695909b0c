//! Deliveries put together from the rows, in one snapshot, with the content that rides inline.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Error, Store, content_index};
use super::load;
use crate::domain::delivery::Delivery;
use crate::domain::engine;
use crate::domain::ids::{Digest, MemberId, NetworkId, RepositoryId};
use crate::domain::limits::{ENGINE_ROUNDS_MAX, INLINE_BYTES_MAX};
use crate::domain::member::Member;
use crate::domain::projection::Side;
use crate::domain::view::{Loaded, Need};

/// Bytes of content that are read at once for riding inline.
const INLINE_READ_BYTES_MAX: i64 = 16 * 1024 * 1024;

impl Store {
    /// What is due for these members on a side, in the order given, with small content.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn deliveries(
        &self,
        network: NetworkId,
        side: Side,
        members: &[MemberId],
    ) -> Result<Vec<(Delivery, Option<Bytes>)>, Error> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot().await?;
        let mut loaded = load::repositories(&snapshot, network).await?;
        let mut needs = members.iter().copied().map(Need::Member).collect();
        for _ in 0..ENGINE_ROUNDS_MAX {
            load::load(&snapshot, &mut loaded, std::mem::take(&mut needs)).await?;
            let (deliveries, missing) = engine::deliveries(&loaded, side, members);
            if missing.is_empty() {
                let bytes = inline(&snapshot, &loaded, side, &deliveries).await?;
                snapshot.commit().await?;
                return Ok(with_bytes(deliveries, &bytes));
            }
            needs = missing;
        }
        Err(Error::Corrupt {
            what: "the rows of what is due",
        })
    }
}

fn is_small(delivery: &Delivery) -> Option<Digest> {
    let max = i64::try_from(INLINE_BYTES_MAX).unwrap_or(i64::MAX);
    delivery
        .content
        .filter(|content| content.size <= max)
        .map(|content| content.digest)
}

/// Small content by digest; it is the source's, or with a restored version or a sibling the receiver's own.
async fn inline<C: sea_orm::ConnectionTrait>(
    connection: &C,
    loaded: &Loaded,
    side: Side,
    deliveries: &[Delivery],
) -> Result<BTreeMap<Digest, Bytes>, Error> {
    let mut by_source: BTreeMap<RepositoryId, Vec<Digest>> = BTreeMap::new();
    for delivery in deliveries {
        let Some(digest) = is_small(delivery) else {
            continue;
        };
        let member = loaded
            .members
            .get(&delivery.member)
            .and_then(Option::as_ref);
        let set = member
            .and_then(|member| loaded.sets.get(&member.set))
            .and_then(Option::as_ref);
        let Some(set) = set else { continue };
        for side in [side.other(), side].into_iter().take(sources(member)) {
            by_source
                .entry(*set.repositories.get(side))
                .or_default()
                .push(digest);
        }
    }
    let mut bytes = BTreeMap::new();
    for (source, digests) in by_source {
        let read =
            content_index::read_small(connection, source, &digests, INLINE_READ_BYTES_MAX).await?;
        bytes.extend(read);
    }
    Ok(bytes)
}

/// A restored version may be one that only the receiver ever had, and so is what becomes a sibling.
fn sources(member: Option<&Member>) -> usize {
    if member.is_some_and(|member| member.restoring.is_some() || member.sibling.is_some()) {
        2
    } else {
        1
    }
}

/// What could not be read inline is fetched by the agent, which then learns what is wrong with it.
fn with_bytes(
    deliveries: Vec<Delivery>,
    bytes: &BTreeMap<Digest, Bytes>,
) -> Vec<(Delivery, Option<Bytes>)> {
    deliveries
        .into_iter()
        .map(|delivery| {
            let inline = is_small(&delivery).and_then(|digest| bytes.get(&digest).cloned());
            (delivery, inline)
        })
        .collect()
}
