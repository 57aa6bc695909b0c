//! Collects content that nobody names any more, and never anything else (R-CNT-2).
//!
//! Component recipe: [`CollectorOptions`] → [`Collector::new`] → [`Collector::run`]. Everything is done in bounded doses,
//! each in a transaction that asks again what the look before it found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::Content;
use crate::domain::ids::{Digest, RepositoryId};
use crate::domain::limits::{
    COLLECT_ROWS_MAX, CONTENT_GRACE_MICROSECONDS, CONTENT_TOUCH_AFTER_MICROSECONDS,
    UPLOAD_KEPT_MICROSECONDS,
};
use crate::service::Error;
use crate::storage::content_index::{self, Candidate, ObjectFile};

/// How often is collected, and what is spared.
#[derive(Debug, Clone)]
pub struct CollectorOptions {
    /// Between two passes.
    pub interval: Duration,
    /// Microseconds for which content that nobody names stays after its repository was told that it is there.
    pub grace: i64,
    /// Microseconds for which a half-done upload is kept for its sender.
    pub upload_kept: i64,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(600),
            grace: CONTENT_GRACE_MICROSECONDS,
            upload_kept: UPLOAD_KEPT_MICROSECONDS,
        }
    }
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Versions whose retention was over.
    pub versions: u64,
    /// Contents that nobody named.
    pub contents: u64,
    /// Uploads that nobody went on with.
    pub uploads: u64,
    /// Files that no row named.
    pub files: u64,
    /// Chunks of blobs that are no more.
    pub chunks: u64,
}

/// Collects in the background.
#[derive(Debug)]
pub struct Collector {
    content: Content,
    options: CollectorOptions,
}

impl Collector {
    /// A collector of this content.
    #[must_use]
    pub const fn new(content: Content, options: CollectorOptions) -> Self {
        Self { content, options }
    }

