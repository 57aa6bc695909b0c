//! Members: nodes in a sync set, each pairing an on-premise with a cloud copy.

use super::failure::Failure;
use super::free_name::{Renaming, Sibling, is_aside_name};
use super::ids::{ConflictId, MemberId, NodeId, SyncSetId};
use super::projection::{ContentRef, NodeKind, Side, Sides, State};
use super::sync_set::Removal;

/// What somebody chose about the other copy when deleting one (SPEC §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerChoice {
    /// The other copy is removed too.
    Remove,
    /// The other copy stays, unlinked.
    Keep,
}

/// The state of a member (R-STA-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// Never synced, or sync requested, or a change under way.
    Pending,
    /// Both copies are equal, as far as the options want them to be.
    Synced,
    /// Somebody must act.
    Failed(Failure),
}

/// Why a pending member waits (R-STA-1); a set's own holds stand on the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Hold {
    /// Somebody edits one of the copies online (R-LCK-2).
    Editing = 1,
    /// A conflict waits for a person (R-CON-3).
    ManualConflict = 4,
    /// Its folder is not ready on the receiving side, or failed.
    Parent = 5,
    /// Another node must leave the name first.
    Name = 6,
}

/// What is due for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Lane {
    /// Create or change a copy.
    Change = 1,
    /// Remove a copy because of an option; the guard may hold it (R-DEL-3).
    Removal = 2,
    /// Remove a copy because somebody chose so.
    ChosenRemoval = 3,
    /// Change a copy under a temporary name, to open a ring of names (R-REC-10).
    Aside = 4,
    /// Unlock a copy whose membership ends.
    Release = 5,
    /// Remove the cloud copy of a set that ended (R-UNS-1).
    Clearing = 6,
    /// Change the on-premise copy of a document that is about to be unsynced, also while its set is paused (R-UNS-1).
    LastPull = 7,
}

impl Lane {
    /// The lane of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::Change,
            Self::Removal,
            Self::ChosenRemoval,
            Self::Aside,
            Self::Release,
            Self::Clearing,
            Self::LastPull,
        ]
        .into_iter()
        .find(|lane| *lane as i32 == number)
    }
}

/// Work that a side owes; the row of the table `due` says when it became so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The side whose copy is to change.
    pub side: Side,
    /// What kind of work it is.
    pub lane: Lane,
    /// Not to be delivered before, in microseconds since 1970; 0 = at once.
    pub not_before: i64,
}

/// What a blocked member waits for, on one side; freeing it is a look-up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// A name in a folder, by key.
    Name(NodeId, String),
    /// A folder: that it is made, moved, or emptied.
    Folder(MemberId),
}

/// Guards against a node that never comes to rest (R-PRJ-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restlessness {
    /// *Stale* answers in a row.
    pub stale: i32,
    /// Times a receiver made something else of a delivery, at once or afterwards, within the window.
    pub flips: i32,
    /// When the window of flips began.
    pub flips_since: i64,
    /// The side that a delivery changed last, and when; nobody changed it since.
    pub delivered: Option<(Side, i64)>,
}

/// The end of one membership in a set that goes on (R-UNS-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// What becomes of the cloud copy.
    pub removal: Removal,
    /// Who asked for it.
    pub actor: String,
}

