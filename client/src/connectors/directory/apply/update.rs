//! Changing nodes: name and place, properties and lock, content.

use std::{fs::File, io, sync::MutexGuard};

use tandem_proto::v1::{Delivery, FailureReason, Projection, UpdateNode};
use uuid::Uuid;

use super::{
    super::{
        faults::Point,
        node::{Node, Print, Revision},
        os::{self, FileKind},
        properties, reading,
        versions::{Version, Versions},
    },
    Answer, Group, State,
    create::{WRITE_BITS, unlock},
    fail, from_io,
    stage::{Temp, comment, wanted},
};

/// What an update makes of a node.
struct Change {
    before: Node,
    after: Node,
    content: bool,
    moved: bool,
}

impl Change {
    fn new(node: &Node, projection: &Projection, parent: Uuid, locked: bool) -> Self {
        let mut after = node.clone();
        after.parent = parent;
        after.name = projection.name.as_str().into();
        after.properties = properties::sorted(projection.properties.clone());
        if node.kind == FileKind::File {
            after.known = wanted(projection).or(node.known);
        }
        after.locked = match (locked, node.locked) {
            (true, None) => Some(0o644),
            (true, mode) => mode,
            (false, _) => None,
        };
        Self {
            content: after.known != node.known,
            moved: after.parent != node.parent || after.name != node.name,
            before: node.clone(),
            after,
        }
    }

    fn is_done(&self) -> bool {
        self.before.revision() == self.after.revision()
    }
}

