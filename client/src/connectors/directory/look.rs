//! Looking: what lies at some places, and which node each of it is (SPEC §1, `node_id`).
//!
//! First everything is collected, then every file found is given its node, with all inodes known that were found;
//! last, nodes that were found nowhere are gone. So a rename is a rename however the looking came upon its two ends.

mod collect;
mod identify;

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use self::{collect::Collected, identify::Identify};
use super::{
    disk::Disk,
    os::Inode,
    pending::{Pending, Place},
    tree::Tree,
    watch::Watcher,
};

/// At most so many rounds of looking for folders and then for what is in them.
const ROUNDS_MAX: usize = 64;

/// What looking needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eyes<'a> {
    pub(super) disk: &'a Disk,
    pub(super) pending: &'a Pending,
    pub(super) watcher: &'a Watcher,
}

/// Walks through all folders.
pub(super) fn walk(eyes: Eyes<'_>, tree: &mut Tree) {
    let root = tree.root();
    let collected = Collected::walk(eyes, tree, root);
    conclude(eyes, tree, collected);
}

/// Lists one folder afresh; false when it cannot be read.
pub(super) fn folder(eyes: Eyes<'_>, tree: &mut Tree, folder: Uuid) -> bool {
    let collected = Collected::folder(eyes, tree, folder);
    let readable = collected.unreadable.is_empty();
    conclude(eyes, tree, collected);
    readable
}

/// Looks at places that are quiet. What left such a place for one that is not quiet yet is looked at with that one.
pub(super) fn places(eyes: Eyes<'_>, tree: &mut Tree, settled: &[Place], waiting: &[Place]) {
    let mut identify = Identify::new(eyes, tree);
    let mut todo = settled.to_vec();
    // Each round may find folders in which places of the next are: `a/b` turned into `b/a` takes three.
    for _ in 0..ROUNDS_MAX {
        let collected = Collected::places(eyes, identify.tree(), &todo, waiting);
        identify.everything(&collected);
        let stuck = collected.postponed.len() == todo.len();
        todo = collected.postponed;
        if todo.is_empty() || stuck {
            break;
        }
    }
    identify.whoever_is_nowhere();
    for place in todo {
        // A folder that is still known but not where it should be is looked for, and the place after that.
        if let Some(folder) = tree
            .live(&place.folder)
            .filter(|node| !node.parent.is_nil())
        {
            eyes.pending.add(&Place {
                folder: folder.parent,
                name: folder.name.to_string(),
            });
            eyes.pending.add(&place);
        }
    }
}

fn conclude(eyes: Eyes<'_>, tree: &mut Tree, collected: Collected) {
    let mut identify = Identify::new(eyes, tree);
    identify.everything(&collected);
    identify.whoever_is_nowhere();
}

/// Nodes that were found during one look, and those that lost their place.
#[derive(Debug, Default)]
struct Found {
    inodes: HashSet<Inode>,
    placed: HashSet<Uuid>,
    homeless: HashMap<Uuid, Uuid>,
}
