//! Fetches content for deliveries: small contents many in one call, large ones as streams that resume, without the
//! chunks that the copy to be replaced has (R-CNT-1).

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use tandem_proto::v1::{
    BatchReadRequest, ContentSource, FailureReason, ReadRequest, ReadResponse,
    content_source::Source,
};
use tonic::{Code, Streaming};

use super::{
    batches::{Limits, pack},
    conversation::Conversation,
    reuse::{Part, Plan, Replacing},
    upload::{SMALL_BYTES_MAX, retried},
};
use crate::{
    agent::{manifests::Manifests, repository::Repository},
    client::Client,
    error::Error,
    recover::{Backoff, Recovery},
};

/// Bytes asked for in one call; the coordinator answers about as many.
const CALL_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Contents asked for in one call.
const CALL_CONTENTS_MAX: usize = 1000;
/// Tries in a row without a byte, before a stream breaks off.
const TRIES_MAX: u32 = 5;

/// Content to be fetched for a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Download {
    pub(super) member_id: Bytes,
    pub(super) digest: Bytes,
    pub(super) size: i64,
    /// The node whose present content it is going to replace.
    pub(super) replaces: Option<String>,
}

/// What became of a download.
pub(super) enum Downloaded {
    Bytes(Bytes),
    Blocks(BoxStream<'static, io::Result<Bytes>>),
    Failed(FailureReason, String),
}

/// What was downloaded together.
pub(super) struct Downloads {
    client: Client,
    repository: Arc<dyn Repository>,
    manifests: Manifests,
    bytes: HashMap<Bytes, Bytes>,
    failed: HashMap<Bytes, (FailureReason, String)>,
    note: Arc<dyn Fn(usize) + Send + Sync>,
}

impl<R: Repository> Conversation<R> {
    /// Fetches small contents; large ones are fetched when they are read.
    pub(super) async fn download(&self, downloads: Vec<Download>) -> Downloads {
        let core = Arc::clone(&self.core);
        let note = move |bytes: usize| core.note(|progress| progress.bytes_down += bytes as u64);
        let mut fetched = Downloads {
            client: self.core.client.clone(),
            repository: Arc::clone(&self.core.repository) as _,
            manifests: self.core.manifests.clone(),
            bytes: HashMap::new(),
            failed: HashMap::new(),
            note: Arc::new(note),
        };
        let small = downloads
            .into_iter()
            .filter(|download| download.size <= SMALL_BYTES_MAX);
        let limits = Limits {
            items_max: CALL_CONTENTS_MAX,
            bytes_max: CALL_BYTES_MAX,
            ..self.limits
        };
        let weigh = |download: &Download| (1, usize::try_from(download.size).unwrap_or(usize::MAX));
        for call in pack(small.collect(), &limits, weigh) {
            fetched.read_small(call.into()).await;
        }
        fetched
    }
}

impl Downloads {
    /// What became of one of them.
    pub(super) fn take(&mut self, download: &Download) -> Downloaded {
        if download.size > SMALL_BYTES_MAX {
            return Downloaded::Blocks(self.blocks(download));
        }
        match (
            self.bytes.get(&download.digest),
            self.failed.get(&download.digest),
        ) {
            (Some(bytes), _) => Downloaded::Bytes(bytes.clone()),
            (None, Some((reason, message))) => Downloaded::Failed(*reason, message.clone()),
            (None, None) => Downloaded::Failed(
                FailureReason::ContentUnavailable,
                "the coordinator does not hand the content out".to_owned(),
            ),
        }
    }

    /// Asks until all are there, or nothing more comes.
    async fn read_small(&mut self, mut wanted: VecDeque<Download>) {
        while !wanted.is_empty() {
            let sources: Vec<ContentSource> = wanted.iter().map(source).collect();
            let answer = retried(|| async {
                let request = BatchReadRequest {
                    sources: sources.clone(),
                };
                Ok(self
                    .client
                    .content()
                    .batch_read(request)
                    .await?
                    .into_inner())
            })
            .await;
            let contents = match answer {
                Ok(answer) => answer.contents,
                Err(error) => return self.fail(wanted, &error),
            };
            let before = wanted.len();
            for content in contents {
                let bytes = content.inline.unwrap_or_default();
                (self.note)(bytes.len());
                self.bytes.insert(content.digest, bytes);
            }
            wanted.retain(|download| !self.bytes.contains_key(&download.digest));
            if wanted.len() == before {
                return;
            }
        }
    }

