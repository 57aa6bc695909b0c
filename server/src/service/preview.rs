//! What making a set would do (R-SET-6). It asks, and changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::choice::{Chosen, Definition, LeftOut, NEW_FOLDER, NODES, TARGET, check_definition};
use super::command::NodeInfo;
use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::copy::SkipReason;
use crate::domain::ids::NodeId;
use crate::domain::limits::{
    PAGE_SIZE_MAX, PREVIEW_QUESTIONS_MAX, PREVIEW_SECONDS_MAX, PREVIEW_TOLD_MAX,
};
use crate::domain::names::NameRule;
use crate::domain::projection::NodeKind;
use crate::domain::report::NodeTrait;
use crate::domain::sync_set::SetKind;
use crate::storage::sync::load;

/// What would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Documents or a folder.
    pub kind: SetKind,
    /// The chosen nodes that would be in the set.
    pub accepted: Vec<NodeId>,
    /// Documents that would be pushed.
    pub documents: i64,
    /// Folders that would be pushed.
    pub folders: i64,
    /// Bytes of the documents.
    pub bytes: i64,
    /// What would be left out.
    pub skipped: Vec<LeftOut>,
    /// Names that are taken.
    pub clashes: Vec<Clash>,
    /// Not everything was looked at.
    pub incomplete: bool,
}

/// A name that a chosen node cannot get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The chosen node.
    pub node: NodeId,
    /// The name.
    pub name: String,
    /// Who has it.
    pub holder: NodeId,
}

/// How much more may be asked.
struct Budget {
    questions: usize,
    until: Instant,
}

impl Budget {
    fn new() -> Self {
        Self {
            questions: PREVIEW_QUESTIONS_MAX,
            until: Instant::now() + Duration::from_secs(PREVIEW_SECONDS_MAX),
        }
    }

    /// Takes one question; false when there is none left.
    fn take(&mut self) -> bool {
        let left = self.questions > 0 && Instant::now() < self.until;
        self.questions = self.questions.saturating_sub(1);
        left
    }
}

impl UserScope {
    /// Answers the checks of [`UserScope::create_set`], and what it would push.
    ///
    /// # Errors
    /// As [`UserScope::create_set`].
    pub async fn preview_set(&self, new: &Definition) -> Result<Preview, Error> {
        self.require(Role::User)?;
        check_definition(new)?;
        let mut chosen = self.choose(new, &self.user).await?;
        let mut preview = Preview {
            kind: chosen.kind,
            accepted: chosen.accepted.iter().map(|one| one.node.clone()).collect(),
            documents: 0,
            folders: 0,
            bytes: 0,
            skipped: std::mem::take(&mut chosen.skipped),
            clashes: Vec::new(),
            incomplete: false,
        };
        let mut budget = Budget::new();
        self.find_clashes(new, &chosen, &mut preview, &mut budget)
            .await?;
        for node in &chosen.accepted {
            preview.count(node);
        }
        if chosen.kind == SetKind::Folder {
            self.look_inside(new, &chosen, &mut preview, &mut budget)
                .await?;
        }
        Ok(preview)
    }

    /// Names that are taken in the receiving folder, or chosen twice (R-REC-9).
    async fn find_clashes(
        &self,
        new: &Definition,
        chosen: &Chosen,
        preview: &mut Preview,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let rule = self.name_rule(chosen).await?;
        let mut wanted: BTreeMap<String, Vec<&NodeInfo>> = BTreeMap::new();
        for node in &chosen.accepted {
            wanted.entry(rule.key(&node.name)).or_default().push(node);
        }
        let twice = wanted.values().flat_map(|nodes| {
            let others = nodes.iter().skip(1);
            others.map(|node| clash(node, &nodes[0].node))
        });
        preview.clashes = twice.collect();
        let folder = new.new_folder.as_ref().map(|folder| rule.key(&folder.name));
        let mut after = NodeId::default();
        loop {
            if !budget.take() {
                preview.incomplete = true;
                return Ok(());
            }
            let place = (&chosen.target.node, after);
            let cloud = &chosen.repositories.cloud;
            let (nodes, more) = self
                .list_folder(cloud, place, PAGE_SIZE_MAX, TARGET)
                .await?;
            for there in &nodes {
                let key = rule.key(&there.name);
                if folder.as_ref() == Some(&key) {
                    let field = format!("{NEW_FOLDER}.name");
                    let rule = "is taken in the receiving folder; choose another";
                    return Err(Error::invalid(field, rule));
                }
                let takes = wanted.get(&key).filter(|_| folder.is_none());
                let found = takes.and_then(|nodes| nodes.first());
                preview
                    .clashes
                    .extend(found.map(|node| clash(node, &there.node)));
            }
            match nodes.last().filter(|_| more) {
                Some(last) => after = last.node.clone(),
                None => return Ok(()),
            }
        }
    }

