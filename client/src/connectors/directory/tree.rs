//! The index in memory: nodes by id, by place, by inode and by member, and what is due to be offered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    mem,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    node::Node,
    os::{FileKind, Inode},
};

/// How many folders may lie above a node.
pub(super) const DEPTH_MAX: usize = 1024;

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Uuid,
    nodes: HashMap<Uuid, Node>,
    children: HashMap<Uuid, BTreeMap<Arc<str>, Uuid>>,
    inodes: BTreeSet<(Inode, Uuid)>,
    members: HashMap<[u8; 16], Uuid>,
    due: BTreeMap<u64, Uuid>,
    due_at: HashMap<Uuid, u64>,
    due_next: u64,
    unsaved: HashSet<Uuid>,
    /// Ids that the index on disk does not hold yet.
    new: HashSet<Uuid>,
    /// The watched nodes, and whether what is below their subfolders counts too; a document is watched wherever it lies.
    watched: HashMap<Uuid, bool>,
}

impl Tree {
    /// Fills the tree with what the index remembers.
    pub(super) fn load(nodes: Vec<Node>, root: Uuid, watched: HashMap<Uuid, bool>) -> Self {
        let mut tree = Self {
            root,
            watched,
            ..Self::default()
        };
        for node in nodes {
            tree.insert(node);
        }
        tree.unsaved.clear();
        tree.new.clear();
        tree
    }

    /// The root that the agent was given.
    pub(super) fn root(&self) -> Uuid {
        self.root
    }

    /// A node, also one that is gone and not yet reported.
    pub(super) fn get(&self, id: &Uuid) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// A node that is there.
    pub(super) fn live(&self, id: &Uuid) -> Option<&Node> {
        self.nodes.get(id).filter(|node| !node.gone)
    }

    /// Adds a node, or puts another state in its place.
    pub(super) fn insert(&mut self, node: Node) {
        let id = node.id;
        if !self.nodes.contains_key(&id) {
            self.new.insert(id);
        }
        self.unlink(&id);
        self.unsaved.insert(id);
        if node.due {
            self.push_due(id);
        } else {
            self.pop_due(&id);
        }
        if let Some(member) = node.member {
            self.members.insert(member, id);
        }
        if !node.gone {
            self.inodes.insert((node.print.inode, id));
            if !node.parent.is_nil() {
                let siblings = self.children.entry(node.parent).or_default();
                siblings.insert(Arc::clone(&node.name), id);
            }
        }
        self.nodes.insert(id, node);
    }

    /// Changes a node and keeps every way to it right.
    pub(super) fn change(&mut self, id: &Uuid, change: impl FnOnce(&mut Node)) {
        if let Some(mut node) = self.nodes.get(id).cloned() {
            change(&mut node);
            self.insert(node);
        }
    }

    /// Forgets a node.
    pub(super) fn remove(&mut self, id: &Uuid) -> Option<Node> {
        self.unlink(id);
        self.pop_due(id);
        self.unsaved.insert(*id);
        self.new.remove(id);
        self.children.remove(id);
        self.nodes.remove(id)
    }

