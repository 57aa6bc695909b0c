//! What may be made a set: every check of R-SET-4, shared by making one and by its preview.

use std::collections::BTreeSet;

use super::access::Repository;
use super::command::{NewFolder, NodeInfo};
use super::error::TargetFault;
use super::nodes::NodeChoice;
use super::target_folders::check_new_folder;
use super::{Error, UserScope};
use crate::domain::access::Side;
use crate::domain::ids::{NodeId, RepositoryId};
use crate::domain::limits::DOCUMENTS_MAX;
use crate::domain::projection::{NodeKind, Sides};
use crate::domain::report::NodeTrait;
use crate::domain::repository::Repository as Declared;
use crate::domain::sync_set::{Options, SetKind};
use crate::storage::sync::load;

/// The field of the chosen nodes.
pub(super) const NODES: &str = "definition.node_ids";
/// The field of the folder that receives them.
pub(super) const TARGET: &str = "definition.target_folder_node_id";
/// The field of the folder that is made for them.
pub(super) const NEW_FOLDER: &str = "definition.new_target_folder";

/// What is to be synced, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Documents or a folder; `None` = what the chosen nodes are.
    pub kind: Option<SetKind>,
    /// The last parts of the repositories' names.
    pub repositories: Sides<String>,
    /// The nodes that are chosen.
    pub nodes: Vec<NodeChoice>,
    /// The folder that receives them.
    pub target: NodeChoice,
    /// A folder to be made in that one, which receives them in its place.
    pub new_folder: Option<NewFolder>,
    /// The options.
    pub options: Options,
}

/// A chosen document that is left out (R-SET-4), or what a preview finds that would be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// The node.
    pub node: String,
    /// Where it lies below the root of the agent.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A node, and how the caller named it.
type Named = (String, NodeInfo);

/// A definition that passed every check.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The repositories.
    pub(super) repositories: Sides<Repository>,
    /// What the set is made of.
    pub(super) kind: SetKind,
    /// Its nodes, each once.
    pub(super) accepted: Vec<NodeInfo>,
    /// Documents that are left out.
    pub(super) skipped: Vec<LeftOut>,
    /// The folder that receives them, or in which one is made for them.
    pub(super) target: NodeInfo,
    /// The cloud account of the owner; empty where the cloud has no users.
    pub(super) account: String,
}

impl UserScope {
    /// Asks both agents, and checks what they tell.
    ///
    /// # Errors
    /// Each refusal of R-SET-4 with its own variant; [`Error::InvalidField`], [`Error::AgentOffline`],
    /// [`Error::AgentTimeout`].
    pub(super) async fn choose(&self, new: &Definition, owner: &str) -> Result<Chosen, Error> {
        self.check_enabled().await?;
        let repositories = self.paired(new).await?;
        self.check_lockable(new, &repositories).await?;
        let account = self.account_of(owner, &repositories.cloud).await?;
        let (nodes, target) = tokio::join!(
            self.resolve_all(&repositories.on_premise, &new.nodes, NODES),
            self.resolve(&repositories.cloud, &new.target, TARGET),
        );
        let (mut nodes, mut target) = (nodes?, target?);
        self.show_as(&repositories.on_premise, (owner, NODES), &mut nodes)
            .await?;
        let targets = std::slice::from_mut(&mut target);
        self.show_as(&repositories.cloud, (&account, TARGET), targets)
            .await?;
        let nodes = each_once(&new.nodes, nodes)?;
        let kind = kind_of(new, &nodes)?;
        let (accepted, skipped) = self.check_nodes(&repositories.on_premise, nodes).await?;
        self.check_target(&repositories.cloud, &new.target, &target)
            .await?;
        Ok(Chosen {
            repositories,
            kind,
            accepted,
            skipped,
            target,
            account,
        })
    }

    async fn check_enabled(&self) -> Result<(), Error> {
        let network = self.coordinator.store.network(self.network).await?;
        if network.is_some_and(|network| network.enabled) {
            return Ok(());
        }
        Err(Error::NetworkNotEnabled {
            network: self.network_name.clone(),
        })
    }

