//! A content repository that users and an agent work on: a tree of nodes with stable ids and revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_server::domain::ids::{Digest, MemberId, NodeId};
use tandem_server::domain::names::NameRule;
use tandem_server::domain::projection::{ContentRef, NodeKind, Projection, PropertyValue, Side};
use tandem_server::domain::report::{NodeTrait, Presence};

/// What the agent keeps about a node that it made or changed.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The member.
    pub member: MemberId,
    /// The version that was delivered.
    pub version: i64,
    /// What was delivered.
    pub delivered: Arc<Projection>,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// The folder it lies in.
    pub parent: NodeId,
    /// Document or folder.
    pub kind: NodeKind,
    /// The name.
    pub name: String,
    /// The content, as a number that only one user ever wrote; 0 in folders.
    pub content: u64,
    /// The title.
    pub title: Option<String>,
    /// The number of this state.
    pub revision: u64,
    /// For whom the agent made it.
    pub mark: Option<Trace>,
    /// A delivery that was applied and whose outcome is not recorded yet.
    pub unreported: Option<Trace>,
    /// Users may not change it.
    pub locked: bool,
    /// Somebody edits it online (R-LCK-2).
    pub edited: bool,
    /// What is special about it.
    pub node_trait: NodeTrait,
}

/// The tree of one side.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The side.
    pub side: Side,
    /// How names are compared.
    pub name_rule: NameRule,
    /// A rule gives new documents a title.
    pub adds_title: bool,
    /// What came with a delivery is not remembered: a repeated create is answered as if it had come with this one, as a
    /// directory does.
    pub forgets_deliveries: bool,
    /// All nodes.
    pub nodes: BTreeMap<NodeId, Node>,
    /// The roots that the agent watches.
    pub watched: BTreeSet<NodeId>,
    /// Contents that the agent archived.
    pub archive: BTreeSet<u64>,
    /// Deliveries that will still be refused.
    pub refusals: usize,
    counter: u64,
}

/// The library that holds everything; never synced.
pub fn library() -> NodeId {
    NodeId("library".to_owned())
}

/// The content of a token.
#[must_use]
pub fn content_ref(token: u64) -> ContentRef {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&token.to_be_bytes());
    ContentRef {
        digest: Digest(digest),
        size: i64::try_from(token % 1000).unwrap_or(0) + 1,
    }
}

/// The token of a content.
#[must_use]
pub fn token_of(content: ContentRef) -> u64 {
    let first = content.digest.0.first_chunk::<8>().copied();
    u64::from_be_bytes(first.unwrap_or_default())
}

impl Node {
    /// How it looks to the coordinator.
    #[must_use]
    pub fn projection(&self) -> Arc<Projection> {
        let title = self.title.iter();
        Arc::new(Projection {
            kind: self.kind,
            name: self.name.clone(),
            content: (self.kind == NodeKind::Document).then(|| content_ref(self.content)),
            properties: title
                .map(|title| ("cm:title".to_owned(), PropertyValue::Text(title.clone())))
                .collect(),
            node_type: String::new(),
        })
    }

    /// What an agent reports of it.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence {
            parent: self.parent.clone(),
            revision: format!("r{}", self.revision),
            projection: self.projection(),
            mark: self.mark.as_ref().map(|mark| mark.member),
            node_trait: self.node_trait,
            locked: self.locked,
            edited: self.edited,
            actor: String::new(),
        }
    }
}

