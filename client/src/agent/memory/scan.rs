//! Lists a root folder by folder, in an order that survives changes in between (R-AGT-5).

use tandem_proto::v1::{ScanOutcome, ScanPage, WatchRoot};

use super::tree::{MemoryTree, Node};
use crate::agent::repository::{Error, ScanStep};

/// Separates the parts of a position; no node id contains it.
const SEPARATOR: u8 = 0;

/// Where a scan goes on: the folders from the root to the one being listed, and the last child listed there.
struct Position {
    folders: Vec<String>,
    after: String,
}

// === impl Position ===

impl Position {
    fn read(root: &WatchRoot, position: &[u8]) -> Self {
        let text = String::from_utf8_lossy(position);
        let mut parts: Vec<String> = text
            .split(char::from(SEPARATOR))
            .map(str::to_owned)
            .collect();
        let after = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            parts.push(root.node_id.clone());
        }
        Self {
            folders: parts,
            after,
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for folder in &self.folders {
            text.extend_from_slice(folder.as_bytes());
            text.push(SEPARATOR);
        }
        text.extend_from_slice(self.after.as_bytes());
        text
    }
}

impl MemoryTree {
    /// Lists about so many nodes below a root.
    pub fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error> {
        if self.faults.root_gone || !self.nodes.contains_key(&root.node_id) {
            return Err(Error::RootGone(root.node_id.clone()));
        }
        let mut at = Position::read(root, position);
        let mut step = ScanStep::default();
        let mut room = children_max.max(1);
        while room > 0 {
            let (page, more) = self.page(root, &at, room);
            room = room.saturating_sub(page.children.len().max(1));
            at.after = page.through_node_id.clone();
            step.pages.push(page);
            if !more && !self.next_folder(root, &mut at) {
                step.outcome = Some(ScanOutcome::Complete);
                break;
            }
        }
        step.position = at.write();
        Ok(step)
    }

    fn page(&self, root: &WatchRoot, at: &Position, max: usize) -> (ScanPage, bool) {
        let folder = at.folders.last().unwrap_or(&root.node_id);
        let behind = self.children(folder).filter(|(id, _)| **id > at.after);
        let mut ids: Vec<&String> = behind.map(|(id, _)| id).collect();
        let more = ids.len() > max;
        ids.truncate(max);
        let through = if more {
            ids.last().map(|id| (*id).clone())
        } else {
            None
        };
        let page = ScanPage {
            scan_id: root.scan_id.clone(),
            folder_node_id: folder.clone(),
            after_node_id: at.after.clone(),
            through_node_id: through.unwrap_or_default(),
            readable: true,
            children: ids.into_iter().map(|id| self.observation(id)).collect(),
        };
        (page, more)
    }

    /// Goes to the next folder in depth-first order; false at the end.
    fn next_folder(&self, root: &WatchRoot, at: &mut Position) -> bool {
        at.after.clear();
        if !root.include_subfolders {
            return false;
        }
        let mut behind = String::new();
        while let Some(folder) = at.folders.last().cloned() {
            let next = self
                .children(&folder)
                .find(|(id, node)| **id > behind && is_listed(node));
            if let Some((id, _)) = next {
                at.folders.push(id.clone());
                return true;
            }
            at.folders.pop();
            behind = folder;
        }
        false
    }
}

fn is_listed(node: &Node) -> bool {
    node.is_folder() && node.special == tandem_proto::v1::NodeTrait::Unspecified
}
