//! Making a sync set: what [`choice`](super::choice) checked, in one transaction (R-SET-3, R-SET-5).

use std::sync::Arc;

use uuid::Uuid;

use super::choice::{Chosen, Definition, LeftOut, NEW_FOLDER, TARGET, check_definition, fault_of};
use super::command::NodeInfo;
use super::ingest::Repeatable;
use super::nodes::NodeChoice;
use super::sync_sets::SetView;
use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::copy::{Copy, CopyState};
use crate::domain::engine::Request;
use crate::domain::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::USER_BYTES_MAX;
use crate::domain::member::Member;
use crate::domain::names::NameRule;
use crate::domain::policy::NameClashPolicy;
use crate::domain::projection::{Projection, Properties, Sides};
use crate::domain::sync_set::{Counters, Guard, Removal, SetKind, SyncSet};
use crate::storage::sync::load;

/// A set to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    /// What is to be synced, and where to.
    pub definition: Definition,
    /// Who is to own it; `None` = the caller.
    pub owner: Option<String>,
    /// Repeating it returns the same set.
    pub request_id: Option<Uuid>,
}

/// A set that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The set; its nodes are those that were accepted.
    pub set: SetView,
    /// Documents that were left out (R-SET-4).
    pub skipped: Vec<LeftOut>,
}

impl UserScope {
    /// Makes a set; the first push follows by itself.
    ///
    /// # Errors
    /// Each refusal of R-SET-4 with its own variant; [`Error::InvalidField`], [`Error::AgentOffline`],
    /// [`Error::AgentTimeout`].
    pub async fn create_set(&self, new: &NewSet) -> Result<Created, Error> {
        let owner = self.owner_of_new(new)?;
        check_definition(&new.definition)?;
        let request = new.request_id.map(|id| id.as_bytes().to_vec());
        if let Some(made) = self.made_before(request.as_deref()).await? {
            return Ok(made);
        }
        let mut chosen = self.choose(&new.definition, &owner).await?;
        if let Some(folder) = &new.definition.new_folder {
            // Named by the request, so that a repeat finds it when the set could not be made (R-SET-3).
            let id = new.request_id.unwrap_or_else(Uuid::new_v4);
            let made = self.make_folder(
                &chosen.repositories.cloud,
                &chosen.target.node,
                (folder, id, &chosen.account),
                NEW_FOLDER,
            );
            chosen.target = made.await?;
        }
        let skipped = std::mem::take(&mut chosen.skipped);
        let peer = self.adopted(&new.definition, &chosen).await?;
        let create = self
            .creation(&new.definition, owner, (chosen, peer))
            .await?;
        let repeatable = request.map(|request| Repeatable {
            request,
            skipped: serde_json::to_vec(&skipped).unwrap_or_default(),
        });
        let ingest = &self.coordinator.ingest;
        let made = ingest.create_set(self.network, repeatable, create).await?;
        let set = self.sync_set(made).await?;
        Ok(Created { set, skipped })
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
    async fn made_before(&self, request_id: Option<&[u8]>) -> Result<Option<Created>, Error> {
        let Some(request) = request_id else {
            return Ok(None);
        };
        let store = &self.coordinator.store;
        let Some((set, skipped)) = store.set_of_request(self.network, request).await? else {
            return Ok(None);
        };
        Ok(Some(Created {
            set: self.sync_set(set).await?,
            skipped: serde_json::from_slice(&skipped).unwrap_or_default(),
        }))
    }

    /// R-REC-9, R-UNS-2: with ADOPT_IDENTICAL a folder of that name, in no set, is the peer from the start.
    async fn adopted(&self, new: &Definition, chosen: &Chosen) -> Result<Option<NodeInfo>, Error> {
        let adopts = new.options.name_clash_policy == NameClashPolicy::AdoptIdentical;
        let (SetKind::Folder, true, Some(folder)) = (chosen.kind, adopts, chosen.accepted.first())
        else {
            return Ok(None);
        };
        let (cloud, target) = (&chosen.repositories.cloud, &chosen.target);
        let path = match target.path.as_str() {
            "" => folder.name.clone(),
            above => format!("{above}/{}", folder.name),
        };
        let choice = NodeChoice::Path(path);
        if choice.check(TARGET).is_err() {
            return Ok(None);
        }
        let mut there = self.resolve(cloud, &choice, TARGET).await?;
        let found = std::slice::from_mut(&mut there);
        self.show_as(cloud, (&chosen.account, TARGET), found)
            .await?;
        let usable = fault_of(&there).is_none() && there.node != target.node;
        let store = &self.coordinator.store;
        if !usable || store.is_member(cloud.id, &there.node).await? {
            return Ok(None);
        }
        Ok(Some(there))
    }

    async fn creation(
        &self,
        new: &Definition,
        owner: String,
        (chosen, peer): (Chosen, Option<NodeInfo>),
    ) -> Result<Request, Error> {
        let store = &self.coordinator.store;
        let declared = load::repositories(store.reader(), self.network).await?;
        let rule = |repository: RepositoryId| {
            let found = declared.repositories.get(&repository);
            found.map(|found| found.name_rule).unwrap_or_default()
        };
        let on_premise = chosen.repositories.on_premise.id;
        let cloud = chosen.repositories.cloud.id;
        let set = SyncSetId(Uuid::now_v7());
        let members = chosen.accepted.into_iter();
        let mut members: Vec<(Member, Copy)> = members
            .map(|info| chosen_member(set, on_premise, rule(on_premise), info))
            .collect();
        let root = members.first().map(|(member, _)| member.id);
        let peer = peer.and_then(|info| {
            let (root, _) = members.first_mut()?;
            root.nodes.cloud = Some(info.node.clone());
            let copy = chosen_copy(root.id, cloud, rule(cloud), info);
            Some(Box::new(Copy {
                parent: chosen.target.node.clone(),
                ..copy
            }))
        });
        let set = SyncSet {
            id: set,
            network: self.network,
            repositories: Sides { on_premise, cloud },
            kind: chosen.kind,
            root: match chosen.kind {
                SetKind::Folder => root.unwrap_or_default(),
                SetKind::Documents => MemberId::default(),
            },
            target: chosen.target.node,
            source_folder: NodeId::default(),
            options: new.options,
            owner,
            account: String::new(),
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
            chosen: members,
            peer,
            actor: self.user.clone(),
        })
    }
}

