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
