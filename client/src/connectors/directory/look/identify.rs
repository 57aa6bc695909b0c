//! Giving every file found its node.
//!
//! In this order: the node whose inode it is; the node whose id it carries, if that one lost its file; the node that
//! was there and lost its file (vim, Office, a restored backup); else a new node.

use std::{ffi::OsStr, os::fd::OwnedFd};

use uuid::Uuid;

use super::{
    super::{
        node::{self, Node, Print},
        os::{self, FileKind, Stat},
        reading::{TAG, parse_tag},
        tree::Tree,
    },
    Eyes, Found,
    collect::{Collected, Parent},
};

/// One look's work on the tree.
pub(super) struct Identify<'a> {
    eyes: Eyes<'a>,
    tree: &'a mut Tree,
    found: Found,
    /// Which node each entry turned out to be.
    ids: Vec<Option<Uuid>>,
    open: Option<(Uuid, Option<OwnedFd>)>,
}

/// Who is known to be at a place.
#[derive(Clone, Copy)]
struct Occupant {
    id: Uuid,
    /// Its file was not found anywhere, and it may be put under another.
    vacant: bool,
    reported: bool,
}

impl<'a> Identify<'a> {
    pub(super) fn new(eyes: Eyes<'a>, tree: &'a mut Tree) -> Self {
        Self {
            eyes,
            tree,
            found: Found::default(),
            ids: Vec::new(),
            open: None,
        }
    }

    /// The tree as it is so far.
    pub(super) fn tree(&self) -> &Tree {
        self.tree
    }

    /// Goes through all that was found, parents first.
    pub(super) fn everything(&mut self, collected: &Collected) {
        self.found.inodes.extend(&collected.inodes);
        self.ids.clear();
        for entry in &collected.entries {
            let parent = self.resolve(entry.parent);
            let id = parent.and_then(|parent| match &entry.stat {
                Some(stat) => Some(self.identify(parent, &entry.name, stat)),
                None => {
                    self.vacate(parent, &entry.name);
                    None
                }
            });
            self.ids.push(id);
        }
        for listing in &collected.listings {
            let Some(folder) = self.resolve(listing.folder) else {
                continue;
            };
            if let Some(watch) = listing.watch {
                self.eyes.pending.register(watch, folder);
            }
            for name in self.tree.names(&folder) {
                if !listing.names.contains(&*name) {
                    self.vacate(folder, &name);
                }
            }
        }
    }

    fn resolve(&self, parent: Parent) -> Option<Uuid> {
        match parent {
            Parent::Node(id) => Some(id),
            Parent::Found(at) => self.ids.get(at).copied().flatten(),
        }
    }

    /// Nobody is at this place: whoever was there may still be found elsewhere.
    fn vacate(&mut self, parent: Uuid, name: &str) {
        if let Some(id) = self.tree.child(&parent, name).map(|node| node.id) {
            self.tree.detach(&id);
            self.found.homeless.insert(id, parent);
        }
    }

    fn identify(&mut self, parent: Uuid, name: &str, stat: &Stat) -> Uuid {
        let occupant = self.tree.child(&parent, name);
        if let Some(node) = occupant
            && node.print.inode == stat.inode
            && node.kind == stat.kind
        {
            let id = node.id;
            self.refresh(id, stat);
            return id;
        }
        let occupant = occupant.map(|node| Occupant {
            id: node.id,
            vacant: node.kind == stat.kind && !self.found.inodes.contains(&node.print.inode),
            reported: node.reported.is_some(),
        });
        if let Some(mover) = self.mover(stat) {
            return self.arrive(mover, occupant, parent, name, stat);
        }
        let tag = self.tag(parent, name, stat);
        if let Some(id) = tag.filter(|id| self.lost_its_file(id, stat)) {
            self.vacate(parent, name);
            self.place(id, parent, name, stat, true);
            return id;
        }
        if let Some(occupant) = occupant.filter(|occupant| occupant.vacant) {
            self.place(occupant.id, parent, name, stat, tag == Some(occupant.id));
            return occupant.id;
        }
        self.vacate(parent, name);
        let carried = tag.filter(|id| self.tree.get(id).is_none());
        let id = carried.unwrap_or_else(node::new_id);
        let mut node = Node::new(id, parent, name, stat);
        node.tagged = carried.is_some();
        self.tree.insert(node);
        self.found.placed.insert(id);
        let watched = self.tree.is_watched(&id);
        self.tree.set_due(&id, watched);
        id
    }

    /// The same file at the same place.
    fn refresh(&mut self, id: Uuid, stat: &Stat) {
        self.found.homeless.remove(&id);
        self.found.placed.insert(id);
        let print = Print::from(stat);
        if self.tree.get(&id).is_some_and(|node| node.print != print) {
            self.tree.change(&id, |node| {
                node.print = print;
                node.read = false;
                node.due = true;
            });
        }
    }

    /// The node whose inode this is, and that is not where it was.
    fn mover(&self, stat: &Stat) -> Option<Uuid> {
        let candidates = self.tree.by_inode(stat.inode).into_iter();
        candidates
            .filter(|id| !self.found.placed.contains(id))
            .filter(|id| {
                self.tree
                    .live(id)
                    .is_some_and(|node| node.kind == stat.kind)
            })
            .find(|id| stat.kind == FileKind::Folder || stat.links <= 1 || !self.holds(id))
    }