    /// Takes a node out of its place, until it is found elsewhere, by its inode, or known to be gone.
    pub(super) fn detach(&mut self, id: &Uuid) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        if let Some(siblings) = self.children.get_mut(&node.parent)
            && siblings.get(&node.name) == Some(id)
        {
            siblings.remove(&node.name);
        }
    }

    fn unlink(&mut self, id: &Uuid) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        self.inodes.remove(&(node.print.inode, *id));
        if let Some(member) = node.member
            && self.members.get(&member) == Some(id)
        {
            self.members.remove(&member);
        }
        let (parent, name) = (node.parent, Arc::clone(&node.name));
        if let Some(siblings) = self.children.get_mut(&parent) {
            if siblings.get(&name) == Some(id) {
                siblings.remove(&name);
            }
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Who is known to be at a place.
    pub(super) fn child(&self, parent: &Uuid, name: &str) -> Option<&Node> {
        let id = self.children.get(parent)?.get(name)?;
        self.nodes.get(id)
    }

    /// Who is known to be in a folder.
    pub(super) fn children(&self, folder: &Uuid) -> impl Iterator<Item = &Node> {
        let children = self.children.get(folder).into_iter();
        children
            .flat_map(BTreeMap::values)
            .filter_map(|id| self.nodes.get(id))
    }

    /// The names known in a folder.
    pub(super) fn names(&self, folder: &Uuid) -> Vec<Arc<str>> {
        let children = self.children.get(folder);
        children.map_or_else(Vec::new, |children| children.keys().cloned().collect())
    }

    /// The children behind an id in the order of ids, at most `max`, and whether more follow.
    pub(super) fn page(&self, folder: &Uuid, after: Uuid, max: usize) -> (Vec<Uuid>, bool) {
        let children = self.children.get(folder).into_iter();
        let mut ids: Vec<Uuid> = children
            .flat_map(BTreeMap::values)
            .copied()
            .filter(|id| *id > after)
            .collect();
        let more = ids.len() > max;
        if more {
            ids.select_nth_unstable(max);
            ids.truncate(max);
        }
        ids.sort_unstable();
        (ids, more)
    }

    /// The nodes that are known under an inode: several where a file has several names.
    pub(super) fn by_inode(&self, inode: Inode) -> Vec<Uuid> {
        let range = (inode, Uuid::nil())..=(inode, Uuid::max());
        self.inodes.range(range).map(|(_, id)| *id).collect()
    }

    /// The node that was made for a member.
    pub(super) fn by_member(&self, member: &[u8; 16]) -> Option<&Node> {
        self.nodes.get(self.members.get(member)?)
    }

    /// The path of a node below the root.
    pub(super) fn path(&self, id: &Uuid) -> Option<String> {
        let mut names = Vec::new();
        let mut at = *id;
        while at != self.root {
            let node = self.nodes.get(&at)?;
            names.push(Arc::clone(&node.name));
            at = node.parent;
            if names.len() > DEPTH_MAX {
                return None;
            }
        }
        names.reverse();
        Some(names.join("/"))
    }

    /// The folders above a node, nearest first.
    pub(super) fn ancestors(&self, id: &Uuid) -> Vec<Uuid> {
        let mut ancestors = Vec::new();
        let mut at = self.nodes.get(id).map(|node| node.parent);
        while let Some(parent) = at.filter(|parent| !parent.is_nil()) {
            ancestors.push(parent);
            if ancestors.len() > DEPTH_MAX {
                break;
            }
            at = self.nodes.get(&parent).map(|node| node.parent);
        }
        ancestors
    }

    /// All that is below a folder, parents first.
    pub(super) fn below(&self, folder: &Uuid) -> Vec<Uuid> {
        let mut found = Vec::new();
        let mut folders = vec![*folder];
        while let Some(at) = folders.pop() {
            for child in self.children(&at) {
                found.push(child.id);
                if child.kind == FileKind::Folder {
                    folders.push(child.id);
                }
            }
        }
        found
    }

    /// True for watched nodes and what counts below them.
    pub(super) fn is_watched(&self, id: &Uuid) -> bool {
        if self.watched.contains_key(id) {
            return true;
        }
        let Some(node) = self.nodes.get(id) else {
            return false;
        };
        if self.watched.get(&node.parent) == Some(&false) && node.kind != FileKind::Folder {
            return true;
        }
        self.ancestors(id)
            .iter()
            .any(|ancestor| self.watched.get(ancestor) == Some(&true))
    }

    /// The watched nodes.
    pub(super) fn watched(&self) -> &HashMap<Uuid, bool> {
        &self.watched
    }

    /// Replaces the watched nodes.
    pub(super) fn set_watched(&mut self, watched: HashMap<Uuid, bool>) {
        self.watched = watched;
    }

    /// Every id, in no order.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.nodes.keys().copied().collect()
    }

    /// Notes that a node has to be looked at and perhaps offered.
    pub(super) fn set_due(&mut self, id: &Uuid, due: bool) {
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        if node.due != due {
            node.due = due;
            self.unsaved.insert(*id);
        }
        if due {
            self.push_due(*id);
        } else {
            self.pop_due(id);
        }
    }

    fn push_due(&mut self, id: Uuid) {
        if !self.due_at.contains_key(&id) {
            self.due.insert(self.due_next, id);
            self.due_at.insert(id, self.due_next);
            self.due_next += 1;
        }
    }

    fn pop_due(&mut self, id: &Uuid) {
        if let Some(at) = self.due_at.remove(id) {
            self.due.remove(&at);
        }
    }

    /// What is due, longest first.
    pub(super) fn due(&self) -> impl Iterator<Item = Uuid> {
        self.due.values().copied()
    }

    /// The index on disk holds this id already.
    pub(super) fn note_known(&mut self, id: &Uuid) {
        self.new.remove(id);
    }

    /// The ids that the index on disk does not hold yet, to be saved with all that is unsaved.
    pub(super) fn take_new(&mut self) -> HashSet<Uuid> {
        mem::take(&mut self.new)
    }

    /// What was taken to be saved could not be.
    pub(super) fn note_unsaved(&mut self, unsaved: Vec<Uuid>, new: HashSet<Uuid>) {
        self.unsaved.extend(unsaved);
        self.new.extend(new);
    }

    /// Whether nothing differs from the index on disk.
    pub(super) fn is_saved(&self) -> bool {
        self.unsaved.is_empty()
    }

    /// What differs from the index on disk: the nodes to be written, and the ids to be forgotten.
    pub(super) fn take_unsaved(&mut self) -> (Vec<Node>, Vec<Uuid>) {
        let mut written = Vec::new();
        let mut forgotten = Vec::new();
        for id in mem::take(&mut self.unsaved) {
            match self.nodes.get(&id) {
                Some(node) => written.push(node.clone()),
                None => forgotten.push(id),
            }
        }
        (written, forgotten)
    }
}
