//! ContentService: bytes beside the exchange (R-CNT-1).

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tandem_proto::v1 as wire;
use tandem_proto::v1::content_service_server::ContentService;
use tandem_proto::v1::content_source::Source as WireSource;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::auth::principal;
use super::messages::Messages;
use super::names;
use crate::domain::access::Side;
use crate::domain::ids::{ConflictId, Digest, MemberId, Position, SyncSetId};
use crate::domain::limits::{
    CONTENT_BATCH_ITEMS_MAX, DIGESTS_PER_CALL_MAX, UPLOAD_IDLE_MILLISECONDS,
};
use crate::service::content::{
    Begun, ClaimedChunk, Content, NewChunk, Reader, Sender, Sent, Source, SourceName, UploadSession,
};
use crate::service::{Coordinator, Error, Principal};

/// Answers the calls of ContentService.
#[derive(Debug)]
pub struct Handler {
    coordinator: Coordinator,
    content: Content,
}

impl Handler {
    /// Answers with the content of this coordinator.
    #[must_use]
    pub const fn new(coordinator: Coordinator, content: Content) -> Self {
        Self {
            coordinator,
            content,
        }
    }

    fn sender<T>(&self, request: &Request<T>) -> Result<Sender, Error> {
        let scope = self.coordinator.for_agent(&principal(request)?)?;
        Ok(Sender::from(&scope))
    }
}

