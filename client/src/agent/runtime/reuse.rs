//! What of a large content need not be fetched: chunks of the copy that it is going to replace (R-CNT-1).

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tandem_proto::v1::{ContentChunk, ContentSource, ListChunksRequest};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    agent::{
        chunks::{self, Chunk, Manifest},
        manifests::Manifests,
        repository::{Content, Repository},
    },
    client::Client,
    error::Error,
};

/// Bytes that are passed over at once.
const SKIP_BYTES: u64 = 64 * 1024;
/// Bytes of a chunk at most, as the protocol says.
const CHUNK_BYTES_MAX: i64 = 1024 * 1024;
/// Bytes of parts that follow each other and are read at once.
const RUN_BYTES: i64 = 2 * 1024 * 1024;

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

/// The copy that is replaced.
pub(super) enum Basis {
    /// Read once from its start to its end.
    Stream {
        reader: Box<dyn AsyncRead + Send + Unpin>,
        at: i64,
    },
    /// Read in any order.
    File(Arc<File>),
}

/// What is fetched and what is kept, in order.
pub(super) struct Plan {
    pub(super) parts: VecDeque<Part>,
    pub(super) basis: Option<Basis>,
    /// Parts that are kept are taken as they are: the digest of the whole shows whether they were right.
    pub(super) trusting: bool,
}

/// Who can be asked about a content that is to replace the one of a node.
pub(super) struct Replacing<'a> {
    pub(super) client: &'a Client,
    pub(super) repository: &'a dyn Repository,
    pub(super) manifests: &'a Manifests,
    pub(super) node_id: &'a str,
    pub(super) source: ContentSource,
    pub(super) size: i64,
}

impl Plan {
    /// All of it is fetched.
    pub(super) fn fetch_all(size: i64) -> Self {
        Self {
            parts: [Part::Fetched { until: size }].into(),
            basis: None,
            trusting: false,
        }
    }
}

impl Replacing<'_> {
    /// Compares the chunks of a content with those of the node's present one. Whatever cannot be had is fetched.
    pub(super) async fn plan(&self) -> Plan {
        match self.reusing().await {
            Ok(Some(plan)) => plan,
            Ok(None) => Plan::fetch_all(self.size),
            Err(error) => {
                tracing::debug!(node = self.node_id, %error, "nothing of the present copy is reused");
                Plan::fetch_all(self.size)
            }
        }
    }

    async fn reusing(&self) -> Result<Option<Plan>, Error> {
        let digest = &self.source.digest;
        let wanted = match self.manifests.get(digest) {
            Some(known) => known,
            None => list(self.client, self.source.clone()).await?,
        };
        if wanted.is_empty() {
            return Ok(None);
        }
        self.manifests.remember(digest, &wanted);
        let Ok(present) = self.repository.present(self.node_id).await else {
            return Ok(None);
        };
        let Some((kept, content)) = self.kept(present.digest, present.content).await else {
            return Ok(None);
        };
        let basis = match content {
            Content::File(file, _) => Basis::File(Arc::new(file)),
            other => Basis::Stream {
                reader: other.into_reader(),
                at: 0,
            },
        };
        Ok(Some(Plan {
            parts: parts(&wanted, &kept, self.size),
            basis: Some(basis),
            trusting: self.manifests.may_trust(digest),
        }))
    }

    /// What the present content is made of, and it, to be read from its start. It is read for that only where nobody knows.
    async fn kept(&self, digest: Option<Bytes>, content: Content) -> Option<(Manifest, Content)> {
        if let Some(digest) = digest {
            self.manifests.came_out_right(&digest);
            if let Some(known) = self.known(&digest).await {
                return Some((known, content));
            }
        }
        let kept = chunks::of(content).await.ok()?;
        let present = self.repository.present(self.node_id).await.ok()?;
        Some((kept, present.content))
    }

    async fn known(&self, digest: &Bytes) -> Option<Manifest> {
        let here = self.manifests.get(digest);
        if let Some(known) = here.or_else(|| self.repository.manifest(digest)) {
            return Some(known);
        }
        // The copy that is replaced is a copy of the same member.
        let source = ContentSource {
            digest: digest.clone(),
            ..self.source.clone()
        };
        let known = list(self.client, source).await.ok();
        known.filter(|known| !known.is_empty())
    }
}

