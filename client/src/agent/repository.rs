//! What a connector implements.
//!
//! The runtime drives it; a connector never talks to the coordinator. All texts, ids and limits are those of the
//! proto files. A connector offers what changed until the runtime says that it is safely noted ([`Repository::reported`]);
//! it applies deliveries exactly once in effect, however often they come (R-AGT-6).

use std::{fmt, fs::File, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use tandem_proto::v1::{
    AccessInfo, Capabilities, Delivery, NodeInfo, NodeVersion, Observation, Outcome, ScanOutcome,
    ScanPage, WatchRoot,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::chunks::Manifest;

/// Content of at most this many bytes rides inline in observations and deliveries (R-CNT-1).
pub const INLINE_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of a name that can be told; a node with a longer one is skipped.
pub const NAME_BYTES_MAX: usize = 255;

/// Who the repository is; does not change while the agent runs.
#[derive(Debug, Clone)]
pub struct Description {
    /// Names the running copy of the repository; another value means another copy (R-AGT-2).
    pub installation_id: String,
    /// Names the connector's index; a new one after the index was lost (R-AGT-10).
    pub index_id: String,
    /// What the repository can do.
    pub capabilities: Capabilities,
}

/// A node in the state in which it was offered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    /// The node.
    pub node_id: String,
    /// The revision of the observation; empty for absences.
    pub revision: String,
}

/// Bytes to be stored, or to be sent. What is to be stored is verified by the connector, digest and size, before it shows
/// anything.
pub enum Content {
    /// Few enough to be held in memory.
    Bytes(Bytes),
    /// Too many for that.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
    /// Too many for that, in blocks that need not be copied to be read.
    Blocks(BoxStream<'static, io::Result<Bytes>>),
    /// So many bytes of a file, which may be read in any order.
    File(File, u64),
}

impl Content {
    /// For whoever reads it from its start to its end, whatever it is.
    #[must_use]
    pub fn into_reader(self) -> Box<dyn AsyncRead + Send + Unpin> {
        match self {
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::Stream(stream) => stream,
            Self::Blocks(blocks) => Box::new(StreamReader::new(blocks.into_stream())),
            Self::File(file, size) => Box::new(tokio::fs::File::from_std(file).take(size)),
        }
    }
}

/// The content that a node has.
#[derive(Debug)]
pub struct Present {
    /// Its bytes.
    pub content: Content,
    /// Its digest, where the repository knows it without reading them.
    pub digest: Option<Bytes>,
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "Bytes({})", bytes.len()),
            Self::Stream(_) => formatter.write_str("Stream"),
            Self::Blocks(_) => formatter.write_str("Blocks"),
            Self::File(_, size) => write!(formatter, "File({size})"),
        }
    }
}

/// A delivery with the bytes it needs.
#[derive(Debug)]
pub struct Work {
    /// What the coordinator asks for.
    pub delivery: Delivery,
    /// The new content; `None` when the content stays as it is, and for folders.
    pub content: Option<Content>,
}

/// A step of a scan.
#[derive(Debug, Clone, Default)]
pub struct ScanStep {
    /// Pages in order; a folder stands before what is inside it.
    pub pages: Vec<ScanPage>,
    /// Where the next step goes on; opaque to the runtime, which keeps it durably.
    pub position: Vec<u8>,
    /// Set with the last step.
    pub outcome: Option<ScanOutcome>,
}

/// Why a connector could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such node.
    #[error("there is no node {0}")]
    NodeNotFound(String),
    /// No such kept version.
    #[error("there is no version {0}")]
    VersionNotFound(String),
    /// The content is no longer the one that was asked for; observe the node again.
    #[error("the content of node {0} has changed meanwhile")]
    ContentChanged(String),
    /// The root is missing or is another one than the agent was given: nothing may be concluded from that.
    #[error(
        "the root {0} is missing or was replaced; mount it again, or give the agent a new data directory"
    )]
    RootGone(String),
    /// The repository does not offer it.
    #[error("this repository cannot {0}")]
    Unsupported(&'static str),
    /// A name or argument that the repository refuses.
    #[error("{0}")]
    Refused(String),
    /// The repository is away or answers with an error of its own; worth another try.
    #[error("the repository is not available: {0}")]
    Unavailable(String),
}

