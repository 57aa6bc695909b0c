//! An agent's way of applying a delivery to its repository, as the comments of the wire promise it.

use std::sync::Arc;

use tandem_server::domain::copy::Absence;
use tandem_server::domain::delivery::{Action, Delivery, FolderRef};
use tandem_server::domain::failure::Reason;
use tandem_server::domain::ids::{MemberId, NodeId};
use tandem_server::domain::planted::planted;
use tandem_server::domain::projection::{NodeKind, Projection, PropertyValue};
use tandem_server::domain::report::{Answer, Observation, Seen};

use super::repository::{Repository, Trace, token_of};

/// Applies one delivery; nothing is changed unless the answer is *applied*.
pub fn apply(repository: &mut Repository, delivery: &Delivery) -> Answer {
    if repository.refusals > 0 {
        repository.refusals -= 1;
        return failed(Reason::Unreachable);
    }
    match &delivery.action {
        Action::Create {
            folder,
            projection,
            locked,
        } => create(repository, delivery, folder, projection, *locked),
        Action::Update { .. } => update(repository, delivery),
        Action::Delete {
            node,
            expected_revision,
            with_content,
        } => delete(repository, node, expected_revision, *with_content),
        Action::Release { node } => {
            if let Some(node) = repository.nodes.get_mut(node) {
                node.locked = false;
                node.mark = None;
            }
            applied(repository, node, None)
        }
    }
}

fn failed(reason: Reason) -> Answer {
    Answer::Failed {
        reason,
        message: format!("{reason:?}"),
        detail: String::new(),
        retry_delay: None,
    }
}

/// What is there now, and what was delivered where it differs.
pub fn applied(
    repository: &Repository,
    node: &NodeId,
    delivered: Option<&Arc<Projection>>,
) -> Answer {
    let result = look(repository, node);
    let differs = |delivered: &&Arc<Projection>| match &result.seen {
        Seen::Present(presence) => presence.projection != **delivered,
        Seen::Absent { .. } => false,
    };
    let delivered = delivered.filter(differs).cloned();
    Answer::Applied { result, delivered }
}

/// A node as it is.
pub fn look(repository: &Repository, node: &NodeId) -> Observation {
    let seen = match repository.nodes.get(node) {
        Some(found) => Seen::Present(found.presence()),
        None => Seen::Absent {
            absence: Absence::Deleted,
            choice: None,
            root_emptied: false,
        },
    };
    Observation {
        node: node.clone(),
        seen,
    }
}

/// The node that was made for a member.
pub fn marked(repository: &Repository, member: MemberId) -> Option<NodeId> {
    let made_for = |node: &super::repository::Node| {
        node.mark.as_ref().is_some_and(|mark| mark.member == member)
    };
    repository
        .nodes
        .iter()
        .find(|(_, node)| made_for(node))
        .map(|(id, _)| id.clone())
}

fn resolve(repository: &Repository, folder: &FolderRef) -> Option<NodeId> {
    let node = match folder {
        FolderRef::Node(node) => Some(node.clone()),
        FolderRef::Made(member) => marked(repository, *member),
    };
    node.filter(|node| repository.is_folder(node))
}

fn create(
    repository: &mut Repository,
    delivery: &Delivery,
    folder: &FolderRef,
    projection: &Arc<Projection>,
    locked: bool,
) -> Answer {
    if let Some(node) = marked(repository, delivery.member) {
        let mark = repository
            .nodes
            .get(&node)
            .and_then(|node| node.mark.clone());
        let delivered = match repository.forgets_deliveries {
            true => Some(projection),
            false => mark.as_ref().map(|mark| &mark.delivered),
        };
        return applied(repository, &node, delivered);
    }
    let Some(folder) = resolve(repository, folder) else {
        return failed(Reason::TargetFolderNotFound);
    };
    let Some(id) = repository.create(&folder, projection.kind, &projection.name) else {
        return failed(Reason::TargetFolderNameClash);
    };
    let adds_title = repository.adds_title && projection.kind == NodeKind::Document;
    repository.change(&id, |node| {
        node.content = projection.content.map_or(0, token_of);
        node.title = title(projection);
        if adds_title && node.title.is_none() {
            node.title = Some("by rule".to_owned());
        }
        node.locked = locked;
        node.mark = Some(trace(delivery, projection));
        node.unreported = node.mark.clone();
    });
    applied(repository, &id, Some(projection))
}

fn trace(delivery: &Delivery, projection: &Arc<Projection>) -> Trace {
    Trace {
        member: delivery.member,
        version: delivery.version,
        delivered: projection.clone(),
    }
}

fn title(projection: &Projection) -> Option<String> {
    match projection.properties.get("cm:title") {
        Some(PropertyValue::Text(title)) => Some(title.clone()),
        _ => None,
    }
}

fn update(repository: &mut Repository, delivery: &Delivery) -> Answer {
    let Action::Update {
        node,
        expected_revision,
        projection,
        folder,
        locked,
    } = &delivery.action
    else {
        return failed(Reason::Unknown);
    };
    let Some(found) = repository.nodes.get(node).cloned() else {
        return failed(Reason::TargetNodeNoLongerExists);
    };
    let other = format!("r{}", found.revision) != *expected_revision;
    if other && !planted("agent-overwrites-any-revision") {
        return Answer::Stale(look(repository, node));
    }
    if found.edited {
        return failed(Reason::LockedForEditing);
    }
    let folder = match folder {
        None => found.parent.clone(),
        Some(folder) => match resolve(repository, folder) {
            Some(folder) if !repository.is_within(&folder, node) => folder,
            _ => return failed(Reason::TargetFolderNotFound),
        },
    };
    if repository
        .taken(&folder, &projection.name, Some(node))
        .is_some()
    {
        return failed(Reason::TargetFolderNameClash);
    }
    let content = projection.content.map_or(0, token_of);
    if content != found.content && !planted("agent-archives-nothing") {
        repository.archive.insert(found.content);
    }
    let trace = trace(delivery, projection);
    repository.change(node, |node| {
        node.parent = folder;
        node.name = projection.name.clone();
        node.content = content;
        node.title = title(projection);
        node.locked = *locked;
        node.unreported = Some(trace);
    });
    applied(repository, node, Some(projection))
}

fn delete(
    repository: &mut Repository,
    node: &NodeId,
    expected_revision: &str,
    with_content: bool,
) -> Answer {
    let Some(found) = repository.nodes.get(node) else {
        return applied(repository, node, None);
    };
    let other = format!("r{}", found.revision) != expected_revision;
    if other && !planted("agent-deletes-any-revision") {
        return Answer::Stale(look(repository, node));
    }
    if found.edited {
        return failed(Reason::LockedForEditing);
    }
    let content = found.content;
    if with_content {
        delete_content(repository, node);
    }
    if repository.children(node).is_empty() || planted("agent-deletes-what-is-inside") {
        repository.archive.insert(content);
        repository.remove(node);
    }
    applied(repository, node, None)
}

/// R-UNS-1: what lies in a folder goes, children first, but watched roots, what is edited online, and the
/// folders above them.
fn delete_content(repository: &mut Repository, folder: &NodeId) {
    for child in repository.children(folder) {
        let edited = repository.nodes.get(&child).is_some_and(|node| node.edited);
        if edited || repository.watched.contains(&child) {
            continue;
        }
        delete_content(repository, &child);
        if repository.children(&child).is_empty() {
            let content = repository.nodes.get(&child).map(|node| node.content);
            repository.archive.extend(content);
            repository.remove(&child);
        }
    }
}
