//! What of a large content need not be fetched: chunks of the copy that it is going to replace (R-CNT-1).

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tandem_proto::v1::{ContentChunk, ContentSource, ListChunksRequest};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::chunks::{Chunk, Chunks};
use crate::{
    agent::repository::{Content, Repository},
    client::Client,
    error::Error,
};

/// Bytes that are passed over at once.
const SKIP_BYTES: u64 = 64 * 1024;

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A part of a content, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// From the coordinator.
    Fetched {
        /// Until here.
        until: i64,
    },
    /// From the copy that is replaced.
    Kept {
        /// Its place there.
        from: i64,
        /// What it is, and its place in the new content.
        chunk: Chunk,
    },
}

/// The copy that is replaced, read once from its start to its end.
pub(super) struct Basis {
    reader: Reader,
    at: i64,
}

/// What is fetched and what is kept, in order.
pub(super) struct Plan {
    pub(super) parts: VecDeque<Part>,
    pub(super) basis: Option<Basis>,
}

impl Plan {
    /// All of it is fetched.
    pub(super) fn fetch_all(size: i64) -> Self {
        Self {
            parts: [Part::Fetched { until: size }].into(),
            basis: None,
        }
    }

    /// Compares the chunks of a content with those of the node's present one. Whatever cannot be had is fetched.
    pub(super) async fn of(
        client: &Client,
        repository: &dyn Repository,
        node_id: &str,
        source: ContentSource,
        size: i64,
    ) -> Self {
        match Self::reusing(client, repository, node_id, source, size).await {
            Ok(Some(plan)) => plan,
            Ok(None) => Self::fetch_all(size),
            Err(error) => {
                tracing::debug!(node = node_id, %error, "nothing of the present copy is reused");
                Self::fetch_all(size)
            }
        }
    }

    async fn reusing(
        client: &Client,
        repository: &dyn Repository,
        node_id: &str,
        source: ContentSource,
        size: i64,
    ) -> Result<Option<Self>, Error> {
        let wanted = list(client, source).await?;
        if wanted.is_empty() {
            return Ok(None);
        }
        let Some(reader) = present(repository, node_id).await else {
            return Ok(None);
        };
        let Ok(kept) = Chunks::new(reader).list().await else {
            return Ok(None);
        };
        let parts = parts(&wanted, &kept, size);
        let basis = present(repository, node_id).await;
        let basis = basis.map(|reader| Basis { reader, at: 0 });
        Ok(Some(Self { parts, basis }))
    }
}

async fn present(repository: &dyn Repository, node_id: &str) -> Option<Reader> {
    match repository.present(node_id).await {
        Ok(Content::Stream(stream)) => Some(stream),
        Ok(Content::Bytes(bytes)) => Some(Box::new(io::Cursor::new(bytes))),
        Err(_) => None,
    }
}

async fn list(client: &Client, source: ContentSource) -> Result<Vec<Chunk>, Error> {
    let (mut chunks, mut offset) = (Vec::new(), 0);
    loop {
        let request = ListChunksRequest {
            source: Some(source.clone()),
            offset,
        };
        let page = client.content().list_chunks(request).await?.into_inner();
        chunks.extend(page.chunks.into_iter().map(chunk));
        if page.next_offset <= offset {
            return Ok(chunks);
        }
        offset = page.next_offset;
    }
}

/// A chunk as it was told; it may lie anywhere, and be of any size.
#[must_use]
pub fn chunk(chunk: ContentChunk) -> Chunk {
    Chunk {
        offset: chunk.offset,
        size: chunk.size,
        digest: chunk.digest,
    }
}

