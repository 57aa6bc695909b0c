//! Deleting nodes: documents into the versions, folders only when nothing is left in them (R-DEL-2).

use std::io;

use tandem_proto::v1alpha::{DeleteNode, Delivery};
use uuid::Uuid;

use super::{
    super::{
        faults::Point,
        node::{Node, Print, Revision},
        os::{self, FileKind},
        reading,
        versions::{Version, Versions},
    },
    Answer, Group, State, from_io,
    stage::comment,
    update::same_content,
};

impl Group<'_> {
    /// Removes a node if it still is what the coordinator thinks.
    pub(super) fn delete(
        &mut self,
        delivery: &Delivery,
        delete: &DeleteNode,
        version: Uuid,
    ) -> Result<Answer, Answer> {
        let absent = Answer::AppliedAbsent(delete.node_id.clone());
        let Ok(id) = Uuid::try_parse(&delete.node_id) else {
            return Ok(absent);
        };
        let mut state = match self.certain(&id) {
            Ok(state) => state,
            Err(Answer::Gone) => {
                // The outcome tells the coordinator what the tombstone was kept for.
                self.core.state().tree.remove(&id);
                return Ok(absent);
            }
            Err(other) => return Err(other),
        };
        let node = state.tree.live(&id).cloned().ok_or(Answer::Gone)?;
        if Revision::parse(&delete.expected_revision) != Some(node.revision()) {
            drop(state);
            return Ok(self.stale(&id));
        }
        self.core
            .faults
            .at(Point::Checked)
            .map_err(|error| from_io(&error))?;
        let removed = match node.kind {
            FileKind::Folder => self.remove_folder(&state, &node),
            _ => self.remove_file(&state, &node, delivery, version),
        };
        if !removed? {
            drop(state);
            return match node.kind {
                FileKind::Folder => self.present(&id),
                _ => Ok(self.stale(&id)),
            };
        }
        if let Some(path) = state.tree.path(&node.parent) {
            self.flush.path(path);
        }
        for below in state.tree.below(&id) {
            state.tree.remove(&below);
        }
        state.tree.remove(&id);
        drop(state);
        self.core
            .faults
            .at(Point::Visible)
            .map_err(|error| from_io(&error))?;
        Ok(absent)
    }

    /// False when something is left in it.
    fn remove_folder(&self, state: &State, node: &Node) -> Result<bool, Answer> {
        let parent = self.open_target(&state.tree, &node.parent)?;
        match os::remove_folder(&parent, &node.name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(from_io(&error)),
        }
    }

    /// Takes a file out of its place and looks at what it was; false when it was not the expected one, which is back
    /// then.
    fn remove_file(
        &mut self,
        state: &State,
        node: &Node,
        delivery: &Delivery,
        version: Uuid,
    ) -> Result<bool, Answer> {
        let error = |error: io::Error| from_io(&error);
        let core = self.core;
        let folder = self.open_target(&state.tree, &node.parent)?;
        let name = version.to_string();
        let (place, near) = match core.versions.is_near() {
            true => (core.versions.late(), true),
            false => (&self.work, false),
        };
        os::rename(&folder, &node.name, place, &name).map_err(error)?;
        let came = os::stat_at(place, &name).map_err(error)?;
        if !same_content(&Print::from(&came), &node.print) {
            os::rename(place, &name, &folder, &node.name).map_err(error)?;
            return Ok(false);
        }
        let Some(known) = node.known else {
            // A link or a device: there is nothing to be archived.
            os::unlink(place, &name).map_err(error)?;
            return Ok(true);
        };
        if !near {
            core.versions
                .keep(&self.work, &name, version)
                .map_err(error)?;
        }
        self.versions.push(Version {
            id: version,
            node: node.id,
            path: state.tree.path(&node.id).unwrap_or_default(),
            known,
            comment: comment(delivery, "deleted by sync"),
            actor: delivery.act_as.clone(),
            archived_at: reading::now(),
        });
        self.flush
            .versions
            .extend(Versions::flushed((!near).then_some(version)));
        Ok(true)
    }
}
