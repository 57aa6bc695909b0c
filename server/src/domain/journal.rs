//! What the journal tells: one entry for each member and transaction, and for each act of management.

use super::ids::{MemberId, SyncSetId};
use super::projection::Side;

/// What an entry tells of; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum JournalKind {
    /// A copy was observed to be different.
    Observed = 1,
    /// A delivery took effect.
    Applied = 2,
    /// A member failed.
    Failed = 3,
    /// A conflict was found.
    Conflict = 4,
    /// A node became a member.
    Entered = 5,
    /// A membership ended.
    Left = 6,
    /// Deletions are held back.
    Held = 7,
    /// Somebody asked for a sync.
    SyncRequested = 8,
    /// A set was made.
    SetCreated = 9,
    /// A set was ended.
    SetEnded = 10,
    /// Held deletions were decided.
    HoldResolved = 11,
    /// A kept version was brought back.
    VersionRestored = 12,
    /// A repository or token was registered, rebound or revoked.
    Administration = 13,
    /// A session or a generation began.
    Session = 14,
    /// A set or a repository was paused (R-SET-7).
    Paused = 20,
    /// A pause was ended.
    Resumed = 21,
    /// A set was given to another owner (R-ADM-1).
    OwnershipTransferred = 22,
}

/// An entry before it has its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it tells of.
    pub kind: JournalKind,
    /// The set it concerns.
    pub set: Option<SyncSetId>,
    /// The member it concerns.
    pub member: Option<MemberId>,
    /// The side on which it happened.
    pub side: Option<Side>,
    /// Who caused it.
    pub actor: String,
    /// The name of the node at that moment.
    pub node_name: String,
    /// Readable text.
    pub message: String,
}
