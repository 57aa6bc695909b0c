//! What an agent tells of its repository, and in which order: parents first, moves before absences.

use std::collections::BTreeSet;

use tandem_server::domain::copy::Absence;
use tandem_server::domain::ids::NodeId;
use tandem_server::domain::projection::NodeKind;
use tandem_server::domain::report::{Item, Observation, Seen};

use super::super::apply::look;
use super::super::repository::Repository;
use super::{Agent, Reported};

impl Agent {
    /// Parents stand before what is inside them, each in its present state.
    pub(super) fn report_present(&mut self, repository: &Repository, node: &NodeId) {
        let Some(found) = repository
            .nodes
            .get(node)
            .filter(|_| self.watches(repository, node))
        else {
            return;
        };
        self.report_gone_folder(repository, &found.parent);
        if self.watches(repository, &found.parent) {
            self.report_present(repository, &found.parent);
        }
        let now = Reported {
            parent: found.parent.clone(),
            revision: found.revision,
        };
        self.memory.emptied.remove(node);
        let before = self.durable.index.insert(node.clone(), now.clone());
        if before.as_ref() == Some(&now) {
            return;
        }
        let moved = before.is_none_or(|before| before.parent != now.parent);
        if moved && found.kind == NodeKind::Folder {
            self.look_below(repository, node);
        }
        let observation = look(repository, node);
        self.durable.items.push_back(Item::Observed(observation));
    }

    /// A node may lie in a folder that was watched and is no more: that is told first.
    pub(super) fn report_gone_folder(&mut self, repository: &Repository, folder: &NodeId) {
        let watched = self.watches(repository, folder);
        if !watched && self.durable.index.remove(folder).is_some() {
            self.report_absent(repository, folder, false);
        }
    }

    /// A folder brings its content.
    pub(super) fn look_below(&mut self, repository: &Repository, folder: &NodeId) {
        for node in repository.nodes.keys() {
            if node == folder || !repository.is_within(node, folder) {
                continue;
            }
            self.memory.dirty.insert(node.clone());
        }
    }

    pub(super) fn absence(&self, repository: &Repository, node: &NodeId) -> Observation {
        let moved = self.tells_move_out && repository.nodes.contains_key(node);
        let absence = match moved {
            true => Absence::MovedOut,
            false => Absence::Deleted,
        };
        Observation {
            node: node.clone(),
            seen: Seen::Absent {
                absence,
                choice: None,
                root_emptied: self.memory.emptied.contains(node),
            },
        }
    }

    /// What the index knows below roots that are gone or empty now, and the roots themselves (R-DEL-3).
    pub(super) fn missing_from_emptied(&self, repository: &Repository) -> BTreeSet<NodeId> {
        let index = &self.durable.index;
        let emptied = |root: &NodeId| {
            self.durable.roots.contains(root) && repository.children(root).is_empty()
        };
        let missing = index.keys().filter(|node| {
            let mut at = *node;
            for _ in 0..=index.len() {
                if emptied(at) {
                    return true;
                }
                match index.get(at) {
                    Some(reported) => at = &reported.parent,
                    None => return false,
                }
            }
            false
        });
        missing
            .filter(|node| !repository.nodes.contains_key(*node))
            .cloned()
            .collect()
    }

    /// A folder's absence stands for all that was in it, so that need not be told; but of chosen nodes: the coordinator
    /// may not know the folder between.
    pub(super) fn report_absent(&mut self, repository: &Repository, node: &NodeId, briefly: bool) {
        self.report_moved_from(repository, node);
        let observation = self.absence(repository, node);
        self.durable.items.push_back(Item::Observed(observation));
        let inside = self.durable.index.iter();
        let inside: Vec<NodeId> = inside
            .filter(|(_, reported)| reported.parent == *node)
            .map(|(id, _)| id.clone())
            .collect();
        for child in inside {
            if briefly && !self.is_root(&child) && !self.watches(repository, &child) {
                self.durable.index.remove(&child);
                self.forget_below(repository, &child);
            } else {
                self.memory.dirty.insert(child);
            }
        }
    }

    /// What was in a folder and still is somewhere did not go with it; that is told before.
    fn report_moved_from(&mut self, repository: &Repository, folder: &NodeId) {
        let inside = self.durable.index.iter();
        let inside: Vec<NodeId> = inside
            .filter(|(_, reported)| reported.parent == *folder)
            .map(|(id, _)| id.clone())
            .collect();
        for child in inside {
            let there = repository.nodes.get(&child);
            let moved = there.is_some_and(|node| node.parent != *folder);
            if moved && self.watches(repository, &child) {
                self.report_present(repository, &child);
            } else if moved && self.durable.index.remove(&child).is_some() {
                self.report_absent(repository, &child, false);
            } else {
                self.report_moved_from(repository, &child);
            }
        }
    }

    pub(super) fn forget_below(&mut self, repository: &Repository, folder: &NodeId) {
        let inside = self.durable.index.iter();
        let inside: Vec<NodeId> = inside
            .filter(|(_, reported)| reported.parent == *folder)
            .map(|(id, _)| id.clone())
            .collect();
        for child in inside {
            if self.is_root(&child) || self.watches(repository, &child) {
                self.memory.dirty.insert(child);
            } else {
                self.durable.index.remove(&child);
                self.forget_below(repository, &child);
            }
        }
    }
}
