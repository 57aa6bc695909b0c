//! Making a sync set: every check of R-SET-4, then one transaction (R-SET-3, R-SET-5).

use std::sync::Arc;

use uuid::Uuid;

use super::access::Repository;
use super::command::NodeInfo;
use super::nodes::NodeChoice;
use super::sync_sets::SetView;
use super::{Error, UserScope};
use crate::domain::access::{Role, Side};
use crate::domain::copy::{Copy, CopyState};
use crate::domain::engine::Request;
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::limits::USER_BYTES_MAX;
use crate::domain::member::Member;
use crate::domain::policy::NameClashPolicy;
use crate::domain::projection::{NodeKind, Projection, Properties, Sides};
use crate::domain::report::NodeTrait;
use crate::domain::sync_set::{Counters, Guard, Options, Removal, SyncSet};
use crate::storage::sync::load;

const NODE: &str = "definition.node_ids";
const TARGET: &str = "definition.target_folder_node_id";

/// What is to be synced, and where to: a set of kind FOLDER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    /// The last parts of the repositories' names.
    pub repositories: Sides<String>,
    /// The folder that is chosen.
    pub node: NodeChoice,
    /// The folder that receives it.
    pub target: NodeChoice,
    /// The options.
    pub options: Options,
    /// Who is to own it; `None` = the caller.
    pub owner: Option<String>,
    /// Repeating it returns the same set.
    pub request_id: Option<Uuid>,
}

/// The nodes that both agents found.
struct Found {
    node: NodeInfo,
    target: NodeInfo,
}

impl UserScope {
    /// Makes a set of kind FOLDER; the first push follows by itself.
    ///
    /// # Errors
    /// Each refusal of R-SET-4 with its own variant; [`Error::InvalidField`], [`Error::AgentOffline`],
    /// [`Error::AgentTimeout`].
    pub async fn create_set(&self, new: &NewSet) -> Result<SetView, Error> {
        let owner = self.owner_of_new(new)?;
        check_options(&new.options)?;
        new.node.check(NODE)?;
        new.target.check(TARGET)?;
        let request_id = new.request_id.map(|id| id.as_bytes().to_vec());
        if let Some(set) = self.made_before(request_id.as_deref()).await? {
            return Ok(set);
        }
        self.check_enabled().await?;
        let repositories = self.paired(new).await?;
        self.check_lockable(new, &repositories).await?;
        let (node, target) = tokio::join!(
            self.resolve(&repositories.on_premise, &new.node, NODE),
            self.resolve(&repositories.cloud, &new.target, TARGET),
        );
        let found = Found {
            node: node?,
            target: target?,
        };
        self.check_node(new, &repositories.on_premise, &found.node)
            .await?;
        self.check_target(new, &repositories.cloud, &found.target)
            .await?;
        let peer = self.adopted(new, &repositories.cloud, &found).await?;
        let create = self
            .creation((new.options, owner), &repositories, found, peer)
            .await?;
        let ingest = &self.coordinator.ingest;
        let made = ingest.create_set(self.network, request_id, create).await?;
        self.sync_set(made).await
    }

    /// Only admins make sets for others.
    fn owner_of_new(&self, new: &NewSet) -> Result<String, Error> {
        self.require(Role::User)?;
        let Some(owner) = new.owner.as_ref().filter(|owner| **owner != self.user) else {
            return Ok(self.user.clone());
        };
        self.require(Role::Admin)?;
        if owner.len() > USER_BYTES_MAX || owner.chars().any(char::is_control) {
            let rule = format!("must be at most {USER_BYTES_MAX} bytes without control characters");
            return Err(Error::invalid("owner", rule));
        }
        Ok(owner.clone())
    }