async fn list(client: &Client, source: ContentSource) -> Result<Manifest, Error> {
    let (mut chunks, mut offset) = (Vec::new(), 0);
    loop {
        let request = ListChunksRequest {
            source: Some(source.clone()),
            offset,
        };
        let page = client.content().list_chunks(request).await?.into_inner();
        chunks.extend(page.chunks.into_iter().map(chunk).filter(is_sound));
        if page.next_offset <= offset {
            return Ok(chunks.into());
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

/// What was told may be compared and remembered; what lies elsewhere or is too large counts as not told.
fn is_sound(chunk: &Chunk) -> bool {
    (1..=CHUNK_BYTES_MAX).contains(&chunk.size)
        && (0..=i64::MAX - CHUNK_BYTES_MAX).contains(&chunk.offset)
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
        let is_ahead = |place: &&i64| **place >= read && place.checked_add(chunk.size).is_some();
        let ahead = places.and_then(|places| places.iter().find(is_ahead));
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

impl Plan {
    /// The bytes of the kept parts that come next, as many as lie together, and where they end; none when they are not
    /// there any more, or the first one is others.
    pub(super) async fn read_kept(&mut self) -> Option<(Bytes, i64)> {
        let Some(Part::Kept { from, chunk }) = self.parts.front() else {
            return None;
        };
        let (from, first) = (*from, chunk.clone());
        let run = match &self.basis {
            Some(Basis::File(_)) if self.trusting => run(&self.parts),
            _ => 1,
        };
        let Some(Part::Kept { chunk: last, .. }) = self.parts.get(run - 1) else {
            return None;
        };
        let until = last.end();
        let length = usize::try_from(until - first.offset).ok()?;
        let Some(bytes) = self.basis.as_mut()?.read(from, length).await else {
            // A reader that failed gives nothing more.
            self.basis = None;
            return None;
        };
        if !self.trusting && Sha256::digest(&bytes)[..] != first.digest[..] {
            return None;
        }
        self.parts.drain(..run);
        Some((bytes, until))
    }
}

/// How many of the first parts lie together both in the content and in the present copy; at least one.
fn run(parts: &VecDeque<Part>) -> usize {
    let mut run = 0;
    let (mut next, mut bytes) = (None, 0);
    for part in parts {
        let Part::Kept { from, chunk } = part else {
            break;
        };
        let follows = next.is_none_or(|next| next == (*from, chunk.offset));
        if !follows || (run > 0 && bytes + chunk.size > RUN_BYTES) {
            break;
        }
        next = Some((from + chunk.size, chunk.end()));
        (run, bytes) = (run + 1, bytes + chunk.size);
    }
    run.max(1)
}

impl Basis {
    /// Bytes of it; none when they are not there any more.
    async fn read(&mut self, from: i64, length: usize) -> Option<Bytes> {
        let start = u64::try_from(from).ok()?;
        match self {
            Self::File(file) => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = BytesMut::zeroed(length);
                    file.read_exact_at(&mut bytes, start).map(|()| bytes)
                });
                Some(read.await.ok()?.ok()?.freeze())
            }
            Self::Stream { reader, at } => {
                let mut left = u64::try_from(from - *at).ok()?;
                let mut scratch = vec![0; usize::try_from(left.min(SKIP_BYTES)).ok()?];
                while left > 0 {
                    let step = usize::try_from(left.min(SKIP_BYTES)).ok()?;
                    reader.read_exact(&mut scratch[..step]).await.ok()?;
                    left -= step as u64;
                }
                let mut bytes = BytesMut::zeroed(length);
                reader.read_exact(&mut bytes).await.ok()?;
                *at = from + i64::try_from(length).ok()?;
                Some(bytes.freeze())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

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

    #[test]
    fn r_cnt_1_chunks_that_are_told_to_lie_nowhere_or_to_be_too_large_are_not_believed() {
        let at = |offset, size| Chunk {
            offset,
            size,
            digest: Bytes::new(),
        };
        for sound in [at(0, 1), at(1, CHUNK_BYTES_MAX)] {
            assert!(is_sound(&sound), "{sound:?}");
        }
        for other in [
            at(-1, 1),
            at(0, 0),
            at(0, CHUNK_BYTES_MAX + 1),
            at(i64::MAX, 1),
        ] {
            assert!(!is_sound(&other), "{other:?}");
        }
        let beyond = parts(&[chunk(0, b"a")], &[chunk(i64::MAX - 5, b"a")], 10);
        assert_eq!(beyond, [Part::Fetched { until: 10 }]);
    }

    fn plan(parts: &[Part], basis: Basis, trusting: bool) -> Plan {
        Plan {
            parts: parts.to_vec().into(),
            basis: Some(basis),
            trusting,
        }
    }

    fn stream() -> Basis {
        Basis::Stream {
            reader: Box::new(io::Cursor::new(b"0123456789".as_slice())),
            at: 0,
        }
    }

    fn file() -> Basis {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        Basis::File(Arc::new(file))
    }

    fn there(from: i64, offset: i64, bytes: &[u8]) -> Part {
        let chunk = Chunk::of(offset, bytes);
        Part::Kept { from, chunk }
    }

    #[tokio::test]
    async fn what_the_present_copy_lost_meanwhile_is_not_taken() {
        for basis in [stream, file] {
            let mut first = plan(&[there(3, 100, b"345")], basis(), false);
            assert_eq!(first.read_kept().await.unwrap(), ("345".into(), 103));
            assert!(first.parts.is_empty());
            let parts = [there(5, 100, b"5x"), there(7, 102, b"78")];
            let mut other = plan(&parts, basis(), false);
            assert_eq!(other.read_kept().await, None);
            other.parts.pop_front();
            assert_eq!(other.read_kept().await.unwrap(), ("78".into(), 104));
            let mut shorter = plan(&[there(9, 100, b"9a")], basis(), true);
            assert_eq!(shorter.read_kept().await, None, "it became shorter");
            assert!(shorter.basis.is_none());
        }
        let parts = [there(3, 100, b"345"), there(0, 103, b"0")];
        let mut back = plan(&parts, stream(), true);
        assert!(back.read_kept().await.is_some());
        assert_eq!(back.read_kept().await, None, "a stream is read forward");
    }

    #[tokio::test]
    async fn r_cnt_1_parts_that_lie_together_are_read_together_and_others_not() {
        let parts = [
            there(1, 100, b"12"),
            there(3, 102, b"345"),
            there(0, 105, b"0"),
            Part::Fetched { until: 110 },
            there(6, 110, b"67"),
        ];
        let mut trusting = plan(&parts, file(), true);
        assert_eq!(trusting.read_kept().await.unwrap(), ("12345".into(), 105));
        assert_eq!(trusting.read_kept().await.unwrap(), ("0".into(), 106));
        assert_eq!(trusting.read_kept().await, None, "that is fetched");
        let mut careful = plan(&parts, file(), false);
        assert_eq!(careful.read_kept().await.unwrap(), ("12".into(), 102));
    }
}
