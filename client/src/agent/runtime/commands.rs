//! Answers what the coordinator asks (R-AGT-8).

use std::{sync::Arc, time::Duration};

use tandem_proto::v1::{
    AccessInfos, Command, CommandDone, CommandResult, CreateFolder, ErrorReason, NodeInfo,
    NodeInfos, NodeVersions, Refusal, WatchRoot, WatchRoots, command::Request,
    command_result::Result as Reply,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    conversation::{Conversation, rollback_suspected},
    reason_of,
};
use crate::{
    agent::{
        outbox::Named,
        repository::{self, Repository},
    },
    error::Error,
};

/// Commands that are worked on at once.
const RUNNING_MAX: usize = 8;
/// How long a command may take when the coordinator does not say.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// Entries of a page when the coordinator does not say.
const PAGE_SIZE_DEFAULT: usize = 1000;

/// Runs until the session stops.
pub(super) async fn run<R: Repository>(
    conversation: Arc<Conversation<R>>,
    mut commands: mpsc::Receiver<Command>,
) -> Result<(), Error> {
    let mut running = JoinSet::new();
    while let Some(command) = commands.recv().await {
        while running.len() >= RUNNING_MAX {
            if let Some(Ok(sent)) = running.join_next().await {
                sent?;
            }
        }
        // The order of these decides which roots are watched in the end.
        if let Some(Request::WatchRoots(watch)) = &command.request {
            conversation.compare(watch.roots.clone()).await?;
            conversation.execute(command).await?;
        } else {
            let conversation = Arc::clone(&conversation);
            running.spawn(async move { conversation.execute(command).await });
        }
    }
    Ok(())
}

impl<R: Repository> Conversation<R> {
    /// Ends the session when the roots show that agent and coordinator do not remember the same (R-AGT-4).
    async fn compare(&self, roots: Vec<WatchRoot>) -> Result<(), Error> {
        match self.core.outbox.name_roots(roots).await? {
            Named::Unheard(documents) => {
                self.again.look_for_the_first_time(documents);
                Ok(())
            }
            Named::RollbackSuspected => Err(rollback_suspected(
                "a folder is to be watched that the agent does not remember",
            )),
        }
    }

    async fn execute(&self, command: Command) -> Result<(), Error> {
        let deadline = command
            .deadline
            .and_then(|deadline| Duration::try_from(deadline).ok())
            .filter(|deadline| !deadline.is_zero())
            .unwrap_or(DEADLINE_DEFAULT);
        let reply = match timeout(deadline, self.reply(command.request)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => Reply::Error(refusal(reason_of(&error), error.to_string())),
            Err(_) => Reply::Error(refusal(
                ErrorReason::AgentTimeout,
                "the repository did not answer in time".to_owned(),
            )),
        };
        let result = CommandResult {
            id: command.id,
            result: Some(reply),
        };
        self.sender.command_result(result).await
    }

    async fn reply(&self, request: Option<Request>) -> Result<Reply, repository::Error> {
        let repository = &self.core.repository;
        Ok(match request {
            Some(Request::WatchRoots(roots)) => self.watch(roots).await?,
            Some(Request::ResolveNodes(asked)) => nodes(
                repository.resolve(&asked.node_ids, &asked.paths).await?,
                false,
            ),
            Some(Request::CheckAccess(asked)) => Reply::Access(AccessInfos {
                nodes: repository
                    .check_access(&asked.user, &asked.node_ids)
                    .await?,
            }),
            Some(Request::ListFolder(asked)) => {
                let max = page_size(asked.page_size);
                let (found, more) = repository
                    .list_folder(&asked.node_id, &asked.after_node_id, max)
                    .await?;
                nodes(found, more)
            }
            Some(Request::CreateFolder(asked)) => {
                nodes(vec![self.make_folder(asked).await?], false)
            }
            Some(Request::VerifyAccount(asked)) => {
                repository
                    .verify_account(&asked.account, &asked.credential)
                    .await?;
                done()
            }
            Some(Request::ObserveNodes(asked)) => {
                match asked.read_content {
                    true => self.again.read(asked.node_ids),
                    false => self.again.look(asked.node_ids),
                }
                done()
            }
            Some(Request::ListNodeVersions(asked)) => {
                let max = page_size(asked.page_size);
                let (versions, more) = repository
                    .versions(&asked.node_id, &asked.after_version_id, max)
                    .await?;
                Reply::Versions(NodeVersions { versions, more })
            }
            Some(Request::RestoreNodeVersion(asked)) => {
                repository
                    .restore_version(&asked.node_id, &asked.version_id)
                    .await?;
                done()
            }
            None => Reply::Error(refusal(
                ErrorReason::NotImplemented,
                "this agent does not know the command; update it".to_owned(),
            )),
        })
    }

    async fn watch(&self, roots: WatchRoots) -> Result<Reply, repository::Error> {
        let watched = self.core.repository.watch(&roots.roots).await;
        if let Err(error) = &watched {
            self.note_trouble(error);
        }
        // Scans tell of a missing root themselves.
        self.roots.send_replace(Some(roots.roots));
        watched.map(|()| done())
    }

    async fn make_folder(&self, asked: CreateFolder) -> Result<NodeInfo, repository::Error> {
        let repository = &self.core.repository;
        let (parent, request) = (&asked.parent_node_id, &asked.request_id);
        let made = repository.create_folder(parent, &asked.name, request, &asked.act_as);
        let made = made.await?;
        if !asked.title.is_empty() || !asked.description.is_empty() {
            repository
                .describe_folder(&made.node_id, &asked.title, &asked.description)
                .await?;
        }
        Ok(made)
    }
}

fn nodes(nodes: Vec<NodeInfo>, more: bool) -> Reply {
    Reply::Nodes(NodeInfos { nodes, more })
}

fn done() -> Reply {
    Reply::Done(CommandDone {})
}

fn page_size(asked: i32) -> usize {
    usize::try_from(asked)
        .ok()
        .filter(|size| *size > 0)
        .map_or(PAGE_SIZE_DEFAULT, |size| size.min(PAGE_SIZE_DEFAULT))
}

fn refusal(reason: ErrorReason, message: String) -> Refusal {
    Refusal {
        reason: reason.into(),
        message,
        ..Refusal::default()
    }
}
