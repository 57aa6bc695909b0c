//! The content that a group of batches names: taken, shared and checked with a few statements, however many batches.

use std::collections::{BTreeMap, BTreeSet};

use super::Batch;
use crate::domain::ids::{Digest, MemberId, NetworkId, RepositoryId};
use crate::domain::report::{Item, Observation};
use crate::service::Error;
use crate::storage::sync::due;
use crate::storage::{Tx, content_index};

/// The sizes of the content that repositories have, as far as a group names it.
pub(super) struct Content {
    present: BTreeMap<RepositoryId, BTreeMap<Digest, i64>>,
}

impl Content {
    /// Takes the content that rides inline, and finds out what is there of what the batches name.
    pub(super) async fn take(
        tx: &Tx,
        network: NetworkId,
        batches: &[&Batch],
        now: i64,
    ) -> Result<Self, Error> {
        let mut by_repository: BTreeMap<RepositoryId, Vec<&Batch>> = BTreeMap::new();
        for batch in batches {
            by_repository
                .entry(batch.repository)
                .or_default()
                .push(batch);
        }
        let mut present = BTreeMap::new();
        for (repository, batches) in by_repository {
            let inline: Vec<_> = batches
                .iter()
                .flat_map(|batch| batch.inline.iter().cloned())
                .collect();
            if !inline.is_empty() {
                content_index::put_small_in(&**tx, network, repository, &inline, now).await?;
            }
            present.insert(repository, sizes(tx, repository, &batches, now).await?);
        }
        Ok(Self { present })
    }

    /// Every digest that a batch names must be there, with its true size (ARCHITECTURE, invariant 3).
    pub(super) fn check(&self, batch: &Batch) -> Result<(), Error> {
        let present = self.present.get(&batch.repository);
        let size_of = |digest: &Digest| present.and_then(|sizes| sizes.get(digest)).copied();
        let named = named(batch);
        let missing: Vec<Digest> = named
            .keys()
            .filter(|digest| size_of(digest).is_none())
            .copied()
            .collect();
        if !missing.is_empty() {
            return Err(Error::ContentMissing { digests: missing });
        }
        let wrong = named
            .iter()
            .find(|(digest, size)| size_of(digest) != Some(**size));
        wrong.map_or(Ok(()), |(digest, _)| {
            Err(Error::DigestMismatch { digest: *digest })
        })
    }
}

fn named(batch: &Batch) -> BTreeMap<Digest, i64> {
    let observations = batch.items.iter().flat_map(Item::observations);
    observations
        .filter_map(Observation::content)
        .map(|content| (content.digest, content.size))
        .collect()
}

async fn sizes(
    tx: &Tx,
    repository: RepositoryId,
    batches: &[&Batch],
    now: i64,
) -> Result<BTreeMap<Digest, i64>, Error> {
    let named: BTreeSet<Digest> = batches
        .iter()
        .flat_map(|batch| named(batch).into_keys())
        .collect();
    let digests: Vec<Digest> = named.into_iter().collect();
    let mut present = content_index::present_sizes_in(&**tx, repository, &digests).await?;
    if present.len() < digests.len() {
        receive(tx, repository, batches, &present, now).await?;
        let left: Vec<Digest> = digests
            .into_iter()
            .filter(|digest| !present.contains_key(digest))
            .collect();
        present.extend(content_index::present_sizes_in(&**tx, repository, &left).await?);
    }
    Ok(present)
}

/// What a delivery brought, the outcome may name: the repository has received it.
async fn receive(
    tx: &Tx,
    repository: RepositoryId,
    batches: &[&Batch],
    present: &BTreeMap<Digest, i64>,
    now: i64,
) -> Result<(), Error> {
    let items = batches.iter().flat_map(|batch| &batch.items);
    let results: Vec<(MemberId, Digest)> = items
        .filter_map(|item| match item {
            Item::Outcome { member, .. } => {
                let digest = item.observations().next()?.digest()?;
                (!present.contains_key(&digest)).then_some((*member, digest))
            }
            _ => None,
        })
        .collect();
    let mut by_source: BTreeMap<RepositoryId, Vec<Digest>> = BTreeMap::new();
    for (source, digest) in due::delivered_in(&**tx, repository, &results).await? {
        by_source.entry(source).or_default().push(digest);
    }
    for (source, digests) in by_source {
        content_index::share_in(&**tx, source, repository, &digests, now).await?;
    }
    Ok(())
}
