//! What deliveries overwrote or deleted.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{Delivery, NodeVersion};

use super::tree::{MemoryTree, Node, Refused};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) version: NodeVersion,
    pub(super) bytes: Bytes,
    /// The node as it was, to be put back if it is gone.
    node: Node,
}

impl MemoryTree {
    /// Archives a document before a delivery changes or deletes it.
    pub(super) fn archive(&mut self, node_id: &str, delivery: &Delivery) {
        let Some(node) = self.nodes.get(node_id) else {
            return;
        };
        let Some(bytes) = node.content.clone() else {
            return;
        };
        let comment = delivery
            .conflict
            .as_ref()
            .map(|conflict| conflict.comment.clone());
        let version = NodeVersion {
            version_id: format!("v{:06}", self.versions.len() + 1),
            node_id: node_id.to_owned(),
            path: self.path(node_id),
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            digest: Bytes::copy_from_slice(&Sha256::digest(&bytes)),
            comment: comment.unwrap_or_else(|| "synced".to_owned()),
            actor: delivery.act_as.clone(),
            archived_at: String::new(),
        };
        let node = node.clone();
        self.versions.push(Kept {
            version,
            bytes,
            node,
        });
    }

    /// Kept versions, newest first, of a node or (empty) of all, after a version.
    #[must_use]
    pub fn kept_versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> (Vec<NodeVersion>, bool) {
        let mut found: Vec<NodeVersion> = self
            .versions
            .iter()
            .rev()
            .map(|kept| &kept.version)
            .filter(|version| node_id.is_empty() || version.node_id == node_id)
            .filter(|version| {
                after_version_id.is_empty() || version.version_id.as_str() < after_version_id
            })
            .cloned()
            .collect();
        let more = found.len() > max;
        found.truncate(max);
        (found, more)
    }

    /// Makes a kept version the current content again; `None` when it is not known.
    pub fn restore_version(
        &mut self,
        node_id: &str,
        version_id: &str,
    ) -> Option<Result<(), Refused>> {
        let kept = self
            .versions
            .iter()
            .find(|kept| kept.version.version_id == version_id && kept.version.node_id == node_id)?
            .clone();
        if self.nodes.contains_key(node_id) {
            return Some(self.write(node_id, kept.bytes));
        }
        let (parent, name) = (kept.node.parent.clone(), kept.node.name.clone());
        Some(self.check_place(&parent, &name, None).map(|()| {
            self.trash.remove(node_id);
            self.nodes.insert(node_id.to_owned(), kept.node);
            self.touch(node_id);
        }))
    }
}
