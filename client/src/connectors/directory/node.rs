//! What the index knows of one node.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    Absence, AbsenceKind, ContentRef, NodeKind, NodeTrait, Observation, Projection, Property,
    observation,
};
use uuid::Uuid;

use super::{
    names,
    os::{FileKind, Inode, Stat},
};

/// The id of a node that was never seen. Ids grow with time, so that nodes found together lie together in every table
/// that is ordered by them, here and in the coordinator.
pub(super) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Names a state of a node: computed from what is compared, so the same state has the same revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revision(pub(super) [u8; 16]);

impl Revision {
    /// Reads the text form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The text form.
    pub(super) fn text(self) -> String {
        hex::encode(self.0)
    }
}

/// Bytes that were read in peace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) digest: [u8; 32],
    pub(super) size: u64,
}

/// The marks by which a file is recognised as unchanged without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Print {
    pub(super) inode: Inode,
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) changed: i64,
}

impl From<&Stat> for Print {
    fn from(stat: &Stat) -> Self {
        // Size and modification of a folder say only that something inside it changed.
        let (size, modified) = match stat.kind {
            FileKind::File => (stat.size, stat.modified),
            _ => (0, 0),
        };
        Self {
            inode: stat.inode,
            size,
            modified,
            changed: stat.changed,
        }
    }
}

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: Uuid,
    /// The nil id for the root.
    pub(super) parent: Uuid,
    pub(super) name: Arc<str>,
    pub(super) kind: FileKind,
    pub(super) print: Print,
    /// The content that was read last; it belongs to `print` only while `read` is set.
    pub(super) known: Option<Known>,
    /// Content and properties were read under `print`.
    pub(super) read: bool,
    /// Sorted by name.
    pub(super) properties: Vec<Property>,
    /// The member for which the agent made this node (R-AGT-6).
    pub(super) member: Option<[u8; 16]>,
    /// Kept read-only; the permission bits that come back with the release (R-LCK-1).
    pub(super) locked: Option<u32>,
    /// The state that the coordinator heard last.
    pub(super) reported: Option<Revision>,
    /// Has to be looked at and perhaps offered.
    pub(super) due: bool,
    /// It is no longer there, and the coordinator has not heard that yet.
    pub(super) gone: bool,
    /// The file carries the node id.
    pub(super) tagged: bool,
}

impl Node {
    /// A node that nobody heard of.
    pub(super) fn new(id: Uuid, parent: Uuid, name: &str, stat: &Stat) -> Self {
        Self {
            id,
            parent,
            name: name.into(),
            kind: stat.kind,
            print: stat.into(),
            known: None,
            read: false,
            properties: Vec::new(),
            member: None,
            locked: None,
            reported: None,
            due: false,
            gone: false,
            tagged: false,
        }
    }

    /// What is left of a node whose report was still under way when it vanished.
    pub(super) fn tombstone(id: Uuid) -> Self {
        Self {
            id,
            parent: Uuid::nil(),
            name: "".into(),
            kind: FileKind::Special,
            print: Print::default(),
            known: None,
            read: false,
            properties: Vec::new(),
            member: None,
            locked: None,
            reported: None,
            due: true,
            gone: true,
            tagged: false,
        }
    }

    /// True when something can be said about it: its content was read at least once.
    pub(super) fn is_complete(&self) -> bool {
        match self.kind {
            FileKind::File => self.known.is_some(),
            FileKind::Folder => true,
            FileKind::Link | FileKind::Special => true,
        }
    }

    /// What is compared and synced.
    pub(super) fn projection(&self) -> Projection {
        let kind = match self.kind {
            FileKind::Folder => NodeKind::Folder,
            _ => NodeKind::Document,
        };
        Projection {
            kind: kind.into(),
            name: names::told(&self.name),
            content: self.synced().map(|known| ContentRef {
                digest: Bytes::copy_from_slice(&known.digest),
                size: i64::try_from(known.size).unwrap_or(i64::MAX),
                inline: None,
            }),
            properties: self.properties.clone(),
            node_type: String::new(),
        }
    }

    /// The content that is told of; that of a lock file is nobody's business.
    fn synced(&self) -> Option<Known> {
        self.known.filter(|_| !self.is_lock_file())
    }

    /// What the file is beside a document or folder.
    pub(super) fn node_trait(&self) -> NodeTrait {
        match self.kind {
            FileKind::File if self.is_lock_file() => NodeTrait::WorkingCopy,
            FileKind::File | FileKind::Folder => NodeTrait::Unspecified,
            FileKind::Link => NodeTrait::Link,
            FileKind::Special => NodeTrait::Special,
        }
    }

    /// The revision of the present state.
    pub(super) fn revision(&self) -> Revision {
        let mut hash = Sha256::new();
        hash.update(self.parent.as_bytes());
        hash.update([self.node_trait() as u8, u8::from(self.locked.is_some())]);
        hash.update(self.projection().encode_to_vec());
        let digest = hash.finalize();
        let mut revision = [0; 16];
        revision.copy_from_slice(&digest[..16]);
        Revision(revision)
    }

    /// What the coordinator is told.
    pub(super) fn observation(&self, inline: Option<Bytes>) -> Observation {
        let mut projection = self.projection();
        if let Some(content) = projection.content.as_mut() {
            content.inline = inline;
        }
        let parent = match self.parent.is_nil() {
            true => String::new(),
            false => self.parent.to_string(),
        };
        Observation {
            node_id: self.id.to_string(),
            parent_node_id: parent,
            revision: self.revision().text(),
            member_mark: self.member_mark(),
            node_trait: self.node_trait().into(),
            locked: self.locked.is_some(),
            // A directory does not know who has a file open (capability `editing_locks`).
            edited_online: false,
            actor: String::new(),
            illegal_name: !names::is_legal(&self.name),
            state: Some(observation::State::Present(projection)),
        }
    }

    fn member_mark(&self) -> Bytes {
        let member = self.member.as_ref();
        member.map_or_else(Bytes::new, |member| Bytes::copy_from_slice(member))
    }
}

/// What the coordinator is told of a node that is not there.
pub(super) fn absence(node_id: String, kind: AbsenceKind) -> Observation {
    Observation {
        node_id,
        state: Some(observation::State::Absent(Absence {
            kind: kind.into(),
            choice: 0,
            root_emptied: false,
        })),
        ..Observation::default()
    }
}