#[tonic::async_trait]
impl ContentService for Handler {
    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn find_missing(
        &self,
        request: Request<wire::FindMissingRequest>,
    ) -> Result<Response<wire::FindMissingResponse>, Status> {
        let sender = self.sender(&request)?;
        let digests = request.into_inner().digests;
        at_most("digests", digests.len(), DIGESTS_PER_CALL_MAX)?;
        let digests = numbered("digests", digests, |field, bytes| digest(&field, &bytes))?;
        let missing = self.content.find_missing(sender, digests).await?;
        Ok(Response::new(wire::FindMissingResponse {
            missing: missing.into_iter().map(wire_digest).collect(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn find_missing_chunks(
        &self,
        request: Request<wire::FindMissingChunksRequest>,
    ) -> Result<Response<wire::FindMissingChunksResponse>, Status> {
        let sender = self.sender(&request)?;
        let digests = request.into_inner().digests;
        at_most("digests", digests.len(), DIGESTS_PER_CALL_MAX)?;
        let digests = numbered("digests", digests, |field, bytes| digest(&field, &bytes))?;
        let missing = self.content.find_missing_chunks(sender, digests).await?;
        Ok(Response::new(wire::FindMissingChunksResponse {
            missing: missing.into_iter().map(wire_digest).collect(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED.
    async fn batch_write(
        &self,
        request: Request<wire::BatchWriteRequest>,
    ) -> Result<Response<wire::BatchWriteResponse>, Status> {
        let sender = self.sender(&request)?;
        let contents = request.into_inner().contents;
        at_most("contents", contents.len(), CONTENT_BATCH_ITEMS_MAX)?;
        let sent = numbered("contents", contents, sent)?;
        self.content.batch_write(sender, sent).await?;
        Ok(Response::new(wire::BatchWriteResponse {}))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, FAILED_PRECONDITION, RESOURCE_EXHAUSTED.
    async fn write(
        &self,
        request: Request<Streaming<wire::WriteRequest>>,
    ) -> Result<Response<wire::WriteResponse>, Status> {
        let sender = self.sender(&request)?;
        let content = self.content.clone();
        let draining = self.coordinator.draining.clone();
        let mut messages = messages_of(request.into_inner(), draining);
        // The task owns the stream, so that what came is committed when the client goes away.
        let written = self
            .coordinator
            .uncancelled(async move { write(&content, sender, &mut messages).await });
        Ok(Response::new(wire::WriteResponse {
            size: written.await?,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED.
    async fn query_write(
        &self,
        request: Request<wire::QueryWriteRequest>,
    ) -> Result<Response<wire::QueryWriteResponse>, Status> {
        let sender = self.sender(&request)?;
        let digest = digest("digest", &request.get_ref().digest)?;
        let progress = self.content.query_write(sender, digest).await?;
        Ok(Response::new(wire::QueryWriteResponse {
            committed: progress.committed,
            complete: progress.complete,
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED. What may not be read is not answered.
    async fn batch_read(
        &self,
        request: Request<wire::BatchReadRequest>,
    ) -> Result<Response<wire::BatchReadResponse>, Status> {
        let caller = principal(&request)?;
        let sources = request.into_inner().sources;
        at_most("sources", sources.len(), CONTENT_BATCH_ITEMS_MAX)?;
        let named = numbered("sources", sources, |field, source| named(&field, &source))?;
        let sources: Vec<Source> = named
            .into_iter()
            .filter(|named| named.check_network(&caller).is_ok())
            .map(|named| named.source)
            .collect();
        let contents = if sources.is_empty() {
            Vec::new()
        } else {
            self.content.batch_read(reader(&caller), &sources).await?
        };
        Ok(Response::new(wire::BatchReadResponse {
            contents: contents.into_iter().map(wire_content).collect(),
        }))
    }

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn list_chunks(
        &self,
        request: Request<wire::ListChunksRequest>,
    ) -> Result<Response<wire::ListChunksResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let source = request.source.ok_or_else(|| needed("source"))?;
        not_negative("offset", request.offset)?;
        let named = named("source", &source)?;
        named.check_network(&caller)?;
        let listed = self
            .content
            .list_chunks(reader(&caller), named.source, request.offset);
        let (chunks, next) = listed.await?;
        Ok(Response::new(wire::ListChunksResponse {
            chunks: chunks.into_iter().map(wire_chunk).collect(),
            next_offset: next.unwrap_or(0),
        }))
    }

    type ReadStream = BoxStream<'static, Result<wire::ReadResponse, Status>>;

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND.
    async fn read(
        &self,
        request: Request<wire::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let source = request.source.ok_or_else(|| needed("source"))?;
        not_negative("offset", request.offset)?;
        not_negative("length", request.length)?;
        let named = named("source", &source)?;
        named.check_network(&caller)?;
        let length = (request.length > 0).then_some(request.length);
        let chunks = self
            .content
            .read(reader(&caller), named.source, request.offset, length)
            .await?;
        let answers = chunks
            .map_ok(|chunk| wire::ReadResponse {
                offset: chunk.offset,
                data: chunk.data,
            })
            .map_err(Status::from);
        Ok(Response::new(answers.boxed()))
    }
}

fn messages_of<S>(stream: S, draining: CancellationToken) -> Messages<S>
where
    S: Stream<Item = Result<wire::WriteRequest, Status>> + Unpin,
{
    let remedy = "ask QueryWrite and go on";
    Messages::new(stream, draining, UPLOAD_IDLE_MILLISECONDS, remedy)
}

/// Takes in one upload, message by message.
async fn write<S>(
    content: &Content,
    sender: Sender,
    messages: &mut Messages<S>,
) -> Result<i64, Error>
where
    S: Stream<Item = Result<wire::WriteRequest, Status>> + Unpin,
{
    let first = messages.next().await?;
    let first = first.ok_or_else(|| Error::protocol("content: send it in a first message"))?;
    let claim = first.content.as_ref();
    let claim =
        claim.ok_or_else(|| Error::protocol("content: must be set in the first message"))?;
    if claim.inline.is_some() {
        let rule = "must not be set; send the bytes in `data`";
        return Err(Error::invalid("content.inline", rule));
    }
    let digest = digest("content.digest", &claim.digest)?;
    let begun = content.begin_upload(sender, digest, claim.size, first.offset);
    let session = match begun.await? {
        Begun::Complete { size } => return Ok(size),
        Begun::Session(session) => take(*session, first).await?,
    };
    rest(session, messages).await
}

/// Whatever ends the upload early, what came is committed.
async fn rest<S>(session: UploadSession, messages: &mut Messages<S>) -> Result<i64, Error>
where
    S: Stream<Item = Result<wire::WriteRequest, Status>> + Unpin,
{
    let mut session = session;
    loop {
        session = match messages.next().await {
            Ok(None) => return session.finish().await,
            Ok(Some(message)) if message.content.is_some() => {
                session.pause().await?;
                return Err(Error::protocol("content: only in the first message"));
            }
            Ok(Some(message)) => take(session, message).await?,
            Err(error) => {
                session.pause().await?;
                return Err(error);
            }
        };
    }
}

/// Takes one message in.
async fn take(session: UploadSession, message: wire::WriteRequest) -> Result<UploadSession, Error> {
    let Some(chunk) = message.chunk else {
        return session.append(message.offset, message.data).await;
    };
    match digest("chunk.digest", &chunk.digest) {
        Ok(digest) => {
            let size = chunk.size;
            let chunk = ClaimedChunk { digest, size };
            session
                .append_chunk(message.offset, message.data, chunk)
                .await
        }
        Err(error) => {
            session.pause().await?;
            Err(error)
        }
    }
}

/// Reads a list, telling each item its name.
fn numbered<T, R>(
    field: &str,
    items: Vec<T>,
    read: impl Fn(String, T) -> Result<R, Error>,
) -> Result<Vec<R>, Error> {
    let items = items.into_iter().enumerate();
    items
        .map(|(index, item)| read(format!("{field}[{index}]"), item))
        .collect()
}

fn at_most(field: &str, count: usize, maximum: usize) -> Result<(), Error> {
    if count <= maximum {
        Ok(())
    } else {
        Err(Error::invalid(
            field,
            format!("at most {maximum}; ask in several calls"),
        ))
    }
}

fn not_negative(field: &str, number: i64) -> Result<(), Error> {
    match number {
        0.. => Ok(()),
        _ => Err(Error::invalid(field, "must not be negative")),
    }
}

fn needed(field: &str) -> Error {
    Error::invalid(field, "must be set")
}

fn digest(field: &str, bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).ok_or_else(|| {
        Error::invalid(
            field,
            format!("a SHA-256 digest has 32 bytes, not {}", bytes.len()),
        )
    })
}

fn wire_digest(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

fn wire_chunk(chunk: NewChunk) -> wire::ContentChunk {
    wire::ContentChunk {
        digest: wire_digest(chunk.digest),
        size: chunk.size,
        offset: chunk.start,
    }
}

fn sent(field: String, content: wire::ContentRef) -> Result<Sent, Error> {
    let bytes = content
        .inline
        .ok_or_else(|| needed(&format!("{field}.inline")))?;
    Ok(Sent {
        digest: digest(&format!("{field}.digest"), &content.digest)?,
        size: content.size,
        bytes,
    })
}

fn wire_content((digest, bytes): (Digest, Bytes)) -> wire::ContentRef {
    wire::ContentRef {
        digest: wire_digest(digest),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        inline: Some(bytes),
    }
}

/// Who reads, as the credential says.
fn reader(caller: &Principal) -> Reader {
    match caller {
        Principal::Agent {
            network,
            repository,
            ..
        } => Reader::Agent {
            network: *network,
            repository: *repository,
        },
        // Every role sees everything in its network.
        Principal::User { network, .. } => Reader::User { network: *network },
        Principal::Operator { .. } => Reader::Operator,
    }
}

/// A source as it was sent: names may say a network.
#[derive(Debug)]
struct Named {
    source: Source,
    network: Option<String>,
}

impl Named {
    /// Whoever is not of the network that is named gets no look-up (SPEC §12).
    fn check_network(&self, caller: &Principal) -> Result<(), Error> {
        match (self.network.as_deref(), caller.network_name()) {
            (Some(named), Some(own)) if named != own => Err(Error::NotAllowed),
            _ => Ok(()),
        }
    }
}

fn named(field: &str, source: &wire::ContentSource) -> Result<Named, Error> {
    let digest = digest(&format!("{field}.digest"), &source.digest)?;
    let id_rule = |arm: &str| Error::invalid(format!("{field}.{arm}"), "an id has 16 bytes");
    let (name, network) = match source.source.as_ref() {
        Some(WireSource::MemberId(id)) => {
            let id = MemberId::from_bytes(id).ok_or_else(|| id_rule("member_id"))?;
            (SourceName::Member(id), None)
        }
        Some(WireSource::ConflictId(id)) => {
            let id = ConflictId::from_bytes(id).ok_or_else(|| id_rule("conflict_id"))?;
            (SourceName::Conflict(id), None)
        }
        Some(WireSource::Version(name)) => version(&format!("{field}.version"), name)?,
        None => return Err(needed(&format!("{field}.source"))),
    };
    Ok(Named {
        source: Source { name, digest },
        network,
    })
}

/// The last part of a version's name: where in the journal it was made, and on which side.
#[must_use]
pub fn version_id(position: Position, side: Side) -> String {
    let side = match side {
        Side::OnPremise => "on-premise",
        Side::Cloud => "cloud",
    };
    format!("{position}-{side}")
}

/// Reads what [`version_id`] gave.
#[must_use]
pub fn parse_version_id(text: &str) -> Option<(Position, Side)> {
    let (position, _) = text.split_once('-')?;
    let position = Position(position.parse().ok().filter(|position| *position > 0)?);
    [Side::OnPremise, Side::Cloud]
        .into_iter()
        .find(|side| version_id(position, *side) == text)
        .map(|side| (position, side))
}

fn version(field: &str, name: &str) -> Result<(SourceName, Option<String>), Error> {
    let wrong = || {
        Error::invalid(
            field,
            "must have the form `networks/{network}/syncSets/{set}/members/{member}/versions/{version}`, \
             each id as the coordinator gave it",
        )
    };
    let (member, version) = name.split_once("/versions/").ok_or_else(wrong)?;
    let (network, set, member) = names::uid_in_uid(field, member, "syncSets", "members")?;
    let (position, side) = parse_version_id(version).ok_or_else(wrong)?;
    let name = SourceName::Version {
        set: SyncSetId(set),
        member: MemberId(member),
        position,
        side,
    };
    Ok((name, Some(network.to_owned())))
}

#[cfg(test)]
mod tests;
