//! Preparing: new bytes in the work folder, new nodes in memory; nothing of it is visible.

use std::{ffi::OsStr, fs::File, io, io::Write, os::fd::OwnedFd};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    ContentRef, CreateNode, Delivery, FailureReason, NodeKind, Projection, delivery::Action,
};
use uuid::Uuid;

use super::{
    super::{
        checkouts, names,
        node::{self, Known, Node},
        os::{self, Stat},
        properties,
        reading::{self, TAG},
    },
    Answer, Group, fail, from_io,
    intent::Intent,
};

/// A file counts as written a little before it was: a user's write right after is then seen by its time.
const BACKDATED: i64 = 50_000_000;

/// A delivery with its bytes.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) delivery: Delivery,
    pub(crate) bytes: Source,
}

/// Where the bytes of a delivery are.
#[derive(Debug)]
pub(crate) enum Source {
    None,
    Bytes(Bytes),
    /// Already in the work folder, under this name.
    Temp(String, Known),
    /// They could not be had.
    Failed(FailureReason, String),
}

/// A file or folder in the work folder.
#[derive(Debug, Clone)]
pub(super) struct Temp {
    pub(super) name: String,
    pub(super) known: Option<Known>,
    pub(super) stat: Stat,
}

/// A delivery that is ready to be made visible.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) delivery: Delivery,
    pub(super) temp: Option<Temp>,
    /// The node to be made.
    pub(super) node: Option<Node>,
    pub(super) intent: Option<Intent>,
    /// The version that keeps what is replaced or deleted.
    pub(super) version: Uuid,
    pub(super) failed: Option<Answer>,
}

/// True when bytes are those that a delivery names.
pub(super) fn matches(content: Option<&ContentRef>, known: &Known) -> bool {
    content.is_some_and(|content| {
        content.digest[..] == known.digest && content.size == known.size.cast_signed()
    })
}

/// What a projection says about content.
pub(super) fn wanted(projection: &Projection) -> Option<Known> {
    let content = projection.content.as_ref()?;
    Some(Known {
        digest: <[u8; 32]>::try_from(&content.digest[..]).ok()?,
        size: content.size.cast_unsigned(),
    })
}

