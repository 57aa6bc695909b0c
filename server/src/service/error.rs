//! What a caller can be refused for: one variant per reason of the wire, with the facts of it.

use crate::domain::ids::Digest;
use crate::domain::report::NodeTrait;
pub use crate::storage::Error as StorageError;

use crate::storage::Busy;

/// A refusal or a failure; `transport::status` maps each variant to a Status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is malformed or out of range.
    #[error("{field}: {rule}")]
    InvalidField {
        /// The field, as a path such as `items[3].observation.node_id`.
        field: String,
        /// The rule that it breaks, and the remedy.
        rule: String,
    },
    /// A frame is out of order, missing or unknown.
    #[error("{rule}")]
    ProtocolViolation {
        /// The rule that is broken, and the remedy.
        rule: String,
    },
    /// No credential, or one that opens no door.
    #[error("a valid token is needed: send `authorization: Bearer <token>`")]
    Unauthenticated,
    /// The credential does not allow it; says nothing of whether the thing exists.
    #[error("the token does not allow this; use one for this network with a sufficient role")]
    NotAllowed,
    /// No such network.
    #[error("there is no network {network}")]
    NetworkNotFound {
        /// Its name.
        network: String,
    },
    /// No such repository.
    #[error("there is no repository {repository}")]
    RepositoryNotFound {
        /// Its name.
        repository: String,
    },
    /// No such sync set.
    #[error("there is no sync set {sync_set}")]
    SyncSetNotFound {
        /// Its name.
        sync_set: String,
    },
    /// No such member.
    #[error("there is no member {member}")]
    MemberNotFound {
        /// Its name.
        member: String,
    },
    /// No such conflict.
    #[error("there is no conflict {conflict}")]
    ConflictNotFound {
        /// Its name.
        conflict: String,
    },
    /// No such token.
    #[error("there is no token {token}")]
    TokenNotFound {
        /// Its name.
        token: String,
    },
    /// No such node.
    #[error("there is no node {node}")]
    NodeNotFound {
        /// Its id.
        node: String,
    },
    /// No such version.
    #[error("there is no version {version}")]
    VersionNotFound {
        /// Its name.
        version: String,
    },
    /// No content that the caller may read under this name.
    #[error("there is no content {digest} that may be read for this")]
    ContentNotFound {
        /// Its digest.
        digest: Digest,
    },
    /// No protocol version in common.
    #[error("this coordinator speaks protocol {min} to {max}; upgrade the older side")]
    ProtocolUnsupported {
        /// The oldest version spoken here.
        min: u32,
        /// The newest version spoken here.
        max: u32,
    },
    /// Another session of the repository took over.
    #[error("another session of the repository took over")]
    SessionSuperseded,
    /// Another running copy uses the repository's identity.
    #[error(
        "another installation uses this repository's identity; an admin must rebind the repository"
    )]
    RepositoryCloned,
    /// Agent and coordinator remember different batches.
    #[error("agent and coordinator remember different batches ({detail}); a new generation starts")]
    RollbackSuspected {
        /// What differs.
        detail: String,
    },
    /// A call or a batch carries the epoch of a session that is over.
    #[error("the session of this epoch is over; open a new one")]
    StaleEpoch,
    /// A batch number was left out.
    #[error("a batch number was left out; {expected_number} is expected")]
    BatchGap {
        /// The number that is expected.
        expected_number: i64,
    },
    /// A batch names content that was not sent.
    #[error("content is missing ({} digests, first {}); send it, then the batch again", digests.len(), first(digests))]
    ContentMissing {
        /// The digests.
        digests: Vec<Digest>,
    },
    /// A batch leaves a folder inside itself.
    #[error("folder {node} would lie inside itself")]
    FolderCycle {
        /// The folder.
        node: String,
    },
    /// Bytes do not have the digest or size that was claimed.
    #[error("the bytes do not have the claimed digest or size: {digest}")]
    DigestMismatch {
        /// The claimed digest.
        digest: Digest,
    },
    /// A limit is reached.
    #[error("the limit {limit} is reached; send less, or wait")]
    RateLimited {
        /// The name of the limit.
        limit: &'static str,
    },
    /// The coordinator is about to stop.
    #[error("the coordinator is about to stop; connect again soon")]
    Draining,
    /// The database or the content store is away.
    #[error("the store cannot be used now; try again soon")]
    StoreUnavailable,
    /// The disk of the database or of the content store is full.
    #[error("the coordinator's disk is full; its administrator has to make room")]
    StoreFull,
    /// The agent of the repository is not connected.
    #[error("the agent of {repository} is not connected")]
    AgentOffline {
        /// The repository's name.
        repository: String,
    },
    /// The agent did not answer in time.
    #[error("the agent of {repository} did not answer in time")]
    AgentTimeout {
        /// The repository's name.
        repository: String,
    },
    /// This coordinator does not offer the call or the option yet.
    #[error("{feature} is not offered yet")]
    NotImplemented {
        /// The call or option.
        feature: &'static str,
    },
    /// A fault of the coordinator; the detail goes to its log only.
    #[error("internal error")]
    Internal {
        /// For the log.
        detail: String,
    },
    /// The cursor is older than the journal's beginning.
    #[error("the cursor is older than the journal's beginning at {floor}; start again there")]
    CursorCompacted {
        /// The oldest position that can be read.
        floor: i64,
    },
    /// The cursor belongs to another network, generation or history.
    #[error("the cursor belongs to another history; start again without one")]
    CursorEpoch,
    /// The library itself may not be synced.
    #[error("{node} is the library itself; choose something in it")]
    LibraryRoot {
        /// The node.
        node: String,
    },
    /// The node lies outside every site library.
    #[error("{node} lies outside every site library")]
    OutsideLibrary {
        /// The node.
        node: String,
    },
    /// The node is in a sync set already.
    #[error("{node} is in a sync set already")]
    AlreadySynced {
        /// The node.
        node: String,
    },
    /// Working copy, record, smart folder, link, or without content to sync.
    #[error("{node} cannot be synced: it is a {}", trait_name(*node_trait))]
    NodeNotEligible {
        /// The node.
        node: String,
        /// What it is.
        node_trait: NodeTrait,
    },
    /// The target is missing, not a folder, itself a member, not writable, or a link or the like.
    #[error("{node} cannot be the target: {}", fault.text())]
    TargetNotUsable {
        /// The node.
        node: String,
        /// Which of these it is.
        fault: TargetFault,
    },
    /// Documents and folders were chosen together.
    #[error("{node} is a folder among documents; choose one folder, or documents only")]
    MixedSelection {
        /// The first folder.
        node: String,
    },
    /// Every chosen document would be left out.
    #[error("nothing is left to be synced: {node} and all others are skipped, because {reason}")]
    NothingAccepted {
        /// The first document.
        node: String,
        /// Why that one is.
        reason: &'static str,
    },
    /// The caller may not write the node.
    #[error("the caller may not write {node}")]
    NodeNotWritable {
        /// The node.
        node: String,
    },
    /// The owner has no account of a cloud repository that has users (R-SET-4).
    #[error("{user} has no account of {repository}; link one first (LinkAccount)")]
    AccountNotLinked {
        /// The on-premise user.
        user: String,
        /// The cloud repository's name.
        repository: String,
    },
    /// The user has no account of the cloud repository.
    #[error("{user} has linked no account of {repository}")]
    AccountLinkNotFound {
        /// The on-premise user.
        user: String,
        /// The cloud repository's name.
        repository: String,
    },
    /// The agent of the cloud repository does not accept the account or its credential.
    #[error("{repository} does not accept the account: {text}")]
    AccountRefused {
        /// The cloud repository's name.
        repository: String,
        /// In the agent's words, without the credential.
        text: String,
    },
    /// The network may not sync.
    #[error("the network {network} may not sync")]
    NetworkNotEnabled {
        /// Its name.
        network: String,
    },
    /// The set does not allow deleting on the cloud.
    #[error("{sync_set} does not allow deleting on the cloud")]
    DeleteNotAllowed {
        /// The set.
        sync_set: String,
    },
    /// The set holds no deletions back.
    #[error("{sync_set} holds no deletions back")]
    NothingHeld {
        /// The set.
        sync_set: String,
    },
    /// The thing is not in a state that allows the call.
    #[error("this is not possible in the state {state}")]
    WrongState {
        /// The state.
        state: &'static str,
    },
    /// The resource was changed since it was read.
    #[error("the resource was changed since it was read; read it again")]
    StaleEtag,
    /// The id or name is taken.
    #[error("{name} exists already")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error("{}", told(.0))]
    Storage(#[from] StorageError),
}

