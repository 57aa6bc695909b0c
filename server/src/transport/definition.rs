//! What CreateSyncSet and PreviewSyncSet are asked to make, as the wire says it (SPEC §2).

use tandem_proto::v1 as wire;
use uuid::Uuid;

use super::names;
use super::sync_set::options;
use crate::domain::ids::NodeId;
use crate::domain::projection::Sides;
use crate::domain::sync_set::SetKind;
use crate::service::Error;
use crate::service::choice::Definition;
use crate::service::command::NewFolder;
use crate::service::create_set::NewSet;
use crate::service::nodes::NodeChoice;

/// Reads a request to make a set.
///
/// # Errors
/// [`Error::InvalidField`], [`Error::NotImplemented`].
pub(super) fn new_set(
    network: &str,
    request: &wire::CreateSyncSetRequest,
) -> Result<NewSet, Error> {
    Ok(NewSet {
        definition: definition(network, request.definition.as_ref())?,
        owner: Some(request.owner.clone()).filter(|owner| !owner.is_empty()),
        request_id: request_id(&request.request_id)?,
    })
}

/// Reads what is to be made.
///
/// # Errors
/// [`Error::InvalidField`], [`Error::NotImplemented`].
pub(super) fn definition(
    network: &str,
    given: Option<&wire::SyncSetDefinition>,
) -> Result<Definition, Error> {
    let given = given.ok_or_else(|| Error::invalid("definition", "must be given"))?;
    let repository = |field: &str, name: &str| {
        let (of, repository) = names::repository(field, name)?;
        if of != network {
            return Err(Error::invalid(field, "must belong to `parent`"));
        }
        Ok(repository.to_owned())
    };
    Ok(Definition {
        kind: kind(given.kind)?,
        repositories: Sides {
            on_premise: repository(
                "definition.on_premise_repository",
                &given.on_premise_repository,
            )?,
            cloud: repository("definition.cloud_repository", &given.cloud_repository)?,
        },
        target: folder(
            "definition.target_folder_node_id",
            &given.target_folder_node_id,
            ("target_path", &given.target_path),
        )?,
        options: options(given.options.as_ref())?,
        nodes: chosen(given),
        new_folder: given.new_target_folder.clone().map(|folder| NewFolder {
            name: folder.name,
            title: folder.title,
            description: folder.description,
        }),
    })
}

/// What a set is to be made of; `None` = what the chosen nodes are.
fn kind(given: i32) -> Result<Option<SetKind>, Error> {
    match wire::SyncSetKind::try_from(given) {
        Ok(wire::SyncSetKind::Folder) => Ok(Some(SetKind::Folder)),
        Ok(wire::SyncSetKind::Documents) => Ok(Some(SetKind::Documents)),
        Ok(wire::SyncSetKind::Unspecified) => Ok(None),
        Err(_) => Err(Error::invalid(
            "definition.kind",
            "is not known; leave it out, then it is what the chosen nodes are",
        )),
    }
}

fn chosen(given: &wire::SyncSetDefinition) -> Vec<NodeChoice> {
    let (nodes, paths) = (given.node_ids.iter(), given.paths.iter());
    let by_id = nodes.map(|node| NodeChoice::Id(NodeId(node.clone())));
    by_id
        .chain(paths.map(|path| NodeChoice::Path(path.clone())))
        .collect()
}

/// A folder by its id, or by its path; by neither it is the root of the agent.
///
/// # Errors
/// [`Error::InvalidField`] for both at once.
pub(super) fn folder(
    field: &str,
    node: &str,
    (other, path): (&str, &str),
) -> Result<NodeChoice, Error> {
    match (node.is_empty(), path.is_empty()) {
        (false, true) => Ok(NodeChoice::Id(NodeId(node.to_owned()))),
        (true, _) => Ok(NodeChoice::Path(path.to_owned())),
        (false, false) => Err(Error::invalid(
            field,
            format!("give this or {other}, not both"),
        )),
    }
}

/// Names a request that may be repeated; `None` when it is not to be.
///
/// # Errors
/// [`Error::InvalidField`].
pub(super) fn request_id(text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = Uuid::try_parse(text)
        .map_err(|_| Error::invalid("request_id", "must be a UUID, or empty"))?;
    Ok(Some(id))
}
