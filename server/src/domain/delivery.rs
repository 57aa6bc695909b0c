//! "Make this copy look so": what an agent is sent for a member that is due.

use std::sync::Arc;

use super::ids::{ConflictId, MemberId, NodeId};
use super::projection::{ContentRef, Projection};

/// How the receiving folder is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderRef {
    /// It is there.
    Node(NodeId),
    /// It is made by this member's delivery.
    Made(MemberId),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a node.
    Create {
        /// Where.
        folder: FolderRef,
        /// How it looks.
        projection: Arc<Projection>,
        /// Users may not change it.
        locked: bool,
    },
    /// Change a node.
    Update {
        /// Which.
        node: NodeId,
        /// The revision it replaces (R-REC-6).
        expected_revision: String,
        /// How it looks.
        projection: Arc<Projection>,
        /// Where it goes; `None` = it stays.
        folder: Option<FolderRef>,
        /// Users may not change it.
        locked: bool,
    },
    /// Remove a node.
    Delete {
        /// Which.
        node: NodeId,
        /// The revision it removes.
        expected_revision: String,
        /// A folder goes with all that lies in it, but members of other sets (R-UNS-1); else only an empty one goes.
        with_content: bool,
    },
    /// Unlock a node that stays.
    Release {
        /// Which.
        node: NodeId,
    },
}

/// What is sent for one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The member.
    pub member: MemberId,
    /// Its version; with the member it names the decision.
    pub version: i64,
    /// What to do.
    pub action: Action,
    /// The content that the receiver does not have yet.
    pub content: Option<ContentRef>,
    /// The conflict that caused it.
    pub conflict: Option<ConflictId>,
    /// The account as which to act (R-IDN-1).
    pub act_as: String,
    /// The owner of the set, whom the comment of an archived version names (R-CON-1).
    pub owner: String,
}

impl Delivery {
    /// The member whose delivery has to come first, in this session.
    #[must_use]
    pub fn needs(&self) -> Option<MemberId> {
        let folder = match &self.action {
            Action::Create { folder, .. } => Some(folder),
            Action::Update { folder, .. } => folder.as_ref(),
            Action::Delete { .. } | Action::Release { .. } => None,
        };
        match folder {
            Some(FolderRef::Made(member)) => Some(*member),
            _ => None,
        }
    }
}
