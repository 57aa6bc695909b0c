//! Sends content before anything names it (R-CNT-1): what is missing only, small contents many in one call.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    BatchWriteRequest, ContentRef, ErrorReason, FindMissingRequest, Observation, observation::State,
};
use tokio::io::AsyncReadExt;

use super::{batches::pack, conversation::Conversation, fit::fit, large};
use crate::{
    agent::repository::{Content, Repository},
    error::Error,
    recover::{Backoff, Recovery},
};

/// Content of at most this many bytes travels many in one call.
pub(super) const SMALL_BYTES_MAX: i64 = 1024 * 1024;
/// Content bytes of one call.
const CALL_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Contents of one call.
const CALL_CONTENTS_MAX: usize = 1000;
/// Digests asked for in one call.
const DIGESTS_MAX: usize = 4000;
/// Small contents that are opened at once.
const OPEN_MAX: usize = 8;
/// Digests that are remembered as sent during a session.
const KNOWN_MAX: usize = 50_000;
/// Tries of one call in a row, beside those that the session itself is worth.
const TRIES_MAX: u32 = 5;

/// Digests that the coordinator has, as far as this session found out.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashSet<Bytes>>);

/// Content that a node is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node_id: String,
    pub(super) digest: Bytes,
    pub(super) size: i64,
}

// === impl Known ===

impl Known {
    pub(super) fn has(&self, digest: &Bytes) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(digest)
    }

    fn add(&self, digests: impl IntoIterator<Item = Bytes>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        known.extend(digests);
    }

    /// The coordinator says that it does not have them after all.
    pub(super) fn remove(&self, digests: &[Bytes]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in digests {
            known.remove(digest);
        }
    }
}

impl<R: Repository> Conversation<R> {
    /// Sends what the observations name and does not ride inline; answers the nodes that no longer have it.
    pub(super) async fn upload(
        &self,
        observations: impl IntoIterator<Item = &mut Observation>,
    ) -> Result<HashSet<String>, Error> {
        let mut wanted = Vec::new();
        for observation in observations {
            fit(observation, &self.limits);
            if let Some(State::Present(present)) = &mut observation.state
                && let Some(content) = &mut present.content
                && !self.rides_inline(content)
            {
                wanted.push(Wanted {
                    node_id: observation.node_id.clone(),
                    digest: content.digest.clone(),
                    size: content.size,
                });
            }
        }
        self.send_missing(wanted).await
    }

    /// True when nothing is to be sent for it: the bytes are inline.
    fn rides_inline(&self, content: &mut ContentRef) -> bool {
        if content
            .inline
            .as_ref()
            .is_some_and(|bytes| bytes.len() > self.limits.inline_bytes_max)
        {
            content.inline = None;
        }
        if let Some(bytes) = &content.inline {
            let sent = bytes.len() as u64;
            self.core.note(|progress| progress.bytes_up += sent);
        }
        content.inline.is_some()
    }

    /// Asks which contents are missing and sends those; answers the nodes that no longer have them.
    pub(super) async fn send_missing(
        &self,
        mut wanted: Vec<Wanted>,
    ) -> Result<HashSet<String>, Error> {
        wanted.retain(|content| !self.known.has(&content.digest));
        if wanted.is_empty() {
            return Ok(HashSet::new());
        }
        let missing = self.find_missing(&wanted).await?;
        self.known.add(
            wanted
                .iter()
                .map(|content| content.digest.clone())
                .filter(|digest| !missing.contains(digest)),
        );
        self.send_contents(
            wanted
                .into_iter()
                .filter(|content| missing.contains(&content.digest)),
        )
        .await
    }

    async fn find_missing(&self, wanted: &[Wanted]) -> Result<HashSet<Bytes>, Error> {
        let digests: HashSet<Bytes> = wanted
            .iter()
            .map(|content| content.digest.clone())
            .collect();
        let digests: Vec<Bytes> = digests.into_iter().collect();
        let mut missing = HashSet::new();
        for digests in digests.chunks(DIGESTS_MAX) {
            let answer = retried(|| async {
                let request = FindMissingRequest {
                    digests: digests.to_vec(),
                };
                Ok(self
                    .core
                    .client
                    .content()
                    .find_missing(request)
                    .await?
                    .into_inner())
            })
            .await?;
            missing.extend(answer.missing);
        }
        Ok(missing)
    }

