//! The nodes, and what users do with them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    Absence, AbsenceKind, ContentRef, NameRule, NodeKind, NodeTrait, Observation, Projection,
    Property, PropertyValue, WatchRoot, observation::State, property_value,
};
use unicode_normalization::UnicodeNormalization;

use super::{
    faults::Faults, folder_rules::FolderRules, limits::Limits, people::People, versions::Kept,
};
use crate::agent::repository::{INLINE_BYTES_MAX, NAME_BYTES_MAX};

/// The id of the folder that stands for the site library.
pub const ROOT: &str = "root";
/// Its name.
const LIBRARY: &str = "library";
/// The id of a folder beside it, such as a user's own: nothing in it can be synced (SPEC §1).
pub const PRIVATE: &str = "private";

/// How the repository behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// How names are compared.
    pub names: NameRule,
    /// A foreground rule gives every new document without a title its name as `cm:title`.
    pub titles: bool,
    /// Moves out of the watched folders are told from deletions.
    pub move_out: bool,
    /// Types that it knows beside the two base ones.
    pub node_types: &'static [&'static str],
}

/// What a user may not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such node.
    #[error("there is no node {0}")]
    NotFound(String),
    /// Another node has the name.
    #[error("the node {0} has that name already")]
    NameClash(String),
    /// The name is empty, too long, `.` or `..`, or holds a separator or NUL.
    #[error("`{0}` is no name: 1 to 255 bytes, not `.` or `..`, without `/` and NUL")]
    BadName(String),
    /// A document cannot hold nodes, nor a folder content.
    #[error("the node {0} is of the wrong kind")]
    WrongKind(String),
    /// A folder cannot be moved into itself.
    #[error("the folder {0} cannot be moved into itself")]
    Cycle(String),
    /// Somebody edits the document online.
    #[error("the document {0} is being edited online")]
    Edited(String),
    /// Somebody has the document checked out.
    #[error("the document {0} is checked out")]
    CheckedOut(String),
    /// A document of so many bytes is larger than the repository allows.
    #[error("{0} bytes are more than a document may have")]
    TooLarge(u64),
    /// So many bytes are more than the quota leaves.
    #[error("{0} bytes are more than the quota leaves")]
    NoRoom(u64),
    /// A rule of a folder refuses it.
    #[error("a rule refuses it: {0}")]
    Rule(String),
    /// The copy is locked (R-LCK-1).
    #[error("the node {0} is locked by a sync set")]
    Locked(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) parent: String,
    pub(super) name: String,
    /// The bytes of a document; folders have none.
    pub(super) content: Option<Bytes>,
    pub(super) properties: BTreeMap<String, PropertyValue>,
    pub(super) node_type: String,
    pub(super) revision: u64,
    pub(super) mark: Bytes,
    pub(super) locked: bool,
    pub(super) special: NodeTrait,
    pub(super) actor: String,
}

/// A repository without any input or output.
#[derive(Debug, Clone)]
pub struct MemoryTree {
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Who may do what; `None` = the repository has no users.
    pub people: Option<People>,
    /// What fits into it.
    pub limits: Limits,
    /// What people want done or refused in their folders.
    pub folder_rules: FolderRules,
    pub(super) rules: Rules,
    pub(super) prefix: String,
    pub(super) nodes: BTreeMap<String, Node>,
    /// Deleted nodes, as they were.
    pub(super) trash: BTreeMap<String, Node>,
    pub(super) versions: Vec<Kept>,
    pub(super) roots: Vec<WatchRoot>,
    /// Nodes to be offered.
    pub(super) changed: BTreeSet<String>,
    /// The delivery last applied to a member, and the node.
    pub(super) applied: BTreeMap<Bytes, (i64, String)>,
    pub(super) requests: BTreeMap<Vec<u8>, String>,
    /// Documents by their working copies.
    pub(super) checked_out: BTreeMap<String, String>,
    /// Documents that somebody edits.
    pub(super) edited: BTreeSet<String>,
    revisions: u64,
    node_ids: u64,
}

// === impl Node ===

