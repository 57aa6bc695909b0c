//! Every bound of the coordinator, with its unit last in the name.

/// Items in a change batch.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Bytes of an encoded change batch, inline content included.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Batches of one session that may be unanswered.
pub const BATCHES_UNANSWERED_MAX: usize = 8;
/// Answers to batches that are kept for repeats (R-AGT-3).
pub const BATCH_ANSWERS_KEPT: i64 = 64;
/// Bytes of content that may ride inline (R-CNT-1).
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one content.
pub const CONTENT_BYTES_MAX: i64 = 64 * 1024 * 1024 * 1024;
/// Bytes up to which content is kept in the database.
pub const CONTENT_IN_DATABASE_BYTES_MAX: usize = 64 * 1024;
/// Digests that one call may ask about.
pub const DIGESTS_PER_CALL_MAX: usize = 4_000;
/// Contents in one call of small contents, written or read.
pub const CONTENT_BATCH_ITEMS_MAX: usize = 1_000;
/// Bytes of content in one call of small contents, written or read.
pub const CONTENT_BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes of one content that a call for many may read.
pub const CONTENT_BATCH_READ_ITEM_BYTES_MAX: i64 = 1024 * 1024;
/// Bytes of content in one message of an upload.
pub const UPLOAD_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of content in one message of a download.
pub const READ_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of an upload that may be lost when the coordinator dies; made durable and noted after so many.
pub const UPLOAD_COMMIT_BYTES: i64 = 16 * 1024 * 1024;
/// Uploads of one repository that may run at once.
pub const UPLOADS_AT_ONCE_PER_REPOSITORY_MAX: usize = 8;
/// Uploads of one repository that may lie half done.
pub const UPLOADS_UNFINISHED_PER_REPOSITORY_MAX: i64 = 256;
/// Milliseconds that an upload waits for its next message.
pub const UPLOAD_IDLE_MILLISECONDS: u64 = 60_000;
/// Microseconds that a half-done upload is kept for its sender.
pub const UPLOAD_KEPT_MICROSECONDS: i64 = 24 * 60 * 60 * 1_000_000;
/// Microseconds for which content that nobody names stays, counted from the last time its repository was told it is there.
pub const CONTENT_GRACE_MICROSECONDS: i64 = 60 * 60 * 1_000_000;
/// Microseconds after which being told so counts anew; the grace is longer by it, so that the promise always holds.
pub const CONTENT_TOUCH_AFTER_MICROSECONDS: i64 = 5 * 60 * 1_000_000;
/// Rows that one step of collection looks at.
pub const COLLECT_ROWS_MAX: usize = 1_000;
/// Bytes of a decoded gRPC message; a batch and its frame fit.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a frame of deliveries.
pub const DELIVERIES_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a node's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a node id.
pub const NODE_ID_BYTES_MAX: usize = 255;
/// Bytes of a revision.
pub const REVISION_BYTES_MAX: usize = 128;
/// Bytes of one property value.
pub const PROPERTY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an agent's cursor.
pub const CURSOR_BYTES_MAX: usize = 1024;
/// Rows that one transaction may touch.
pub const TRANSACTION_ROWS_MAX: usize = 4_000;
/// Entries of a page when the caller does not say.
pub const PAGE_SIZE_DEFAULT: usize = 50;
/// Entries of a page at most.
pub const PAGE_SIZE_MAX: usize = 1_000;

const _: () = assert!(BATCH_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(DELIVERIES_FRAME_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX <= CONTENT_IN_DATABASE_BYTES_MAX);
const _: () = assert!(BATCH_ITEMS_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(CONTENT_BATCH_BYTES_MAX + 64 * CONTENT_BATCH_ITEMS_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(UPLOAD_MESSAGE_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(CONTENT_IN_DATABASE_BYTES_MAX <= UPLOAD_MESSAGE_BYTES_MAX);
const _: () = assert!(READ_CHUNK_BYTES < MESSAGE_BYTES_MAX);
const _: () = assert!(DIGESTS_PER_CALL_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(CONTENT_BATCH_ITEMS_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(COLLECT_ROWS_MAX <= TRANSACTION_ROWS_MAX);
