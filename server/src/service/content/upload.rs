//! Taking in one large content, resumable at its committed offset.
//!
//! An [`UploadSession`] must be owned by a task that no client can cancel: a step that is given up half way leaves the
//! upload as it was last committed, but only the session's slot keeps a second writer away from its file.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::chunks::{ClaimedChunk, check_size};
use super::upload_slots::UploadSlot;
use super::{Content, Sender, verify};
use crate::domain::ids::{BlobId, Digest};
use crate::domain::limits::{
    CHUNK_NOTED_BYTES_MIN, CONTENT_BYTES_MAX, CONTENT_IN_DATABASE_BYTES_MAX, KNOWN_BYTES_AT_ONCE,
    KNOWN_CHUNKS_AT_ONCE, UPLOAD_COMMIT_BYTES, UPLOAD_COMMIT_CHUNKS, UPLOAD_MESSAGE_BYTES_MAX,
    UPLOADS_UNFINISHED_PER_REPOSITORY_MAX,
};
use crate::service::Error;
use crate::storage::content_index::{self, NewChunk, NewContent, Place, Upload, UploadFile};

/// What became of the wish to send a content.
#[derive(Debug)]
pub enum Begun {
    /// The repository has it already; nothing need be sent.
    Complete {
        /// Its size.
        size: i64,
    },
    /// Send it.
    Session(Box<UploadSession>),
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that need not be sent again.
    pub committed: i64,
    /// Whether the content is whole.
    pub complete: bool,
}

/// An upload that runs.
#[derive(Debug)]
pub struct UploadSession {
    content: Content,
    sender: Sender,
    digest: Digest,
    size: i64,
    sink: Sink,
    /// Chunks that came without their bytes, behind what the sink has.
    known: Vec<ClaimedChunk>,
    known_bytes: i64,
    _slot: UploadSlot,
}

/// Where the bytes of an upload gather.
#[derive(Debug)]
enum Sink {
    /// Small content: not worth a file, begun anew after a break.
    Memory(BytesMut),
    /// Large content.
    File(Box<FileSink>),
}

#[derive(Debug)]
struct FileSink {
    id: BlobId,
    file: UploadFile,
    committed: i64,
    /// Bytes that were sent since; those that were here already cost nobody a second transfer.
    sent: i64,
    /// Chunks behind what is committed.
    chunks: Vec<NewChunk>,
}

impl FileSink {
    /// True when what came since the last commit is worth one.
    fn is_due(&self) -> bool {
        self.sent >= UPLOAD_COMMIT_BYTES || self.chunks.len() >= UPLOAD_COMMIT_CHUNKS
    }

    fn length(&self) -> i64 {
        i64::try_from(self.file.length()).unwrap_or(i64::MAX)
    }
}

