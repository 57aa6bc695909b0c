//! Cuts content where the content itself says so, so that an edit moves few cuts (R-CNT-1).

use bytes::{Bytes, BytesMut};
use fastcdc::v2020::FastCDC;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the smallest chunk, but the last.
const BYTES_MIN: usize = 32 * 1024;
/// Bytes around which most chunks are.
const BYTES_AVERAGE: usize = 128 * 1024;
/// Bytes of the largest chunk; the coordinator takes twice as many.
const BYTES_MAX: usize = 512 * 1024;
/// Bytes that are read ahead, so that few are moved for each cut.
const BUFFER_BYTES: usize = 4 * BYTES_MAX;

/// Reads content chunk by chunk.
pub(super) struct Chunks<R> {
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
    /// The SHA-256 of its bytes.
    pub digest: Bytes,
}

impl<R: AsyncRead + Unpin> Chunks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// The bytes of the next chunk; none at the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.buffer.len() < BYTES_MAX {
            self.fill().await?;
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let within = &self.buffer[..self.buffer.len().min(BYTES_MAX)];
        let cut = FastCDC::new(within, BYTES_MIN, BYTES_AVERAGE, BYTES_MAX).next();
        let length = cut.map_or(within.len(), |chunk| chunk.length);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.reserve(BUFFER_BYTES);
        while !self.ended && self.buffer.len() < BUFFER_BYTES {
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
        Ok(())
    }

    /// All chunks of what is left, without their bytes.
    pub(super) async fn list(mut self) -> std::io::Result<Vec<Chunk>> {
        let (mut chunks, mut offset) = (Vec::new(), 0);
        while let Some(bytes) = self.next().await? {
            let chunk = Chunk::of(offset, &bytes);
            offset += chunk.size;
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}

impl Chunk {
    /// What these bytes are as a chunk.
    pub(super) fn of(offset: i64, bytes: &[u8]) -> Self {
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
    use std::collections::HashSet;

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    const MEBIBYTE: usize = 1024 * 1024;

    fn random(seed: u64, bytes: usize) -> Vec<u8> {
        let mut made = vec![0; bytes];
        StdRng::seed_from_u64(seed).fill(&mut made[..]);
        made
    }

    async fn chunks(bytes: &[u8]) -> Vec<Chunk> {
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
            for chunk in &found {
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