    fn fail(&mut self, downloads: VecDeque<Download>, error: &Error) {
        let reason = match error.code() {
            Code::NotFound | Code::PermissionDenied | Code::InvalidArgument => {
                FailureReason::ContentUnavailable
            }
            _ => FailureReason::Unreachable,
        };
        for download in downloads {
            self.failed
                .insert(download.digest, (reason, error.to_string()));
        }
    }

    fn blocks(&self, download: &Download) -> BoxStream<'static, io::Result<Bytes>> {
        let reading = Reading {
            client: self.client.clone(),
            repository: Arc::clone(&self.repository),
            manifests: self.manifests.clone(),
            download: download.clone(),
            plan: None,
            offset: 0,
            stream: None,
            backoff: Backoff::new(),
            tries: 0,
            note: Arc::clone(&self.note),
        };
        stream::try_unfold(reading, Reading::step).boxed()
    }
}

/// A large content on its way. The call is made by the first read: an open stream that nobody reads would fill the
/// connection's window.
struct Reading {
    client: Client,
    repository: Arc<dyn Repository>,
    manifests: Manifests,
    download: Download,
    /// Made by the first read.
    plan: Option<Plan>,
    offset: i64,
    stream: Option<Streaming<ReadResponse>>,
    backoff: Backoff,
    tries: u32,
    note: Arc<dyn Fn(usize) + Send + Sync>,
}

/// Where the next piece comes from.
enum Next {
    /// From the copy that is replaced; these are its bytes.
    Kept(Bytes),
    /// From the coordinator, until here.
    Fetch { until: i64 },
}

impl Reading {
    /// The next piece; broken calls are taken up at the offset.
    async fn step(mut self) -> io::Result<Option<(Bytes, Self)>> {
        while self.offset < self.download.size {
            let until = match self.next().await {
                Next::Kept(bytes) => return Ok(Some((bytes, self))),
                Next::Fetch { until } => until,
            };
            match self.piece(until).await {
                Ok(Some(piece)) => {
                    self.tries = 0;
                    self.backoff.reset();
                    return Ok(Some((piece, self)));
                }
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => self.recover(error).await?,
            }
        }
        Ok(None)
    }

    /// Where the next piece comes from.
    async fn next(&mut self) -> Next {
        let size = self.download.size;
        let plan = match &mut self.plan {
            Some(plan) => plan,
            none => none.insert(match &self.download.replaces {
                Some(node_id) => {
                    let replacing = Replacing {
                        client: &self.client,
                        repository: &*self.repository,
                        manifests: &self.manifests,
                        node_id,
                        source: source(&self.download),
                        size,
                    };
                    replacing.plan().await
                }
                None => Plan::fetch_all(size),
            }),
        };
        loop {
            match plan.parts.front() {
                None => return Next::Fetch { until: size },
                Some(Part::Fetched { until }) if *until > self.offset => {
                    return Next::Fetch { until: *until };
                }
                Some(Part::Fetched { .. }) => {
                    plan.parts.pop_front();
                    self.stream = None;
                }
                Some(Part::Kept { chunk, .. }) => {
                    let until = chunk.end();
                    if let Some((kept, until)) = plan.read_kept().await {
                        self.offset = until;
                        return Next::Kept(kept);
                    }
                    // Somebody wrote to the copy meanwhile.
                    plan.parts[0] = Part::Fetched { until };
                }
            }
        }
    }

    async fn piece(&mut self, until: i64) -> Result<Option<Bytes>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let request = ReadRequest {
                    source: Some(source(&self.download)),
                    offset: self.offset,
                    length: until - self.offset,
                };
                none.insert(self.client.content().read(request).await?.into_inner())
            }
        };
        let Some(piece) = stream.message().await? else {
            return Ok(None);
        };
        let size = i64::try_from(piece.data.len()).unwrap_or(i64::MAX);
        if piece.offset != self.offset || size > until - self.offset {
            return Err(Error::new(
                Code::InvalidArgument,
                "the content came in pieces that do not fit",
            ));
        }
        self.offset += size;
        (self.note)(piece.data.len());
        Ok(Some(piece.data))
    }

    async fn recover(&mut self, error: Error) -> io::Result<()> {
        self.stream = None;
        self.tries += 1;
        match self.backoff.recover(&error) {
            Recovery::Retry(delay) if self.tries < TRIES_MAX => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Recovery::Retry(_) | Recovery::GiveUp => Err(io::Error::other(error)),
        }
    }
}

fn source(download: &Download) -> ContentSource {
    ContentSource {
        source: Some(Source::MemberId(download.member_id.clone())),
        digest: download.digest.clone(),
    }
}
