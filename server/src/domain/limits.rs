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
/// Bytes of the smallest chunk that is noted; smaller ones are taken in, and not found again.
pub const CHUNK_NOTED_BYTES_MIN: i64 = 16 * 1024;
/// Chunks in one answer of ListChunks.
pub const CHUNKS_LISTED_MAX: usize = 4_000;
/// Bytes of content in one message of a download.
pub const READ_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of an upload that may be lost when the coordinator dies; made durable and noted after so many.
pub const UPLOAD_COMMIT_BYTES: i64 = 16 * 1024 * 1024;
/// Chunks of an upload that are noted together, at the latest.
pub const UPLOAD_COMMIT_CHUNKS: usize = 2_800;
/// Chunks of an upload that came without their bytes and are looked for together.
pub const KNOWN_CHUNKS_AT_ONCE: usize = 1_000;
/// Bytes of such chunks that are copied together.
pub const KNOWN_BYTES_AT_ONCE: i64 = 128 * 1024 * 1024;
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
/// Milliseconds after which a backup asks again whether collection has ended.
pub const BACKUP_WAIT_MILLISECONDS: u64 = 100;
/// Bytes that a backup reads and writes at once.
pub const BACKUP_STEP_BYTES: usize = 256 * 1024;
/// Faults of one kind that a verification tells of.
pub const VERIFY_FOUND_MAX: usize = 1_000;
/// Members that one step of a verification looks at.
pub const VERIFY_ROWS_MAX: usize = 1_000;
/// Contents that one step of a verification reads the rows of, with the bytes of small ones.
pub const VERIFY_BLOBS_MAX: usize = 100;
/// Microseconds of a day.
pub const DAY_MICROSECONDS: i64 = 24 * 60 * 60 * 1_000_000;
/// Seconds between two looks for entries of journals that are no longer kept.
pub const RETENTION_INTERVAL_SECONDS: u64 = 600;
/// Entries of a journal that one transaction removes.
pub const JOURNAL_DOSE_ROWS: usize = 1_000;
/// Milliseconds between two such transactions.
pub const JOURNAL_DOSE_PAUSE_MILLISECONDS: u64 = 50;
/// Rows that one step of collection looks at.
pub const COLLECT_ROWS_MAX: usize = 1_000;
/// Bytes of a decoded gRPC message; a batch and its frame fit.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a decoded message of the services that carry no content and no batches.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an encoded Status with its details; peers allow 16 KiB of headers in all.
pub const STATUS_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one text inside a Status; longer ones are cut.
pub const STATUS_TEXT_BYTES_MAX: usize = 512;
/// Bytes of all headers of a request.
pub const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// Open connections of one coordinator; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Open streams (calls) of one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// Streams of one connection that were reset before they were accepted; more close the connection.
pub const PENDING_RESETS_MAX: usize = 32;
/// Streams of one connection that this side reset; more close the connection.
pub const LOCAL_RESETS_MAX: usize = 1_024;
/// Calls of all connections that await their first answer; more are refused with RATE_LIMITED.
pub const CALLS_MAX: usize = 16_384;
/// Seconds that a unary call may take.
pub const UNARY_SECONDS_MAX: u64 = 30;
/// Seconds between two keepalive pings.
pub const KEEPALIVE_SECONDS: u64 = 60;
/// Seconds in which a keepalive ping must be answered.
pub const KEEPALIVE_TIMEOUT_SECONDS: u64 = 20;
/// Seconds that who a token speaks for may be remembered.
pub const TOKEN_CACHE_SECONDS_MAX: i64 = 30;
/// Tokens that are remembered.
pub const TOKEN_CACHE_ENTRIES_MAX: usize = 10_000;
/// Seconds between two looks for revoked tokens of open streams (R-AGT-1 allows 60).
pub const REVOCATION_INTERVAL_SECONDS: u64 = 15;
/// Characters of a display name.
pub const DISPLAY_NAME_CHARACTERS_MAX: usize = 200;
/// Bytes of a user's id.
pub const USER_BYTES_MAX: usize = 255;
/// Bytes of a credential on its way to an agent; tokens of single sign-on are long.
pub const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;
/// Nodes of one question for what a user may do.
pub const ACCESS_NODES_MAX: usize = 1_000;
/// Seconds for which an agent's answer about the rights of a user is kept (R-IDN-2).
pub const RIGHTS_KEPT_SECONDS: i64 = 60;
/// Answers about one user and one node that are kept.
pub const RIGHTS_KEPT_MAX: usize = 10_000;
/// Bytes of a page token.
pub const PAGE_TOKEN_BYTES_MAX: usize = 4 * 1024;
/// Times that a transaction is tried.
pub const TRANSACTION_TRIES_MAX: usize = 8;
/// Seconds that a statement waits for another writer, or for a free connection.
pub const STORE_BUSY_SECONDS_MAX: u64 = 10;
/// Statements that one connection to PostgreSQL keeps prepared.
pub const STORE_STATEMENTS_MAX: usize = 512;
/// KiB of cache of one database connection.
pub const STORE_CACHE_KIB: u32 = 16 * 1024;
/// Milliseconds between a commit and the checkpoint that follows.
pub const CHECKPOINT_INTERVAL_MILLISECONDS: u64 = 2_000;
/// Milliseconds that a full checkpoint waits for readers; writers wait with it. Where it is in vain the next one tries.
pub const CHECKPOINT_WAIT_MILLISECONDS: u64 = 50;
/// Bytes of the database's log beyond which writers wait for a full checkpoint.
pub const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
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
/// Texts of one property value.
pub const PROPERTY_TEXTS_MAX: usize = 1_000;
/// Bytes of all property values of a node.
pub const PROPERTIES_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an agent's cursor.
pub const CURSOR_BYTES_MAX: usize = 1024;
/// Rows that one transaction may touch.
pub const TRANSACTION_ROWS_MAX: usize = 4_000;
/// Entries of a page when the caller does not say.
pub const PAGE_SIZE_DEFAULT: usize = 50;
/// Entries of a page at most.
pub const PAGE_SIZE_MAX: usize = 1_000;

