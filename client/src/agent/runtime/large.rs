//! Sends one large content as a stream, from where an earlier try came to (R-CNT-1).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tandem_proto::v1alpha::{ContentRef, ErrorReason, QueryWriteRequest, WriteRequest};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    conversation::Conversation,
    upload::{Wanted, retried},
};
use crate::{
    agent::repository::{Content, Repository},
    error::Error,
};

/// Bytes of one frame.
const FRAME_BYTES: usize = 256 * 1024;
/// Bytes skipped at once when an upload is resumed.
const SKIP_BYTES: u64 = 64 * 1024;

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Sends the content; false when the node does not have it any more.
pub(super) async fn write<R: Repository>(
    conversation: &Conversation<R>,
    wanted: &Wanted,
) -> Result<bool, Error> {
    let sent = retried(|| write_once(conversation, wanted)).await;
    match sent {
        Err(error) if error.is(ErrorReason::DigestMismatch) => Ok(false),
        other => other,
    }
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
    let reader = match conversation
        .core
        .repository
        .open(&wanted.node_id, &wanted.digest)
        .await
    {
        Ok(Content::Stream(stream)) => stream,
        Ok(Content::Bytes(bytes)) => Box::new(std::io::Cursor::new(bytes)),
        Err(error) => {
            tracing::debug!(node = %wanted.node_id, %error, "content is not there to be sent");
            return Ok(false);
        }
    };
    let Some(reader) = skip(reader, found.committed).await else {
        return Ok(false);
    };
    let core = Arc::clone(&conversation.core);
    let note = move |bytes: usize| core.note(|progress| progress.bytes_up += bytes as u64);
    client
        .write(requests(reader, wanted, found.committed, note))
        .await?;
    Ok(true)
}

/// Reads over what is committed already; nothing when the content ends before.
async fn skip(mut reader: Reader, committed: i64) -> Option<Reader> {
    let mut left = u64::try_from(committed).ok()?;
    let mut scratch = vec![0; usize::try_from(left.min(SKIP_BYTES)).ok()?];
    while left > 0 {
        let step = usize::try_from(left.min(SKIP_BYTES)).ok()?;
        reader.read_exact(&mut scratch[..step]).await.ok()?;
        left -= step as u64;
    }
    Some(reader)
}

/// The frames of an upload. A reader that fails ends them early, which the coordinator sees by the digest.
fn requests(
    reader: Reader,
    wanted: &Wanted,
    offset: i64,
    note: impl Fn(usize) + Send + 'static,
) -> impl Stream<Item = WriteRequest> + Send + 'static {
    let content = ContentRef {
        digest: wanted.digest.clone(),
        size: wanted.size,
        inline: None,
    };
    stream::unfold(
        (reader, Some(content), offset, note),
        async |(mut reader, content, offset, note)| {
            let data = read_frame(&mut reader).await.unwrap_or_default();
            if data.is_empty() && content.is_none() {
                return None;
            }
            note(data.len());
            let next = offset + i64::try_from(data.len()).ok()?;
            Some((
                WriteRequest {
                    content,
                    offset,
                    data,
                },
                (reader, None, next, note),
            ))
        },
    )
}

async fn read_frame(reader: &mut Reader) -> std::io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(FRAME_BYTES);
    while frame.len() < FRAME_BYTES {
        let room = FRAME_BYTES - frame.len();
        if (&mut *reader)
            .take(room as u64)
            .read_buf(&mut frame)
            .await?
            == 0
        {
            break;
        }
    }
    Ok(frame.freeze())
}