    /// Answered before any agent is asked, so that a repeat succeeds while they are away.
    async fn made_before(&self, request_id: Option<&[u8]>) -> Result<Option<SetView>, Error> {
        let Some(request) = request_id else {
            return Ok(None);
        };
        let store = &self.coordinator.store;
        match store.set_of_request(self.network, request).await? {
            Some(set) => self.sync_set(set).await.map(Some),
            None => Ok(None),
        }
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

    async fn paired(&self, new: &NewSet) -> Result<Sides<Repository>, Error> {
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
    async fn check_lockable(&self, new: &NewSet, of: &Sides<Repository>) -> Result<(), Error> {
        if !new.options.lock_on_premise_copy {
            return Ok(());
        }
        let store = &self.coordinator.store;
        let declared = load::repositories(store.reader(), self.network).await?;
        let repository = declared.repositories.get(&of.on_premise.id);
        if repository.is_some_and(|repository| repository.locks) {
            return Ok(());
        }
        Err(Error::invalid(
            "definition.options.lock_on_premise_copy",
            "the on-premise repository cannot keep copies read-only; leave it false",
        ))
    }

    /// R-SET-4, for the chosen folder.
    async fn check_node(
        &self,
        new: &NewSet,
        repository: &Repository,
        info: &NodeInfo,
    ) -> Result<(), Error> {
        let node = new.node.text();
        if info.missing {
            return Err(Error::NodeNotFound { node });
        }
        if info.library_root {
            return Err(Error::LibraryRoot { node });
        }
        if let Some(node_trait) = trait_name(info.node_trait) {
            return Err(Error::NodeNotEligible { node, node_trait });
        }
        if !info.in_library {
            return Err(Error::OutsideLibrary { node });
        }
        if info.kind != NodeKind::Folder {
            let rule = "a set of kind FOLDER has exactly one folder; this is a document";
            return Err(Error::invalid(NODE, rule));
        }
        if !info.writable {
            return Err(Error::NodeNotWritable { node });
        }
        let store = &self.coordinator.store;
        if store.is_member(repository.id, &info.node).await? {
            return Err(Error::AlreadySynced { node });
        }
        Ok(())
    }

    /// R-SET-4, for the folder that receives; the library itself may be one.
    async fn check_target(
        &self,
        new: &NewSet,
        repository: &Repository,
        info: &NodeInfo,
    ) -> Result<(), Error> {
        let store = &self.coordinator.store;
        let detail = if info.missing {
            "it is not there".to_owned()
        } else if info.kind != NodeKind::Folder {
            "it is not a folder".to_owned()
        } else if let Some(node_trait) = trait_name(info.node_trait) {
            format!("it is a {node_trait}")
        } else if !info.writable {
            "the cloud account may not write it".to_owned()
        } else if store.is_member(repository.id, &info.node).await? {
            "it is in a sync set itself".to_owned()
        } else {
            return Ok(());
        };
        let node = new.target.text();
        Err(Error::TargetNotUsable { node, detail })
    }

    /// R-REC-9, R-UNS-2: with ADOPT_IDENTICAL a folder of that name, in no set, is the peer from the start.
    async fn adopted(
        &self,
        new: &NewSet,
        cloud: &Repository,
        found: &Found,
    ) -> Result<Option<NodeInfo>, Error> {
        if new.options.name_clash_policy != NameClashPolicy::AdoptIdentical {
            return Ok(None);
        }
        let path = match found.target.path.as_str() {
            "" => found.node.name.clone(),
            above => format!("{above}/{}", found.node.name),
        };
        let choice = NodeChoice::Path(path);
        if choice.check(TARGET).is_err() {
            return Ok(None);
        }
        let there = self.resolve(cloud, &choice, TARGET).await?;
        let usable = !there.missing
            && there.kind == NodeKind::Folder
            && trait_name(there.node_trait).is_none()
            && there.writable
            && there.node != found.target.node;
        let store = &self.coordinator.store;
        if !usable || store.is_member(cloud.id, &there.node).await? {
            return Ok(None);
        }
        Ok(Some(there))
    }

    async fn creation(
        &self,
        (options, owner): (Options, String),
        repositories: &Sides<Repository>,
        found: Found,
        peer: Option<NodeInfo>,
    ) -> Result<Request, Error> {
        let store = &self.coordinator.store;
        let declared = load::repositories(store.reader(), self.network).await?;
        let rule = |repository: &Repository| {
            let found = declared.repositories.get(&repository.id);
            found.map(|found| found.name_rule).unwrap_or_default()
        };
        let set = SyncSetId(Uuid::now_v7());
        let mut root = Member::new(MemberId(Uuid::now_v7()), set, NodeKind::Folder, true);
        root.nodes.on_premise = Some(found.node.node.clone());
        root.nodes.cloud = peer.as_ref().map(|peer| peer.node.clone());
        let copy = |repository: &Repository, info: NodeInfo, parent: NodeId| Copy {
            repository: repository.id,
            node: info.node,
            member: Some(root.id),
            state: CopyState::Live,
            parent,
            name_key: rule(repository).key(&info.name),
            revision: String::new(),
            projection: Arc::new(Projection {
                kind: NodeKind::Folder,
                name: info.name,
                content: None,
                properties: Properties::new(),
                node_type: String::new(),
            }),
            locked: false,
            actor: String::new(),
            unfit: None,
            past: Vec::new(),
        };
        let target = found.target.node;
        let peer = peer.map(|peer| copy(&repositories.cloud, peer, target.clone()));
        let copy = copy(&repositories.on_premise, found.node, NodeId::default());
        let set = SyncSet {
            id: set,
            network: self.network,
            repositories: Sides {
                on_premise: repositories.on_premise.id,
                cloud: repositories.cloud.id,
            },
            root: root.id,
            target,
            source_folder: NodeId::default(),
            options,
            owner,
            ending: false,
            outside: Sides::default(),
            removal: Removal::default(),
            paused: false,
            repository_paused: false,
            counters: Counters::default(),
            guard: Guard::default(),
        };
        Ok(Request::CreateSet {
            set: Box::new(set),
            root: Box::new(root),
            copy: Box::new(copy),
            peer: peer.map(Box::new),
            actor: self.user.clone(),
        })
    }
}

/// R-SET-2.
fn check_options(options: &Options) -> Result<(), Error> {
    if options.delete_on_premise && !options.allow_delete_on_cloud {
        return Err(Error::invalid(
            "definition.options.delete_on_premise",
            "needs allow_delete_on_cloud; set both, or neither",
        ));
    }
    if !(1..=100).contains(&options.max_delete_percent) {
        return Err(Error::invalid(
            "definition.options.max_delete_percent",
            "must be 1 to 100; 100 = deletions are never held",
        ));
    }
    Ok(())
}

/// The name of what keeps a node from being synced; none for ordinary ones.
fn trait_name(node_trait: NodeTrait) -> Option<&'static str> {
    match node_trait {
        NodeTrait::Ordinary => None,
        NodeTrait::WorkingCopy => Some("WORKING_COPY"),
        NodeTrait::SmartFolder => Some("SMART_FOLDER"),
        NodeTrait::Link => Some("LINK"),
        NodeTrait::Record => Some("RECORD"),
        NodeTrait::Special => Some("SPECIAL"),
        // `in_library` tells it of a node that is asked for; a large one fails as a member.
        NodeTrait::OutsideLibrary | NodeTrait::TooLarge => None,
    }
}