    async fn name_rule(&self, chosen: &Chosen) -> Result<NameRule, Error> {
        let store = &self.coordinator.store;
        let declared = load::repositories(store.reader(), self.network).await?;
        let cloud = declared.repositories.get(&chosen.repositories.cloud.id);
        Ok(cloud.map(|cloud| cloud.name_rule).unwrap_or_default())
    }

    /// Counts what is inside the chosen folder, level by level.
    async fn look_inside(
        &self,
        new: &Definition,
        chosen: &Chosen,
        preview: &mut Preview,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let repository = &chosen.repositories.on_premise;
        let chosen = chosen.accepted.iter().cloned();
        let mut folders: Vec<(NodeInfo, NodeId)> =
            chosen.map(|folder| (folder, NodeId::default())).collect();
        while let Some((folder, after)) = folders.pop() {
            if !budget.take() {
                preview.incomplete = true;
                return Ok(());
            }
            let place = (&folder.node, after);
            let listed = self.list_folder(repository, place, PAGE_SIZE_MAX, NODES);
            let (nodes, more) = match listed.await {
                Err(Error::InvalidField { .. }) => {
                    // The agent said why it cannot; the rest is worth knowing all the same.
                    preview.leave_out(folder, "it cannot be listed now");
                    continue;
                }
                listed => listed?,
            };
            let ids: Vec<NodeId> = nodes.iter().map(|node| node.node.clone()).collect();
            let store = &self.coordinator.store;
            let synced = store.members_among(repository.id, &ids).await?;
            if let Some(last) = ids.last().filter(|_| more) {
                folders.push((folder, last.clone()));
            }
            for node in nodes.into_iter().filter(|node| !node.missing) {
                let subfolders = new.options.include_subfolders;
                match why_left_out(&node, synced.contains(&node.node), subfolders) {
                    Some(reason) => preview.leave_out(node, reason),
                    None => {
                        preview.count(&node);
                        if node.kind == NodeKind::Folder {
                            folders.push((node, NodeId::default()));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Preview {
    fn count(&mut self, node: &NodeInfo) {
        match node.kind {
            NodeKind::Folder => self.folders += 1,
            NodeKind::Document => {
                self.documents += 1;
                self.bytes = self.bytes.saturating_add(node.size);
            }
        }
    }

    fn leave_out(&mut self, node: NodeInfo, reason: &str) {
        if self.skipped.len() >= PREVIEW_TOLD_MAX {
            self.incomplete = true;
            return;
        }
        self.skipped.push(LeftOut {
            node: node.node.0,
            path: node.path,
            reason: reason.to_owned(),
        });
    }
}

fn clash(node: &NodeInfo, holder: &NodeId) -> Clash {
    Clash {
        node: node.node.clone(),
        name: node.name.clone(),
        holder: holder.clone(),
    }
}

/// R-MEM-1: why a node inside a folder would not be pushed.
fn why_left_out(node: &NodeInfo, synced: bool, subfolders: bool) -> Option<&'static str> {
    let skipped = match node.node_trait {
        NodeTrait::Record => return Some("a record is never pushed; its member fails"),
        _ if synced => return Some("it is in a sync set of its own"),
        NodeTrait::WorkingCopy => SkipReason::WorkingCopy,
        NodeTrait::SmartFolder => SkipReason::SmartFolder,
        NodeTrait::Link => SkipReason::Link,
        NodeTrait::Special => SkipReason::Special,
        NodeTrait::IllegalName => SkipReason::IllegalName,
        NodeTrait::Ordinary | NodeTrait::OutsideLibrary
            if node.kind == NodeKind::Folder && !subfolders =>
        {
            SkipReason::Subfolder
        }
        // In a synced folder the place of a node says nothing.
        NodeTrait::TooLarge => return Some("it is larger than the limits; its member fails"),
        NodeTrait::Ordinary | NodeTrait::OutsideLibrary => return None,
    };
    Some(skipped.text())
}
