//! Cuts content where the content itself says so, so that an edit moves few cuts (R-CNT-1).

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, mpsc},
    thread,
};

use bytes::{Bytes, BytesMut};
use fastcdc::v2020::FastCDC;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::repository::Content;

/// Bytes of the smallest chunk, but the last.
const BYTES_MIN: usize = 32 * 1024;
/// Bytes around which most chunks are.
const BYTES_AVERAGE: usize = 128 * 1024;
/// Bytes of the largest chunk; the coordinator takes twice as many.
const BYTES_MAX: usize = 512 * 1024;
/// Bytes that are read ahead, so that few are moved for each cut.
const BUFFER_BYTES: usize = 4 * BYTES_MAX;
/// Blocks of a file that wait to be hashed.
const BLOCKS_WAITING: usize = 4;
/// Chunks that wait to be hashed.
const CHUNKS_WAITING: usize = 64;

/// Reads content chunk by chunk.
struct Chunks<R> {
    reader: R,
    buffer: BytesMut,
    ended: bool,
}

/// A chunk: where it lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins.
    pub offset: i64,
    /// Its bytes.
    pub size: i64,
    /// Their SHA-256 digest.
    pub digest: Bytes,
}

/// All chunks of a content, in order.
pub type Manifest = Arc<[Chunk]>;

/// What one reading of a file tells.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The SHA-256 digest of all of it.
    pub(crate) digest: [u8; 32],
    /// Its bytes.
    pub(crate) size: u64,
    /// What it is made of.
    pub(crate) chunks: Manifest,
}

/// What content is made of; reads all of it.
pub(super) async fn of(content: Content) -> io::Result<Manifest> {
    match content {
        Content::File(file, _) => {
            let cut = tokio::task::spawn_blocking(move || cut_file(&file));
            Ok(cut.await.map_err(io::Error::other)??.chunks)
        }
        other => Chunks::new(other.into_reader()).list().await,
    }
}

/// Where the first chunk of these bytes ends; they are all that is left, or more than a chunk may have.
fn cut(bytes: &[u8]) -> usize {
    let within = &bytes[..bytes.len().min(BYTES_MAX)];
    let cut = FastCDC::new(within, BYTES_MIN, BYTES_AVERAGE, BYTES_MAX).next();
    cut.map_or(within.len(), |chunk| chunk.length)
}

/// Reads a file once, to its end: reading and cutting, hashing of the chunks, and hashing of the whole go on beside each
/// other. Blocks.
pub(crate) fn cut_file(file: &File) -> io::Result<Cut> {
    let (to_whole, blocks) = mpsc::sync_channel::<Bytes>(BLOCKS_WAITING);
    let (to_chunks, cuts) = mpsc::sync_channel::<Bytes>(CHUNKS_WAITING);
    let broken = |_| io::Error::other("hashing broke off");
    thread::scope(|scope| {
        let whole = scope.spawn(move || {
            let mut hash = Sha256::new();
            blocks.iter().for_each(|block| hash.update(&block));
            <[u8; 32]>::from(hash.finalize())
        });
        let chunks = scope.spawn(move || {
            let mut offset = 0;
            let chunks = cuts.iter().map(|bytes| {
                let chunk = Chunk::of(offset, &bytes);
                offset = chunk.end();
                chunk
            });
            chunks.collect::<Vec<Chunk>>()
        });
        let size = read_cutting(file, &to_whole, &to_chunks);
        // Without these ends the two would wait for ever.
        drop((to_whole, to_chunks));
        let digest = whole.join().map_err(broken)?;
        let chunks = chunks.join().map_err(broken)?;
        Ok(Cut {
            digest,
            size: size?,
            chunks: chunks.into(),
        })
    })
}

fn read_cutting(
    mut file: &File,
    to_whole: &mpsc::SyncSender<Bytes>,
    to_chunks: &mpsc::SyncSender<Bytes>,
) -> io::Result<u64> {
    let gone = |_| io::Error::other("hashing broke off");
    let mut rest = Bytes::new();
    let mut size = 0;
    loop {
        let mut block = Vec::with_capacity(BUFFER_BYTES);
        block.extend_from_slice(&rest);
        let room = BUFFER_BYTES - rest.len();
        let read = file.by_ref().take(room as u64).read_to_end(&mut block)?;
        let block = Bytes::from(block);
        size += read as u64;
        to_whole.send(block.slice(rest.len()..)).map_err(gone)?;
        rest = block;
        let ended = read < room;
        while rest.len() >= BYTES_MAX || (ended && !rest.is_empty()) {
            let chunk = rest.split_to(cut(&rest));
            to_chunks.send(chunk).map_err(gone)?;
        }
        if ended {
            return Ok(size);
        }
    }
}

