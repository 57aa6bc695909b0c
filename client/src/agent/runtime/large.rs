//! Sends one large content as a stream of chunks, from where an earlier try came to, and without the chunks that the
//! coordinator has (R-CNT-1).

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tandem_proto::v1::{
    ContentChunk, ContentRef, ErrorReason, FindMissingChunksRequest, QueryWriteRequest,
    WriteRequest,
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    conversation::Conversation,
    upload::{Wanted, retried},
};
use crate::{
    agent::{
        chunks::{self, Chunk, Manifest},
        repository::{Content, Repository},
    },
    error::Error,
    recover::Backoff,
};

/// Digests of chunks asked for in one call.
const DIGESTS_MAX: usize = 4000;
/// Tries while chunks that were there go away, or what is committed moves.
const TRIES_MAX: usize = 5;
/// Bytes skipped at once when an upload is resumed.
const SKIP_BYTES: u64 = 64 * 1024;

/// Where the bytes of an upload come from.
enum Source {
    /// From its start to its end.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
    /// In any order.
    File(Arc<File>),
}

/// Sends the content; false when the node does not have it any more, or when it does not go for now.
pub(super) async fn write<R: Repository>(
    conversation: &Conversation<R>,
    wanted: &Wanted,
) -> Result<bool, Error> {
    // Whoever comes second finds it complete.
    let _turn = conversation.uploading.turn(&wanted.digest).await;
    let mut backoff = Backoff::new();
    for _ in 0..TRIES_MAX {
        match retried(|| write_once(conversation, wanted)).await {
            Err(error) if error.is(ErrorReason::DigestMismatch) => return Ok(false),
            Err(error) if error.is(ErrorReason::ContentMissing) => {}
            // What an earlier try had sent was still being committed when this one asked how far it came.
            Err(error) if error.is(ErrorReason::WrongState) => {
                tokio::time::sleep(backoff.next_delay()).await;
            }
            other => return other,
        }
    }
    tracing::warn!(node = %wanted.node_id, "its content does not go up; it is tried again");
    Ok(false)
}

async fn write_once<R: Repository>(
    conversation: &Conversation<R>,
    wanted: &Wanted,
) -> Result<bool, Error> {
    let mut client = conversation.core.client.content();
    let request = QueryWriteRequest {
        digest: wanted.digest.clone(),
    };
    let found = client.query_write(request).await?.into_inner();
    if found.complete {
        return Ok(true);
    }
    // Once for the chunks, if the repository did not cut it when it read it; once more for the bytes that are missing:
    // content may be larger than memory.
    let Some(chunks) = chunks(conversation, wanted).await else {
        return Ok(false);
    };
    let missing = missing(conversation, &chunks, found.committed).await?;
    let Some(content) = open(conversation, wanted).await else {
        return Ok(false);
    };
    let Some(source) = source(content, found.committed).await else {
        return Ok(false);
    };
    let core = Arc::clone(&conversation.core);
    let upload = Upload {
        source,
        content: Some(ContentRef {
            digest: wanted.digest.clone(),
            size: wanted.size,
            inline: None,
        }),
        offset: found.committed,
        chunks: chunks.iter().cloned().collect(),
        missing,
    };
    let note = move |bytes: usize| core.note(|progress| progress.bytes_up += bytes as u64);
    client.write(requests(upload, note)).await?;
    Ok(true)
}

async fn open<R: Repository>(conversation: &Conversation<R>, wanted: &Wanted) -> Option<Content> {
    let repository = &conversation.core.repository;
    match repository.open(&wanted.node_id, &wanted.digest).await {
        Ok(content) => Some(content),
        Err(error) => {
            tracing::debug!(node = %wanted.node_id, %error, "content is not there to be sent");
            None
        }
    }
}

/// What the content is made of; none when the node does not have it any more.
async fn chunks<R: Repository>(
    conversation: &Conversation<R>,
    wanted: &Wanted,
) -> Option<Manifest> {
    let core = &conversation.core;
    let known = core.repository.manifest(&wanted.digest);
    let known = known.or_else(|| core.manifests.get(&wanted.digest));
    let fits = |chunks: &Manifest| chunks.last().map_or(0, Chunk::end) == wanted.size;
    if let Some(known) = known.filter(fits) {
        return Some(known);
    }
    let content = open(conversation, wanted).await?;
    let chunks = chunks::of(content).await.ok().filter(fits)?;
    core.manifests.remember(&wanted.digest, &chunks);
    Some(chunks)
}

/// Those of the chunks behind what is committed that the coordinator does not have.
async fn missing<R: Repository>(
    conversation: &Conversation<R>,
    chunks: &[Chunk],
    committed: i64,
) -> Result<HashSet<Bytes>, Error> {
    let behind = chunks.iter().filter(|chunk| chunk.offset >= committed);
    let digests: HashSet<Bytes> = behind.map(|chunk| chunk.digest.clone()).collect();
    let digests: Vec<Bytes> = digests.into_iter().collect();
    let mut missing = HashSet::new();
    for digests in digests.chunks(DIGESTS_MAX) {
        let request = FindMissingChunksRequest {
            digests: digests.to_vec(),
        };
        let mut client = conversation.core.client.content();
        let answer = client.find_missing_chunks(request).await?;
        missing.extend(answer.into_inner().missing);
    }
    Ok(missing)
}

