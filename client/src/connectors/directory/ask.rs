//! Answers to what the coordinator asks (R-AGT-8).

use std::io;

use bytes::Bytes;
use rustix::fs::Access;
use tandem_proto::v1::{
    AccessInfo, NodeInfo, NodeKind, Property, PropertyValue, property_value::Kind,
};
use uuid::Uuid;

use super::{
    core::{Core, Depth, unavailable},
    index, look, names,
    node::Node,
    os::{self, FileKind},
    pending::Place,
    properties, reading,
    tree::Tree,
    users::Rights,
    versions::parse_node,
};
use crate::agent::repository::{Content, Error, INLINE_BYTES_MAX, Present};

impl Core {
    /// Tells which nodes these are.
    pub(super) fn resolve(
        &self,
        node_ids: &[String],
        paths: &[String],
    ) -> Result<Vec<NodeInfo>, Error> {
        self.ensure_root()?;
        self.catch_up(true)?;
        let mut state = self.state();
        let mut infos = Vec::with_capacity(node_ids.len() + paths.len());
        for text in node_ids {
            let id = Uuid::try_parse(text).unwrap_or_default();
            let info = state
                .tree
                .live(&id)
                .map(|node| self.info(&state.tree, node));
            infos.push(info.unwrap_or_else(|| missing(text.clone())));
        }
        for path in paths {
            let id = self.find(&mut state.tree, path);
            let node = id.as_ref().and_then(|id| state.tree.live(id));
            let info = node.map(|node| self.info(&state.tree, node));
            infos.push(info.unwrap_or_else(|| missing(String::new())));
        }
        self.save(&mut state).map_err(unavailable)?;
        Ok(infos)
    }

