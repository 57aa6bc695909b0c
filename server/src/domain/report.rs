//! What agents report, once it is decoded and checked.

use std::sync::Arc;

use super::copy::Absence;
use super::failure::Reason;
use super::ids::{Digest, MemberId, NodeId, ScanId};
use super::member::PeerChoice;
use super::projection::{ContentRef, Projection};

/// What is special about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeTrait {
    /// Nothing.
    #[default]
    Ordinary,
    /// A working copy.
    WorkingCopy,
    /// A smart folder.
    SmartFolder,
    /// A link.
    Link,
    /// A record.
    Record,
    /// A socket, a device or the like.
    Special,
    /// Its name cannot be told.
    IllegalName,
    /// It lies outside every site library (R-MOV-1).
    OutsideLibrary,
    /// It is larger than the limits; content and properties are not told (R-AGT-3).
    TooLarge,
}

/// A node that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The folder it lies in.
    pub parent: NodeId,
    /// The revision of this state.
    pub revision: String,
    /// How it looks.
    pub projection: Arc<Projection>,
    /// The member for which the agent made it.
    pub mark: Option<MemberId>,
    /// What is special about it.
    pub node_trait: NodeTrait,
    /// The agent keeps it read-only.
    pub locked: bool,
    /// Somebody edits it online (R-LCK-2).
    pub edited: bool,
    /// Who made the change.
    pub actor: String,
}

/// What was seen of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The node.
    pub node: NodeId,
    /// Its state.
    pub seen: Seen,
}

/// Present or absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Present(Presence),
    /// It is not.
    Absent {
        /// What became of it.
        absence: Absence,
        /// The explicit choice that came with a deletion (SPEC §7).
        choice: Option<PeerChoice>,
        /// A scan found it missing, and the synced folder that it is or was in gone or empty (R-DEL-3).
        root_emptied: bool,
    },
}

/// How a delivery was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The copy was changed; what was delivered, where the result differs from it.
    Applied {
        /// What the receiver made of it.
        result: Observation,
        /// What it had been given.
        delivered: Option<Arc<Projection>>,
    },
    /// Another revision was found.
    Stale(Observation),
    /// It could not be done.
    Failed {
        /// Why.
        reason: Reason,
        /// Readable text.
        message: String,
        /// Technical detail.
        detail: String,
        /// How long to wait at least, in microseconds.
        retry_delay: Option<i64>,
    },
}

/// One thing that an agent reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A node was seen.
    Observed(Observation),
    /// A delivery was answered.
    Outcome {
        /// The member.
        member: MemberId,
        /// The version of the member that was delivered.
        version: i64,
        /// The answer.
        answer: Answer,
    },
    /// A part of a folder was listed.
    ScanPage(ScanPage),
    /// A scan came to its end.
    ScanEnd(ScanId, ScanOutcome),
    /// The cause of a failure is seen to be gone.
    CauseChanged(MemberId),
}

/// The children of a folder between two node ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// The scan.
    pub scan: ScanId,
    /// The folder.
    pub folder: NodeId,
    /// Exclusive lower bound; empty = none.
    pub after: NodeId,
    /// Inclusive upper bound; empty = none.
    pub through: NodeId,
    /// The folder could be read.
    pub readable: bool,
    /// The children, ordered by node id.
    pub children: Vec<Observation>,
}

/// What became of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOutcome {
    /// All was listed.
    Complete,
    /// The root is gone.
    RootGone,
    /// It was given up.
    Abandoned,
}

impl Observation {
    /// The content that it names.
    #[must_use]
    pub fn content(&self) -> Option<ContentRef> {
        match &self.seen {
            Seen::Present(presence) => presence.projection.content,
            Seen::Absent { .. } => None,
        }
    }

    /// The digest of the content that it names.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.content().map(|content| content.digest)
    }
}

impl Item {
    /// Every observation in it, in order.
    pub fn observations(&self) -> impl Iterator<Item = &Observation> {
        let (single, several): (Option<&Observation>, &[Observation]) = match self {
            Self::Observed(observation) => (Some(observation), &[]),
            Self::Outcome {
                answer: Answer::Applied { result, .. },
                ..
            } => (Some(result), &[]),
            Self::Outcome {
                answer: Answer::Stale(seen),
                ..
            } => (Some(seen), &[]),
            Self::ScanPage(page) => (None, &page.children),
            Self::Outcome { .. } | Self::ScanEnd(..) | Self::CauseChanged(_) => (None, &[]),
        };
        single.into_iter().chain(several)
    }
}
