//! Handing content out, to whoever may read what names it.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, Stream};
use sha2::{Digest as _, Sha256};

use super::{Content, digest_of};
use crate::domain::ids::{BlobId, Digest};
use crate::domain::limits::{
    CONTENT_BATCH_BYTES_MAX, CONTENT_BATCH_ITEMS_MAX, CONTENT_BATCH_READ_ITEM_BYTES_MAX,
    READ_CHUNK_BYTES,
};
use crate::service::Error;
use crate::storage::content_index::{self, BlobPlace, ObjectError, Place, Reader, Source};

/// A piece of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins.
    pub offset: i64,
    /// Its bytes.
    pub data: Bytes,
}

impl Content {
    /// Reads one content from an offset on, `length` bytes or to its end, in pieces of at most 256 KiB.
    ///
    /// Read from its start to its end, the last piece is only given out once all of it has the right digest.
    ///
    /// # Errors
    /// [`Error::ContentNotFound`] when there is nothing that the reader may read, whatever the cause;
    /// [`Error::InvalidField`] for an offset outside the content.
    pub async fn read(
        &self,
        reader: Reader,
        source: Source,
        offset: i64,
        length: Option<i64>,
    ) -> Result<impl Stream<Item = Result<Chunk, Error>> + Send + use<>, Error> {
        let unknown = || Error::ContentNotFound {
            digest: source.digest,
        };
        let connection = self.store().reader();
        let readable = content_index::readable(connection, reader, &[source]).await?;
        let found = readable.first().copied().flatten().ok_or_else(unknown)?;
        let mut places = content_index::blobs_by_id(connection, &[found.blob]).await?;
        let place = places.remove(&found.blob).ok_or_else(unknown)?;
        self.open_stream(place, offset, length)
    }

    /// Reads a blob from an offset on; the right to it is the caller's to check.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for an offset outside the content.
    pub fn open_stream(
        &self,
        place: BlobPlace,
        offset: i64,
        length: Option<i64>,
    ) -> Result<impl Stream<Item = Result<Chunk, Error>> + Send + use<>, Error> {
        if !(0..=place.size).contains(&offset) {
            let rule = format!("0 to {}, the size of the content", place.size);
            return Err(Error::invalid("offset", rule));
        }
        let end = length.map_or(place.size, |length| {
            place.size.min(offset.saturating_add(length))
        });
        let reading = Reading {
            content: self.clone(),
            hasher: (offset == 0 && end == place.size).then(Sha256::new),
            end,
            place,
            offset,
        };
        Ok(stream::try_unfold(reading, Reading::next))
    }

    /// Reads several small contents: as many as fit into 3 MiB, in the order asked.
    ///
    /// What may not be read, is too large or is damaged is left out.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for none or too many sources.
    pub async fn batch_read(
        &self,
        reader: Reader,
        sources: &[Source],
    ) -> Result<Vec<(Digest, Bytes)>, Error> {
        if sources.is_empty() || sources.len() > CONTENT_BATCH_ITEMS_MAX {
            let rule = format!("1 to {CONTENT_BATCH_ITEMS_MAX} sources; ask in several calls");
            return Err(Error::invalid("sources", rule));
        }
        let connection = self.store().reader();
        let readable = content_index::readable(connection, reader, sources).await?;
        let blobs = fitting(
            readable
                .iter()
                .flatten()
                .map(|found| (found.blob, found.size)),
        );
        let places = content_index::blobs_by_id(connection, &blobs).await?;
        self.whole_contents(&blobs, &places).await
    }

    async fn whole_contents(
        &self,
        blobs: &[BlobId],
        places: &BTreeMap<BlobId, BlobPlace>,
    ) -> Result<Vec<(Digest, Bytes)>, Error> {
        let mut contents = Vec::with_capacity(blobs.len());
        for place in blobs.iter().filter_map(|blob| places.get(blob)) {
            match self.piece(place, 0, place.size).await {
                Ok(bytes) if digest_of(&bytes) == place.digest => {
                    contents.push((place.digest, bytes));
                }
                Ok(_) | Err(Error::Internal { .. }) => {
                    self.note_damaged(place).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    /// Reads a piece of a blob; [`Error::Internal`] when it is not there.
    pub(super) async fn piece(
        &self,
        place: &BlobPlace,
        start: i64,
        end: i64,
    ) -> Result<Bytes, Error> {
        let missing = || Error::from(ObjectError::Missing(place.id));
        match &place.place {
            Place::Database(bytes) => {
                let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                let (start, end) = range.ok_or_else(missing)?;
                if end > bytes.len() {
                    return Err(missing());
                }
                Ok(bytes.slice(start..end))
            }
            // An empty range is none to the content store.
            Place::Object(_) if start == end => Ok(Bytes::new()),
            Place::Object(id) => {
                let range = u64::try_from(start).ok().zip(u64::try_from(end).ok());
                let (start, end) = range.ok_or_else(missing)?;
                Ok(self.objects.read(*id, start, end).await?)
            }
        }
    }

    /// From now on the content counts as missing, so that it is sent again. Answers what the reader is told.
    pub(super) async fn note_damaged(&self, place: &BlobPlace) -> Result<Error, Error> {
        let (blob, digest) = (place.id, place.digest);
        tracing::error!(%blob, %digest, "stored content is damaged; it counts as missing until it is sent again");
        let content = self.clone();
        self.coordinator
            .uncancelled(async move {
                content
                    .store()
                    .write(|tx| async move {
                        let noted = content_index::mark_damaged_in(&*tx, blob).await;
                        noted.map_err(Error::from)
                    })
                    .await
            })
            .await?;
        Ok(Error::Internal {
            detail: format!("the stored bytes of {digest} are damaged (blob {blob})"),
        })
    }
}

/// The first blobs that together fit into an answer; those too large for it are passed over.
fn fitting(found: impl Iterator<Item = (BlobId, i64)>) -> Vec<BlobId> {
    let mut room = i64::try_from(CONTENT_BATCH_BYTES_MAX).unwrap_or(i64::MAX);
    found
        .filter(|(_, size)| *size <= CONTENT_BATCH_READ_ITEM_BYTES_MAX)
        .take_while(|(_, size)| {
            room -= size;
            room >= 0
        })
        .map(|(blob, _)| blob)
        .collect()
}

/// A content that is being read.
#[derive(Debug)]
struct Reading {
    content: Content,
    place: BlobPlace,
    offset: i64,
    end: i64,
    /// Only when it is read from its start to its end.
    hasher: Option<Sha256>,
}

impl Reading {
    /// The next piece; holds the last one back until the digest is seen to be right.
    async fn next(mut self) -> Result<Option<(Chunk, Self)>, Error> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let step = i64::try_from(READ_CHUNK_BYTES).unwrap_or(i64::MAX);
        let end = self.end.min(self.offset.saturating_add(step));
        let data = match self.content.piece(&self.place, self.offset, end).await {
            Ok(data) => data,
            Err(Error::Internal { .. }) => return Err(self.damaged().await),
            Err(error) => return Err(error),
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data);
            if end == self.place.size
                && Digest(hasher.clone().finalize().into()) != self.place.digest
            {
                return Err(self.damaged().await);
            }
        }
        let offset = std::mem::replace(&mut self.offset, end);
        Ok(Some((Chunk { offset, data }, self)))
    }

    async fn damaged(&self) -> Error {
        self.content
            .note_damaged(&self.place)
            .await
            .unwrap_or_else(|error| error)
    }
}