impl Repository {
    /// A repository with an empty library.
    #[must_use]
    pub fn new(side: Side, name_rule: NameRule) -> Self {
        let mut repository = Self {
            side,
            name_rule,
            adds_title: false,
            forgets_deliveries: false,
            nodes: BTreeMap::new(),
            watched: BTreeSet::new(),
            archive: BTreeSet::new(),
            refusals: 0,
            counter: 0,
        };
        let node = repository.blank(NodeId::default(), NodeKind::Folder, "library");
        repository.nodes.insert(library(), node);
        repository
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn blank(&mut self, parent: NodeId, kind: NodeKind, name: &str) -> Node {
        Node {
            parent,
            kind,
            name: name.to_owned(),
            content: 0,
            title: None,
            revision: self.next(),
            mark: None,
            unreported: None,
            locked: false,
            edited: false,
            node_trait: NodeTrait::Ordinary,
        }
    }

    /// Makes a node, if the folder is there and the name is free.
    pub fn create(&mut self, folder: &NodeId, kind: NodeKind, name: &str) -> Option<NodeId> {
        if !self.is_folder(folder) || self.taken(folder, name, None).is_some() {
            return None;
        }
        let id = self.new_id();
        let node = self.blank(folder.clone(), kind, name);
        self.nodes.insert(id.clone(), node);
        Some(id)
    }

    /// Changes a node and its revision.
    pub fn change(&mut self, node: &NodeId, change: impl FnOnce(&mut Node)) {
        let revision = self.next();
        if let Some(node) = self.nodes.get_mut(node) {
            change(node);
            node.revision = revision;
        }
    }

    /// Moves and renames at once, if the place is free and not below the node itself.
    pub fn relocate(&mut self, node: &NodeId, folder: &NodeId, name: &str) -> bool {
        let free = self.is_folder(folder)
            && self.taken(folder, name, Some(node)).is_none()
            && !self.is_within(folder, node);
        if free {
            self.change(node, |node| {
                node.parent = folder.clone();
                node.name = name.to_owned();
            });
        }
        free
    }

    /// Removes a node and all below it; answers what was removed, the node itself first.
    pub fn remove(&mut self, node: &NodeId) -> Vec<(NodeId, Node)> {
        let mut ids = vec![node.clone()];
        let mut at = 0;
        while at < ids.len() {
            let folder = ids[at].clone();
            ids.extend(self.children(&folder));
            at += 1;
        }
        ids.into_iter()
            .filter_map(|id| self.nodes.remove(&id).map(|node| (id, node)))
            .collect()
    }

    /// Every node but the fixed ones gets another id.
    pub fn lose_ids(&mut self, fixed: &BTreeSet<&NodeId>) {
        let mut names = BTreeMap::new();
        for id in self.nodes.keys().cloned().collect::<Vec<_>>() {
            let new = match fixed.contains(&id) {
                true => id.clone(),
                false => self.new_id(),
            };
            names.insert(id, new);
        }
        let nodes = std::mem::take(&mut self.nodes);
        for (id, mut node) in nodes {
            if let Some(parent) = names.get(&node.parent) {
                node.parent = parent.clone();
            }
            self.nodes.insert(names[&id].clone(), node);
        }
    }

    /// Everything is as it was, but no id or revision is given out twice.
    pub fn go_back(&mut self, then: Self) {
        let counter = self.counter;
        *self = then;
        self.counter = counter;
    }

    fn new_id(&mut self) -> NodeId {
        let prefix = match self.side {
            Side::OnPremise => "p",
            Side::Cloud => "c",
        };
        NodeId(format!("{prefix}{:04}", self.next()))
    }

    /// True for a folder that is there.
    #[must_use]
    pub fn is_folder(&self, node: &NodeId) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|node| node.kind == NodeKind::Folder)
    }

    /// What is equal for names that this repository takes for the same; written apart from the domain's.
    fn key(&self, name: &str) -> String {
        let folded = match self.name_rule.unicode_insensitive {
            true => name.replace("e\u{301}", "\u{e9}"),
            false => name.to_owned(),
        };
        match self.name_rule.case_insensitive {
            true => folded.chars().flat_map(char::to_lowercase).collect(),
            false => folded,
        }
    }

    /// The node that has this name in a folder, other than the one given.
    #[must_use]
    pub fn taken(&self, folder: &NodeId, name: &str, except: Option<&NodeId>) -> Option<NodeId> {
        let key = self.key(name);
        self.nodes
            .iter()
            .find(|(id, node)| {
                node.parent == *folder && Some(*id) != except && self.key(&node.name) == key
            })
            .map(|(id, _)| id.clone())
    }

    /// Whether a node is the folder or lies in it, at any depth.
    #[must_use]
    pub fn is_within(&self, node: &NodeId, folder: &NodeId) -> bool {
        let mut at = Some(node);
        while let Some(id) = at {
            if id == folder {
                return true;
            }
            at = self.nodes.get(id).map(|node| &node.parent);
        }
        false
    }

    /// What lies in a folder, by id.
    #[must_use]
    pub fn children(&self, folder: &NodeId) -> Vec<NodeId> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.parent == *folder)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The node at a path below a folder, names separated by `/`.
    #[must_use]
    pub fn find(&self, below: &NodeId, path: &str) -> Option<NodeId> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(below.clone(), |folder, name| {
                self.taken(&folder, name, None)
            })
    }

    /// The path of a node below the library.
    #[must_use]
    pub fn path(&self, node: &NodeId) -> String {
        match self.nodes.get(node) {
            Some(found) if *node != library() => {
                format!("{}/{}", self.path(&found.parent), found.name)
            }
            _ => String::new(),
        }
    }
}
