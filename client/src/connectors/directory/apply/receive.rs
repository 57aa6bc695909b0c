//! Receiving content that is too large for memory, into the work folder.
//!
//! What comes is hashed, written and brought to the disk beside each other, so the flush that makes all of it durable has
//! little left to do.

use std::{
    fs::File,
    io::{self, Write},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use sha2::{Digest, Sha256};
use tandem_proto::v1::{ContentRef, FailureReason};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::{
    super::{node::Known, os},
    Answer, Core, Source, from_io,
    stage::matches,
};
use crate::agent::repository::Content;

/// Bytes that are read at once from what does not come in blocks.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks that wait to be hashed or written.
const BLOCKS_WAITING: usize = 4;
/// Bytes after which a flush begins.
const FLUSH_BYTES: usize = 64 * 1024 * 1024;

/// Receives a large content into the work folder and verifies it.
pub(crate) async fn stage_large(
    core: &Core,
    large: Content,
    content: Option<ContentRef>,
) -> Source {
    let name = Uuid::new_v4().to_string();
    let opened = core.disk.work().and_then(|work| {
        let file = os::create_at(&work, &name)?;
        Ok((work, file))
    });
    let (work, file) = match opened {
        Ok(opened) => opened,
        Err(error) => return Source::Failed(reason_of(&error), error.to_string()),
    };
    let blocks = match large {
        Content::Blocks(blocks) => blocks,
        other => ReaderStream::with_capacity(other.into_reader(), BLOCK_BYTES).boxed(),
    };
    let source = match receive(blocks, file).await {
        Ok(known) if matches(content.as_ref(), &known) => return Source::Temp(name, known),
        Ok(_) => Source::Failed(
            FailureReason::ContentUnavailable,
            "the bytes received are not those that were announced".to_owned(),
        ),
        Err(error) => Source::Failed(reason_of(&error), error.to_string()),
    };
    drop(os::unlink(&work, &name));
    source
}

fn reason_of(error: &io::Error) -> FailureReason {
    match from_io(error) {
        Answer::Failed(failed) if failed.reason() != FailureReason::Unknown => failed.reason(),
        _ => FailureReason::ContentUnavailable,
    }
}

async fn receive(
    mut blocks: BoxStream<'static, io::Result<Bytes>>,
    file: File,
) -> io::Result<Known> {
    let (to_hash, hashed) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
    let (to_write, written) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
    let hashing = spawn_blocking(move || hash(hashed));
    let writing = spawn_blocking(move || write(written, file));
    let mut broken = Ok(());
    while let Some(block) = blocks.next().await {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                broken = Err(error);
                break;
            }
        };
        // A writer that failed hears nothing more; it tells why when it is asked.
        if to_write.send(block.clone()).await.is_err() || to_hash.send(block).await.is_err() {
            break;
        }
    }
    drop((to_hash, to_write));
    let written = writing.await.map_err(io::Error::other)?;
    let known = hashing.await.map_err(io::Error::other)?;
    broken.and(written).map(|()| known)
}

fn hash(mut blocks: mpsc::Receiver<Bytes>) -> Known {
    let mut hash = Sha256::new();
    let mut size = 0;
    while let Some(block) = blocks.blocking_recv() {
        hash.update(&block);
        size += block.len() as u64;
    }
    Known {
        digest: hash.finalize().into(),
        size,
    }
}

fn write(mut blocks: mpsc::Receiver<Bytes>, mut file: File) -> io::Result<()> {
    let mut open = 0;
    let mut flush = None;
    while let Some(block) = blocks.blocking_recv() {
        file.write_all(&block)?;
        tandem_crash::at("K5");
        open += block.len();
        if open >= FLUSH_BYTES {
            ended(flush.take())?;
            let file = file.try_clone()?;
            flush = Some(thread::Builder::new().spawn(move || file.sync_data())?);
            open = 0;
        }
    }
    ended(flush)
}

/// Waits for a flush. What failed there is told nowhere else: the system tells each failure once.
fn ended(flush: Option<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let Some(flush) = flush else { return Ok(()) };
    let broken = |_| Err(io::Error::other("a flush broke off"));
    flush.join().unwrap_or_else(broken)
}