impl Group<'_> {
    /// Prepares all deliveries, in parallel where bytes are written.
    pub(super) fn stage(&mut self, items: Vec<Item>) -> Vec<Staged> {
        let ids: Vec<Option<Uuid>> = items.iter().map(|item| self.new_id(item)).collect();
        let jobs: Vec<(Item, Option<Uuid>)> = items.into_iter().zip(ids).collect();
        let temps = reading::in_parallel(&jobs, |(item, id)| self.temp(item, *id));
        let pairs = jobs.into_iter().zip(temps);
        pairs
            .map(|((item, id), temp)| self.staged(item, id, temp))
            .collect()
    }

    /// The id of a node that is to be made; `None` when it is there already, or nothing is to be made.
    fn new_id(&mut self, item: &Item) -> Option<Uuid> {
        let Some(Action::Create(_)) = &item.delivery.action else {
            return None;
        };
        let member = member(&item.delivery)?;
        let state = self.core.state();
        let known = state.tree.by_member(&member).is_some_and(|node| !node.gone);
        if known || self.made.contains_key(&member) {
            return None;
        }
        let id = node::new_id();
        drop(state);
        self.made.insert(member, id);
        Some(id)
    }

    fn temp(&self, item: &Item, id: Option<Uuid>) -> Result<Option<Temp>, Answer> {
        if let Some(Action::Create(CreateNode { projection, .. })) = &item.delivery.action {
            let projection = projection.clone().unwrap_or_default();
            let Some(id) = id else { return Ok(None) };
            check(&projection)?;
            if projection.kind() == NodeKind::Folder {
                let made = self.folder(id, &projection);
                let made = made.map_err(|error| from_io(&error))?;
                return Ok(Some(self.give(&item.delivery, made)));
            }
            if matches!(item.bytes, Source::None) {
                return Err(fail(
                    FailureReason::ContentUnavailable,
                    &"the delivery of a document came without its bytes",
                ));
            }
            let made = self.file(item, &projection, id, true)?;
            return Ok(made.map(|made| self.give(&item.delivery, made)));
        }
        let Some(Action::Update(update)) = &item.delivery.action else {
            return Ok(None);
        };
        let projection = update.projection.clone().unwrap_or_default();
        check(&projection)?;
        self.file(item, &projection, Uuid::new_v4(), false)
    }

    fn folder(&self, id: Uuid, projection: &Projection) -> io::Result<Temp> {
        let name = id.to_string();
        os::make_folder(&self.work, &name)?;
        let folder = File::from(os::open_folder_at(&self.work, &name)?);
        self.dress(&folder, id, projection)?;
        Ok(Temp {
            name,
            known: None,
            stat: os::stat(&folder)?,
        })
    }

    fn file(
        &self,
        item: &Item,
        projection: &Projection,
        id: Uuid,
        new: bool,
    ) -> Result<Option<Temp>, Answer> {
        let written = match &item.bytes {
            Source::None => return Ok(None),
            Source::Failed(reason, text) => return Err(fail(*reason, text)),
            Source::Temp(name, known) => (name.clone(), *known),
            Source::Bytes(bytes) => {
                let known = Known {
                    digest: Sha256::digest(bytes).into(),
                    size: bytes.len() as u64,
                };
                if !matches(projection.content.as_ref(), &known) {
                    return Err(fail(
                        FailureReason::ContentUnavailable,
                        &"the bytes received are not those that were announced",
                    ));
                }
                let name = id.to_string();
                write(&self.work, &name, bytes).map_err(|error| from_io(&error))?;
                (name, known)
            }
        };
        let (name, known) = written;
        let finish = || -> io::Result<Temp> {
            let file = os::open_at(&self.work, &name)?;
            if new {
                self.dress(&file, id, projection)?;
            }
            os::set_modified(&file, reading::now() - BACKDATED)?;
            Ok(Temp {
                name: name.clone(),
                known: Some(known),
                stat: os::stat(&file)?,
            })
        };
        finish().map(Some).map_err(|error| from_io(&error))
    }

    /// Puts id and properties on a file.
    pub(super) fn dress(&self, file: &File, id: Uuid, projection: &Projection) -> io::Result<()> {
        if !self.core.disk.attributes {
            return Ok(());
        }
        os::set_attribute(file, OsStr::new(TAG), id.to_string().as_bytes())?;
        if projection.properties.is_empty() {
            return Ok(());
        }
        properties::write(file, &projection.properties)
    }

    fn staged(&self, item: Item, id: Option<Uuid>, temp: Result<Option<Temp>, Answer>) -> Staged {
        let version = Uuid::now_v7();
        let (temp, failed) = match temp {
            Ok(temp) => (temp, None),
            Err(answer) => (None, Some(answer)),
        };
        if let (None, Source::Temp(name, _)) = (&temp, &item.bytes) {
            self.discard(Some(name));
        }
        let node = match (&item.delivery.action, id, &temp) {
            (Some(Action::Create(create)), Some(id), Some(temp)) => {
                Some(self.new_node(&item.delivery, create, id, temp))
            }
            _ => None,
        };
        let intent = self.intent(&item.delivery, version, temp.as_ref());
        Staged {
            delivery: item.delivery,
            temp,
            node,
            intent,
            version,
            failed,
        }
    }

    fn new_node(&self, delivery: &Delivery, create: &CreateNode, id: Uuid, temp: &Temp) -> Node {
        let projection = create.projection.clone().unwrap_or_default();
        let state = self.core.state();
        // A parent that this very group is going to make has no place in the tree yet.
        let parent = self
            .intended(&state.tree, create.parent.as_ref())
            .unwrap_or_default();
        let mut node = Node::new(id, parent, &projection.name, &temp.stat);
        node.known = temp.known;
        node.read = true;
        node.properties = properties::sorted(projection.properties);
        node.member = member(delivery);
        node.tagged = self.core.disk.attributes;
        node
    }

    fn intent(&self, delivery: &Delivery, version: Uuid, temp: Option<&Temp>) -> Option<Intent> {
        let (node, temp) = match &delivery.action {
            Some(Action::Update(update)) => (&update.node_id, temp?),
            Some(Action::Delete(delete)) => {
                return self.deletion(delivery, &delete.node_id, version);
            }
            _ => return None,
        };
        let node = Uuid::try_parse(node).ok()?;
        let path = self.core.state().tree.path(&node)?;
        Some(Intent {
            temp: temp.name.clone(),
            version,
            node,
            ours: temp.stat.inode,
            path,
            comment: comment(delivery, "replaced by sync"),
            actor: delivery.act_as.clone(),
        })
    }

    pub(super) fn deletion(
        &self,
        delivery: &Delivery,
        node: &str,
        version: Uuid,
    ) -> Option<Intent> {
        let node = Uuid::try_parse(node).ok()?;
        let path = self.core.state().tree.path(&node)?;
        Some(Intent {
            temp: version.to_string(),
            version,
            node,
            ours: os::Inode::default(),
            path,
            comment: comment(delivery, "deleted by sync"),
            actor: delivery.act_as.clone(),
        })
    }
}

fn write(work: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = os::create_at(work, name)?;
    file.write_all(bytes)
        .inspect_err(|_| drop(os::unlink(work, name)))
}

/// Why something is archived.
pub(super) fn comment(delivery: &Delivery, otherwise: &str) -> String {
    let conflict = delivery
        .conflict
        .as_ref()
        .map(|conflict| conflict.comment.clone());
    conflict
        .filter(|comment| !comment.is_empty())
        .unwrap_or_else(|| otherwise.to_owned())
}

/// The member that a delivery is for.
pub(super) fn member(delivery: &Delivery) -> Option<[u8; 16]> {
    let id = delivery.id.as_ref()?;
    <[u8; 16]>::try_from(&id.member_id[..]).ok()
}

/// Refuses names that a directory cannot have, or would not sync.
fn check(projection: &Projection) -> Result<(), Answer> {
    let mut checked = names::check(&projection.name);
    if projection.kind() == NodeKind::Document {
        checked = checked.and_then(|()| checkouts::check(&projection.name));
    }
    checked.map_err(|complaint| fail(FailureReason::UnsupportedNode, &complaint))
}
