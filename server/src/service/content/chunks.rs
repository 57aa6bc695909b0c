//! Chunks of large content: what need not be sent again, and what a content is made of (R-CNT-1).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Content, Sender, verify};
use crate::domain::ids::Digest;
use crate::domain::limits::{CHUNKS_LISTED_MAX, DIGESTS_PER_CALL_MAX, UPLOAD_MESSAGE_BYTES_MAX};
use crate::service::Error;
use crate::storage::content_index::{self, ChunkPlace, NewChunk, Reader, Source};

/// A chunk as it was claimed; nothing of it is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedChunk {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: i64,
}

impl Content {
    /// Tells which of the chunks this repository must still send: those that are in no content that it sent or received.
    ///
    /// The contents in which the others are stay for the grace period.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for none or too many digests.
    pub async fn find_missing_chunks(
        &self,
        sender: Sender,
        digests: Vec<Digest>,
    ) -> Result<Vec<Digest>, Error> {
        if digests.is_empty() || digests.len() > DIGESTS_PER_CALL_MAX {
            let rule = format!("1 to {DIGESTS_PER_CALL_MAX} digests; ask in several calls");
            return Err(Error::invalid("digests", rule));
        }
        let content = self.clone();
        let work = async move {
            let reader = content.store().reader();
            let places = content_index::find_chunks(reader, sender.repository, &digests).await?;
            let within: BTreeSet<Digest> = places.values().map(|place| place.content).collect();
            let within: Vec<Digest> = within.into_iter().collect();
            let there = match within.is_empty() {
                true => BTreeSet::new(),
                false => content.reliable(sender.repository, &within).await?,
            };
            Ok(missing(digests, &places, &there))
        };
        self.coordinator.uncancelled(work).await
    }

    /// The chunks of a content from an offset on, and where to ask for more.
    ///
    /// # Errors
    /// [`Error::ContentNotFound`] when there is nothing that the reader may read, whatever the cause.
    pub async fn list_chunks(
        &self,
        reader: Reader,
        source: Source,
        offset: i64,
    ) -> Result<(Vec<NewChunk>, Option<i64>), Error> {
        let unknown = || Error::ContentNotFound {
            digest: source.digest,
        };
        let connection = self.store().reader();
        let readable = content_index::readable(connection, reader, &[source]).await?;
        let found = readable.first().copied().flatten().ok_or_else(unknown)?;
        let rows_max = i64::try_from(CHUNKS_LISTED_MAX).unwrap_or(i64::MAX);
        let chunks = content_index::chunks_of(connection, found.blob, offset, rows_max).await?;
        let full = chunks.len() == CHUNKS_LISTED_MAX;
        let next = chunks.last().filter(|_| full);
        let next = next.map(|last| last.start + last.size);
        Ok((chunks, next))
    }

    /// The bytes of a chunk, verified: those that were sent, or those that are there already.
    pub(super) async fn chunk_bytes(
        &self,
        sender: Sender,
        chunk: ClaimedChunk,
        data: Bytes,
    ) -> Result<Bytes, Error> {
        if data.is_empty() {
            return self.chunk_there(sender, chunk).await;
        }
        verified(chunk, data).await
    }

    async fn chunk_there(&self, sender: Sender, chunk: ClaimedChunk) -> Result<Bytes, Error> {
        let missing = || Error::ContentMissing {
            digests: vec![chunk.digest],
        };
        let reader = self.store().reader();
        let places = content_index::find_chunks(reader, sender.repository, &[chunk.digest]).await?;
        let place = places
            .get(&chunk.digest)
            .filter(|place| place.size == chunk.size);
        let place = place.ok_or_else(missing)?;
        let blobs = content_index::blobs_by_id(reader, &[place.blob]).await?;
        let blob = blobs.get(&place.blob).ok_or_else(missing)?;
        let end = place.start + place.size;
        let read = match self.piece(blob, place.start, end).await {
            Ok(bytes) => verified(chunk, bytes).await,
            other => other,
        };
        match read {
            Err(Error::DigestMismatch { .. } | Error::Internal { .. }) => {
                self.note_damaged(blob).await?;
                Err(missing())
            }
            other => other,
        }
    }
}

/// Those of the chunks that are in none of the contents that are there, each once. A content in which one was found may
/// have been collected before it was noted that it is to stay.
fn missing(
    digests: Vec<Digest>,
    places: &BTreeMap<Digest, ChunkPlace>,
    there: &BTreeSet<Digest>,
) -> Vec<Digest> {
    let mut asked = BTreeSet::new();
    let is_there = |digest: &Digest| {
        let place = places.get(digest);
        place.is_some_and(|place| there.contains(&place.content))
    };
    let missing = digests.into_iter();
    missing
        .filter(|digest| !is_there(digest) && asked.insert(*digest))
        .collect()
}

/// Checks that a chunk may be so large.
pub(super) fn check_size(chunk: ClaimedChunk) -> Result<(), Error> {
    let size = usize::try_from(chunk.size);
    if size.is_ok_and(|size| (1..=UPLOAD_MESSAGE_BYTES_MAX).contains(&size)) {
        return Ok(());
    }
    let rule = format!("1 to {UPLOAD_MESSAGE_BYTES_MAX} bytes; cut smaller chunks");
    Err(Error::invalid("chunk.size", rule))
}

/// Hashing would hold up everything else on an executor thread.
pub(super) async fn verified(chunk: ClaimedChunk, bytes: Bytes) -> Result<Bytes, Error> {
    tokio::task::spawn_blocking(move || {
        verify(chunk.digest, chunk.size, &bytes)?;
        Ok(bytes)
    })
    .await
    .unwrap_or(Err(Error::Draining))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::BlobId;

    #[test]
    fn r_cnt_1_a_chunk_of_a_content_that_went_meanwhile_is_missing() {
        let [there, gone, unknown] = [1, 2, 3].map(|byte| Digest([byte; 32]));
        let [whole, collected] = [8, 9].map(|byte| Digest([byte; 32]));
        let place = |content| ChunkPlace {
            blob: BlobId::default(),
            content,
            start: 0,
            size: 1,
        };
        let places = [(there, place(whole)), (gone, place(collected))].into();
        let asked = vec![gone, there, unknown, gone];
        assert_eq!(missing(asked, &places, &[whole].into()), [gone, unknown]);
    }
}