impl Node {
    pub(super) fn folder(parent: &str, name: &str) -> Self {
        Self {
            parent: parent.to_owned(),
            name: name.to_owned(),
            content: None,
            properties: BTreeMap::new(),
            node_type: String::new(),
            revision: 0,
            mark: Bytes::new(),
            locked: false,
            special: NodeTrait::Unspecified,
            actor: String::new(),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.content.is_none()
    }

    pub(super) fn kind(&self) -> NodeKind {
        if self.is_folder() {
            NodeKind::Folder
        } else {
            NodeKind::Document
        }
    }

    pub(super) fn projection(&self) -> Projection {
        let property = |(name, value): (&String, &PropertyValue)| Property {
            name: name.clone(),
            value: Some(value.clone()),
        };
        Projection {
            kind: self.kind().into(),
            name: self.name.clone(),
            content: self.content.as_ref().map(content_ref),
            properties: self.properties.iter().map(property).collect(),
            node_type: self.node_type.clone(),
        }
    }
}

/// Names content, with its bytes if they are few.
pub(super) fn content_ref(bytes: &Bytes) -> ContentRef {
    let few = bytes.len() as u64 <= INLINE_BYTES_MAX;
    ContentRef {
        digest: Bytes::copy_from_slice(&Sha256::digest(bytes)),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        inline: few.then(|| bytes.clone()),
    }
}

// === impl MemoryTree ===

impl MemoryTree {
    /// An empty library. Node ids begin with the prefix, so that those of two repositories differ.
    #[must_use]
    pub fn new(prefix: &str, rules: Rules) -> Self {
        Self {
            faults: Faults::default(),
            people: None,
            limits: Limits::default(),
            folder_rules: FolderRules::default(),
            rules,
            prefix: prefix.to_owned(),
            nodes: BTreeMap::from([
                (ROOT.to_owned(), Node::folder("", LIBRARY)),
                (PRIVATE.to_owned(), Node::folder("", PRIVATE)),
            ]),
            trash: BTreeMap::new(),
            versions: Vec::new(),
            roots: Vec::new(),
            changed: BTreeSet::new(),
            applied: BTreeMap::new(),
            requests: BTreeMap::new(),
            checked_out: BTreeMap::new(),
            edited: BTreeSet::new(),
            revisions: 0,
            node_ids: 0,
        }
    }

    /// A user makes a folder; answers its id.
    pub fn create_folder(&mut self, parent: &str, name: &str) -> Result<String, Refused> {
        self.create_folder_as("", parent, name)
    }

    /// An account makes a folder.
    pub(super) fn create_folder_as(
        &mut self,
        actor: &str,
        parent: &str,
        name: &str,
    ) -> Result<String, Refused> {
        self.insert(Node {
            actor: actor.to_owned(),
            ..Node::folder(parent, name)
        })
    }

    /// A user makes a document; answers its id.
    pub fn create_document(
        &mut self,
        parent: &str,
        name: &str,
        content: impl Into<Bytes>,
    ) -> Result<String, Refused> {
        let content = content.into();
        self.check_size(None, &content)?;
        let content = Some(content);
        self.insert(Node {
            content,
            ..Node::folder(parent, name)
        })
    }

    /// A user replaces the content of a document.
    pub fn write(&mut self, node_id: &str, content: impl Into<Bytes>) -> Result<(), Refused> {
        if self.unlocked(node_id)?.is_folder() {
            return Err(Refused::WrongKind(node_id.to_owned()));
        }
        let content = content.into();
        self.check_rules_of(node_id)?;
        self.check_size(Some(node_id), &content)?;
        self.unlocked(node_id)?.content = Some(content);
        self.touch(node_id);
        Ok(())
    }

    /// A user renames a node.
    pub fn rename(&mut self, node_id: &str, name: &str) -> Result<(), Refused> {
        let parent = self.unlocked(node_id)?.parent.clone();
        self.place(node_id, &parent, name)
    }

    /// A user moves a node into another folder.
    pub fn move_to(&mut self, node_id: &str, parent: &str) -> Result<(), Refused> {
        let name = self.unlocked(node_id)?.name.clone();
        self.place(node_id, parent, &name)
    }

    /// A user deletes a node with all below it.
    pub fn delete(&mut self, node_id: &str) -> Result<(), Refused> {
        self.unlocked(node_id)?;
        self.remove(node_id);
        Ok(())
    }

    /// A user sets a text property, or takes it away.
    pub fn set_property(
        &mut self,
        node_id: &str,
        name: &str,
        text: Option<&str>,
    ) -> Result<(), Refused> {
        self.check_rules_of(node_id)?;
        let node = self.unlocked(node_id)?;
        match text {
            Some(text) => node.properties.insert(name.to_owned(), text_value(text)),
            None => node.properties.remove(name),
        };
        self.touch(node_id);
        Ok(())
    }

