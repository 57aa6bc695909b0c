//! Making a kept version the current content again: as a user would, so the change is reported.

use std::io;

use tandem_proto::v1::{DeliveredConflict, Delivery, Projection};
use uuid::Uuid;

use super::{
    super::{
        core::{Core, unavailable},
        faults::Point,
        node::Node,
        os, reading,
        versions::{self, Version, parse_node, parse_version},
    },
    Answer, Group,
    stage::Temp,
};
use crate::agent::repository::Error;

impl Core {
    /// Restores a version; what it replaces becomes a version itself.
    pub(in super::super) fn restore(&self, node_id: &str, version_id: &str) -> Result<(), Error> {
        self.ensure_root()?;
        let (node, version) = (parse_node(node_id)?, parse_version(version_id)?);
        let found = self
            .index
            .run(move |transaction| versions::get(transaction, version));
        let version = found
            .map_err(unavailable)?
            .filter(|version| version.node == node)
            .ok_or_else(|| Error::VersionNotFound(version_id.to_owned()))?;
        let mut group = Group::new(self).map_err(unavailable)?;
        let temp = group.version_temp(&version).map_err(unavailable)?;
        let name = temp.name.clone();
        let done = group.restore(&version, temp);
        group.discard(Some(&name));
        let mut finish = || {
            group.core.faults.at(Point::Done)?;
            group.flush.run(&self.disk, &self.versions)?;
            group.conclude()
        };
        let done = done.and_then(|()| finish().map_err(unavailable));
        self.disk.tidy();
        self.pending.wake.notify_one();
        done
    }
}

/// An answer to a delivery, as an error of an action.
fn refused(answer: Answer, node: &Uuid) -> Error {
    match answer {
        Answer::Failed(failed) => Error::Refused(failed.message.clone()),
        Answer::Gone => Error::NodeNotFound(node.to_string()),
        _ => Error::ContentChanged(node.to_string()),
    }
}

impl Group<'_> {
    fn version_temp(&self, version: &Version) -> io::Result<Temp> {
        let name = Uuid::new_v4().to_string();
        versions::copy(&self.core.versions.content(version.id)?, &self.work, &name)?;
        let file = os::open_at(&self.work, &name)?;
        file.sync_all()?;
        let (known, _) = reading::digest(&file, version.known.size)?;
        if known != version.known {
            return Err(io::Error::other(
                "the kept version is damaged; take an older one",
            ));
        }
        Ok(Temp {
            name,
            known: Some(known),
            stat: os::stat(&file)?,
        })
    }

    fn restore(&mut self, version: &Version, temp: Temp) -> Result<(), Error> {
        let id = version.node;
        let state = match self.certain(&id) {
            Ok(state) => state,
            Err(Answer::Gone) => return self.bring_back(version, &temp),
            Err(answer) => return Err(refused(answer, &id)),
        };
        let node = state.tree.live(&id).cloned();
        let node = node.ok_or_else(|| Error::NodeNotFound(id.to_string()))?;
        let delivery = Delivery {
            conflict: Some(DeliveredConflict {
                comment: "replaced by a restored version".to_owned(),
                ..DeliveredConflict::default()
            }),
            ..Delivery::default()
        };
        let mut after = node.clone();
        after.known = Some(version.known);
        let archived = Uuid::now_v7();
        let replaced = self.exchange(&state, &node, &mut after, &temp, &delivery, archived);
        if !replaced.map_err(|answer| refused(answer, &id))? {
            return Err(Error::ContentChanged(id.to_string()));
        }
        after.due = true;
        let mut state = state;
        state.tree.insert(after);
        Ok(())
    }

    /// A deleted node comes back under its id, where it was.
    fn bring_back(&mut self, version: &Version, temp: &Temp) -> Result<(), Error> {
        let (parent_path, name) = match version.path.rsplit_once('/') {
            Some((parent, name)) => (parent, name),
            None => ("", version.path.as_str()),
        };
        let missing = || {
            Error::Refused(format!(
                "the folder {parent_path:?} is not there any more; make it, then restore again"
            ))
        };
        let mut state = self.core.state();
        let parent = self
            .core
            .find(&mut state.tree, parent_path)
            .ok_or_else(missing)?;
        let folder = self
            .core
            .disk
            .folder(&state.tree, &parent)
            .map_err(|_| missing())?;
        let file = os::open_at(&self.work, &temp.name).map_err(unavailable)?;
        self.dress(&file, version.node, &Projection::default())
            .map_err(unavailable)?;
        os::rename(&self.work, &temp.name, &folder, name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Refused(format!(
                "{} exists again; rename it, then restore",
                version.path
            )),
            _ => unavailable(error),
        })?;
        let stat = os::stat(&file).map_err(unavailable)?;
        let reported = state.tree.get(&version.node).and_then(|node| node.reported);
        let mut node = Node::new(version.node, parent, name, &stat);
        node.known = Some(version.known);
        node.read = true;
        node.tagged = self.core.disk.attributes;
        node.reported = reported;
        node.due = true;
        state.tree.insert(node);
        self.flush.path(parent_path.to_owned());
        Ok(())
    }
}