/// A content store, as the agent sees it.
///
/// Methods may be called concurrently. One gate per node is the connector's duty: reading, applying and reporting of
/// one node exclude each other.
#[async_trait]
pub trait Repository: Send + Sync + 'static {
    /// Who the repository is.
    fn description(&self) -> Description;

    /// Replaces what is watched: folders with what is below them, and single documents, wherever in the root these are
    /// moved to (R-MOV-1); when a root goes with a folder, its own absence is a change, too. Nodes that were below a root
    /// and are no longer need no report.
    /// Nodes below a new root need none either: a new folder is scanned, and a new document is looked at.
    async fn watch(&self, roots: &[WatchRoot]) -> Result<(), Error>;

    /// Waits for changes below the watched roots and offers at most `max` of them, parents before children.
    ///
    /// An offer is repeated by the next call, then in the newest state, until it was [`reported`](Self::reported).
    /// Content of at most [`INLINE_BYTES_MAX`] rides inline.
    async fn changes(&self, max: usize) -> Result<Vec<Observation>, Error>;

    /// True when no change is known that still has to be read, or to come to rest, before it is offered; changes that cannot
    /// be read do not count. For whoever wants to end when all is told. A repository that cannot tell says true.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// These states are noted durably for the coordinator; they are not offered again.
    async fn reported(&self, seen: &[Seen]) -> Result<(), Error>;

    /// Forgets what was reported, marks included or not as the connector sees fit: a new generation begins
    /// (R-AGT-4), and every root is going to be scanned.
    async fn forget_reported(&self) -> Result<(), Error>;

    /// Lists about `children_max` nodes below a root, going on behind `position` (empty = from the start) (R-AGT-5).
    async fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error>;

    /// Looks at nodes afresh; the answer is in the order asked, absent nodes included.
    async fn observe(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error>;

    /// The same, and reads their content even where the index remembers it; a repository that always reads it need not tell.
    async fn observe_reading(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error> {
        self.observe(node_ids).await
    }

    /// Opens the content of a node, if it still has this digest.
    async fn open(&self, node_id: &str, digest: &[u8]) -> Result<Content, Error>;

    /// Opens whatever content a node has at present. Its bytes are compared with what is to replace them and never trusted:
    /// a repository that cannot tell costs transfer, nothing else.
    async fn present(&self, _node_id: &str) -> Result<Present, Error> {
        Err(Error::Unsupported("open the present content of a node"))
    }

    /// What content of this digest is made of, if the repository cut it when it read it; else it is read once more.
    fn manifest(&self, _digest: &[u8]) -> Option<Manifest> {
        None
    }

    /// Applies deliveries in order and makes them durable; answers each, in order.
    ///
    /// What a delivery overwrites or deletes is archived first. A delivery that came before and was applied is
    /// answered as applied again. Failures are outcomes, never errors.
    async fn apply(&self, work: Vec<Work>) -> Vec<Outcome>;

    /// Tells which nodes these are, first by id, then by path (`/` between names, empty = the root given to the agent).
    async fn resolve(&self, node_ids: &[String], paths: &[String]) -> Result<Vec<NodeInfo>, Error>;

    /// Lists children of a folder by node id, after `after_node_id`; at most `max`, and whether more follow.
    async fn list_folder(
        &self,
        node_id: &str,
        after_node_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, bool), Error>;

    /// Makes a folder as an account (R-IDN-1), an empty one = the agent's own; the same `request_id` makes one folder only.
    async fn create_folder(
        &self,
        parent_node_id: &str,
        name: &str,
        request_id: &[u8],
        act_as: &str,
    ) -> Result<NodeInfo, Error>;

    /// Tells what a user may do.
    async fn check_access(&self, user: &str, node_ids: &[String])
    -> Result<Vec<AccessInfo>, Error>;

    /// Lists kept versions, newest first, of a node or (empty) of all, after `after_version_id`.
    async fn versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeVersion>, bool), Error>;

    /// Makes a kept version the current content again: an ordinary change of a user.
    async fn restore_version(&self, node_id: &str, version_id: &str) -> Result<(), Error>;

    /// Sets title and description of a folder just made; empty ones stay unset.
    async fn describe_folder(
        &self,
        _node_id: &str,
        _title: &str,
        _description: &str,
    ) -> Result<(), Error> {
        Err(Error::Unsupported("give folders titles or descriptions"))
    }

    /// Bytes that can still be written, where the repository can tell. Asked while a delivery that failed for want of
    /// room waits for some (R-ERR-1).
    async fn room(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// Verifies that an account works, and keeps its credential where the connector needs it (R-IDN-1).
    async fn verify_account(&self, _account: &str, _credential: &str) -> Result<(), Error> {
        Err(Error::Unsupported("verify accounts"))
    }
}