const _: () = assert!(TOKEN_CACHE_SECONDS_MAX + (REVOCATION_INTERVAL_SECONDS as i64) < 60);
const _: () = assert!(BATCH_BYTES_MAX < MESSAGE_BYTES_MAX);
// A node at its limits fits into a batch, also when an outcome tells of it twice.
const _: () = assert!(2 * (PROPERTIES_BYTES_MAX + INLINE_BYTES_MAX) < BATCH_BYTES_MAX);
const _: () = assert!(DELIVERIES_FRAME_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX <= CONTENT_IN_DATABASE_BYTES_MAX);
const _: () = assert!(BATCH_ITEMS_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(CONTENT_BATCH_BYTES_MAX + 64 * CONTENT_BATCH_ITEMS_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(UPLOAD_MESSAGE_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(CONTENT_IN_DATABASE_BYTES_MAX <= UPLOAD_MESSAGE_BYTES_MAX);
const _: () = assert!(READ_CHUNK_BYTES < MESSAGE_BYTES_MAX);
const _: () = assert!(
    UPLOAD_COMMIT_CHUNKS + KNOWN_CHUNKS_AT_ONCE < TRANSACTION_ROWS_MAX
        && KNOWN_CHUNKS_AT_ONCE <= DIGESTS_PER_CALL_MAX
);
const _: () = assert!(DIGESTS_PER_CALL_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(CONTENT_BATCH_ITEMS_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(COLLECT_ROWS_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(JOURNAL_DOSE_ROWS <= TRANSACTION_ROWS_MAX);
/// Microseconds for which superseded content is kept (R-CNT-2).
pub const SUPERSEDED_KEPT_MICROSECONDS: i64 = 30 * 24 * 3_600 * 1_000_000;
/// Commands that may wait for one agent.
pub const COMMANDS_WAITING_MAX: usize = 64;
/// Jobs that may wait for a network's writer.
pub const INGEST_QUEUE_MAX: usize = 64;
/// Items that one group of batches takes; more make the 99th percentile of waiting worse.
pub const INGEST_GROUP_ITEMS_MAX: usize = 2_000;
/// Items from which on a group waits for more of them.
pub const INGEST_GATHER_ITEMS_MIN: usize = 100;
/// Milliseconds that such a group waits at most.
pub const INGEST_GATHER_MILLISECONDS: u64 = 10;
/// Nodes that one step of a walk takes.
pub const WALK_STEP_NODES_MAX: usize = 500;
/// Times that the engine may ask for more rows in one transaction.
pub const ENGINE_ROUNDS_MAX: usize = 600;
/// Due members that a session reads at once.
pub const DUE_PAGE_MAX: usize = 512;
/// Microseconds after which a busy session reads what is due from the start again, and not only what is new.
pub const DUE_FROM_START_MICROSECONDS: i64 = 250_000;
/// Nodes that an agent is asked to look at in one command.
pub const OBSERVE_NODES_MAX: usize = 1_000;
/// Deliveries on their way to an agent that does not say how many it takes.
pub const WINDOW_DELIVERIES_DEFAULT: usize = 1_000;
/// Deliveries on their way to any agent.
pub const WINDOW_DELIVERIES_MAX: usize = 4_000;
/// Content bytes on their way to an agent that does not say how many it takes.
pub const WINDOW_BYTES_DEFAULT: i64 = 64 * 1024 * 1024;
/// The smallest window of content bytes.
pub const WINDOW_BYTES_MIN: i64 = 1024 * 1024;
/// Bytes of an installation or index id.
pub const INSTALLATION_BYTES_MAX: usize = 128;
/// Seconds in which an agent must send its first frame.
pub const HELLO_WITHIN_SECONDS: u64 = 10;
/// Frames that may wait to be sent to one agent.
pub const FRAMES_WAITING_MAX: usize = 16;
/// Seconds for which a unary session lives after its last call (R-AGT-9).
pub const UNARY_SESSION_SECONDS: u64 = 60;
/// Seconds that a Pull may wait for work.
pub const PULL_SECONDS_MAX: u64 = 30;
/// Bytes of frames with which a Pull is answered at once; one more frame may come on top.
pub const PULL_BYTES: usize = 1024 * 1024;
/// Frames in one Push.
pub const PUSH_FRAMES_MAX: usize = 128;
/// Pushes of one session that may be under way; more are refused.
pub const PUSHES_AT_ONCE_MAX: usize = 2;
/// Seconds that an agent has to answer a question that a person waits for (R-AGT-8).
pub const COMMAND_SECONDS_MAX: u64 = 10;
/// Seconds that showing members waits for agents to tell where chosen documents lie.
pub const PLACES_SECONDS_MAX: u64 = 2;
/// Bytes of a path below the root of an agent.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Documents that one set may be made of.
pub const DOCUMENTS_MAX: usize = 500;
/// Questions that one preview may ask an agent; each tells of at most [`PAGE_SIZE_MAX`] nodes.
pub const PREVIEW_QUESTIONS_MAX: usize = 500;
/// Seconds that one preview may take.
pub const PREVIEW_SECONDS_MAX: u64 = 20;
/// Nodes that one preview tells to be left out, or to clash.
pub const PREVIEW_TOLD_MAX: usize = 1_000;
/// Bytes of the title or the description of a new folder.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Bytes of one page of a list; what does not fit is on the next.
pub const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Members that one request to sync may name.
pub const SYNC_NAMES_MAX: usize = 1_000;
/// Requests to sync of one call that wait for the network's writer at once.
pub const SYNCS_AT_ONCE_MAX: usize = 64;
/// Journal entries that one call may look at; a filter may leave few of them or none.
pub const JOURNAL_SCAN_MAX: usize = 10_000;
/// Journal entries that are read, and sent in one message, at once.
pub const JOURNAL_CHUNK_MAX: usize = 500;
/// Seconds after which an idle journal stream is sent its cursor.
pub const JOURNAL_IDLE_SECONDS: u64 = 30;
/// Messages that wait for a slow reader of a stream.
pub const FEED_MESSAGES_MAX: usize = 16;
/// Milliseconds between two looks at a set that is watched; ten times as long as the last look took where that is more.
pub const WATCH_INTERVAL_MILLISECONDS: u64 = 250;

/// Seconds in which the cloud's last changes are pulled before a set ends and its cloud copy is removed.
pub const LAST_CHANGES_SECONDS_MAX: u64 = 15;
/// Sets or members that an export reads at once.
pub const EXPORT_ROWS: usize = 250;
/// Bytes of an export that are sent in one message; a single line may be longer.
pub const EXPORT_BYTES: usize = 128 * 1024;
/// Members that an import writes in one transaction; each has at most two copies, and a version of each.
pub const IMPORT_ROWS: usize = 250;
/// Bytes of a line of an import: a node at its limits, told three times, escaped.
pub const IMPORT_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Milliseconds for which the next message of an import is waited for.
pub const IMPORT_IDLE_MILLISECONDS: u64 = 60_000;

const _: () = assert!(IMPORT_ROWS * 5 <= TRANSACTION_ROWS_MAX);
const _: () = assert!(LAST_CHANGES_SECONDS_MAX + COMMAND_SECONDS_MAX < UNARY_SECONDS_MAX);
const _: () = assert!(PAGE_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(COMMAND_SECONDS_MAX < UNARY_SECONDS_MAX);
const _: () = assert!(PREVIEW_SECONDS_MAX < UNARY_SECONDS_MAX);
const _: () =
    assert!(DOCUMENTS_MAX * 4 <= TRANSACTION_ROWS_MAX && DOCUMENTS_MAX <= OBSERVE_NODES_MAX);
const _: () = assert!(SYNC_NAMES_MAX <= TRANSACTION_ROWS_MAX);
const _: () = assert!(PULL_SECONDS_MAX < UNARY_SESSION_SECONDS);
const _: () = assert!(PULL_BYTES + DELIVERIES_FRAME_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(BATCHES_UNANSWERED_MAX + COMMANDS_WAITING_MAX < PUSH_FRAMES_MAX);