/// The member of a chosen node; what is in it, its agent tells later.
fn chosen_member(
    set: SyncSetId,
    repository: RepositoryId,
    rule: NameRule,
    info: NodeInfo,
) -> (Member, Copy) {
    let mut member = Member::new(MemberId(Uuid::now_v7()), set, info.kind, true);
    member.nodes.on_premise = Some(info.node.clone());
    let copy = chosen_copy(member.id, repository, rule, info);
    (member, copy)
}

/// A node of a member as its agent described it.
fn chosen_copy(member: MemberId, repository: RepositoryId, rule: NameRule, info: NodeInfo) -> Copy {
    Copy {
        repository,
        node: info.node,
        member: Some(member),
        state: CopyState::Live,
        parent: NodeId::default(),
        name_key: rule.key(&info.name),
        revision: String::new(),
        projection: Arc::new(Projection {
            kind: info.kind,
            name: info.name,
            content: None,
            properties: Properties::new(),
            node_type: String::new(),
        }),
        locked: false,
        edited: false,
        actor: String::new(),
        unfit: None,
        past: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::{ALICE, Fixture, new_set};

    #[tokio::test]
    async fn r_set_5_a_node_that_came_into_a_set_since_it_was_looked_at_is_refused() {
        let fixture = Fixture::new().await;
        fixture.agents();
        let alice = fixture.alice().await;
        let definition = new_set().definition;
        let look = async || {
            let chosen = alice.choose(&definition, ALICE).await.unwrap();
            let owner = ALICE.to_owned();
            let creation = alice.creation(&definition, owner, (chosen, None));
            creation.await.unwrap()
        };
        let (one, other) = (look().await, look().await);
        let (ingest, network) = (&fixture.coordinator.ingest, fixture.network.id);
        ingest.create_set(network, None, one).await.unwrap();
        let refused = ingest.create_set(network, None, other).await;
        assert!(matches!(refused, Err(Error::AlreadySynced { node }) if node == "docs"));
    }
}
