//! Listing a watched folder with all that is below it (R-AGT-5).
//!
//! The position is the chain of folders from the root to the one that is being listed, and the last node id listed
//! there. A folder that has left the chain meanwhile is skipped: whoever moves is reported as a change.

use bytes::Bytes;
use tandem_proto::v1::{Observation, ScanOutcome, ScanPage, WatchRoot};
use uuid::Uuid;

use super::{
    core::{Core, Depth, Fresh, unavailable},
    faults::Point,
    look,
    os::FileKind,
    tree::Tree,
};
use crate::agent::repository::{Error, ScanStep};

/// Where a scan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// From the scanned root down to the folder that is listed.
    chain: Vec<Uuid>,
    /// The last node listed in that folder; nil before the first.
    after: Uuid,
}

impl Position {
    fn decode(bytes: &[u8], root: Uuid) -> Self {
        let (ids, rest) = bytes.as_chunks::<16>();
        let mut chain: Vec<Uuid> = ids.iter().copied().map(Uuid::from_bytes).collect();
        match chain.pop() {
            Some(after) if rest.is_empty() && chain.first() == Some(&root) => Self { chain, after },
            _ => Self {
                chain: vec![root],
                after: Uuid::nil(),
            },
        }
    }

    fn encode(&self) -> Vec<u8> {
        let ids = self.chain.iter().chain([&self.after]);
        ids.flat_map(|id| *id.as_bytes()).collect()
    }

    /// Goes on behind a folder that is done, in the order of ids, parents first; false after the last.
    /// `descend` = false leaves out what is below that folder.
    fn advance(&mut self, tree: &Tree, descend: bool) -> bool {
        self.after = Uuid::nil();
        let mut behind = if descend { Uuid::nil() } else { Uuid::max() };
        while let Some(folder) = self.chain.last() {
            if let Some(next) = next_folder(tree, folder, behind) {
                self.chain.push(next);
                return true;
            }
            behind = *folder;
            self.chain.pop();
        }
        false
    }

    /// Leaves folders that are no longer where the chain says.
    fn repair(&mut self, tree: &Tree) {
        let broken = (1..self.chain.len()).find(|at| {
            let node = tree.live(&self.chain[*at]);
            node.is_none_or(|node| node.parent != self.chain[*at - 1])
        });
        if let Some(at) = broken {
            self.chain.truncate(at + 1);
            self.after = Uuid::max();
        }
    }
}

fn next_folder(tree: &Tree, folder: &Uuid, behind: Uuid) -> Option<Uuid> {
    tree.children(folder)
        .filter(|child| child.kind == FileKind::Folder && child.id > behind)
        .map(|child| child.id)
        .min()
}

/// A part of a folder, before its content is read.
struct Part {
    folder: Uuid,
    after: Uuid,
    through: Uuid,
    readable: bool,
    children: Vec<Uuid>,
}

impl Core {
    /// One step of a scan.
    pub(super) fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error> {
        let gone = |_| ScanStep {
            outcome: Some(ScanOutcome::RootGone),
            ..ScanStep::default()
        };
        self.ensure_root()?;
        let id = Uuid::try_parse(&root.node_id).unwrap_or_default();
        let present = {
            let state = self.state();
            let folder = self.disk.folder(&state.tree, &id);
            folder.map_err(drop).is_ok()
        };
        if !present {
            self.catch_up(true)?;
            let state = self.state();
            if let Err(error) = self.disk.folder(&state.tree, &id).map_err(drop) {
                return Ok(gone(error));
            }
        }
        let mut at = Position::decode(position, id);
        let (parts, more) = self.parts(&mut at, root.include_subfolders, children_max.max(1));
        let depth = match root.read_content {
            true => Depth::All,
            false => Depth::Needed,
        };
        let pages = self.pages(root, parts, depth)?;
        self.disk.check()?;
        Ok(ScanStep {
            pages,
            position: at.encode(),
            outcome: (!more).then_some(ScanOutcome::Complete),
        })
    }

    fn parts(&self, at: &mut Position, subfolders: bool, max: usize) -> (Vec<Part>, bool) {
        let mut parts = Vec::new();
        let mut room = max;
        let mut state = self.state();
        let tree = &mut state.tree;
        at.repair(tree);
        while let Some(folder) = at.chain.last().copied() {
            if at.after == Uuid::max() {
                if !at.advance(tree, false) {
                    return (parts, false);
                }
                continue;
            }
            // A folder that is listed in several parts is read once; the watcher tells what happens meanwhile.
            let readable = !at.after.is_nil()
                || (self.faults.at(Point::Listing).is_ok()
                    && look::folder(self.eyes(), tree, folder));
            let (children, more) = match readable {
                true => tree.page(&folder, at.after, room),
                false => (Vec::new(), false),
            };
            let through = children
                .last()
                .copied()
                .filter(|_| more)
                .unwrap_or_default();
            room = room.saturating_sub(children.len() + 1);
            parts.push(Part {
                folder,
                after: at.after,
                through,
                readable,
                children,
            });
            at.after = through;
            if !more && (!subfolders || !at.advance(tree, readable)) {
                return (parts, false);
            }
            if room == 0 {
                break;
            }
        }
        (parts, true)
    }

    fn pages(
        &self,
        root: &WatchRoot,
        parts: Vec<Part>,
        depth: Depth,
    ) -> Result<Vec<ScanPage>, Error> {
        let ids: Vec<Uuid> = parts
            .iter()
            .flat_map(|part| part.children.clone())
            .collect();
        let mut fresh = self.freshen(&ids, depth);
        let mut state = self.state();
        let mut pages = Vec::with_capacity(parts.len());
        for part in parts {
            let children = part
                .children
                .iter()
                .filter_map(|id| child(&mut state.tree, &part.folder, id, fresh.remove(id)))
                .collect();
            let bound = |id: Uuid| match id.is_nil() {
                true => String::new(),
                false => id.to_string(),
            };
            pages.push(ScanPage {
                scan_id: root.scan_id.clone(),
                folder_node_id: part.folder.to_string(),
                after_node_id: bound(part.after),
                through_node_id: bound(part.through),
                readable: part.readable,
                children,
            });
        }
        self.save(&mut state).map_err(unavailable)?;
        // What was being written is told later, and there may be no event any more that wakes whoever tells it.
        if state.tree.due().next().is_some() {
            self.pending.wake.notify_one();
        }
        Ok(pages)
    }
}

/// What a page says of a child; a file that was never read in peace is left to be reported when it is.
fn child(tree: &mut Tree, folder: &Uuid, id: &Uuid, fresh: Option<Fresh>) -> Option<Observation> {
    let node = tree.live(id).filter(|node| node.parent == *folder)?;
    let (known, inline): (bool, Option<Bytes>) = match fresh {
        None => (true, None),
        Some(Fresh::Known(inline)) => (true, inline),
        Some(_) => (false, None),
    };
    if !node.is_complete() || !tree.is_watched(id) && node.kind == FileKind::Folder {
        let watched = tree.is_watched(id);
        tree.set_due(id, watched);
        return None;
    }
    let revision = node.revision();
    let unheard = node.reported != Some(revision);
    let seen = node.observation(inline.filter(|_| unheard));
    tree.change(id, |node| {
        node.reported = Some(revision);
        node.due = !known;
    });
    Some(seen)
}
