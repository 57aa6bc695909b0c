//! What deliveries do to the tree: exactly once in effect, however often they come (R-AGT-6).

use std::collections::BTreeMap;

use bytes::Bytes;
use tandem_proto::v1::{
    Applied, CreateNode, DeleteNode, Delivery, Failed, FailureReason, NodeKind, Outcome, Place,
    Projection, PropertyValue, Stale, UpdateNode, delivery::Action, observation::State,
    outcome::Answer, place::Folder,
};

use super::tree::{MemoryTree, Node, Refused, content_ref};

impl MemoryTree {
    /// Applies one delivery; `content` holds the new bytes, nothing when they stay or it is a folder.
    pub fn apply_delivery(&mut self, delivery: &Delivery, content: Option<Bytes>) -> Outcome {
        let answer = self
            .answer(delivery, content)
            .unwrap_or_else(Answer::Failed);
        Outcome {
            delivery_id: delivery.id.clone(),
            answer: Some(answer),
        }
    }

    fn answer(&mut self, delivery: &Delivery, content: Option<Bytes>) -> Result<Answer, Failed> {
        let (node_id, name) = target(delivery);
        if let Some(reason) = self.faults.failure_of(&node_id, &name) {
            return Err(failed(reason, "injected"));
        }
        self.check_people(delivery)?;
        let answer = match &delivery.action {
            Some(Action::Create(create)) => self.create(delivery, create, content)?,
            Some(Action::Update(update)) => self.update(delivery, update, content)?,
            Some(Action::Delete(delete)) => self.delete_copy(delivery, delete)?,
            Some(Action::Release(release)) => self.release(&release.node_id),
            None => {
                return Err(failed(
                    FailureReason::Unknown,
                    "the delivery asks for nothing",
                ));
            }
        };
        if let Answer::Applied(applied) = &answer {
            self.note_applied(delivery, applied);
        }
        Ok(answer)
    }

    /// What came with a delivery is known to the coordinator, so it is not offered.
    fn note_applied(&mut self, delivery: &Delivery, applied: &Applied) {
        let Some((id, result)) = delivery.id.as_ref().zip(applied.result.as_ref()) else {
            return;
        };
        let entry = (id.source_version, result.node_id.clone());
        self.applied.insert(id.member_id.clone(), entry);
        self.changed.remove(&result.node_id);
    }

    fn create(
        &mut self,
        delivery: &Delivery,
        create: &CreateNode,
        content: Option<Bytes>,
    ) -> Result<Answer, Failed> {
        let wanted = create.projection.as_ref().ok_or_else(malformed)?;
        let member_id = delivery
            .id
            .as_ref()
            .ok_or_else(malformed)?
            .member_id
            .clone();
        let parent = self.folder(create.parent.as_ref())?;
        if let Some(node_id) = self.marked(&member_id) {
            return Ok(self.applied(&node_id, wanted, &parent));
        }
        let content = match wanted.kind() {
            NodeKind::Folder => None,
            NodeKind::Document | NodeKind::Unspecified => Some(checked(wanted, content)?),
        };
        if let Some(content) = &content {
            self.check_size(None, content).map_err(refused)?;
        }
        let node = Node {
            content,
            properties: properties(wanted),
            node_type: wanted.node_type.clone(),
            mark: member_id,
            locked: create.locked,
            actor: delivery.act_as.clone(),
            ..Node::folder(&parent, &wanted.name)
        };
        let node_id = self.insert(node).map_err(refused)?;
        Ok(self.applied(&node_id, wanted, &parent))
    }

