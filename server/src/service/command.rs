//! What agents are asked outside the exchange of changes (R-AGT-8), and the registry of their live sessions.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Error;
use crate::domain::ids::{NodeId, RepositoryId};
use crate::domain::limits::COMMANDS_WAITING_MAX;
use crate::domain::projection::NodeKind;
use crate::domain::report::NodeTrait;

/// Something that an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Which nodes these are, by id and by path below the agent's root.
    ResolveNodes {
        /// By id.
        nodes: Vec<NodeId>,
        /// By path; empty = the root.
        paths: Vec<String>,
    },
    /// What lies in a folder.
    ListFolder {
        /// The folder.
        folder: NodeId,
        /// Only behind this node.
        after: NodeId,
        /// At most so many.
        max: i32,
    },
    /// Make a folder; the same request makes one folder only.
    CreateFolder {
        /// Where.
        parent: NodeId,
        /// How it is called, and described.
        folder: NewFolder,
        /// Names the request.
        request: Uuid,
        /// The account as which to act (R-IDN-1).
        act_as: String,
    },
    /// What a user may do with nodes (R-IDN-2).
    CheckAccess {
        /// The user, or the account.
        user: String,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Whether an account works; the agent keeps its credential (R-IDN-1).
    VerifyAccount {
        /// The account.
        account: String,
        /// What it is to be shown.
        credential: Credential,
    },
}

/// A secret of somebody's account, on its way through; it is never stored, nor shown by any log.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(pub String);

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential")
    }
}

/// A folder to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewFolder {
    /// How it is called.
    pub name: String,
    /// `cm:title`; empty = none.
    pub title: String,
    /// `cm:description`; empty = none.
    pub description: String,
}

/// What an agent tells about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node; empty when it is missing and was asked for by path.
    pub node: NodeId,
    /// The folder it lies in is not told; its path below the root is.
    pub path: String,
    /// It is not there.
    pub missing: bool,
    /// Document or folder.
    pub kind: NodeKind,
    /// Its name.
    pub name: String,
    /// What is special about it.
    pub node_trait: NodeTrait,
    /// It is the library itself.
    pub library_root: bool,
    /// It lies in a site library.
    pub in_library: bool,
    /// The connector's account may write it.
    pub writable: bool,
    /// Bytes of its content.
    pub size: i64,
    /// Somebody edits it.
    pub locked_for_editing: bool,
    /// Somebody has it checked out.
    pub checked_out: bool,
}

/// What a user may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// May read it.
    pub read: bool,
    /// May change it, or create inside it.
    pub write: bool,
    /// May delete it.
    pub delete: bool,
}

/// An agent's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nodes, and whether more follow.
    Nodes(Vec<NodeInfo>, bool),
    /// What a user may do with each node.
    Access(Vec<(NodeId, Access)>),
    /// Done.
    Done,
    /// It could not be done, in the agent's words.
    Refused(String),
}

/// A command on its way to a session.
#[derive(Debug)]
pub struct Asked {
    /// Names it within the session.
    pub id: Uuid,
    /// What is asked.
    pub command: Command,
    /// Where the answer goes; dropped when nobody waits any more.
    pub reply: oneshot::Sender<Reply>,
    /// How long somebody waits.
    pub deadline: Duration,
}

/// What others may do with a live session.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Its epoch.
    pub epoch: i64,
    /// Questions for its agent.
    pub commands: mpsc::Sender<Asked>,
    /// Pings to be answered.
    pub pings: mpsc::Sender<oneshot::Sender<()>>,
    /// Ends it: another one took over.
    pub superseded: CancellationToken,
}

/// The live sessions of this coordinator, one for each repository; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    live: Arc<Mutex<HashMap<RepositoryId, Handle>>>,
}

/// How long an older session has to answer a ping (R-AGT-2).
const PING_WITHIN: Duration = Duration::from_secs(2);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<RepositoryId, Handle>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when an older session of the repository answers (R-AGT-2).
    pub async fn answers(&self, repository: RepositoryId) -> bool {
        let Some(handle) = self.lock().get(&repository).cloned() else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        let ping = async { handle.pings.send(answer).await.is_ok() && answered.await.is_ok() };
        // An earlier ping may still wait before a session that takes nothing.
        let answered = tokio::time::timeout(PING_WITHIN, ping).await;
        answered.unwrap_or(false)
    }

    /// True while the repository has a session that can be asked.
    #[must_use]
    pub fn is_live(&self, repository: RepositoryId) -> bool {
        self.lock().contains_key(&repository)
    }

    /// Registers a session; an older one ends.
    pub fn enter(&self, repository: RepositoryId, handle: Handle) {
        if let Some(older) = self.lock().insert(repository, handle) {
            older.superseded.cancel();
        }
    }

    /// Forgets a session, if it is still the one of this epoch.
    pub fn leave(&self, repository: RepositoryId, epoch: i64) {
        let mut live = self.lock();
        if live
            .get(&repository)
            .is_some_and(|handle| handle.epoch == epoch)
        {
            live.remove(&repository);
        }
    }

    /// Asks the agent of a repository and waits for its answer.
    ///
    /// # Errors
    /// [`Error::AgentOffline`] without a session, [`Error::AgentTimeout`] without an answer in time.
    pub async fn ask(
        &self,
        repository: (RepositoryId, &str),
        command: Command,
        deadline: Duration,
    ) -> Result<Reply, Error> {
        let offline = || Error::AgentOffline {
            repository: repository.1.to_owned(),
        };
        let handle = self
            .lock()
            .get(&repository.0)
            .cloned()
            .ok_or_else(offline)?;
        let (reply, replied) = oneshot::channel();
        let asked = Asked {
            id: Uuid::now_v7(),
            command,
            reply,
            deadline,
        };
        let answer = async {
            handle.commands.send(asked).await.map_err(|_| offline())?;
            replied.await.map_err(|_| offline())
        };
        let late = || Error::AgentTimeout {
            repository: repository.1.to_owned(),
        };
        tokio::time::timeout(deadline, answer)
            .await
            .map_err(|_| late())?
    }
}

/// A queue of commands for a session.
#[must_use]
pub fn command_queue() -> (mpsc::Sender<Asked>, mpsc::Receiver<Asked>) {
    mpsc::channel(COMMANDS_WAITING_MAX)
}