impl Group<'_> {
    /// Makes a node look as delivered, if it still is what the coordinator thinks (R-REC-6).
    pub(super) fn update(
        &mut self,
        delivery: &Delivery,
        update: &UpdateNode,
        temp: Option<Temp>,
        version: Uuid,
    ) -> Result<Answer, Answer> {
        let id = Uuid::try_parse(&update.node_id).map_err(|_| Answer::Gone)?;
        let mut state = self.certain(&id)?;
        let node = state.tree.live(&id).cloned().ok_or(Answer::Gone)?;
        let parent = match update.parent.as_ref() {
            Some(place) => self.target(&state.tree, Some(place))?,
            None => node.parent,
        };
        let projection = update.projection.clone().unwrap_or_default();
        let mut change = Change::new(&node, &projection, parent, update.locked);
        if change.is_done() {
            return Ok(heard(&mut state, &id));
        }
        if Revision::parse(&update.expected_revision) != Some(node.revision()) {
            drop(state);
            return Ok(self.other_than_expected(&id));
        }
        if change.content && temp.is_none() {
            return Err(fail(
                FailureReason::ContentUnavailable,
                &"the delivery changes the content but came without its bytes",
            ));
        }
        self.core
            .faults
            .at(Point::Checked)
            .map_err(|error| from_io(&error))?;
        self.relocate(&mut state, &change)?;
        let done = match temp.filter(|_| change.content) {
            Some(temp) => {
                let Change { before, after, .. } = &mut change;
                self.exchange(&state, before, after, &temp, delivery, version)
            }
            None => self.touch(&state, &mut change).map(|()| true),
        };
        match done {
            Ok(true) => {}
            other => {
                self.put_back(&mut state, &change);
                drop(state);
                other?;
                return Ok(self.other_than_expected(&id));
            }
        }
        state.tree.insert(change.after);
        let answer = heard(&mut state, &id);
        drop(state);
        self.core
            .faults
            .at(Point::Visible)
            .map_err(|error| from_io(&error))?;
        Ok(answer)
    }

    /// Gives a node its new name and place.
    fn relocate(
        &mut self,
        state: &mut MutexGuard<'_, State>,
        change: &Change,
    ) -> Result<(), Answer> {
        if !change.moved {
            return Ok(());
        }
        let (before, after) = (&change.before, &change.after);
        let from = self.open_target(&state.tree, &before.parent)?;
        let to = self.open_target(&state.tree, &after.parent)?;
        match os::rename(&from, &before.name, &to, &after.name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.clash(state, after.parent, &after.name));
            }
            // A user moved that folder into this one, and the coordinator has not heard of it yet (R-REC-10).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(fail(
                    FailureReason::TargetFolderNotFound,
                    &"the receiving folder lies in the folder that is to move there",
                ));
            }
            Err(error) => return Err(from_io(&error)),
        }
        if before.parent != after.parent {
            tandem_crash::at("K10");
        }
        for folder in [&before.parent, &after.parent] {
            if let Some(path) = state.tree.path(folder) {
                self.flush.path(path);
            }
        }
        Ok(())
    }

    fn put_back(&self, state: &mut MutexGuard<'_, State>, change: &Change) {
        if !change.moved {
            return;
        }
        let (before, after) = (&change.before, &change.after);
        let from = self.core.disk.folder(&state.tree, &after.parent);
        let to = self.core.disk.folder(&state.tree, &before.parent);
        let back = from.and_then(|from| os::rename(from, &after.name, to?, &before.name));
        if let Err(error) = back {
            // It stays where it is; the watcher reports the place.
            tracing::warn!(node = %before.id, %error, "a node could not be put back");
        }
    }

    /// Changes properties and lock of the file as it is.
    fn touch(&mut self, state: &MutexGuard<'_, State>, change: &mut Change) -> Result<(), Answer> {
        let (before, after) = (&change.before, &mut change.after);
        let mut touch = || -> io::Result<Print> {
            let folder = self.core.disk.folder(&state.tree, &after.parent)?;
            let file = match after.kind {
                FileKind::Folder => File::from(os::open_folder_at(&folder, &after.name)?),
                _ => os::open_at(&folder, &after.name)?,
            };
            if before.properties != after.properties && self.core.disk.attributes {
                if let Some(mode) = before.locked.filter(|_| after.kind == FileKind::File) {
                    unlock(&file, mode)?;
                }
                properties::write(&file, &after.properties)?;
            }
            let stat = os::stat(&file)?;
            after.locked = lock(&file, before.locked, after)?;
            debug_assert_eq!(
                stat.inode, before.print.inode,
                "certain() looked at this file"
            );
            Ok(Print::from(&os::stat(&file)?))
        };
        after.print = touch().map_err(|error| from_io(&error))?;
        after.read = true;
        let path = state.tree.path(&after.parent).unwrap_or_default();
        let path = match path.is_empty() {
            true => after.name.to_string(),
            false => format!("{path}/{}", after.name),
        };
        self.flush.path(path);
        Ok(())
    }

    /// Exchanges the file for the new one and looks at what came out; false when it was not the expected one, which is
    /// back in its place then.
    pub(super) fn exchange(
        &mut self,
        state: &MutexGuard<'_, State>,
        before: &Node,
        after: &mut Node,
        temp: &Temp,
        delivery: &Delivery,
        version: Uuid,
    ) -> Result<bool, Answer> {
        let error = |error: io::Error| from_io(&error);
        let folder = self.open_target(&state.tree, &after.parent)?;
        let file = os::open_at(&self.work, &temp.name).map_err(error)?;
        let old = os::stat_at(&folder, &after.name).map_err(error)?;
        self.adopt(&file, &old, before, after).map_err(error)?;
        os::exchange(&self.work, &temp.name, &folder, &after.name).map_err(error)?;
        let came = os::stat_at(&self.work, &temp.name).map_err(error)?;
        if !same_content(&Print::from(&came), &before.print) {
            os::exchange(&self.work, &temp.name, &folder, &after.name).map_err(error)?;
            return Ok(false);
        }
        let path = state.tree.path(&before.id).unwrap_or_default();
        self.core
            .versions
            .keep(&self.work, &temp.name, version)
            .map_err(error)?;
        if let Some(known) = before.known {
            self.versions.push(Version {
                id: version,
                node: before.id,
                path,
                known,
                comment: comment(delivery, "replaced by sync"),
                actor: delivery.act_as.clone(),
                archived_at: reading::now(),
            });
        }
        self.flush.versions.extend(Versions::flushed(Some(version)));
        if let Some(path) = state.tree.path(&after.parent) {
            self.flush.path(path);
        }
        after.print = Print::from(&os::stat(&file).map_err(error)?);
        after.read = true;
        after.tagged = self.core.disk.attributes;
        Ok(true)
    }

    /// Gives the new file what belongs to the node or its owner.
    fn adopt(
        &self,
        file: &File,
        old: &os::Stat,
        before: &Node,
        after: &mut Node,
    ) -> io::Result<()> {
        let dressed = Projection {
            properties: after.properties.clone(),
            ..Projection::default()
        };
        self.dress(file, after.id, &dressed)?;
        os::copy_owner(file, old);
        os::set_mode(file, old.mode)?;
        after.locked = lock(file, before.locked, after)?;
        Ok(())
    }
}

/// Makes the permission bits of a file fit the lock; the answer is what comes back with the release.
fn lock(file: &File, before: Option<u32>, after: &Node) -> io::Result<Option<u32>> {
    let mode = os::stat(file)?.mode;
    match (before, after.locked) {
        (None, None) => Ok(None),
        (Some(earlier), None) => {
            if after.kind == FileKind::File {
                unlock(file, earlier)?;
            }
            Ok(None)
        }
        (earlier, Some(_)) => {
            if after.kind == FileKind::File {
                os::set_mode(file, mode & !WRITE_BITS)?;
            }
            Ok(Some(earlier.unwrap_or(mode)))
        }
    }
}

/// The same bytes as were read: renaming changes the time of the last change, but nothing of these.
pub(super) fn same_content(one: &Print, other: &Print) -> bool {
    (one.inode, one.size, one.modified) == (other.inode, other.size, other.modified)
}

/// The node is as delivered, and the outcome says so.
fn heard(state: &mut MutexGuard<'_, State>, id: &Uuid) -> Answer {
    state.tree.change(id, |node| {
        node.reported = Some(node.revision());
        node.due = false;
    });
    let node = state.tree.live(id);
    node.map_or(Answer::Gone, |node| {
        Answer::Applied(Box::new(node.observation(None)))
    })
}