    async fn paired(&self, new: &Definition) -> Result<Sides<Repository>, Error> {
        let on_premise = self.repository(&new.repositories.on_premise).await?;
        let cloud = self.repository(&new.repositories.cloud).await?;
        for (repository, side, field) in [
            (
                &on_premise,
                Side::OnPremise,
                "definition.on_premise_repository",
            ),
            (&cloud, Side::Cloud, "definition.cloud_repository"),
        ] {
            if repository.side != side {
                let rule = format!("must be a repository of side {}", side.name());
                return Err(Error::invalid(field, rule));
            }
        }
        Ok(Sides { on_premise, cloud })
    }

    /// A lock that the agent cannot keep would be a promise without effect (R-LCK-1).
    async fn check_lockable(&self, new: &Definition, of: &Sides<Repository>) -> Result<(), Error> {
        if !new.options.lock_on_premise_copy {
            return Ok(());
        }
        let declared = self.declared_by(of.on_premise.id).await?;
        if declared.is_some_and(|repository| repository.locks) {
            return Ok(());
        }
        Err(Error::invalid(
            "definition.options.lock_on_premise_copy",
            "the on-premise repository cannot keep copies read-only; leave it false",
        ))
    }

    /// What a repository declared in its last handshake; nothing before the first.
    async fn declared_by(&self, id: RepositoryId) -> Result<Option<Declared>, Error> {
        let store = &self.coordinator.store;
        let mut declared = load::repositories(store.reader(), self.network).await?;
        Ok(declared.repositories.remove(&id))
    }

    /// Whether a repository has users of its own, whose rights its agent can tell.
    pub(super) async fn users_of(&self, id: RepositoryId) -> Result<bool, Error> {
        let declared = self.declared_by(id).await?;
        Ok(declared.is_some_and(|repository| repository.users))
    }

    /// R-SET-4, for the chosen nodes: those that are accepted, and documents that are left out.
    async fn check_nodes(
        &self,
        repository: &Repository,
        nodes: Vec<Named>,
    ) -> Result<(Vec<NodeInfo>, Vec<LeftOut>), Error> {
        let ids: Vec<NodeId> = nodes.iter().map(|(_, info)| info.node.clone()).collect();
        let store = &self.coordinator.store;
        let synced = store.members_among(repository.id, &ids).await?;
        let (mut accepted, mut skipped) = (Vec::new(), Vec::new());
        let mut first = None;
        for (node, info) in nodes {
            if synced.contains(&info.node) {
                return Err(Error::AlreadySynced { node });
            }
            let Some(reason) = why_skipped(&info) else {
                accepted.push(info);
                continue;
            };
            if info.kind == NodeKind::Folder {
                return Err(Error::NodeNotWritable { node });
            }
            first.get_or_insert((node, reason));
            skipped.push(LeftOut {
                node: info.node.0,
                path: info.path,
                reason: reason.to_owned(),
            });
        }
        match first.filter(|_| accepted.is_empty()) {
            Some((node, reason)) => Err(Error::NothingAccepted { node, reason }),
            None => Ok((accepted, skipped)),
        }
    }

    /// R-SET-4, for the folder that receives; the library itself may be one.
    ///
    /// # Errors
    /// [`Error::TargetNotUsable`].
    pub(super) async fn check_target(
        &self,
        repository: &Repository,
        choice: &NodeChoice,
        info: &NodeInfo,
    ) -> Result<(), Error> {
        let store = &self.coordinator.store;
        let fault = if let Some(fault) = fault_of(info) {
            fault
        } else if store.is_member(repository.id, &info.node).await? {
            TargetFault::AlreadySynced
        } else {
            return Ok(());
        };
        let node = choice.text();
        Err(Error::TargetNotUsable { node, fault })
    }
}

/// Why a folder cannot receive anything, as far as its repository tells.
pub(super) fn fault_of(info: &NodeInfo) -> Option<TargetFault> {
    if info.missing {
        Some(TargetFault::Missing)
    } else if !is_ordinary(info.node_trait) {
        Some(TargetFault::Special(info.node_trait))
    } else if info.kind != NodeKind::Folder {
        Some(TargetFault::NotAFolder)
    } else if !info.writable {
        Some(TargetFault::NotWritable)
    } else {
        None
    }
}