impl Content {
    /// Tells how much of an upload is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn query_write(&self, sender: Sender, digest: Digest) -> Result<Progress, Error> {
        if let Some(size) = self.size_there(sender, digest).await? {
            return Ok(Progress {
                committed: size,
                complete: true,
            });
        }
        let reader = self.store().reader();
        let upload = content_index::upload_of(reader, sender.repository, digest).await?;
        Ok(Progress {
            committed: upload.map_or(0, |upload| upload.committed),
            complete: false,
        })
    }

    /// The size of content that the repository has, and that stays for the grace period.
    async fn size_there(&self, sender: Sender, digest: Digest) -> Result<Option<i64>, Error> {
        let missing = self.find_missing(sender, vec![digest]).await?;
        if !missing.is_empty() {
            return Ok(None);
        }
        let reader = self.store().reader();
        let sizes = content_index::present_sizes_in(reader, sender.repository, &[digest]).await?;
        Ok(sizes.get(&digest).copied())
    }

    /// Begins an upload, or goes on with one.
    ///
    /// # Errors
    /// [`Error::WrongState`] when `offset` is not the committed one, [`Error::RateLimited`] when too many run
    /// or lie half done, [`Error::InvalidField`] for a size that no content may have.
    pub async fn begin_upload(
        &self,
        sender: Sender,
        digest: Digest,
        size: i64,
        offset: i64,
    ) -> Result<Begun, Error> {
        check_claim(size, offset)?;
        let slot = self.slots.take(sender.repository, digest)?;
        match self.size_there(sender, digest).await? {
            Some(there) if there == size => return Ok(Begun::Complete { size }),
            Some(_) => return Err(Error::DigestMismatch { digest }),
            None => {}
        }
        let is_small =
            usize::try_from(size).is_ok_and(|size| size <= CONTENT_IN_DATABASE_BYTES_MAX);
        let sink = if is_small {
            expect_offset(0, offset)?;
            Sink::Memory(BytesMut::new())
        } else {
            Sink::File(Box::new(
                self.file_sink(sender, digest, size, offset).await?,
            ))
        };
        Ok(Begun::Session(Box::new(UploadSession {
            content: self.clone(),
            sender,
            digest,
            size,
            sink,
            known: Vec::new(),
            known_bytes: 0,
            _slot: slot,
        })))
    }

    async fn file_sink(
        &self,
        sender: Sender,
        digest: Digest,
        size: i64,
        offset: i64,
    ) -> Result<FileSink, Error> {
        let reader = self.store().reader();
        match content_index::upload_of(reader, sender.repository, digest).await? {
            Some(upload) if upload.size == size => self.resume(sender, &upload, offset).await,
            Some(other) => {
                // One of the two claims is wrong; the newer one counts.
                self.forget_upload(other.id).await?;
                self.start(sender, digest, size, offset).await
            }
            None => self.start(sender, digest, size, offset).await,
        }
    }

    async fn resume(
        &self,
        sender: Sender,
        upload: &Upload,
        offset: i64,
    ) -> Result<FileSink, Error> {
        let committed = u64::try_from(upload.committed).unwrap_or(0);
        let Some(file) = self.objects.open_upload(upload.id, committed).await? else {
            // Such as after a restored backup. The chunks that were noted are gone with the bytes.
            tracing::warn!(id = %upload.id, "committed bytes of an upload are gone; it begins anew");
            self.forget_upload(upload.id).await?;
            return self.start(sender, upload.digest, upload.size, offset).await;
        };
        expect_offset(upload.committed, offset)?;
        Ok(FileSink {
            id: upload.id,
            file,
            committed: upload.committed,
            sent: 0,
            chunks: Vec::new(),
        })
    }

    async fn new_file(&self, id: BlobId) -> Result<UploadFile, Error> {
        // A file is never shorter than nothing.
        let opened = self.objects.open_upload(id, 0).await?;
        opened.ok_or(Error::Draining)
    }

    async fn start(
        &self,
        sender: Sender,
        digest: Digest,
        size: i64,
        offset: i64,
    ) -> Result<FileSink, Error> {
        expect_offset(0, offset)?;
        let upload = &Upload {
            id: BlobId(Uuid::now_v7()),
            repository: sender.repository,
            digest,
            size,
            committed: 0,
            updated_at: self.now(),
        };
        // The row comes before the file, so that no file is ever without one while it is wanted.
        self.store()
            .write(|tx| async move {
                let unfinished = content_index::unfinished_uploads(&*tx, upload.repository).await?;
                if unfinished >= UPLOADS_UNFINISHED_PER_REPOSITORY_MAX {
                    return Err(Error::RateLimited {
                        limit: "unfinished uploads of one repository",
                    });
                }
                Ok(content_index::insert_upload_in(&*tx, upload).await?)
            })
            .await?;
        Ok(FileSink {
            id: upload.id,
            file: self.new_file(upload.id).await?,
            committed: 0,
            sent: 0,
            chunks: Vec::new(),
        })
    }

    async fn note_committed(
        &self,
        id: BlobId,
        committed: i64,
        chunks: &[NewChunk],
    ) -> Result<(), Error> {
        let now = self.now();
        self.store()
            .write(|tx| async move {
                content_index::insert_chunks_in(&*tx, id, chunks).await?;
                let noted = content_index::advance_upload_in(&*tx, id, committed, now).await;
                noted.map_err(Error::from)
            })
            .await
    }

    /// Gives an upload up: first its row, then its file.
    pub(super) async fn forget_upload(&self, id: BlobId) -> Result<(), Error> {
        self.store()
            .write(|tx| async move {
                let deleted = content_index::delete_upload_in(&*tx, id).await;
                deleted.map_err(Error::from)
            })
            .await?;
        self.drop_objects(&[id]).await;
        Ok(())
    }
}