    /// True when a node's file is still at the node's place.
    fn holds(&self, id: &Uuid) -> bool {
        if self.found.homeless.contains_key(id) {
            return false;
        }
        let Some(node) = self.tree.live(id) else {
            return false;
        };
        let folder = self.eyes.disk.folder(self.tree, &node.parent);
        folder
            .and_then(|folder| os::stat_at(folder, &node.name))
            .is_ok_and(|stat| stat.inode == node.print.inode)
    }

    /// A known file came to another place.
    fn arrive(
        &mut self,
        mover: Uuid,
        occupant: Option<Occupant>,
        parent: Uuid,
        name: &str,
        stat: &Stat,
    ) -> Uuid {
        let unheard = self
            .tree
            .get(&mover)
            .is_some_and(|node| node.reported.is_none() && node.member.is_none());
        if let Some(occupant) = occupant
            && occupant.vacant
            && occupant.reported
            && unheard
            && stat.kind == FileKind::File
        {
            // A file that nobody heard of was written and renamed over a known one: a save.
            self.found.homeless.remove(&mover);
            self.tree.remove(&mover);
            self.place(occupant.id, parent, name, stat, false);
            return occupant.id;
        }
        self.vacate(parent, name);
        let tagged = self.tree.get(&mover).is_some_and(|node| node.tagged);
        self.place(mover, parent, name, stat, tagged);
        mover
    }

    fn place(&mut self, id: Uuid, parent: Uuid, name: &str, stat: &Stat, tagged: bool) {
        self.found.homeless.remove(&id);
        self.found.placed.insert(id);
        self.tree.change(&id, |node| {
            node.parent = parent;
            node.name = name.into();
            node.kind = stat.kind;
            node.print = stat.into();
            node.read = false;
            node.gone = false;
            node.tagged = tagged;
            node.due = true;
        });
        self.weigh(&id, false);
    }

    /// Notes what became of a node that moved, and of what is below it: into what is watched, out of it, or neither.
    fn weigh(&mut self, id: &Uuid, covered: bool) {
        let Some(node) = self.tree.get(id) else {
            return;
        };
        let (reported, folder) = (node.reported.is_some(), node.kind == FileKind::Folder);
        let watched = self.tree.is_watched(id);
        let out = reported && !watched;
        if out && covered {
            self.tree.change(id, |node| node.reported = None);
        } else if out || (watched && !reported) {
            self.tree.set_due(id, true);
        }
        if folder {
            let children: Vec<Uuid> = self.tree.children(id).map(|child| child.id).collect();
            for child in children {
                self.weigh(&child, covered || out);
            }
        }
    }

    /// The id that a file carries.
    fn tag(&mut self, parent: Uuid, name: &str, stat: &Stat) -> Option<Uuid> {
        let can = matches!(stat.kind, FileKind::File | FileKind::Folder);
        if !can || !self.eyes.disk.attributes {
            return None;
        }
        if self.open.as_ref().is_none_or(|(id, _)| *id != parent) {
            let folder = self.eyes.disk.folder(self.tree, &parent).ok();
            self.open = Some((parent, folder));
        }
        let (_, folder) = self.open.as_ref()?;
        parse_tag(&os::attribute_at(folder.as_ref()?, name, OsStr::new(TAG))?)
    }

    /// True when the node with this id is known but its file is not where it was: then whoever carries the id is it.
    /// Otherwise the carrier is a copy, and the file that the index knows keeps the id.
    fn lost_its_file(&self, id: &Uuid, stat: &Stat) -> bool {
        if self.found.placed.contains(id) || *id == self.tree.root() {
            return false;
        }
        let Some(node) = self.tree.get(id) else {
            return false;
        };
        node.kind == stat.kind
            && (node.gone
                || self.found.homeless.contains_key(id)
                || (!self.found.inodes.contains(&node.print.inode) && !self.holds(id)))
    }

    /// Whoever was found nowhere is gone, with all that is below.
    pub(super) fn whoever_is_nowhere(&mut self) {
        let homeless: Vec<Uuid> = self.found.homeless.keys().copied().collect();
        for id in homeless {
            if !self.found.placed.contains(&id) {
                bury(self.tree, &id, false);
            }
        }
    }
}

/// Forgets a node and all below it; what the coordinator heard of stays as a tombstone until it hears the end.
/// The absence of a folder stands for all that was below it, but for chosen nodes: the coordinator may not know the
/// folders between.
fn bury(tree: &mut Tree, id: &Uuid, covered: bool) {
    let Some(node) = tree.get(id) else {
        return;
    };
    let heard = node.reported.is_some();
    let children: Vec<Uuid> = tree.children(id).map(|child| child.id).collect();
    for child in children {
        bury(tree, &child, covered || heard);
    }
    if heard && (!covered || tree.watched().contains_key(id)) {
        tree.change(id, |node| {
            node.gone = true;
            node.due = true;
            node.locked = None;
        });
    } else {
        tree.remove(id);
    }
}