    fn update(
        &mut self,
        delivery: &Delivery,
        update: &UpdateNode,
        content: Option<Bytes>,
    ) -> Result<Answer, Failed> {
        let wanted = update.projection.as_ref().ok_or_else(malformed)?;
        let Some(node) = self.nodes.get(&update.node_id) else {
            return Ok(self.stale(&update.node_id));
        };
        let (revision, folder) = (node.revision.to_string(), node.parent.clone());
        let parent = match &update.parent {
            Some(place) => self.folder(Some(place))?,
            None => folder,
        };
        if self.came_before(delivery, &update.node_id) {
            return Ok(self.applied(&update.node_id, wanted, &parent));
        }
        if revision != update.expected_revision || self.faults.is_stale() {
            return Ok(self.stale(&update.node_id));
        }
        self.check_edited(&update.node_id)?;
        let content = self.new_content(&update.node_id, wanted, content)?;
        self.check_place(&parent, &wanted.name, Some(&update.node_id))
            .map_err(refused)?;
        if wanted.kind() == NodeKind::Document {
            self.check_rules(&parent, &wanted.name).map_err(refused)?;
        }
        if content.is_some() || delivery.conflict.is_some() {
            self.archive(&update.node_id, delivery);
        }
        self.place(&update.node_id, &parent, &wanted.name)
            .map_err(refused)?;
        if let Some(node) = self.nodes.get_mut(&update.node_id) {
            node.content = content.or_else(|| node.content.take());
            node.properties = properties(wanted);
            node.locked = update.locked;
            node.actor = delivery.act_as.clone();
        }
        self.touch(&update.node_id);
        Ok(self.applied(&update.node_id, wanted, &parent))
    }

    /// The bytes to be written; nothing when the node has them already.
    fn new_content(
        &self,
        node_id: &str,
        wanted: &Projection,
        content: Option<Bytes>,
    ) -> Result<Option<Bytes>, Failed> {
        let Some(named) = &wanted.content else {
            return Ok(None);
        };
        let held = self
            .content(node_id)
            .map(|bytes| content_ref(&bytes).digest);
        if held.as_ref() == Some(&named.digest) {
            return Ok(None);
        }
        let content = checked(wanted, content)?;
        self.check_size(Some(node_id), &content).map_err(refused)?;
        Ok(Some(content))
    }

    /// R-LCK-2: a document that somebody edits online is left alone.
    fn check_edited(&self, node_id: &str) -> Result<(), Failed> {
        match self.edited.contains(node_id) {
            true => Err(refused(Refused::Edited(node_id.to_owned()))),
            false => Ok(()),
        }
    }

    fn delete_copy(&mut self, delivery: &Delivery, delete: &DeleteNode) -> Result<Answer, Failed> {
        let Some(node) = self.nodes.get(&delete.node_id) else {
            return Ok(self.result(&delete.node_id));
        };
        if node.revision.to_string() != delete.expected_revision || self.faults.is_stale() {
            return Ok(self.stale(&delete.node_id));
        }
        self.check_edited(&delete.node_id)?;
        if delete.with_content {
            self.delete_content(delivery, &delete.node_id);
        }
        if self.children(&delete.node_id).next().is_none() {
            self.archive(&delete.node_id, delivery);
            self.remove(&delete.node_id);
        }
        Ok(self.result(&delete.node_id))
    }

    /// R-UNS-1: what lies in a folder goes, children first, but watched roots, what they hold, what is
    /// edited online, and the folders above them.
    fn delete_content(&mut self, delivery: &Delivery, folder: &str) {
        let children: Vec<String> = self.children(folder).map(|(id, _)| id.clone()).collect();
        for child in children {
            let watched = self.roots.iter().any(|root| root.node_id == child);
            if watched || self.edited.contains(&child) {
                continue;
            }
            self.delete_content(delivery, &child);
            if self.children(&child).next().is_none() {
                self.archive(&child, delivery);
                self.remove(&child);
            }
        }
    }

    fn release(&mut self, node_id: &str) -> Answer {
        if let Some(node) = self.nodes.get_mut(node_id) {
            node.locked = false;
            node.mark = Bytes::new();
            self.touch(node_id);
        }
        self.result(node_id)
    }

    fn result(&self, node_id: &str) -> Answer {
        let result = Some(self.observation(node_id));
        Answer::Applied(Applied {
            result,
            ..Applied::default()
        })
    }

    /// The result, with what was delivered where that differs.
    fn applied(&self, node_id: &str, wanted: &Projection, parent: &str) -> Answer {
        let result = self.observation(node_id);
        let same = matches!(&result.state, Some(State::Present(made)) if same(made, wanted))
            && result.parent_node_id == parent;
        let mut applied = Applied {
            result: Some(result),
            ..Applied::default()
        };
        if !same {
            let mut delivered = wanted.clone();
            delivered
                .content
                .iter_mut()
                .for_each(|content| content.inline = None);
            applied.delivered = Some(delivered);
            applied.delivered_parent_node_id = parent.to_owned();
        }
        Answer::Applied(applied)
    }