    /// Collects now and then, until it is told to stop; a dose that has begun is finished.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.options.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.pass_until(&shutdown).await {
                Ok(collected) if collected == Collected::default() => {}
                Ok(collected) => tracing::info!(?collected, "collected"),
                Err(error) => tracing::warn!(%error, "collection failed; it is tried again"),
            }
        }
    }

    /// Looks at everything once.
    ///
    /// # Errors
    /// When the database or the content store fails; what was done so far holds.
    pub async fn pass(&self) -> Result<Collected, Error> {
        self.pass_until(&CancellationToken::new()).await
    }

    async fn pass_until(&self, shutdown: &CancellationToken) -> Result<Collected, Error> {
        let Some(_collecting) = self.content.objects.begin_collecting()? else {
            tracing::info!("nothing is collected while a backup is made");
            return Ok(Collected::default());
        };
        Ok(Collected {
            versions: self.expire_versions(shutdown).await?,
            contents: self.collect_contents(shutdown).await?,
            uploads: self.give_up_uploads(shutdown).await?,
            files: self.delete_loose_files(shutdown).await?,
            chunks: self.forget_chunks(shutdown).await?,
        })
    }

    /// Until when content must have been touched to be spared.
    fn before(&self) -> i64 {
        self.content.now() - self.options.grace - CONTENT_TOUCH_AFTER_MICROSECONDS
    }

    async fn expire_versions(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        let now = self.content.now();
        let mut expired = 0;
        while !shutdown.is_cancelled() {
            let dose = self
                .content
                .store()
                .write(|tx| async move {
                    let dose = content_index::expire_versions_in(&*tx, now, rows_max()).await;
                    dose.map_err(Error::from)
                })
                .await?;
            expired += dose;
            if dose == 0 {
                break;
            }
        }
        Ok(expired)
    }

    async fn collect_contents(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        let before = self.before();
        let (mut collected, mut after) = (0, None);
        while !shutdown.is_cancelled() {
            let reader = self.content.store().reader();
            let seen = content_index::candidates(reader, after, rows_max()).await?;
            let Some(last) = seen.last() else { break };
            after = Some((last.repository, last.digest));
            for (repository, digests) in collectable(&seen, before) {
                collected += self.collect(repository, &digests, before).await?;
            }
        }
        Ok(collected)
    }

    async fn collect(
        &self,
        repository: RepositoryId,
        digests: &[Digest],
        before: i64,
    ) -> Result<u64, Error> {
        let (contents, objects) = self
            .content
            .store()
            .write(|tx| async move {
                let taken = content_index::collect_in(&*tx, repository, digests, before).await?;
                let objects = content_index::forget_blobs_in(&*tx, &taken.blobs).await?;
                Ok::<_, Error>((taken.contents, objects))
            })
            .await?;
        tandem_crash::at("S11");
        // Only now: a file must outlive every row that names it.
        self.content.drop_objects(&objects).await;
        Ok(contents)
    }

    /// A running upload holds its slot, so it is passed over however slow it is.
    async fn give_up_uploads(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        let before = self.content.now() - self.options.upload_kept;
        let reader = self.content.store().reader();
        let mut given_up = 0;
        for upload in content_index::idle_uploads(reader, before, rows_max()).await? {
            if shutdown.is_cancelled() {
                break;
            }
            let Ok(_slot) = self.content.slots.take(upload.repository, upload.digest) else {
                continue;
            };
            if self.is_still_idle(&upload, before).await? {
                self.content.forget_upload(upload.id).await?;
                given_up += 1;
            }
        }
        Ok(given_up)
    }

    /// Between the look and the slot somebody may have gone on with it.
    async fn is_still_idle(
        &self,
        upload: &content_index::Upload,
        before: i64,
    ) -> Result<bool, Error> {
        let reader = self.content.store().reader();
        let now = content_index::upload_of(reader, upload.repository, upload.digest).await?;
        Ok(now.is_some_and(|now| now.id == upload.id && now.updated_at < before))
    }

    /// Chunks go after their blob, in doses: a large blob has more of them than one transaction may touch.
    async fn forget_chunks(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        let (mut forgotten, mut after) = (0, None);
        while !shutdown.is_cancelled() {
            let reader = self.content.store().reader();
            let seen = content_index::chunked_blobs(reader, after, rows_max()).await?;
            let Some(last) = seen.last() else { break };
            after = Some(*last);
            let known = content_index::known_objects(reader, &seen).await?;
            let gone: BTreeSet<_> = seen.into_iter().filter(|id| !known.contains(id)).collect();
            while !gone.is_empty() && !shutdown.is_cancelled() {
                let gone = &gone;
                let dose = self
                    .content
                    .store()
                    .write(|tx| async move {
                        let dose = content_index::forget_chunks_in(&*tx, gone, rows_max()).await;
                        dose.map_err(Error::from)
                    })
                    .await?;
                forgotten += dose;
                if dose == 0 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    async fn delete_loose_files(&self, shutdown: &CancellationToken) -> Result<u64, Error> {
        let before = self.before();
        let mut deleted = self.content.objects.delete_staging(before).await?;
        let mut listing = std::pin::pin!(self.content.objects.list(COLLECT_ROWS_MAX));
        while let Some(files) = listing.try_next().await? {
            if shutdown.is_cancelled() {
                break;
            }
            let ids: Vec<_> = files.iter().map(|file| file.id).collect();
            let reader = self.content.store().reader();
            let known = content_index::known_objects(reader, &ids).await?;
            let loose = files
                .iter()
                .filter(|file| is_loose(file, known.contains(&file.id), before));
            for file in loose {
                self.content.objects.delete(file.id).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

fn rows_max() -> i64 {
    i64::try_from(COLLECT_ROWS_MAX).unwrap_or(i64::MAX)
}

/// What may go, as far as one look can tell: nobody names it, and its repository was not told lately that it is there.
fn collectable(seen: &[Candidate], before: i64) -> BTreeMap<RepositoryId, Vec<Digest>> {
    let mut digests: BTreeMap<RepositoryId, Vec<Digest>> = BTreeMap::new();
    for candidate in seen {
        if !candidate.named && candidate.touched_at < before {
            let of_repository = digests.entry(candidate.repository).or_default();
            of_repository.push(candidate.digest);
        }
    }
    digests
}

/// A file that no row names. A half-written one gets its row before it is made, so without one it is a left-over; a whole
/// one of a batch gets its row after it was written, so it has some time.
fn is_loose(file: &ObjectFile, known: bool, before: i64) -> bool {
    !known && (file.half || file.written_at < before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::BlobId;

    fn candidate(touched_at: i64, named: bool) -> Candidate {
        Candidate {
            repository: RepositoryId(1),
            digest: Digest([7; 32]),
            touched_at,
            named,
        }
    }

    #[test]
    fn r_cnt_2_only_what_is_neither_named_nor_lately_touched_may_go() {
        for (touched_at, named, goes) in [
            (99, false, true),
            (100, false, false),
            (99, true, false),
            (101, true, false),
        ] {
            let chosen = collectable(&[candidate(touched_at, named)], 100);
            assert_eq!(!chosen.is_empty(), goes, "{touched_at} {named}");
        }
    }

    #[test]
    fn r_cnt_2_a_whole_file_without_a_row_has_time_and_a_half_one_has_none() {
        let file = |half, written_at| ObjectFile {
            id: BlobId::default(),
            written_at,
            half,
        };
        assert!(is_loose(&file(true, 200), false, 100));
        assert!(!is_loose(&file(true, 200), true, 100));
        assert!(!is_loose(&file(false, 200), false, 100));
        assert!(is_loose(&file(false, 99), false, 100));
        assert!(!is_loose(&file(false, 99), true, 100));
    }
}