/// Why a node cannot receive a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetFault {
    /// It is not there.
    Missing,
    /// It is not a folder.
    NotAFolder,
    /// It is in a sync set itself.
    AlreadySynced,
    /// The cloud account may not write it.
    NotWritable,
    /// It is a smart folder, a link or the like.
    Special(NodeTrait),
}

impl TargetFault {
    fn text(self) -> String {
        match self {
            Self::Missing => "it is not there".to_owned(),
            Self::NotAFolder => "it is not a folder".to_owned(),
            Self::AlreadySynced => "it is in a sync set itself".to_owned(),
            Self::NotWritable => "the cloud account may not write it".to_owned(),
            Self::Special(node_trait) => format!("it is a {}", trait_name(node_trait)),
        }
    }
}

/// The name of what keeps a node from being synced.
#[must_use]
pub fn trait_name(node_trait: NodeTrait) -> &'static str {
    match node_trait {
        NodeTrait::Ordinary => "ORDINARY",
        NodeTrait::WorkingCopy => "WORKING_COPY",
        NodeTrait::SmartFolder => "SMART_FOLDER",
        NodeTrait::Link => "LINK",
        NodeTrait::Record => "RECORD",
        NodeTrait::Special => "SPECIAL",
        NodeTrait::IllegalName => "ILLEGAL_NAME",
        NodeTrait::OutsideLibrary => "OUTSIDE_LIBRARY",
        NodeTrait::TooLarge => "TOO_LARGE",
    }
}

/// What callers may know of a failure of the database: only what an administrator can mend.
fn told(cause: &StorageError) -> &'static str {
    match cause {
        StorageError::Full(_) => {
            "the coordinator's disk is full; its administrator has to make room"
        }
        _ => "the database failed",
    }
}

fn first(digests: &[Digest]) -> String {
    digests.first().map(ToString::to_string).unwrap_or_default()
}

impl Error {
    /// Names a field and the rule that it breaks, with the remedy.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::InvalidField {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// Names the rule of the protocol that a frame breaks.
    pub fn protocol(rule: impl Into<String>) -> Self {
        Self::ProtocolViolation { rule: rule.into() }
    }
}

impl Busy for Error {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Storage(cause) if cause.is_busy())
    }
}