impl UploadSession {
    /// Where the next bytes begin.
    #[must_use]
    pub fn offset(&self) -> i64 {
        let come = match &self.sink {
            Sink::Memory(bytes) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            Sink::File(sink) => sink.length(),
        };
        come.saturating_add(self.known_bytes)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::ProtocolViolation`] for a gap, [`Error::InvalidField`] for too many bytes in one message,
    /// [`Error::DigestMismatch`] for more bytes than the content has. The upload stays as far as it is committed.
    pub async fn append(self, offset: i64, data: Bytes) -> Result<Self, Error> {
        self.append_noting(offset, data, None).await
    }

    /// Takes the next chunk; without bytes, one that the repository sent or received before. Those are looked for
    /// together, at the latest when the upload ends.
    ///
    /// # Errors
    /// As [`UploadSession::append`]; [`Error::ContentMissing`] for one without bytes that is not there.
    pub async fn append_chunk(
        mut self,
        offset: i64,
        data: Bytes,
        chunk: ClaimedChunk,
    ) -> Result<Self, Error> {
        if let Err(error) = check_size(chunk) {
            self.pause().await?;
            return Err(error);
        }
        if data.is_empty() && matches!(self.sink, Sink::File(_)) {
            if let Err(error) = self.check_next(offset, chunk.size) {
                self.pause().await?;
                return Err(error);
            }
            self.known.push(chunk);
            self.known_bytes += chunk.size;
            let full =
                self.known.len() >= KNOWN_CHUNKS_AT_ONCE || self.known_bytes >= KNOWN_BYTES_AT_ONCE;
            return if full {
                self.copy_known().await
            } else {
                Ok(self)
            };
        }
        let bytes = match self.content.chunk_bytes(self.sender, chunk, data).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.pause().await?;
                return Err(error);
            }
        };
        let noted = self.noted(offset, chunk);
        self.append_noting(offset, bytes, noted).await
    }

    /// What is remembered of a chunk; nothing of a very small one, but of the last.
    fn noted(&self, offset: i64, chunk: ClaimedChunk) -> Option<NewChunk> {
        let ends = offset.checked_add(chunk.size) == Some(self.size);
        (ends || chunk.size >= CHUNK_NOTED_BYTES_MIN).then_some(NewChunk {
            start: offset,
            size: chunk.size,
            digest: chunk.digest,
        })
    }

    async fn append_noting(
        self,
        offset: i64,
        data: Bytes,
        noted: Option<NewChunk>,
    ) -> Result<Self, Error> {
        let mut session = self.copy_known().await?;
        if let Err(error) = session.check_message(offset, &data) {
            session.pause().await?;
            return Err(error);
        }
        session.sink = match session.sink {
            Sink::Memory(mut bytes) => {
                bytes.extend_from_slice(&data);
                Sink::Memory(bytes)
            }
            Sink::File(mut sink) => {
                sink.sent += i64::try_from(data.len()).unwrap_or(i64::MAX);
                sink.file = sink.file.append(data).await?;
                sink.chunks.extend(noted);
                Sink::File(session.content.commit_if_due(sink).await?)
            }
        };
        Ok(session)
    }

    /// Copies the chunks that came without their bytes from where they are.
    async fn copy_known(mut self) -> Result<Self, Error> {
        let known = std::mem::take(&mut self.known);
        self.known_bytes = 0;
        if known.is_empty() {
            return Ok(self);
        }
        let pieces = match self.content.pieces_there(self.sender, &known).await {
            Ok(pieces) => pieces,
            Err(error) => {
                self.commit_come().await?;
                return Err(error);
            }
        };
        let mut offset = self.offset();
        let mut noted = Vec::with_capacity(known.len());
        for chunk in known {
            noted.extend(self.noted(offset, chunk));
            offset += chunk.size;
        }
        if let Sink::File(mut sink) = self.sink {
            sink.file = sink.file.copy(pieces).await?;
            sink.chunks.extend(noted);
            self.sink = Sink::File(self.content.commit_if_due(sink).await?);
        }
        Ok(self)
    }

    fn check_message(&self, offset: i64, data: &Bytes) -> Result<(), Error> {
        if data.len() > UPLOAD_MESSAGE_BYTES_MAX {
            return Err(Error::invalid(
                "data",
                format!("at most {UPLOAD_MESSAGE_BYTES_MAX} bytes; send smaller pieces"),
            ));
        }
        self.check_next(offset, i64::try_from(data.len()).unwrap_or(i64::MAX))
    }

    fn check_next(&self, offset: i64, length: i64) -> Result<(), Error> {
        let expected = self.offset();
        if offset != expected {
            return Err(Error::protocol(format!(
                "offset: the next message begins at {expected}, not at {offset}; send without gaps"
            )));
        }
        let end = expected.checked_add(length);
        if end.is_none_or(|end| end > self.size) {
            return Err(Error::DigestMismatch {
                digest: self.digest,
            });
        }
        Ok(())
    }

    /// Ends the upload for now: what came is committed, so that the sender can go on from there.
    ///
    /// # Errors
    /// When the file or the database fails; the upload stays as far as it was committed before.
    /// [`Error::ContentMissing`] when a chunk that came without bytes is not there.
    pub async fn pause(self) -> Result<(), Error> {
        self.copy_known().await?.commit_come().await
    }

    async fn commit_come(self) -> Result<(), Error> {
        if let Sink::File(sink) = self.sink
            && sink.length() > sink.committed
        {
            self.content.commit(sink).await?;
        }
        Ok(())
    }

    /// Ends the upload: verifies all of it and makes it readable, durably. Answers its size.
    ///
    /// # Errors
    /// [`Error::ProtocolViolation`] when bytes are still to come (the upload stays), [`Error::DigestMismatch`] when
    /// they are not what was claimed (the upload is gone), [`Error::ContentMissing`] when a chunk that came without
    /// bytes is not there.
    pub async fn finish(self) -> Result<i64, Error> {
        let session = self.copy_known().await?;
        session.finish_come().await
    }

    async fn finish_come(self) -> Result<i64, Error> {
        let (offset, size) = (self.offset(), self.size);
        if offset < size {
            self.commit_come().await?;
            return Err(Error::protocol(format!(
                "the upload ended at {offset} of {size} bytes; go on from there"
            )));
        }
        let (content, sender, digest) = (self.content, self.sender, self.digest);
        match self.sink {
            Sink::Memory(bytes) => {
                verify(digest, size, &bytes)?;
                let place = Place::Database(bytes.freeze());
                let new = NewContent {
                    digest,
                    size,
                    place,
                };
                content.keep(sender, &[new]).await?;
            }
            Sink::File(sink) => content.publish(sender, digest, size, *sink).await?,
        }
        Ok(size)
    }
}

impl Content {
    async fn commit_if_due(&self, sink: Box<FileSink>) -> Result<Box<FileSink>, Error> {
        match sink.is_due() {
            true => self.commit(sink).await,
            false => Ok(sink),
        }
    }

    async fn commit(&self, mut sink: Box<FileSink>) -> Result<Box<FileSink>, Error> {
        sink.file = sink.file.sync().await?;
        sink.committed = sink.length();
        self.note_committed(sink.id, sink.committed, &sink.chunks)
            .await?;
        (sink.sent, sink.chunks) = (0, Vec::new());
        Ok(sink)
    }

    /// Verifies the whole file, makes it durable at its place, and then says so in one transaction.
    async fn publish(
        &self,
        sender: Sender,
        digest: Digest,
        size: i64,
        sink: FileSink,
    ) -> Result<(), Error> {
        let id = sink.id;
        if sink.file.digest() != digest {
            let damaged = self.damaged_chunks(sender, id, &sink.chunks).await;
            drop(sink);
            self.forget_upload(id).await?;
            return Err(match damaged? {
                digests if digests.is_empty() => Error::DigestMismatch { digest },
                digests => Error::ContentMissing { digests },
            });
        }
        let chunks = &sink.chunks;
        drop(sink.file.sync().await?);
        self.objects.publish(id).await?;
        tandem_crash::at("S3");
        let place = Place::Object(id);
        let new = &[NewContent {
            digest,
            size,
            place,
        }];
        let (now, network, repository) = (self.now(), sender.network, sender.repository);
        let unused = self
            .store()
            .write(|tx| async move {
                let unused = content_index::put_in(&*tx, network, repository, new, now).await?;
                content_index::insert_chunks_in(&*tx, id, chunks).await?;
                content_index::delete_upload_in(&*tx, id).await?;
                Ok::<_, Error>(unused)
            })
            .await?;
        self.drop_objects(&unused).await;
        Ok(())
    }
}

fn check_claim(size: i64, offset: i64) -> Result<(), Error> {
    let (field, rule) = if !(0..=CONTENT_BYTES_MAX).contains(&size) {
        (
            "content.size",
            format!("0 to {CONTENT_BYTES_MAX} bytes; larger content cannot be synced"),
        )
    } else if !(0..=size).contains(&offset) {
        (
            "offset",
            format!("0 to the size, {size}; ask QueryWrite for the committed offset"),
        )
    } else {
        return Ok(());
    };
    Err(Error::invalid(field, rule))
}

fn expect_offset(committed: i64, offset: i64) -> Result<(), Error> {
    if offset == committed {
        Ok(())
    } else {
        Err(Error::WrongState {
            state: "UPLOAD_COMMITTED_TO_ANOTHER_OFFSET",
        })
    }
}
