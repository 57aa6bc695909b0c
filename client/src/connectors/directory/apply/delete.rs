//! Deleting nodes: documents into the versions, folders only when nothing is left in them (R-DEL-2).

use std::{collections::HashSet, io};

use tandem_proto::v1::{DeleteNode, Delivery, FailureReason};
use uuid::Uuid;

use super::{
    super::{
        faults::Point,
        names,
        node::{Node, Print, Revision},
        os::{self, FileKind},
        reading,
        tree::Tree,
        versions::{Version, Versions},
    },
    Answer, Group, State,
    answer::fail,
    from_io,
    intent::{self, Intent},
    stage::comment,
    update::same_content,
};

/// What lies in a folder and goes with it, children first.
fn doomed(tree: &Tree, folder: &Uuid) -> Vec<Uuid> {
    let mut staying: HashSet<Uuid> = HashSet::new();
    let roots = tree.watched().keys();
    for root in roots.filter(|root| tree.ancestors(root).contains(folder)) {
        staying.extend(tree.ancestors(root));
        staying.extend(tree.below(root));
        staying.insert(*root);
    }
    // What has a name that cannot be told can neither be archived nor asked for again.
    let legal = |id: &Uuid| tree.get(id).is_some_and(|node| names::is_legal(&node.name));
    let below = tree.below(folder).into_iter().rev();
    below
        .filter(|id| !staying.contains(id) && legal(id))
        .collect()
}

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
        let whole = delete.with_content && node.kind == FileKind::Folder;
        if Revision::parse(&delete.expected_revision) != Some(node.revision()) {
            drop(state);
            return Ok(self.other_than_expected(&id));
        }
        self.core
            .faults
            .at(Point::Checked)
            .map_err(|error| from_io(&error))?;
        if whole {
            drop(state);
            self.remove_content(delivery, &id)?;
            state = self.certain(&id)?;
        }
        let removed = match node.kind {
            FileKind::Folder => self.remove_folder(&state, &node),
            _ => self.remove_file(&state, &node, delivery, version),
        };
        if !removed? {
            drop(state);
            return match node.kind {
                FileKind::Folder => self.present(&id),
                _ => Ok(self.other_than_expected(&id)),
            };
        }
        if let Some(path) = state.tree.path(&node.parent) {
            self.flush.path(path);
        }
        for below in state.tree.below(&id) {
            state.tree.remove(&below);
        }
        tandem_crash::at("K9");
        state.tree.remove(&id);
        drop(state);
        self.core
            .faults
            .at(Point::Visible)
            .map_err(|error| from_io(&error))?;
        Ok(absent)
    }

    /// R-UNS-1: all that lies in a folder goes, children first, but watched roots, what they hold, and the folders above
    /// them: those belong to other sets.
    fn remove_content(&mut self, delivery: &Delivery, folder: &Uuid) -> Result<(), Answer> {
        let doomed = doomed(&self.core.state().tree, folder);
        let versions: Vec<(Uuid, Uuid)> = doomed.iter().map(|id| (*id, Uuid::now_v7())).collect();
        self.intend(delivery, &versions)
            .map_err(|error| from_io(&error))?;
        for (id, version) in versions {
            self.remove_one(delivery, &id, version)?;
        }
        Ok(())
    }

    /// Writes down what is going to be removed, before the first of it is.
    fn intend(&mut self, delivery: &Delivery, versions: &[(Uuid, Uuid)]) -> io::Result<()> {
        let intents: Vec<Intent> = versions
            .iter()
            .filter_map(|(id, version)| self.deletion(delivery, &id.to_string(), *version))
            .collect();
        self.intents.extend(intents.iter().cloned());
        self.core
            .index
            .run(move |transaction| intent::save(transaction, &intents))
    }

    fn remove_one(&mut self, delivery: &Delivery, id: &Uuid, version: Uuid) -> Result<(), Answer> {
        let mut state = match self.certain(id) {
            Ok(state) => state,
            Err(Answer::Gone) => return Ok(()),
            Err(other) => return Err(other),
        };
        let Some(node) = state.tree.live(id).cloned() else {
            return Ok(());
        };
        let removed = match node.kind {
            FileKind::Folder => self.remove_folder(&state, &node)?,
            _ => self.remove_file(&state, &node, delivery, version)?,
        };
        if removed {
            tandem_crash::at("K9");
            if let Some(path) = state.tree.path(&node.parent) {
                self.flush.path(path);
            }
            state.tree.remove(id);
            drop(state);
            let visible = self.core.faults.at(Point::Visible);
            return visible.map_err(|error| from_io(&error));
        }
        match node.kind {
            // Something came into it meanwhile.
            FileKind::Folder => Ok(()),
            _ => Err(fail(
                FailureReason::ContentUnavailable,
                &"a file changed while its folder was removed; it is tried again",
            )),
        }
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
