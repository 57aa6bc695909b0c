//! Conflicts: both copies left the base, differently. Records, never errors (SPEC §6).

use super::ids::{ConflictId, MemberId, SyncSetId};
use super::policy::ConflictPolicy;
use super::projection::{Side, Sides, State};

/// What collided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ConflictKind {
    /// Both sides changed the node.
    ChangeChange = 1,
    /// Deleted on-premise, changed on the cloud (R-REC-2).
    DeleteChange = 2,
    /// Changed on-premise, deleted on the cloud (R-REC-3).
    ChangeDelete = 3,
    /// Moves that together would make a cycle (R-MOV-5).
    MoveMove = 4,
}

impl ConflictKind {
    /// The kind of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::ChangeChange,
            Self::DeleteChange,
            Self::ChangeDelete,
            Self::MoveMove,
        ]
        .into_iter()
        .find(|kind| *kind as i32 == number)
    }
}

/// A conflict and how it was decided (R-CON-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The random id.
    pub id: ConflictId,
    /// The set.
    pub set: SyncSetId,
    /// The member.
    pub member: MemberId,
    /// What collided.
    pub kind: ConflictKind,
    /// What both once agreed on.
    pub base: Option<State>,
    /// What each side had, while it is open has; `None` = deleted.
    pub states: Sides<Option<State>>,
    /// Who changed each side, where the repositories tell.
    pub actors: Sides<String>,
    /// The policy that decides.
    pub policy: ConflictPolicy,
    /// The side whose state holds; `None` while it is open, or when both became equal.
    pub winner: Option<Side>,
    /// It waits for a person.
    pub open: bool,
    /// When, in microseconds since 1970.
    pub at: i64,
}