    fn stale(&self, node_id: &str) -> Answer {
        Answer::Stale(Stale {
            seen: Some(self.observation(node_id)),
        })
    }

    fn came_before(&self, delivery: &Delivery, node_id: &str) -> bool {
        let id = delivery.id.as_ref();
        id.and_then(|id| Some((id, self.applied.get(&id.member_id)?)))
            .is_some_and(|(id, (version, applied_to))| {
                *version == id.source_version && applied_to == node_id
            })
    }

    pub(super) fn marked(&self, member_id: &Bytes) -> Option<String> {
        let (id, _) = self
            .nodes
            .iter()
            .find(|(_, node)| node.mark == *member_id)?;
        Some(id.clone())
    }

    fn folder(&self, place: Option<&Place>) -> Result<String, Failed> {
        let found = match place.and_then(|place| place.folder.as_ref()) {
            Some(Folder::NodeId(node_id)) => Some(node_id.clone()),
            Some(Folder::MemberId(member_id)) => self.marked(member_id),
            None => None,
        };
        found
            .filter(|node_id| self.nodes.contains_key(node_id))
            .ok_or_else(|| {
                failed(
                    FailureReason::TargetFolderNotFound,
                    "the receiving folder is missing",
                )
            })
    }
}

/// The node id and the name that a delivery is about, as far as it names them.
fn target(delivery: &Delivery) -> (String, String) {
    let name = |projection: &Option<Projection>| {
        projection
            .as_ref()
            .map(|projection| projection.name.clone())
            .unwrap_or_default()
    };
    match &delivery.action {
        Some(Action::Create(create)) => (String::new(), name(&create.projection)),
        Some(Action::Update(update)) => (update.node_id.clone(), name(&update.projection)),
        Some(Action::Delete(delete)) => (delete.node_id.clone(), String::new()),
        Some(Action::Release(release)) => (release.node_id.clone(), String::new()),
        None => (String::new(), String::new()),
    }
}

fn checked(wanted: &Projection, content: Option<Bytes>) -> Result<Bytes, Failed> {
    let named = wanted.content.as_ref().ok_or_else(malformed)?;
    let bytes = content.or_else(|| named.inline.clone()).unwrap_or_default();
    if content_ref(&bytes).digest == named.digest {
        Ok(bytes)
    } else {
        Err(failed(
            FailureReason::ContentUnavailable,
            "the bytes do not have the digest",
        ))
    }
}

fn properties(wanted: &Projection) -> BTreeMap<String, PropertyValue> {
    let pair = |property: &tandem_proto::v1::Property| {
        Some((property.name.clone(), property.value.clone()?))
    };
    wanted.properties.iter().filter_map(pair).collect()
}

/// Equal in everything that is compared; the type is not.
fn same(made: &Projection, wanted: &Projection) -> bool {
    let digest = |projection: &Projection| {
        projection
            .content
            .as_ref()
            .map(|content| content.digest.clone())
    };
    made.name == wanted.name
        && made.kind == wanted.kind
        && digest(made) == digest(wanted)
        && properties(made) == properties(wanted)
}

fn refused(refusal: Refused) -> Failed {
    let reason = match &refusal {
        Refused::NameClash(_) => FailureReason::TargetFolderNameClash,
        Refused::NotFound(_) => FailureReason::TargetFolderNotFound,
        Refused::BadName(_) | Refused::WrongKind(_) | Refused::Cycle(_) => {
            FailureReason::UnsupportedNode
        }
        Refused::Locked(_) => FailureReason::TargetNodeAccessDenied,
        Refused::CheckedOut(_) | Refused::Edited(_) => FailureReason::LockedForEditing,
        Refused::Rule(_) => FailureReason::RuleFailed,
        Refused::TooLarge(_) => FailureReason::ContentLimitViolation,
        Refused::NoRoom(_) => FailureReason::QuotaLimitViolation,
    };
    let mut failed = failed(reason, &refusal.to_string());
    if let Refused::NameClash(blocking) = refusal {
        failed.blocking_node_id = blocking;
    }
    failed
}

pub(super) fn failed(reason: FailureReason, message: &str) -> Failed {
    Failed {
        reason: reason.into(),
        message: message.to_owned(),
        ..Failed::default()
    }
}

fn malformed() -> Failed {
    failed(FailureReason::Unknown, "the delivery is incomplete")
}
