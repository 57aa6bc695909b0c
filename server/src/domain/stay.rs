//! What stays on the cloud although the set that ended removes its cloud copy (R-UNS-1).

use super::ids::{NodeId, SyncSetId};
use super::projection::NodeKind;

/// Why a node stays; the numbers are those of the table `stay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum StayReason {
    /// Its last change could not be pulled before the set ended.
    NotPulled = 1,
    /// It was changed or moved after the set had ended.
    Changed = 2,
    /// A folder with something in it that stays.
    Holds = 3,
    /// A folder that was no member, and whose agent was away, so that nobody could tell what is in it.
    NotSeen = 4,
    /// It came after the set had ended.
    Came = 5,
}

impl StayReason {
    /// The reason of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::NotPulled,
            Self::Changed,
            Self::Holds,
            Self::NotSeen,
            Self::Came,
        ]
        .into_iter()
        .find(|reason| *reason as i32 == number)
    }

    /// What people read.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NotPulled => "it stays: its last change could not be pulled before the set ended",
            Self::Changed => "it stays: it was changed after the set had ended",
            Self::Holds => "it stays: something in it stays, or came after the set had ended",
            Self::NotSeen => {
                "it stays: it was not synced, and its agent was away when the set ended"
            }
            Self::Came => "it stays: it came after the set had ended",
        }
    }
}

/// A node that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The set that ended.
    pub set: SyncSetId,
    /// The node, in the cloud repository of the set.
    pub node: NodeId,
    /// Document or folder.
    pub kind: NodeKind,
    /// Where it lies, as far as the folders are known: names joined by `/`.
    pub path: String,
    /// Why.
    pub reason: StayReason,
}