/// What is not committed yet; nothing when the content ends before.
async fn source(content: Content, committed: i64) -> Option<Source> {
    let mut reader = match content {
        Content::File(file, _) => return Some(Source::File(Arc::new(file))),
        other => other.into_reader(),
    };
    let mut left = u64::try_from(committed).ok()?;
    let mut scratch = vec![0; usize::try_from(left.min(SKIP_BYTES)).ok()?];
    while left > 0 {
        let step = usize::try_from(left.min(SKIP_BYTES)).ok()?;
        reader.read_exact(&mut scratch[..step]).await.ok()?;
        left -= step as u64;
    }
    Some(Source::Stream(reader))
}

impl Source {
    /// The next bytes; none where they are not `needed` and nothing has to be read over.
    async fn read(&mut self, from: i64, until: i64, needed: bool) -> Option<Bytes> {
        let length = usize::try_from(until - from).ok()?;
        let file = match self {
            Self::File(_) if !needed => return Some(Bytes::new()),
            Self::File(file) => Arc::clone(file),
            Self::Stream(reader) => {
                let mut bytes = BytesMut::zeroed(length);
                reader.read_exact(&mut bytes).await.ok()?;
                return Some(bytes.freeze());
            }
        };
        let from = u64::try_from(from).ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = BytesMut::zeroed(length);
            file.read_exact_at(&mut bytes, from).map(|()| bytes)
        });
        Some(read.await.ok()?.ok()?.freeze())
    }
}

/// A content on its way up.
struct Upload {
    source: Source,
    /// Only before the first message.
    content: Option<ContentRef>,
    offset: i64,
    chunks: VecDeque<Chunk>,
    missing: HashSet<Bytes>,
}

impl Upload {
    /// The next message: one chunk, or what is left of one that was committed half. Bytes that cannot be read end the upload
    /// early, which the coordinator notices; so it does when they became others.
    async fn message(&mut self) -> Option<WriteRequest> {
        while self.chunks.front()?.end() <= self.offset {
            self.chunks.pop_front();
        }
        let chunk = self.chunks.pop_front()?;
        let whole = chunk.offset == self.offset;
        let there = whole && !self.missing.contains(&chunk.digest);
        let read = self.source.read(self.offset, chunk.end(), !there).await?;
        let offset = std::mem::replace(&mut self.offset, chunk.end());
        Some(WriteRequest {
            content: self.content.take(),
            offset,
            data: if there { Bytes::new() } else { read },
            chunk: whole.then(|| ContentChunk {
                digest: chunk.digest,
                size: chunk.size,
                offset: 0,
            }),
        })
    }

    /// A stream needs a first message, also where everything is committed.
    fn nothing(&mut self) -> Option<WriteRequest> {
        let content = self.content.take()?;
        Some(WriteRequest {
            content: Some(content),
            offset: self.offset,
            ..WriteRequest::default()
        })
    }
}

fn requests(
    upload: Upload,
    note: impl Fn(usize) + Send + 'static,
) -> impl Stream<Item = WriteRequest> + Send + 'static {
    stream::unfold((upload, note), async |(mut upload, note)| {
        let message = match upload.message().await {
            Some(message) => message,
            None => upload.nothing()?,
        };
        note(message.data.len());
        Some((message, (upload, note)))
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn upload(content: &'static [u8], offset: i64, missing: &[&[u8]]) -> Upload {
        let starts = (0_i64..).step_by(10);
        let chunks = starts.zip(content.chunks(10));
        let chunks = chunks.map(|(offset, bytes)| Chunk::of(offset, bytes));
        let committed = usize::try_from(offset).unwrap();
        Upload {
            source: Source::Stream(Box::new(std::io::Cursor::new(&content[committed..]))),
            content: Some(ContentRef::default()),
            offset,
            chunks: chunks.collect(),
            missing: missing
                .iter()
                .map(|bytes| Chunk::of(0, bytes).digest)
                .collect(),
        }
    }

    async fn sent(upload: Upload) -> Vec<(i64, Vec<u8>, i64)> {
        let messages: Vec<WriteRequest> = requests(upload, |_| ()).collect().await;
        let first = messages.iter().map(|message| message.content.is_some());
        assert!(first.eq((0..messages.len()).map(|index| index == 0)));
        let messages = messages.into_iter().map(|message| {
            let size = message.chunk.map_or(0, |chunk| chunk.size);
            (message.offset, message.data.to_vec(), size)
        });
        messages.collect()
    }

    #[tokio::test]
    async fn r_cnt_1_chunks_that_are_there_travel_without_their_bytes() {
        let upload = upload(b"aaaaaaaaaabbbbbbbbbbcccc", 0, &[b"bbbbbbbbbb"]);
        let expected = [
            (0, vec![], 10),
            (10, b"bbbbbbbbbb".to_vec(), 10),
            (20, vec![], 4),
        ];
        assert_eq!(sent(upload).await, expected);
    }

    #[tokio::test]
    async fn r_cnt_1_an_upload_goes_on_wherever_it_was_committed() {
        let content = b"aaaaaaaaaabbbbbbbbbbcccc";
        // In the middle of a chunk: the rest of it is sent as bytes that are no chunk.
        let expected = [(13, b"bbbbbbb".to_vec(), 0), (20, vec![], 4)];
        assert_eq!(sent(upload(content, 13, &[])).await, expected);
        // Between two, and at the end.
        assert_eq!(sent(upload(content, 20, &[])).await, [(20, vec![], 4)]);
        assert_eq!(sent(upload(content, 24, &[])).await, [(24, vec![], 0)]);
        // Bytes that are not there any more end it early.
        let mut shorter = upload(content, 0, &[]);
        shorter.source = Source::Stream(Box::new(std::io::Cursor::new(&content[..15])));
        assert_eq!(sent(shorter).await, [(0, vec![], 10)]);
    }
}
