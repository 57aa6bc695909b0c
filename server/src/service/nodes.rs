//! Questions to live agents about their nodes (R-AGT-8).

use std::time::Duration;

use uuid::Uuid;

use super::access::Repository;
use super::command::{Command, NewFolder, NodeInfo, Reply};
use super::{Error, UserScope};
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
        let choices = std::slice::from_ref(choice);
        let node = self.resolve_all(repository, choices, field).await?.pop();
        node.ok_or_else(|| misbehaves(repository, "no node"))
    }

    /// Asks the agent of a repository which nodes are meant; answers in the same order.
    ///
    /// # Errors
    /// As [`UserScope::resolve`].
    pub(super) async fn resolve_all(
        &self,
        repository: &Repository,
        choices: &[NodeChoice],
        field: &str,
    ) -> Result<Vec<NodeInfo>, Error> {
        let (mut nodes, mut paths) = (Vec::new(), Vec::new());
        for choice in choices {
            match choice {
                NodeChoice::Id(node) => nodes.push(node.clone()),
                NodeChoice::Path(path) => paths.push(path.clone()),
            }
        }
        // Answers come first by id, then by path.
        let by_path = nodes.len();
        let command = Command::ResolveNodes { nodes, paths };
        let (found, _) = self.ask(repository, command, field).await?;
        if found.len() != choices.len() {
            return Err(misbehaves(repository, "not one node for each asked"));
        }
        let (mut ids, mut paths) = found.split_at(by_path);
        let mut answers = Vec::with_capacity(choices.len());
        for choice in choices {
            let from = match choice {
                NodeChoice::Id(_) => &mut ids,
                NodeChoice::Path(_) => &mut paths,
            };
            let answer = from.split_off_first().cloned();
            let answer = answer.filter(|answer| is_sound(choice, answer));
            answers.push(answer.ok_or_else(|| {
                misbehaves(
                    repository,
                    "another node than asked for, or a malformed one",
                )
            })?);
        }
        Ok(answers)
    }

    /// One page of a folder, behind a node, and whether more follow.
    ///
    /// # Errors
    /// As [`UserScope::resolve`].
    pub(super) async fn list_folder(
        &self,
        repository: &Repository,
        (folder, after): (&NodeId, NodeId),
        max: usize,
        field: &str,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        let list = Command::ListFolder {
            folder: folder.clone(),
            after,
            max: i32::try_from(max).unwrap_or(i32::MAX),
        };
        let (nodes, more) = self.ask(repository, list, field).await?;
        if nodes.len() > max || (more && nodes.is_empty()) {
            return Err(misbehaves(
                repository,
                "a page of another size than asked for",
            ));
        }
        Ok((nodes, more))
    }

    /// Makes a folder as an account; what its name, title and description may be is checked already.
    ///
    /// # Errors
    /// As [`UserScope::resolve`].
    pub(super) async fn make_folder(
        &self,
        repository: &Repository,
        parent: &NodeId,
        (folder, request, account): (&NewFolder, Uuid, &str),
        field: &str,
    ) -> Result<NodeInfo, Error> {
        let make = Command::CreateFolder {
            parent: parent.clone(),
            folder: folder.clone(),
            request,
            act_as: account.to_owned(),
        };
        let (mut nodes, _) = self.ask(repository, make, field).await?;
        let made = nodes.pop().filter(|made| {
            let sound = is_sound(&NodeChoice::Path(folder.name.clone()), made);
            nodes.is_empty() && sound && !made.missing && made.kind == NodeKind::Folder
        });
        made.ok_or_else(|| misbehaves(repository, "not one new folder"))
    }

    async fn ask(
        &self,
        repository: &Repository,
        command: Command,
        field: &str,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        match self.ask_agent(repository, command).await? {
            Reply::Nodes(nodes, more) => Ok((nodes, more)),
            Reply::Refused(text) => {
                let name = self.repository_name(&repository.name);
                let rule = format!("the agent of {name} refused: {text}");
                Err(Error::invalid(field, rule))
            }
            Reply::Access(_) | Reply::Done => Err(misbehaves(repository, "no nodes")),
        }
    }

    /// Asks the live agent of a repository whatever it is.
    ///
    /// # Errors
    /// [`Error::AgentOffline`], [`Error::AgentTimeout`].
    pub(super) async fn ask_agent(
        &self,
        repository: &Repository,
        command: Command,
    ) -> Result<Reply, Error> {
        let name = self.repository_name(&repository.name);
        let sessions = &self.coordinator.sessions;
        sessions.ask((repository.id, &name), command, WITHIN).await
    }
}

/// Whether an agent's answer can be one to this question.
fn is_sound(choice: &NodeChoice, answer: &NodeInfo) -> bool {
    let asked_for = !matches!(choice, NodeChoice::Id(id) if *id != answer.node);
    let named = check_node_id("", &answer.node.0).is_ok() && check_name(&answer.name).is_ok();
    answer.missing || (asked_for && named)
}

fn misbehaves(repository: &Repository, what: &str) -> Error {
    Error::Internal {
        detail: format!("the agent of repository {} answered {what}", repository.id),
    }
}
