//! Questions to live agents about their nodes (R-AGT-8).

use std::time::Duration;

use super::access::Repository;
use super::command::{Command, NodeInfo, Reply};
use super::{Error, UserScope};
use crate::domain::access::Side;
use crate::domain::ids::NodeId;
use crate::domain::limits::{COMMAND_SECONDS_MAX, NODE_ID_BYTES_MAX, PATH_BYTES_MAX};
use crate::domain::names::check_name;
use crate::domain::projection::NodeKind;

/// How long an agent has.
const WITHIN: Duration = Duration::from_secs(COMMAND_SECONDS_MAX);

/// How a caller names a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChoice {
    /// By its id.
    Id(NodeId),
    /// By its path below the root of the agent; empty = that root.
    Path(String),
}

impl NodeChoice {
    /// What people read in a refusal.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Id(node) => node.0.clone(),
            Self::Path(path) if path.is_empty() => "the root of the agent".to_owned(),
            Self::Path(path) => path.clone(),
        }
    }

    /// Checks what came from outside.
    ///
    /// # Errors
    /// [`Error::InvalidField`].
    pub fn check(&self, field: &str) -> Result<(), Error> {
        match self {
            Self::Id(node) => check_node_id(field, &node.0),
            Self::Path(path) if path.is_empty() => Ok(()),
            Self::Path(path) if path.len() > PATH_BYTES_MAX => Err(Error::invalid(
                field,
                format!("a path has at most {PATH_BYTES_MAX} bytes"),
            )),
            Self::Path(path) => path.split('/').try_for_each(|name| {
                check_name(name).map_err(|rule| {
                    Error::invalid(field, format!("{rule}; write names joined by single `/`"))
                })
            }),
        }
    }

    fn command(&self) -> Command {
        match self.clone() {
            Self::Id(node) => Command::ResolveNodes {
                nodes: vec![node],
                paths: Vec::new(),
            },
            Self::Path(path) => Command::ResolveNodes {
                nodes: Vec::new(),
                paths: vec![path],
            },
        }
    }
}

/// Checks the id of a node that came from outside.
///
/// # Errors
/// [`Error::InvalidField`].
pub fn check_node_id(field: &str, node: &str) -> Result<(), Error> {
    if (1..=NODE_ID_BYTES_MAX).contains(&node.len()) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("a node id has 1 to {NODE_ID_BYTES_MAX} bytes"),
    ))
}

impl UserScope {
    /// Asks the agent of a repository which node is meant.
    ///
    /// # Errors
    /// [`Error::AgentOffline`], [`Error::AgentTimeout`]; [`Error::InvalidField`] when the agent refuses the question.
    pub(super) async fn resolve(
        &self,
        repository: &Repository,
        choice: &NodeChoice,
        field: &str,
    ) -> Result<NodeInfo, Error> {
        let (mut nodes, _) = self.ask(repository, choice.command(), field).await?;
        let node = nodes.pop().filter(|_| nodes.is_empty());
        let node = node.ok_or_else(|| misbehaves(repository, "not exactly one node"))?;
        if node.missing {
            return Ok(node);
        }
        let asked_for = !matches!(choice, NodeChoice::Id(id) if *id != node.node);
        let sound = check_node_id(field, &node.node.0).is_ok() && check_name(&node.name).is_ok();
        if asked_for && sound {
            Ok(node)
        } else {
            Err(misbehaves(repository, "another node, or a malformed one"))
        }
    }

    /// Lists the folders in a folder of a cloud repository, beginning after a node (R-SET-3). The last node that was
    /// looked at comes along while more follow; it need not be a folder.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::InvalidField`], [`Error::AgentOffline`], [`Error::AgentTimeout`],
    /// [`Error::NodeNotFound`].
    pub async fn browse_folders(
        &self,
        repository: &str,
        folder: &NodeChoice,
        after: Option<NodeId>,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, Option<NodeId>), Error> {
        let repository = self.repository(repository).await?;
        if repository.side != Side::Cloud {
            return Err(Error::invalid("repository", "must be a cloud repository"));
        }
        folder.check("node_id")?;
        let found = self.resolve(&repository, folder, "node_id").await?;
        if found.missing {
            return Err(Error::NodeNotFound {
                node: folder.text(),
            });
        }
        if found.kind != NodeKind::Folder {
            return Err(Error::invalid("node_id", "must be a folder"));
        }
        let list = Command::ListFolder {
            folder: found.node,
            after: after.unwrap_or_default(),
            max: i32::try_from(max).unwrap_or(i32::MAX),
        };
        let (nodes, more) = self.ask(&repository, list, "node_id").await?;
        if nodes.len() > max {
            return Err(misbehaves(&repository, "more nodes than were asked for"));
        }
        let last = nodes.last().map(|last| last.node.clone());
        let folders = nodes
            .into_iter()
            .filter(|node| node.kind == NodeKind::Folder && !node.missing)
            .collect();
        Ok((folders, last.filter(|_| more)))
    }

    async fn ask(
        &self,
        repository: &Repository,
        command: Command,
        field: &str,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        let name = self.repository_name(&repository.name);
        let sessions = &self.coordinator.sessions;
        match sessions
            .ask((repository.id, &name), command, WITHIN)
            .await?
        {
            Reply::Nodes(nodes, more) => Ok((nodes, more)),
            Reply::Refused(text) => Err(Error::invalid(
                field,
                format!("the agent of {name} refused: {text}"),
            )),
            Reply::Done => Err(misbehaves(repository, "no nodes")),
        }
    }
}

fn misbehaves(repository: &Repository, what: &str) -> Error {
    Error::Internal {
        detail: format!("the agent of repository {} answered {what}", repository.id),
    }
}
