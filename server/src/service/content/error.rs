//! Why content could not be taken or given.

use crate::domain::ids::Digest;
use crate::storage;
use crate::storage::content_index::ObjectError;

/// A failure of the content service, with the facts of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A field is malformed or out of range.
    #[error("{field}: {rule}")]
    Invalid {
        /// The field, as a path.
        field: String,
        /// The rule, and the remedy.
        rule: String,
    },
    /// A message came out of order.
    #[error("{0}")]
    Protocol(String),
    /// Bytes do not have the digest or size that was claimed.
    #[error("the bytes sent as {digest} do not have that digest and size; read the file again and send what is there now")]
    Mismatch {
        /// The claim.
        digest: Digest,
    },
    /// An upload does not begin where the last one ended.
    #[error("the upload of {digest} goes on at offset {committed}; ask QueryWrite and send from there")]
    WrongOffset {
        /// The content.
        digest: Digest,
        /// Bytes that need not be sent again.
        committed: i64,
    },
    /// A limit is reached for now.
    #[error("{limit}: at most {maximum}; wait, or send less at once")]
    Limit {
        /// Which.
        limit: &'static str,
        /// How much it allows.
        maximum: i64,
    },
    /// There is no content that the caller may read under this name.
    #[error("no content {digest} may be read under this name")]
    NotFound {
        /// The digest that was asked for.
        digest: Digest,
    },
    /// Stored bytes are not what they should be; they count as missing from now on.
    #[error("the stored bytes of {digest} are damaged; they are asked for again from the repositories that have them")]
    Damaged {
        /// The content.
        digest: Digest,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The files failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The coordinator is about to stop.
    #[error("the coordinator is about to stop")]
    Stopping,
}

impl storage::Busy for ContentError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_busy())
    }
}
