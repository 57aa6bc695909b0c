//! Commands to the wire, and their results back (R-AGT-8).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_proto::v1 as wire;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::domain::ids::NodeId;
use crate::domain::limits::COMMANDS_WAITING_MAX;
use crate::domain::projection::NodeKind;
use crate::domain::report::NodeTrait;
use crate::service::command::{Access, Asked, Command, NodeInfo, Reply};

/// Seconds for which commands that nobody waits for stand.
const STANDING_SECONDS: i64 = 3_600;

/// Commands and pings that are not answered yet; shared by the two tasks of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Unanswered {
    commands: Arc<Mutex<HashMap<Uuid, oneshot::Sender<Reply>>>>,
    pings: Arc<Mutex<HashMap<i64, oneshot::Sender<()>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unanswered {
    /// Notes a command and puts it on the wire.
    pub(super) fn ask(&self, asked: Asked) -> wire::Command {
        let mut commands = lock(&self.commands);
        commands.retain(|_, reply| !reply.is_closed());
        if commands.len() < COMMANDS_WAITING_MAX {
            commands.insert(asked.id, asked.reply);
        }
        wire::Command {
            id: asked.id.as_bytes().to_vec().into(),
            deadline: prost_types::Duration::try_from(asked.deadline).ok(),
            request: Some(request(asked.command)),
        }
    }

    /// Gives an answer to whoever waits for it; answers that nobody waits for are dropped.
    pub(super) fn answer(&self, result: wire::CommandResult) {
        let Ok(id) = Uuid::from_slice(&result.id) else {
            return;
        };
        if let Some(waiting) = lock(&self.commands).remove(&id) {
            let _ = waiting.send(reply(result));
        }
    }

    /// Notes a ping and puts it on the wire.
    pub(super) fn ping(&self, answered: oneshot::Sender<()>) -> wire::Ping {
        let nonce = rand::random();
        let mut pings = lock(&self.pings);
        pings.retain(|_, answered| !answered.is_closed());
        pings.insert(nonce, answered);
        wire::Ping { nonce }
    }

    /// Tells whoever pinged.
    pub(super) fn pong(&self, pong: &wire::Pong) {
        if let Some(answered) = lock(&self.pings).remove(&pong.nonce) {
            let _ = answered.send(());
        }
    }
}

/// A command whose answer nobody waits for.
pub(super) fn standing(request: wire::command::Request) -> wire::Command {
    wire::Command {
        id: Uuid::now_v7().as_bytes().to_vec().into(),
        deadline: Some(prost_types::Duration {
            seconds: STANDING_SECONDS,
            nanos: 0,
        }),
        request: Some(request),
    }
}

fn request(command: Command) -> wire::command::Request {
    use wire::command::Request;
    match command {
        Command::ResolveNodes { nodes, paths } => Request::ResolveNodes(wire::ResolveNodes {
            node_ids: nodes.into_iter().map(|node| node.0).collect(),
            paths,
        }),
        Command::ListFolder { folder, after, max } => Request::ListFolder(wire::ListFolder {
            node_id: folder.0,
            after_node_id: after.0,
            page_size: max,
        }),
        Command::CreateFolder {
            parent,
            folder,
            request,
            act_as,
        } => Request::CreateFolder(wire::CreateFolder {
            parent_node_id: parent.0,
            name: folder.name,
            title: folder.title,
            description: folder.description,
            request_id: request.as_bytes().to_vec().into(),
            act_as,
        }),
        Command::CheckAccess { user, nodes } => Request::CheckAccess(wire::CheckAccess {
            user,
            node_ids: nodes.into_iter().map(|node| node.0).collect(),
        }),
        Command::VerifyAccount {
            account,
            credential,
        } => Request::VerifyAccount(wire::VerifyAccount {
            account,
            credential: credential.0,
        }),
    }
}

fn reply(result: wire::CommandResult) -> Reply {
    use wire::command_result::Result;
    match result.result {
        Some(Result::Nodes(nodes)) => {
            Reply::Nodes(nodes.nodes.into_iter().map(node_info).collect(), nodes.more)
        }
        Some(Result::Error(error)) => Reply::Refused(error.message),
        Some(Result::Access(infos)) => Reply::Access(infos.nodes.into_iter().map(access).collect()),
        Some(Result::Done(_) | Result::Versions(_)) => Reply::Done,
        None => Reply::Refused("the agent answered without a result".to_owned()),
    }
}

fn access(info: wire::AccessInfo) -> (NodeId, Access) {
    let access = Access {
        read: info.read,
        write: info.write,
        delete: info.delete,
    };
    (NodeId(info.node_id), access)
}

fn node_info(info: wire::NodeInfo) -> NodeInfo {
    NodeInfo {
        node: NodeId(info.node_id),
        path: info.path,
        missing: info.missing,
        kind: match wire::NodeKind::try_from(info.kind) {
            Ok(wire::NodeKind::Folder) => NodeKind::Folder,
            _ => NodeKind::Document,
        },
        name: info.name,
        node_trait: match wire::NodeTrait::try_from(info.node_trait) {
            Ok(wire::NodeTrait::Special) if info.illegal_name => NodeTrait::IllegalName,
            Ok(wire::NodeTrait::WorkingCopy) => NodeTrait::WorkingCopy,
            Ok(wire::NodeTrait::SmartFolder) => NodeTrait::SmartFolder,
            Ok(wire::NodeTrait::Link) => NodeTrait::Link,
            Ok(wire::NodeTrait::Record) => NodeTrait::Record,
            Ok(wire::NodeTrait::Special) => NodeTrait::Special,
            Ok(wire::NodeTrait::OutsideLibrary) => NodeTrait::OutsideLibrary,
            Ok(wire::NodeTrait::TooLarge) => NodeTrait::TooLarge,
            Ok(wire::NodeTrait::Unspecified) | Err(_) => NodeTrait::Ordinary,
        },
        library_root: info.library_root,
        in_library: info.in_library,
        writable: info.writable,
        size: info.size.max(0),
        locked_for_editing: info.locked_for_editing,
        checked_out: info.checked_out,
    }
}
