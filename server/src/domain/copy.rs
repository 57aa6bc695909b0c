//! What each side was observed to be: one row for each known node of a repository.

use std::sync::Arc;

use super::ids::{MemberId, NodeId, RepositoryId};
use super::projection::Projection;

/// How a copy ceased to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Deleted, or gone without a trace.
    Deleted,
    /// Moved to a place that is not synced.
    MovedOut,
}

/// Why a node inside a synced folder is no member (R-MEM-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum SkipReason {
    /// A working copy.
    WorkingCopy = 1,
    /// A smart folder.
    SmartFolder = 2,
    /// A link; never followed.
    Link = 3,
    /// A socket, a device or the like.
    Special = 5,
    /// Its name is not UTF-8, or longer than a name may be.
    IllegalName = 7,
    /// A subfolder of a set with `include_subfolders=false`.
    Subfolder = 6,
}

impl SkipReason {
    /// The reason of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::WorkingCopy,
            Self::SmartFolder,
            Self::Link,
            Self::Special,
            Self::IllegalName,
            Self::Subfolder,
        ]
        .into_iter()
        .find(|reason| *reason as i32 == number)
    }

    /// What people read.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WorkingCopy => "a working copy is never synced",
            Self::SmartFolder => "a smart folder is never synced",
            Self::Link => "a link is never followed",
            Self::Special => "a socket, device or pipe has no content to sync",
            Self::IllegalName => {
                "its name is not UTF-8 or longer than 255 bytes; rename it to sync it"
            }
            Self::Subfolder => "the set does not include subfolders",
        }
    }
}

/// Whether a node is there, and how it stands to its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// It is there.
    Live,
    /// It was there; remembered so that it is known if it comes back (R-DEL-4).
    Gone(Absence),
    /// It was unlinked while it lay in a synced folder, and stays so (R-MEM-4).
    Left,
    /// It is no member, for this reason.
    Skipped(SkipReason),
}

/// Why a member that is there is not synced although its membership holds: it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Unfit {
    /// It is a record (R-MEM-1).
    Record = 1,
    /// A DIRECT member that lies outside every site library (R-MOV-1).
    OutsideLibrary = 2,
    /// It is larger than the limits (R-AGT-3).
    TooLarge = 3,
    /// A DIRECT member that became a link, a working copy or the like: it cannot leave its set by that (SPEC §9).
    NotOrdinary = 4,
}

impl Unfit {
    /// The reason of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::Record,
            Self::OutsideLibrary,
            Self::TooLarge,
            Self::NotOrdinary,
        ]
        .into_iter()
        .find(|unfit| *unfit as i32 == number)
    }
}

/// A node of a repository as it was last observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The repository.
    pub repository: RepositoryId,
    /// The node.
    pub node: NodeId,
    /// The member that it is a copy of.
    pub member: Option<MemberId>,
    /// Whether it is there.
    pub state: CopyState,
    /// The folder it lies in; empty for the root given to an agent.
    pub parent: NodeId,
    /// The name under the repository's own rule.
    pub name_key: String,
    /// The repository's revision of it.
    pub revision: String,
    /// How it looks.
    pub projection: Arc<Projection>,
    /// The agent keeps it read-only.
    pub locked: bool,
    /// Somebody edits it online (R-LCK-2).
    pub edited: bool,
    /// What keeps it from being synced, if anything does.
    pub unfit: Option<Unfit>,
    /// Who changed it last, where the repository tells.
    pub actor: String,
    /// Marks of states that it had before, newest last (R-AGT-4).
    pub past: Vec<u64>,
}

impl Copy {
    /// Whether it holds its name in its folder: everything that is there does, member or not.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self.state, CopyState::Gone(_))
    }
}