    /// Gives a node a type of the repository's own.
    pub fn set_type(&mut self, node_id: &str, node_type: &str) -> Result<(), Refused> {
        self.unlocked(node_id)?.node_type = node_type.to_owned();
        self.touch(node_id);
        Ok(())
    }

    /// What is special about a node from now on.
    pub fn set_trait(&mut self, node_id: &str, special: NodeTrait) -> Result<(), Refused> {
        self.unlocked(node_id)?.special = special;
        self.touch(node_id);
        Ok(())
    }

    /// Somebody edits a document online from now on, or does so no more (R-LCK-2): meanwhile sync changes nothing of it.
    pub fn set_edited(&mut self, node_id: &str, edited: bool) {
        if edited {
            self.edited.insert(node_id.to_owned());
        } else {
            self.edited.remove(node_id);
        }
        self.touch(node_id);
    }

    /// The projection of a node.
    #[must_use]
    pub fn projection(&self, node_id: &str) -> Option<Projection> {
        self.nodes.get(node_id).map(Node::projection)
    }

    /// The bytes of a document.
    #[must_use]
    pub fn content(&self, node_id: &str) -> Option<Bytes> {
        self.nodes.get(node_id)?.content.clone()
    }

    /// Finds a node by the names on its way; empty is the library.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<String> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT.to_owned(), |folder, name| {
                self.children(&folder)
                    .find(|(_, node)| node.name == name)
                    .map(|(id, _)| id.clone())
            })
    }

    /// The names on the way to a node.
    #[must_use]
    pub fn path(&self, node_id: &str) -> String {
        let mut names = Vec::new();
        let mut at = node_id;
        while let Some(node) = self.nodes.get(at).filter(|node| !node.parent.is_empty()) {
            names.push(node.name.as_str());
            at = &node.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Everything below a folder: path, kind and content; what two copies are compared by.
    #[must_use]
    pub fn listing(&self, folder: &str) -> BTreeMap<String, Projection> {
        let below = |node_id: &&String| *node_id != folder && self.is_below(node_id, folder);
        let prefix = self.path(folder).len();
        self.nodes
            .keys()
            .filter(below)
            .filter_map(|id| {
                let path = self.path(id).split_off(prefix);
                Some((
                    path.trim_start_matches('/').to_owned(),
                    self.projection(id)?,
                ))
            })
            .collect()
    }

    /// What is to be told of a node now.
    #[must_use]
    pub fn observation(&self, node_id: &str) -> Observation {
        let Some(node) = self.nodes.get(node_id) else {
            return absence(node_id, AbsenceKind::Deleted);
        };
        let mut observation = Observation {
            node_id: node_id.to_owned(),
            parent_node_id: node.parent.clone(),
            revision: node.revision.to_string(),
            state: Some(State::Present(node.projection())),
            member_mark: node.mark.clone(),
            locked: node.locked,
            actor: node.actor.clone(),
            edited_online: self.edited.contains(node_id),
            ..Observation::default()
        };
        observation.set_node_trait(self.node_trait(node_id, node));
        observation
    }

    /// What is special about a node, its place included (R-MOV-1).
    fn node_trait(&self, node_id: &str, node: &Node) -> NodeTrait {
        match node.special {
            NodeTrait::Unspecified if !self.is_in_library(node_id) => NodeTrait::OutsideLibrary,
            special => special,
        }
    }

    pub(super) fn is_in_library(&self, node_id: &str) -> bool {
        self.is_below(node_id, ROOT)
    }

    // What follows also serves deliveries.

    pub(super) fn insert(&mut self, mut node: Node) -> Result<String, Refused> {
        self.check_place(&node.parent, &node.name, None)?;
        if !node.is_folder() {
            self.check_rules(&node.parent, &node.name)?;
        }
        if self.rules.titles && !node.is_folder() {
            let title = text_value(&node.name);
            node.properties
                .entry("cm:title".to_owned())
                .or_insert(title);
        }
        self.node_ids += 1;
        let node_id = format!("{}{:06}", self.prefix, self.node_ids);
        self.nodes.insert(node_id.clone(), node);
        self.touch(&node_id);
        Ok(node_id)
    }

    pub(super) fn place(&mut self, node_id: &str, parent: &str, name: &str) -> Result<(), Refused> {
        self.check_place(parent, name, Some(node_id))?;
        if self
            .nodes
            .get(node_id)
            .is_some_and(|node| !node.is_folder())
        {
            self.check_rules(parent, name)?;
        }
        if self.is_below(parent, node_id) {
            return Err(Refused::Cycle(node_id.to_owned()));
        }
        let was_watched = self.is_watched(node_id);
        if let Some(node) = self.nodes.get_mut(node_id) {
            node.parent = parent.to_owned();
            node.name = name.to_owned();
        }
        if !was_watched {
            // What comes in brings all below it.
            let below: Vec<String> = self
                .nodes
                .keys()
                .filter(|id| self.is_below(id, node_id))
                .cloned()
                .collect();
            below.iter().for_each(|id| self.touch(id));
        }
        self.touch(node_id);
        if was_watched {
            self.changed.insert(node_id.to_owned());
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, node_id: &str) {
        let watched = self.is_watched(node_id);
        let below: Vec<String> = self
            .nodes
            .keys()
            .filter(|id| self.is_below(id, node_id))
            .cloned()
            .collect();
        let chosen = |id: &str| self.roots.iter().any(|root| root.node_id == id);
        let roots: Vec<String> = below.iter().filter(|id| chosen(id)).cloned().collect();
        for id in below {
            self.changed.remove(&id);
            if let Some(node) = self.nodes.remove(&id) {
                self.trash.insert(id, node);
            }
        }
        if watched {
            // It stands for all below it, but for chosen nodes: the coordinator may not know the folders between.
            self.changed.insert(node_id.to_owned());
        }
        self.changed.extend(roots);
    }

    pub(super) fn touch(&mut self, node_id: &str) {
        self.revisions += 1;
        let revision = self.revisions;
        if let Some(node) = self.nodes.get_mut(node_id) {
            node.revision = revision;
        }
        self.note_written(node_id);
        if self.is_watched(node_id) {
            self.changed.insert(node_id.to_owned());
        }
    }

    pub(super) fn check_place(
        &self,
        parent: &str,
        name: &str,
        node_id: Option<&str>,
    ) -> Result<(), Refused> {
        let bad = name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || name == "."
            || name == ".."
            || name.contains(['/', '\0']);
        if bad {
            return Err(Refused::BadName(name.to_owned()));
        }
        let folder = self
            .nodes
            .get(parent)
            .ok_or_else(|| Refused::NotFound(parent.to_owned()))?;
        if !folder.is_folder() {
            return Err(Refused::WrongKind(parent.to_owned()));
        }
        let wanted = fold(name, self.rules.names);
        let holder = self.children(parent).find(|(id, node)| {
            Some(id.as_str()) != node_id && fold(&node.name, self.rules.names) == wanted
        });
        match holder {
            Some((id, _)) => Err(Refused::NameClash(id.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn children(&self, folder: &str) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes
            .iter()
            .filter(move |(_, node)| node.parent == folder)
    }

    /// True for the folder itself too.
    pub(super) fn is_below(&self, node_id: &str, folder: &str) -> bool {
        let mut at = node_id;
        loop {
            if at == folder {
                return true;
            }
            match self.nodes.get(at) {
                Some(node) if !node.parent.is_empty() => at = &node.parent,
                _ => return false,
            }
        }
    }

    /// True for the watched folders themselves too.
    pub(super) fn is_watched(&self, node_id: &str) -> bool {
        let parent = self.nodes.get(node_id).map(|node| node.parent.as_str());
        self.roots.iter().any(|root| {
            root.node_id == node_id
                || if root.include_subfolders {
                    self.is_below(node_id, &root.node_id)
                } else {
                    parent == Some(&root.node_id)
                }
        })
    }

    pub(super) fn unlocked(&mut self, node_id: &str) -> Result<&mut Node, Refused> {
        match self.nodes.get_mut(node_id) {
            Some(node) if node.locked => Err(Refused::Locked(node_id.to_owned())),
            Some(node) => Ok(node),
            None => Err(Refused::NotFound(node_id.to_owned())),
        }
    }
}

pub(super) fn absence(node_id: &str, kind: AbsenceKind) -> Observation {
    let mut absence = Absence::default();
    absence.set_kind(kind);
    Observation {
        node_id: node_id.to_owned(),
        state: Some(State::Absent(absence)),
        ..Observation::default()
    }
}

pub(super) fn text_value(text: &str) -> PropertyValue {
    PropertyValue {
        kind: Some(property_value::Kind::Text(text.to_owned())),
    }
}

/// The form of a name under which equal names are equal (R-REC-10).
fn fold(name: &str, rule: NameRule) -> String {
    let name = if rule.unicode_insensitive {
        name.nfc().collect()
    } else {
        name.to_owned()
    };
    if rule.case_insensitive {
        name.to_lowercase()
    } else {
        name
    }
}