/// A node in a sync set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The random id.
    pub id: MemberId,
    /// The set.
    pub set: SyncSetId,
    /// Document or folder.
    pub kind: NodeKind,
    /// Chosen, not merely inside a synced folder.
    pub direct: bool,
    /// The state at the last moment both copies agreed, moved by conflicts to the loser's.
    pub base: Option<State>,
    /// The side whose copy differs from the base only in what its repository made of a delivery (R-PRJ-5).
    pub made: Option<Side>,
    /// The nodes it pairs; `None` where there was never one, or a new one is to be made.
    pub nodes: Sides<Option<NodeId>>,
    /// Ids that its copies had before the repository lost them, oldest first (R-AGT-10).
    pub former: Sides<Vec<NodeId>>,
    /// Its state.
    pub state: MemberState,
    /// A passing fault, shown beside the state.
    pub transient: Option<Failure>,
    /// Why it waits.
    pub hold: Option<Hold>,
    /// The cloud copy was deleted and the on-premise one stays (SPEC §7).
    pub cloud_copy_deleted: bool,
    /// The conflict whose resolution is under way.
    pub conflict: Option<ConflictId>,
    /// The membership has ended, and what is left is a cloud copy that is to be removed (R-UNS-1).
    pub clearing: bool,
    /// Somebody unsynced it alone; it stays until that is done.
    pub leaving: Option<Leaving>,
    /// The conflict that waits for a person.
    pub open: Option<ConflictId>,
    /// What lost a conflict and becomes this member, which has no copy yet (R-CON-3).
    pub sibling: Option<Sibling>,
    /// Its on-premise copy is to have another name, since the one it has is taken on the cloud (R-REC-9).
    pub renaming: Option<Renaming>,
    /// What a copy is called in truth that has a name of ours, since it steps aside or its own is taken (R-REC-10); it may
    /// outlive that.
    pub true_name: Option<String>,
    /// The name that such a copy was given last.
    pub given_name: Option<String>,
    /// The versions, from and to, whose deliveries change nothing but the name of a copy, so that nothing is agreed on
    /// when they are applied (R-REC-9, R-REC-10).
    pub name_only: Option<(i64, i64)>,
    /// Somebody asked to delete this side's copy, with a choice about the other.
    pub deleting: Option<(Side, PeerChoice)>,
    /// Kept content that is to become current again (R-CON-5).
    pub restoring: Option<ContentRef>,
    /// The choice that came with a deletion that was observed.
    pub choice: Option<PeerChoice>,
    /// Work that is due.
    pub due: Option<Due>,
    /// What it waits for, on which side.
    pub blocked: Option<(Side, Obstacle)>,
    /// Raised with every change of this row; names deliveries.
    pub version: i64,
    /// The last version whose delivery was answered as applied, on each side: another answer to it is a repeat.
    pub answered: Sides<i64>,
    /// The on-premise folder in which the copy of a DIRECT member was last seen: there it is made again.
    pub home: Option<NodeId>,
    /// When both copies were last made equal, in microseconds since 1970.
    pub last_synced_at: Option<i64>,
    /// Guards against loops.
    pub restlessness: Restlessness,
}

impl Member {
    /// Whether a copy has a name that nobody but us gave it.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given_name.as_deref() == Some(name) || is_aside_name(self.id, name)
    }

    /// Whether a delivery of this version changes nothing but the name of a copy.
    #[must_use]
    pub fn is_name_only(&self, version: i64) -> bool {
        let aside = self.due.is_some_and(|due| due.lane == Lane::Aside);
        let named = |(from, to): (i64, i64)| {
            let now = aside && version == self.version;
            from <= version && (version <= to || now)
        };
        self.name_only.is_some_and(named)
    }

    /// A member that has just entered.
    #[must_use]
    pub fn new(id: MemberId, set: SyncSetId, kind: NodeKind, direct: bool) -> Self {
        Self {
            id,
            set,
            kind,
            direct,
            base: None,
            made: None,
            nodes: Sides::default(),
            former: Sides::default(),
            state: MemberState::Pending,
            transient: None,
            hold: None,
            cloud_copy_deleted: false,
            conflict: None,
            clearing: false,
            leaving: None,
            open: None,
            sibling: None,
            renaming: None,
            true_name: None,
            given_name: None,
            name_only: None,
            deleting: None,
            restoring: None,
            choice: None,
            due: None,
            blocked: None,
            version: 0,
            answered: Sides::default(),
            home: None,
            last_synced_at: None,
            restlessness: Restlessness::default(),
        }
    }
}
