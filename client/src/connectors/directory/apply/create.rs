//! Making nodes, and ending memberships.

use std::{fs::File, io};

use tandem_proto::v1::{CreateNode, Delivery, FailureReason, ReleaseNode};
use uuid::Uuid;

use super::{
    super::{
        faults::Point,
        names,
        node::{Node, Print},
        os::{self, FileKind},
    },
    Answer, Group, fail, from_io,
    stage::{Temp, member},
};

/// The permission bits that let somebody write.
pub(in super::super) const WRITE_BITS: u32 = 0o222;

impl Group<'_> {
    /// Shows a prepared node under its name.
    pub(super) fn create(
        &mut self,
        create: &CreateNode,
        node: Node,
        temp: Option<Temp>,
    ) -> Result<Answer, Answer> {
        let id = node.id;
        let result = self.show(create, node, temp);
        if result.is_err() {
            // The mark in the index goes with the node that never was.
            self.core.state().tree.remove(&id);
        }
        result
    }

    fn show(
        &mut self,
        create: &CreateNode,
        mut node: Node,
        temp: Option<Temp>,
    ) -> Result<Answer, Answer> {
        let temp = temp.ok_or(Answer::Gone)?;
        let mut state = self.core.state();
        let parent = self.target(&state.tree, create.parent.as_ref())?;
        let folder = self.open_target(&state.tree, &parent)?;
        if parent == state.tree.root() && *node.name == *names::WORK {
            return Err(fail(
                FailureReason::UnsupportedNode,
                &"the agent needs this name for itself; rename it on the other side",
            ));
        }
        let error = |error: io::Error| from_io(&error);
        if create.locked {
            let mode = temp.stat.mode;
            node.locked = Some(mode);
            if node.kind == FileKind::File {
                let file = os::open_at(&self.work, &temp.name).map_err(error)?;
                os::set_mode(&file, mode & !WRITE_BITS).map_err(error)?;
            }
        }
        let watch = match node.kind {
            FileKind::Folder => {
                let open = os::open_folder_at(&self.work, &temp.name).map_err(error)?;
                self.core.watcher.watch(&open).ok()
            }
            _ => None,
        };
        match os::rename(&self.work, &temp.name, &folder, &node.name) {
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.clash(&mut state, parent, &node.name));
            }
            other => other.map_err(error)?,
        }
        node.parent = parent;
        let shown = os::stat_at(&folder, &node.name);
        if let Ok(stat) = shown.as_ref()
            && stat.inode == node.print.inode
        {
            node.print.changed = Print::from(stat).changed;
        }
        if let Some(watch) = watch {
            self.core.pending.register(watch, node.id);
        }
        let observation = self.reveal(&mut state.tree, node);
        drop(state);
        self.core.faults.at(Point::Visible).map_err(error)?;
        Ok(observation)
    }

    fn reveal(&mut self, tree: &mut super::Tree, mut node: Node) -> Answer {
        let id = node.id;
        node.reported = Some(node.revision());
        node.due = false;
        let observation = node.observation(None);
        let parent = node.parent;
        tree.insert(node);
        tree.note_known(&id);
        if let Some(path) = tree.path(&parent) {
            self.flush.path(path);
        }
        // What the walk may have found meanwhile under another id is this node.
        tree.set_due(&id, false);
        Answer::Applied(Box::new(observation))
    }

    /// A create that came before: the marked node is as it is now.
    pub(super) fn repeated(&self, delivery: &Delivery) -> Result<Answer, Answer> {
        let known = member(delivery).and_then(|member| {
            self.core
                .state()
                .tree
                .by_member(&member)
                .map(|node| node.id)
        });
        let id = known.ok_or_else(|| {
            fail(
                FailureReason::Unknown,
                &"the delivery names no member; this is a bug",
            )
        })?;
        self.present(&id)
    }

    /// A node as it is now, noted as reported.
    pub(super) fn present(&self, id: &Uuid) -> Result<Answer, Answer> {
        match self.stale(id) {
            Answer::Stale(seen) => Ok(Answer::Applied(seen)),
            Answer::StaleAbsent(id) => Ok(Answer::AppliedAbsent(id)),
            other => Err(other),
        }
    }

    /// Unlocks a copy and forgets its mark (R-LCK-1).
    pub(super) fn release(&mut self, release: &ReleaseNode) -> Result<Answer, Answer> {
        let absent = || Answer::AppliedAbsent(release.node_id.clone());
        let Ok(id) = Uuid::try_parse(&release.node_id) else {
            return Ok(absent());
        };
        {
            let mut state = self.core.state();
            let Some(node) = state.tree.live(&id).cloned() else {
                state.tree.remove(&id);
                return Ok(absent());
            };
            let path = state.tree.path(&id).unwrap_or_default();
            if let Some(mode) = node.locked.filter(|_| node.kind == FileKind::File)
                && let Ok(file) = self.core.disk.file_at(&path)
            {
                unlock(&file, mode).map_err(|error| from_io(&error))?;
                self.flush.path(path);
            }
            state.tree.change(&id, |node| {
                node.locked = None;
                node.member = None;
                node.read = false;
            });
        }
        self.present(&id)
    }
}

/// Gives a file its write bits back; what else was changed of its mode meanwhile stays.
pub(super) fn unlock(file: &File, mode: u32) -> io::Result<()> {
    let now = os::stat(file)?.mode;
    os::set_mode(file, now | (mode & WRITE_BITS))
}