    /// Sends contents, each once; another node with the same content stands in for one that has lost it.
    pub(super) async fn send_contents(
        &self,
        wanted: impl IntoIterator<Item = Wanted>,
    ) -> Result<HashSet<String>, Error> {
        let mut by_digest: HashMap<Bytes, Vec<Wanted>> = HashMap::new();
        for content in wanted {
            by_digest
                .entry(content.digest.clone())
                .or_default()
                .push(content);
        }
        let mut failed = HashSet::new();
        while !by_digest.is_empty() {
            let round: Vec<Wanted> = by_digest.values_mut().filter_map(Vec::pop).collect();
            let sent = self.send_round(round.clone()).await?;
            for content in round {
                if sent.contains(&content.digest) {
                    by_digest.remove(&content.digest);
                } else {
                    failed.insert(content.node_id);
                    if by_digest.get(&content.digest).is_some_and(Vec::is_empty) {
                        by_digest.remove(&content.digest);
                    }
                }
            }
            self.known.add(sent);
        }
        Ok(failed)
    }

    async fn send_round(&self, round: Vec<Wanted>) -> Result<HashSet<Bytes>, Error> {
        let (small, large): (Vec<_>, Vec<_>) = round
            .into_iter()
            .partition(|content| content.size <= SMALL_BYTES_MAX);
        let mut sent = HashSet::new();
        let limits = super::batches::Limits {
            items_max: CALL_CONTENTS_MAX,
            bytes_max: CALL_BYTES_MAX,
            ..self.limits
        };
        let weigh =
            |content: &Wanted| (1, usize::try_from(content.size).unwrap_or(usize::MAX) + 64);
        for call in pack(small, &limits, weigh) {
            let read = self.read_all(call).await;
            sent.extend(self.write_small(read).await?);
        }
        for content in large {
            if large::write(self, &content).await? {
                sent.insert(content.digest);
            }
        }
        Ok(sent)
    }

    async fn read_all(&self, call: Vec<Wanted>) -> Vec<ContentRef> {
        stream::iter(call)
            .map(|wanted| self.read_small(wanted))
            .buffered(OPEN_MAX)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn read_small(&self, wanted: Wanted) -> Option<ContentRef> {
        let content = self
            .core
            .repository
            .open(&wanted.node_id, &wanted.digest)
            .await;
        let read = match content {
            Ok(Content::Bytes(bytes)) => Ok(bytes),
            Ok(large) => read_whole(large.into_reader(), wanted.size).await,
            Err(error) => {
                tracing::debug!(node = %wanted.node_id, %error, "content is not there to be sent");
                return None;
            }
        };
        let bytes = read
            .ok()
            .filter(|bytes| i64::try_from(bytes.len()) == Ok(wanted.size))?;
        Some(ContentRef {
            digest: wanted.digest,
            size: wanted.size,
            inline: Some(bytes),
        })
    }

    async fn write_small(&self, contents: Vec<ContentRef>) -> Result<Vec<Bytes>, Error> {
        match self.batch_write(&contents).await {
            Err(error) if error.is(ErrorReason::DigestMismatch) => {
                // Something was written to while it was read: leave that out.
                let honest: Vec<_> = contents.into_iter().filter(is_honest).collect();
                self.batch_write(&honest).await
            }
            answer => answer,
        }
    }

    async fn batch_write(&self, contents: &[ContentRef]) -> Result<Vec<Bytes>, Error> {
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        retried(|| async {
            let request = BatchWriteRequest {
                contents: contents.to_vec(),
            };
            self.core.client.content().batch_write(request).await?;
            Ok(())
        })
        .await?;
        let bytes: u64 = contents
            .iter()
            .filter_map(|content| u64::try_from(content.size).ok())
            .sum();
        self.core.note(|progress| progress.bytes_up += bytes);
        Ok(contents
            .iter()
            .map(|content| content.digest.clone())
            .collect())
    }
}

async fn read_whole(
    stream: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    size: i64,
) -> std::io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // One byte more shows that the content grew.
    stream
        .take(u64::try_from(size).unwrap_or_default() + 1)
        .read_to_end(&mut bytes)
        .await?;
    Ok(Bytes::from(bytes))
}

fn is_honest(content: &ContentRef) -> bool {
    let bytes = content.inline.as_deref().unwrap_or_default();
    Sha256::digest(bytes)[..] == content.digest[..]
}

/// Repeats a call that is worth it; whoever holds the session drops this when the session ends.
pub(super) async fn retried<T, F: Future<Output = Result<T, Error>>>(
    call: impl Fn() -> F,
) -> Result<T, Error> {
    let mut backoff = Backoff::new();
    let mut tries = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tries += 1;
        match backoff.recover(&error) {
            Recovery::Retry(delay) if tries < TRIES_MAX => tokio::time::sleep(delay).await,
            Recovery::Retry(_) | Recovery::GiveUp => return Err(error),
        }
    }
}
