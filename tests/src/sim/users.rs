//! What users do to a repository, between any two steps of everybody else.

use tandem_server::domain::ids::NodeId;
use tandem_server::domain::projection::NodeKind;
use tandem_server::domain::report::NodeTrait;

use super::ledger::Ledger;
use super::random::Random;
use super::repository::{Node, Repository, library};

/// Few names, so that clashes are common; two of them differ in case, two in their Unicode form.
const NAMES: &[&str] = &["a", "b", "c", "A", "\u{e9}", "e\u{301}"];
/// Repositories grow no further by users' hands.
const NODES_MAX: usize = 16;

/// Acts on one repository.
#[derive(Debug)]
pub struct User<'a> {
    /// Where.
    pub repository: &'a mut Repository,
    /// Notes what is written and given up.
    pub ledger: &'a mut Ledger,
    /// Chance.
    pub random: &'a mut Random,
    /// Nodes that nobody touches: the places around the synced folders.
    pub fixed: &'a [NodeId],
    /// Whether the synced folders themselves may be touched.
    pub roots: &'a [NodeId],
}

impl User<'_> {
    /// Does something; answers what, and the nodes that it changed.
    pub fn act(&mut self, actions: &[usize]) -> Option<(String, Vec<NodeId>)> {
        let action = *self.random.pick(actions)?;
        let node = self.any_node()?;
        match action {
            0 => self.create(NodeKind::Document),
            1 => self.create(NodeKind::Folder),
            2 => self.write(&node),
            3 => self.rename(&node),
            4 => self.title(&node),
            5 => self.relocate(&node),
            6 => self.delete(&node),
            7 => self.swap(&node),
            8 => self.replace(&node),
            9 => self.turn_inside_out(&node),
            10 => self.copy(&node),
            11 => self.make_unfit(&node),
            12 => self.rotate(&node),
            _ => self.edit_online(&node),
        }
    }

    /// Writes new content, if the node is there and may be changed; a folder gets a title.
    pub fn rewrite(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        match self.fixed.contains(node) || found.locked {
            true => None,
            false => self.write(node),
        }
    }

    /// Changes a node, if it is there and may be changed, or deletes it.
    pub fn revise(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        if self.fixed.contains(node) || found.locked {
            return None;
        }
        match self.random.below(8) {
            0 | 1 => self.rename(node),
            2 | 3 => self.title(node),
            4 => self.relocate(node),
            5 => self.delete(node),
            _ => self.write(node),
        }
    }

    fn any_node(&mut self) -> Option<NodeId> {
        let fixed = self.fixed;
        let all = self.repository.nodes.iter();
        let free: Vec<NodeId> = all
            .filter(|(id, node)| !fixed.contains(id) && !node.locked)
            .map(|(id, _)| id.clone())
            .collect();
        self.random.pick(&free).cloned()
    }

    fn any_folder(&mut self) -> Option<NodeId> {
        let all = self.repository.nodes.iter();
        let folders: Vec<NodeId> = all
            .filter(|(id, node)| node.kind == NodeKind::Folder && **id != library())
            .map(|(id, _)| id.clone())
            .collect();
        self.random.pick(&folders).cloned()
    }

    fn any_name(&mut self) -> &'static str {
        self.random.pick(NAMES).copied().unwrap_or("a")
    }

    fn get(&self, node: &NodeId) -> Option<Node> {
        self.repository.nodes.get(node).cloned()
    }

    fn create(&mut self, kind: NodeKind) -> Option<(String, Vec<NodeId>)> {
        if self.repository.nodes.len() >= NODES_MAX {
            return None;
        }
        let folder = self.any_folder()?;
        let name = self.any_name();
        let id = self.repository.create(&folder, kind, name)?;
        let content = match kind {
            NodeKind::Document => self.ledger.write(0),
            NodeKind::Folder => 0,
        };
        let working_copy = self.random.chance(4);
        self.repository.change(&id, |node| {
            node.content = content;
            if working_copy {
                node.node_trait = NodeTrait::WorkingCopy;
            }
        });
        Some((
            format!("creates {id} {}", self.repository.path(&id)),
            vec![id],
        ))
    }

    fn write(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        if found.kind == NodeKind::Folder {
            return self.title(node);
        }
        let content = self.ledger.write(found.content);
        self.repository.change(node, |node| node.content = content);
        Some((format!("writes {node} {content}"), vec![node.clone()]))
    }

    fn title(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let title = match self.random.below(4) {
            0 => None,
            draw => Some(format!("title {draw}")),
        };
        let told = format!("entitles {node} {title:?}");
        self.repository.change(node, |node| node.title = title);
        Some((told, vec![node.clone()]))
    }

    fn rename(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let name = self.any_name();
        let parent = self.get(node)?.parent;
        self.repository
            .relocate(node, &parent, name)
            .then(|| (format!("renames {node} {name}"), vec![node.clone()]))
    }

    fn relocate(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let folder = self.any_folder()?;
        let name = self.get(node)?.name;
        if !self.repository.relocate(node, &folder, &name) {
            return None;
        }
        self.ledger.give_up(self.repository, node);
        let path = self.repository.path(node);
        Some((format!("moves {node} to {path}"), vec![node.clone()]))
    }

    fn delete(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        self.ledger.give_up(self.repository, node);
        let path = self.repository.path(node);
        let removed = self.repository.remove(node);
        let ids = removed.into_iter().map(|(id, _)| id).collect();
        Some((format!("deletes {node} {path}"), ids))
    }

    /// A document becomes a record, a synced folder leaves every library; or the reverse.
    fn make_unfit(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let node = match self.random.chance(50) {
            true => self.random.pick(self.roots)?.clone(),
            false => node.clone(),
        };
        let now = match (self.get(&node)?.node_trait, self.roots.contains(&node)) {
            (NodeTrait::Ordinary, true) => NodeTrait::OutsideLibrary,
            (NodeTrait::Ordinary, false) => NodeTrait::Record,
            (NodeTrait::Record | NodeTrait::OutsideLibrary, _) => NodeTrait::Ordinary,
            _ => return None,
        };
        self.repository.change(&node, |node| node.node_trait = now);
        Some((format!("makes {node} {now:?}"), vec![node]))
    }

    /// R-LCK-2: a document is opened for an online edit, or closed.
    fn edit_online(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        if found.kind == NodeKind::Folder {
            return None;
        }
        self.repository
            .change(node, |node| node.edited = !node.edited);
        let what = if found.edited { "closes" } else { "opens" };
        Some((format!("{what} {node}"), vec![node.clone()]))
    }

    fn siblings(&self, node: &NodeId) -> Option<Vec<NodeId>> {
        let parent = self.get(node)?.parent;
        let mut siblings = self.repository.children(&parent);
        siblings.retain(|other| {
            other != node && !self.fixed.contains(other) && !self.repository.nodes[other].locked
        });
        Some(siblings)
    }

    fn swap(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let siblings = self.siblings(node)?;
        let other = self.random.pick(&siblings)?.clone();
        self.exchange(&[node.clone(), other])
    }

    fn rotate(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let siblings = self.siblings(node)?;
        let [second, third, ..] = siblings.as_slice() else {
            return None;
        };
        self.exchange(&[node.clone(), second.clone(), third.clone()])
    }

    /// Each takes the name of the next, the last that of the first.
    fn exchange(&mut self, nodes: &[NodeId]) -> Option<(String, Vec<NodeId>)> {
        let names: Vec<String> = nodes
            .iter()
            .filter_map(|node| self.get(node).map(|node| node.name))
            .collect();
        for (at, node) in nodes.iter().enumerate() {
            let name = names.get((at + 1) % names.len())?.clone();
            self.repository.change(node, |node| node.name = name);
        }
        Some((format!("exchanges the names of {nodes:?}"), nodes.to_vec()))
    }

    fn replace(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        let (told, mut changed) = self.delete(node)?;
        let id = self
            .repository
            .create(&found.parent, found.kind, &found.name)?;
        let content = match found.kind {
            NodeKind::Document => self.ledger.write(0),
            NodeKind::Folder => 0,
        };
        self.repository.change(&id, |node| node.content = content);
        changed.push(id.clone());
        Some((format!("{told} and makes {id}"), changed))
    }

    /// `a/b` becomes `b/a`.
    fn turn_inside_out(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let inner = self.get(node)?;
        let outer_id = inner.parent.clone();
        let outer = self.get(&outer_id)?;
        let fixed = self.fixed.contains(&outer_id) || self.roots.contains(&outer_id);
        let place = outer.parent.clone();
        if inner.kind != NodeKind::Folder || fixed || outer.locked {
            return None;
        }
        if !self.repository.relocate(node, &place, &inner.name)
            || !self.repository.relocate(&outer_id, node, &outer.name)
        {
            return Some((format!("half turns {node}"), vec![node.clone()]));
        }
        if inner.node_trait != NodeTrait::Ordinary {
            // It is never synced, nor is what lies in it now.
            self.ledger.give_up(self.repository, &outer_id);
        }
        Some((
            format!("turns {node} inside out"),
            vec![node.clone(), outer_id],
        ))
    }

    fn copy(&mut self, node: &NodeId) -> Option<(String, Vec<NodeId>)> {
        let found = self.get(node)?;
        if found.kind == NodeKind::Folder || self.repository.nodes.len() >= NODES_MAX {
            return None;
        }
        let folder = self.any_folder()?;
        let id = self.repository.create(&folder, found.kind, &found.name)?;
        self.repository.change(&id, |node| {
            node.content = found.content;
            node.title = found.title;
        });
        Some((format!("copies {node} to {id}"), vec![id]))
    }
}