/// `in_library` tells of a node that is asked for where it lies; a large one fails as a member.
fn is_ordinary(node_trait: NodeTrait) -> bool {
    matches!(
        node_trait,
        NodeTrait::Ordinary | NodeTrait::OutsideLibrary | NodeTrait::TooLarge
    )
}

/// R-SET-4: what no selection may hold.
fn check_eligible(choice: &NodeChoice, info: &NodeInfo) -> Result<(), Error> {
    let node = choice.text();
    let node_trait = info.node_trait;
    if info.missing {
        return Err(Error::NodeNotFound { node });
    }
    if info.library_root {
        return Err(Error::LibraryRoot { node });
    }
    if !is_ordinary(node_trait) {
        return Err(Error::NodeNotEligible { node, node_trait });
    }
    if !info.in_library {
        return Err(Error::OutsideLibrary { node });
    }
    Ok(())
}

/// R-SET-4: why a document is left out of a selection.
fn why_skipped(info: &NodeInfo) -> Option<&'static str> {
    if !info.writable {
        Some("you may not write it")
    } else if info.locked_for_editing && info.kind == NodeKind::Document {
        Some("it is locked for editing")
    } else {
        None
    }
}

/// The chosen nodes, each once, if no selection may lack or hold one of them (R-SET-4).
fn each_once(choices: &[NodeChoice], infos: Vec<NodeInfo>) -> Result<Vec<Named>, Error> {
    let mut seen = BTreeSet::new();
    let mut nodes = Vec::with_capacity(infos.len());
    for (choice, info) in choices.iter().zip(infos) {
        check_eligible(choice, &info)?;
        if seen.insert(info.node.clone()) {
            nodes.push((choice.text(), info));
        }
    }
    Ok(nodes)
}

/// R-SET-1: one folder, or documents.
fn kind_of(new: &Definition, nodes: &[Named]) -> Result<SetKind, Error> {
    let is_folder = |(_, info): &&Named| info.kind == NodeKind::Folder;
    let folders = nodes.iter().filter(is_folder).count();
    let found = match (folders, nodes.len()) {
        (0, _) => SetKind::Documents,
        (1, 1) => SetKind::Folder,
        (folders, all) if folders == all => {
            let rule = "a set has exactly one folder; make a set of each";
            return Err(Error::invalid(NODES, rule));
        }
        _ => {
            let folder = nodes.iter().find(is_folder);
            let node = folder.map(|(node, _)| node.clone()).unwrap_or_default();
            return Err(Error::MixedSelection { node });
        }
    };
    if found == SetKind::Documents && !new.options.include_subfolders {
        return Err(Error::invalid(
            "definition.options.include_subfolders",
            "is for a set of a folder; leave it out for documents",
        ));
    }
    match new.kind {
        Some(kind) if kind != found => Err(Error::invalid(
            "definition.kind",
            "must be what the chosen nodes are; leave it out, or choose others",
        )),
        _ => Ok(found),
    }
}

/// What can be checked before any agent is asked.
pub(super) fn check_definition(new: &Definition) -> Result<(), Error> {
    check_options("definition.options", &new.options)?;
    if !(1..=DOCUMENTS_MAX).contains(&new.nodes.len()) {
        let rule = format!("choose one folder, or 1 to {DOCUMENTS_MAX} documents");
        return Err(Error::invalid(NODES, rule));
    }
    new.nodes.iter().try_for_each(|node| node.check(NODES))?;
    new.target.check(TARGET)?;
    let folder = new.new_folder.as_ref();
    folder.map_or(Ok(()), |folder| check_new_folder(folder, NEW_FOLDER))
}

/// R-SET-2, of options that stand in this field.
pub(super) fn check_options(field: &str, options: &Options) -> Result<(), Error> {
    if options.delete_on_premise && !options.allow_delete_on_cloud {
        return Err(Error::invalid(
            format!("{field}.delete_on_premise"),
            "needs allow_delete_on_cloud; set both, or neither",
        ));
    }
    if !(1..=100).contains(&options.max_delete_percent) {
        return Err(Error::invalid(
            format!("{field}.max_delete_percent"),
            "must be 1 to 100; 100 = deletions are never held",
        ));
    }
    Ok(())
}