impl<R: AsyncRead + Unpin> Chunks<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// The bytes of the next chunk; none at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.buffer.len() < BYTES_MAX {
            self.fill().await?;
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let length = cut(&self.buffer);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(BUFFER_BYTES);
        while !self.ended && self.buffer.len() < BUFFER_BYTES {
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
        Ok(())
    }

    /// All chunks of what is left, without their bytes.
    async fn list(mut self) -> io::Result<Manifest> {
        let (mut chunks, mut offset) = (Vec::new(), 0);
        while let Some(bytes) = self.next().await? {
            let chunk = Chunk::of(offset, &bytes);
            offset += chunk.size;
            chunks.push(chunk);
        }
        Ok(chunks.into())
    }
}

impl Chunk {
    /// What these bytes are as a chunk.
    pub(crate) fn of(offset: i64, bytes: &[u8]) -> Self {
        Self {
            offset,
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            digest: Bytes::copy_from_slice(&Sha256::digest(bytes)),
        }
    }

    /// Where it ends.
    #[must_use]
    pub const fn end(&self) -> i64 {
        self.offset + self.size
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        io::{Seek, Write},
    };

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    const MEBIBYTE: usize = 1024 * 1024;

    fn random(seed: u64, bytes: usize) -> Vec<u8> {
        let mut made = vec![0; bytes];
        StdRng::seed_from_u64(seed).fill(&mut made[..]);
        made
    }

    async fn chunks(bytes: &[u8]) -> Manifest {
        Chunks::new(bytes).list().await.unwrap()
    }

    fn new_bytes(before: &[Chunk], after: &[Chunk]) -> i64 {
        let known: HashSet<&Bytes> = before.iter().map(|chunk| &chunk.digest).collect();
        let new = after.iter().filter(|chunk| !known.contains(&chunk.digest));
        new.map(|chunk| chunk.size).sum()
    }

    #[tokio::test]
    async fn r_cnt_1_chunks_cover_all_and_keep_their_bounds() {
        for bytes in [0, 1, BYTES_MIN, 3 * MEBIBYTE + 17] {
            let content = random(1, bytes);
            let found = chunks(&content).await;
            let mut offset = 0;
            for chunk in found.iter() {
                assert_eq!(chunk.offset, offset);
                offset = chunk.end();
                assert!(chunk.size <= i64::try_from(BYTES_MAX).unwrap());
            }
            assert_eq!(offset, i64::try_from(bytes).unwrap());
        }
        let equal = vec![0; 2 * MEBIBYTE];
        assert_eq!(chunks(&equal).await.len(), 4, "content without any cut");
    }

    #[tokio::test]
    async fn r_cnt_1_a_file_that_is_read_once_is_cut_and_hashed_as_one_that_is_read_twice() {
        for bytes in [
            0,
            1,
            BYTES_MAX,
            BUFFER_BYTES,
            BUFFER_BYTES + 1,
            5 * MEBIBYTE,
        ] {
            let content = random(5, bytes);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            file.rewind().unwrap();
            let cut = cut_file(&file).unwrap();
            assert_eq!(cut.digest[..], Sha256::digest(&content)[..]);
            assert_eq!(cut.size, bytes as u64);
            assert_eq!(cut.chunks[..], chunks(&content).await[..], "{bytes}");
        }
    }

    #[tokio::test]
    async fn r_cnt_1_an_edit_in_the_middle_moves_few_cuts() {
        let content = random(2, 16 * MEBIBYTE);
        let before = chunks(&content).await;
        let mut overwritten = content.clone();
        overwritten[8 * MEBIBYTE..9 * MEBIBYTE].copy_from_slice(&random(3, MEBIBYTE));
        let inserted = [
            &content[..8 * MEBIBYTE],
            &random(4, MEBIBYTE)[..],
            &content[8 * MEBIBYTE..],
        ]
        .concat();
        for edited in [overwritten, inserted] {
            let new = new_bytes(&before, &chunks(&edited).await);
            assert!(new < 2 * 1024 * 1024 + 200_000, "{new}");
        }
    }
}