    /// The node at a path; what is not known yet is looked at.
    pub(super) fn find(&self, tree: &mut Tree, path: &str) -> Option<Uuid> {
        let mut at = tree.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            names::check(name).ok()?;
            if tree.child(&at, name).is_none() {
                let place = Place {
                    folder: at,
                    name: name.to_owned(),
                };
                look::places(self.eyes(), tree, &[place], &[]);
            }
            at = tree.child(&at, name)?.id;
        }
        Some(at)
    }

    fn info(&self, tree: &Tree, node: &Node) -> NodeInfo {
        let kind = match node.kind {
            FileKind::Folder => NodeKind::Folder,
            FileKind::File | FileKind::Link | FileKind::Special => NodeKind::Document,
        };
        NodeInfo {
            node_id: node.id.to_string(),
            missing: false,
            kind: kind.into(),
            name: names::told(&node.name),
            path: told_path(&tree.path(&node.id).unwrap_or_default()),
            illegal_name: !names::is_legal(&node.name),
            node_trait: node.node_trait().into(),
            library_root: false,
            in_library: true,
            writable: self.may(tree, node, Access::WRITE_OK),
            size: match node.kind {
                FileKind::File => i64::try_from(node.print.size).unwrap_or(i64::MAX),
                FileKind::Folder | FileKind::Link | FileKind::Special => 0,
            },
            // Who has a file open is not known for certain (capability `editing_locks`).
            locked_for_editing: false,
            checked_out: tree.is_checked_out(&node.id),
        }
    }

    fn may(&self, tree: &Tree, node: &Node, access: Access) -> bool {
        match node.parent.is_nil() {
            true => os::may(self.disk.root(), ".", access),
            false => {
                let folder = self.disk.folder(tree, &node.parent);
                let linked = matches!(node.kind, FileKind::Link | FileKind::Special);
                !linked && folder.is_ok_and(|folder| os::may(folder, &node.name, access))
            }
        }
    }

    /// Lists a folder by node id.
    pub(super) fn list_folder(
        &self,
        node_id: &str,
        after: &str,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        self.ensure_root()?;
        let id = parse_node(node_id)?;
        let after = Uuid::try_parse(after).unwrap_or_default();
        let mut state = self.state();
        let folder = state.tree.live(&id).map(|node| node.kind);
        if folder != Some(FileKind::Folder) {
            return Err(Error::NodeNotFound(node_id.to_owned()));
        }
        if after.is_nil() && !look::folder(self.eyes(), &mut state.tree, id) {
            let path = state.tree.path(&id).unwrap_or_default();
            return Err(Error::Unavailable(format!("{path} cannot be listed")));
        }
        let (ids, more) = state.tree.page(&id, after, max);
        let nodes = ids.iter().filter_map(|id| state.tree.live(id));
        let infos = nodes.map(|node| self.info(&state.tree, node)).collect();
        self.save(&mut state).map_err(unavailable)?;
        Ok((infos, more))
    }

    /// What somebody may do, as far as this process may do it, too. A directory without users tells the latter alone.
    pub(super) fn check_access(
        &self,
        user: &str,
        node_ids: &[String],
    ) -> Result<Vec<AccessInfo>, Error> {
        let who = match &self.options.users {
            Some(users) => Some(users.identity(user).map_err(Error::Refused)?),
            None => None,
        };
        self.ensure_root()?;
        self.catch_up(true)?;
        let state = self.state();
        let infos = node_ids.iter().map(|text| {
            let id = Uuid::try_parse(text).unwrap_or_default();
            let node = state.tree.live(&id);
            let may = |access| node.is_some_and(|node| self.may(&state.tree, node, access));
            let parent = node.and_then(|node| state.tree.live(&node.parent));
            let delete =
                parent.is_some_and(|parent| self.may(&state.tree, parent, Access::WRITE_OK));
            let theirs = match (&who, node) {
                (Some(who), Some(node)) => self.rights_of(&state.tree, node, who, false),
                _ => Rights::ALL,
            };
            AccessInfo {
                node_id: text.clone(),
                read: may(Access::READ_OK) && theirs.read,
                write: may(Access::WRITE_OK) && theirs.write,
                delete: delete && theirs.delete,
            }
        });
        Ok(infos.collect())
    }

    /// Makes a folder, once for each request.
    pub(super) fn create_folder(
        &self,
        parent: &str,
        name: &str,
        request: &[u8],
    ) -> Result<NodeInfo, Error> {
        self.ensure_root()?;
        names::check(name).map_err(Error::Refused)?;
        let parent = parse_node(parent)?;
        let key = request.to_vec();
        let made = self
            .index
            .run(move |transaction| index::requested(transaction, &key));
        let mut state = self.state();
        let made = made.map_err(unavailable)?.map(Uuid::from_bytes);
        if let Some(node) = made.and_then(|id| state.tree.live(&id)) {
            return Ok(self.info(&state.tree, node));
        }
        let id = Uuid::new_v4();
        self.make_folder(&mut state.tree, id, parent, name, request)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::NodeNotFound(parent.to_string()),
                io::ErrorKind::AlreadyExists => {
                    Error::Refused(format!("the name {name:?} is taken; choose another"))
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull => {
                    Error::Refused(error.to_string())
                }
                _ => unavailable(error),
            })?;
        self.save(&mut state).map_err(unavailable)?;
        let node = state
            .tree
            .live(&id)
            .ok_or_else(|| Error::NodeNotFound(id.to_string()))?;
        Ok(self.info(&state.tree, node))
    }

    fn make_folder(
        &self,
        tree: &mut Tree,
        id: Uuid,
        parent: Uuid,
        name: &str,
        request: &[u8],
    ) -> io::Result<()> {
        let folder = self.disk.folder(tree, &parent)?;
        let work = self.disk.work()?;
        let temp = id.to_string();
        os::make_folder(&work, &temp)?;
        let open = os::open_folder_at(&work, &temp)?;
        let mut node = Node::new(id, parent, name, &os::stat(&open)?);
        if self.disk.attributes {
            let tag = std::ffi::OsStr::new(reading::TAG);
            node.tagged = os::set_attribute(&open, tag, temp.as_bytes()).is_ok();
        }
        let (saved, key) = (node.clone(), request.to_vec());
        self.index.run(move |transaction| {
            index::save(transaction, &[saved], &[])?;
            index::set_requested(transaction, &key, id)
        })?;
        let watch = self.watcher.watch(&open)?;
        let moved = os::rename(&work, &temp, &folder, name);
        if let Err(error) = moved {
            os::remove_folder(&work, &temp)?;
            tree.remove(&id);
            return Err(error);
        }
        std::fs::File::from(folder).sync_all()?;
        node.print = (&os::stat(&open)?).into();
        node.due = true;
        tree.insert(node);
        self.pending.register(watch, id);
        self.disk.tidy();
        self.pending.wake.notify_one();
        Ok(())
    }

    /// Gives a folder title and description, as a user does; empty ones stay as they are.
    pub(super) fn describe_folder(
        &self,
        node_id: &str,
        described: &[(&str, String)],
    ) -> Result<(), Error> {
        self.ensure_root()?;
        if !self.disk.attributes {
            let what = "give folders titles or descriptions: its file system keeps no attributes";
            return Err(Error::Unsupported(what));
        }
        let id = parse_node(node_id)?;
        let mut state = self.state();
        let missing = || Error::NodeNotFound(node_id.to_owned());
        let node = state.tree.live(&id).ok_or_else(missing)?;
        let path = state.tree.path(&id).ok_or_else(missing)?;
        let folder = self.disk.file_at(&path).map_err(unavailable)?;
        let mut properties = properties::read(&folder, &node.properties).map_err(unavailable)?;
        for (name, text) in described.iter().filter(|(_, text)| !text.is_empty()) {
            properties.retain(|property| property.name != *name);
            properties.push(Property {
                name: (*name).to_owned(),
                value: Some(PropertyValue {
                    kind: Some(Kind::Text(text.clone())),
                }),
            });
        }
        properties::write(&folder, &properties).map_err(unavailable)?;
        // Looked at like any change of a user.
        let watched = state.tree.is_watched(&id);
        state.tree.change(&id, |node| {
            node.properties = properties::sorted(properties);
            node.read = false;
            node.due = watched;
        });
        self.save(&mut state).map_err(unavailable)
    }

    /// Opens the content of a node that still has this digest; without one, whatever it has.
    pub(super) fn open_content(
        &self,
        node_id: &str,
        digest: Option<&[u8]>,
    ) -> Result<Present, Error> {
        self.ensure_root()?;
        let id = parse_node(node_id)?;
        let missing = || Error::NodeNotFound(node_id.to_owned());
        let changed = || Error::ContentChanged(node_id.to_owned());
        self.freshen(&[id], Depth::Needed);
        let (path, print, known) = {
            let state = self.state();
            let node = state.tree.live(&id).ok_or_else(missing)?;
            let path = state.tree.path(&id).ok_or_else(missing)?;
            (path, node.print, node.known.filter(|_| node.read))
        };
        let known = known
            .filter(|known| digest.is_none_or(|digest| known.digest == digest))
            .ok_or_else(changed)?;
        let file = self
            .disk
            .file_at(&path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => changed(),
                _ => unavailable(error),
            })?;
        let stat = os::stat(&file).map_err(unavailable)?;
        let same =
            stat.inode == print.inode && (stat.size, stat.modified) == (print.size, print.modified);
        if !same {
            return Err(changed());
        }
        let digest = Some(Bytes::copy_from_slice(&known.digest));
        if known.size > INLINE_BYTES_MAX {
            let content = Content::File(file, known.size);
            return Ok(Present { content, digest });
        }
        let (read, bytes) = reading::digest(&file, known.size).map_err(unavailable)?;
        let bytes = bytes.filter(|_| read == known);
        let content = Content::Bytes(bytes.ok_or_else(changed)?);
        Ok(Present { content, digest })
    }
}

fn told_path(path: &str) -> String {
    let names: Vec<String> = path.split('/').map(names::told).collect();
    names.join("/")
}

fn missing(node_id: String) -> NodeInfo {
    NodeInfo {
        node_id,
        missing: true,
        ..NodeInfo::default()
    }
}