/// Puts a content of so many bytes together: from chunks of the present copy, and what must be fetched. The present copy
/// is read forward only: what lies behind is fetched.
#[must_use]
pub fn parts(wanted: &[Chunk], kept: &[Chunk], size: i64) -> VecDeque<Part> {
    let mut places: HashMap<(&Bytes, i64), Vec<i64>> = HashMap::new();
    for chunk in kept {
        let places = places.entry((&chunk.digest, chunk.size)).or_default();
        places.push(chunk.offset);
    }
    let mut parts = VecDeque::new();
    let (mut at, mut read, mut fetched) = (0, 0, 0);
    for chunk in wanted {
        // Where it ends may be beyond all numbers.
        let fits =
            chunk.offset >= at && chunk.size > 0 && chunk.offset <= size.saturating_sub(chunk.size);
        if !fits {
            // Chunks that lie over each other cannot be trusted to be where they are said to be.
            continue;
        }
        at = chunk.end();
        let places = places.get(&(&chunk.digest, chunk.size));
        let ahead = places.and_then(|places| places.iter().find(|place| **place >= read));
        let Some(from) = ahead.copied() else { continue };
        if chunk.offset > fetched {
            parts.push_back(Part::Fetched {
                until: chunk.offset,
            });
        }
        fetched = chunk.end();
        read = from + chunk.size;
        let chunk = chunk.clone();
        parts.push_back(Part::Kept { from, chunk });
    }
    if fetched < size {
        parts.push_back(Part::Fetched { until: size });
    }
    parts
}

impl Basis {
    /// The bytes of a chunk; none when they are not there any more.
    pub(super) async fn read(&mut self, from: i64, chunk: &Chunk) -> Option<Bytes> {
        let mut left = u64::try_from(from - self.at).ok()?;
        let mut scratch = vec![0; usize::try_from(left.min(SKIP_BYTES)).ok()?];
        while left > 0 {
            let step = usize::try_from(left.min(SKIP_BYTES)).ok()?;
            self.reader.read_exact(&mut scratch[..step]).await.ok()?;
            left -= step as u64;
        }
        let mut bytes = BytesMut::zeroed(usize::try_from(chunk.size).ok()?);
        self.reader.read_exact(&mut bytes).await.ok()?;
        self.at = from + chunk.size;
        (Sha256::digest(&bytes)[..] == chunk.digest[..]).then(|| bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: i64, name: &'static [u8]) -> Chunk {
        Chunk {
            offset,
            size: 10,
            digest: Bytes::from_static(name),
        }
    }

    fn kept(from: i64, offset: i64, name: &'static [u8]) -> Part {
        Part::Kept {
            from,
            chunk: chunk(offset, name),
        }
    }

    #[test]
    fn r_cnt_1_only_what_the_present_copy_lacks_is_fetched() {
        let present = [chunk(0, b"a"), chunk(10, b"b"), chunk(20, b"c")];
        let wanted = [
            chunk(0, b"a"),
            chunk(10, b"x"),
            chunk(20, b"b"),
            chunk(30, b"c"),
        ];
        let expected = [
            kept(0, 0, b"a"),
            Part::Fetched { until: 20 },
            kept(10, 20, b"b"),
            kept(20, 30, b"c"),
        ];
        assert_eq!(parts(&wanted, &present, 40), expected);
        // Neither what comes too early in the present copy, nor what lies over another, nor what no chunk covers.
        let moved = [chunk(0, b"c"), chunk(5, b"a"), chunk(20, b"b")];
        let expected = [kept(20, 0, b"c"), Part::Fetched { until: 40 }];
        assert_eq!(parts(&moved, &present, 40), expected);
        assert_eq!(parts(&[], &present, 40), [Part::Fetched { until: 40 }]);
    }

    #[tokio::test]
    async fn what_the_present_copy_lost_meanwhile_is_not_taken() {
        let reader = || Box::new(io::Cursor::new(b"0123456789".as_slice()));
        let mut basis = Basis {
            reader: reader(),
            at: 0,
        };
        let there = Chunk::of(100, b"345");
        assert_eq!(basis.read(3, &there).await.unwrap(), "345");
        assert_eq!(basis.read(0, &there).await, None, "it is read forward");
        let other = Chunk::of(100, b"7x");
        assert_eq!(basis.read(7, &other).await, None);
        assert_eq!(basis.read(9, &there).await, None, "it became shorter");
    }
}
