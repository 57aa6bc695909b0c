//! Chunks of an upload that came without their bytes: where those are, and whether they are still what they were.
//!
//! What is stored was verified when it came. It is not verified chunk by chunk again: the digest of the whole shows whether
//! it still is the same, and only where it is not the damaged chunk is looked for (R-CNT-1).

use std::collections::{BTreeMap, BTreeSet};

use super::chunks::{ClaimedChunk, verified};
use super::{Content, Sender};
use crate::domain::ids::{BlobId, Digest};
use crate::domain::limits::KNOWN_CHUNKS_AT_ONCE;
use crate::service::Error;
use crate::storage::content_index::{
    self, BlobPlace, ChunkPlace, NewChunk, ObjectError, Piece, Pieces, Place,
};

/// Where chunks are, and the blobs that they are parts of.
type Places = (BTreeMap<Digest, ChunkPlace>, BTreeMap<BlobId, BlobPlace>);

impl Content {
    /// Where the bytes of chunks are, in order.
    ///
    /// # Errors
    /// [`Error::ContentMissing`] with those that are not there.
    pub(super) async fn pieces_there(
        &self,
        sender: Sender,
        chunks: &[ClaimedChunk],
    ) -> Result<Pieces, Error> {
        let (places, blobs) = self.places(sender, chunks).await?;
        let mut pieces = Vec::new();
        let mut missing = BTreeSet::new();
        for chunk in chunks {
            let place = places.get(&chunk.digest);
            let piece = place.and_then(|place| piece(place, blobs.get(&place.blob)?));
            match piece.filter(|_| place.is_some_and(|place| place.size == chunk.size)) {
                Some(piece) => join(&mut pieces, piece),
                None => drop(missing.insert(chunk.digest)),
            }
        }
        if !missing.is_empty() {
            let digests = missing.into_iter().collect();
            return Err(Error::ContentMissing { digests });
        }
        match self.objects.find_pieces(pieces).await {
            Err(ObjectError::Missing(id)) => {
                if let Some(blob) = blobs.get(&id) {
                    self.note_damaged(blob).await?;
                }
                let gone = places.iter().filter(|(_, place)| place.blob == id);
                let digests = gone.map(|(digest, _)| *digest).collect();
                Err(Error::ContentMissing { digests })
            }
            found => Ok(found?),
        }
    }

    async fn places(&self, sender: Sender, chunks: &[ClaimedChunk]) -> Result<Places, Error> {
        let digests: BTreeSet<Digest> = chunks.iter().map(|chunk| chunk.digest).collect();
        let digests: Vec<Digest> = digests.into_iter().collect();
        let reader = self.store().reader();
        let places = content_index::find_chunks(reader, sender.repository, &digests).await?;
        let blobs: BTreeSet<BlobId> = places.values().map(|place| place.blob).collect();
        let blobs: Vec<BlobId> = blobs.into_iter().collect();
        let blobs = content_index::blobs_by_id(reader, &blobs).await?;
        Ok((places, blobs))
    }

    /// Those of an upload's chunks whose stored bytes are not what they were; their contents count as missing from now on.
    pub(super) async fn damaged_chunks(
        &self,
        sender: Sender,
        upload: BlobId,
        last: &[NewChunk],
    ) -> Result<Vec<Digest>, Error> {
        let mut chunks =
            content_index::chunks_of(self.store().reader(), upload, 0, i64::MAX).await?;
        chunks.extend_from_slice(last);
        let claimed = chunks.iter().map(|chunk| ClaimedChunk {
            digest: chunk.digest,
            size: chunk.size,
        });
        let claimed: Vec<ClaimedChunk> = claimed.collect();
        let mut damaged = BTreeSet::new();
        for some in claimed.chunks(KNOWN_CHUNKS_AT_ONCE) {
            let (places, blobs) = self.places(sender, some).await?;
            for (digest, place) in places {
                let Some(blob) = blobs.get(&place.blob) else {
                    continue;
                };
                if !self.is_whole(blob, digest, &place).await? {
                    self.note_damaged(blob).await?;
                    damaged.insert(digest);
                }
            }
        }
        Ok(damaged.into_iter().collect())
    }

    async fn is_whole(
        &self,
        blob: &BlobPlace,
        digest: Digest,
        place: &ChunkPlace,
    ) -> Result<bool, Error> {
        let end = place.start + place.size;
        let claimed = ClaimedChunk {
            digest,
            size: place.size,
        };
        let read = match self.piece(blob, place.start, end).await {
            Ok(bytes) => verified(claimed, bytes).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(_) => Ok(true),
            Err(Error::DigestMismatch { .. } | Error::Internal { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn piece(place: &ChunkPlace, blob: &BlobPlace) -> Option<Piece> {
    let end = place.start.checked_add(place.size)?;
    match &blob.place {
        Place::Database(bytes) => {
            let range = usize::try_from(place.start).ok()?..usize::try_from(end).ok()?;
            (range.end <= bytes.len()).then(|| Piece::Bytes(bytes.slice(range)))
        }
        Place::Object(id) => Some(Piece::Object {
            id: *id,
            start: u64::try_from(place.start).ok()?,
            end: u64::try_from(end).ok()?,
        }),
    }
}

/// Chunks that follow each other where they are become one piece.
fn join(pieces: &mut Vec<Piece>, piece: Piece) {
    if let (
        Some(Piece::Object { id, end, .. }),
        Piece::Object {
            id: next,
            start,
            end: next_end,
        },
    ) = (pieces.last_mut(), &piece)
        && (*id, *end) == (*next, *start)
    {
        *end = *next_end;
        return;
    }
    pieces.push(piece);
}
