//! The tree behind the trait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tandem_proto::v1::{
    AccessInfo, Capabilities, NodeInfo, NodeVersion, Observation, Outcome, WatchRoot,
};
use tokio::{io::AsyncReadExt, sync::watch};

use super::{
    faults::Faults,
    tree::{MemoryTree, Node, ROOT, Refused, content_ref},
};
use crate::agent::repository::{
    Content, Description, Error, Present, Repository, ScanStep, Seen, Work,
};

/// A [`MemoryTree`] that several tasks may use.
#[derive(Debug)]
pub struct MemoryRepository {
    installation_id: String,
    tree: Mutex<MemoryTree>,
    changed: watch::Sender<()>,
    holds_outcomes: watch::Sender<bool>,
}

// === impl MemoryRepository ===

impl MemoryRepository {
    /// Puts a tree behind the trait.
    #[must_use]
    pub fn new(tree: MemoryTree) -> Self {
        let installation_id = format!("memory-{}", uuid::Uuid::new_v4());
        Self {
            installation_id,
            tree: Mutex::new(tree),
            changed: watch::Sender::new(()),
            holds_outcomes: watch::Sender::new(false),
        }
    }

    /// Does something as a user, or sets faults; what changed is offered afterwards.
    pub fn with<T>(&self, work: impl FnOnce(&mut MemoryTree) -> T) -> T {
        let result = work(&mut self.lock());
        self.changed.send_replace(());
        result
    }

    /// From now on deliveries take effect but are not answered, until this is called with false.
    pub fn hold_outcomes(&self, hold: bool) {
        self.holds_outcomes.send_replace(hold);
    }

    fn lock(&self) -> MutexGuard<'_, MemoryTree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ready(&self) -> Result<(), Error> {
        let Faults { delay, away, .. } = self.lock().faults.clone();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if away {
            return Err(Error::Unavailable("switched off".to_owned()));
        }
        Ok(())
    }

    async fn apply_one(&self, work: Work) -> Outcome {
        let content = match work.content {
            Some(Content::Bytes(bytes)) => Some(bytes),
            Some(large) => read_all(large.into_reader()).await,
            None => None,
        };
        self.with(|tree| tree.apply_delivery(&work.delivery, content))
    }
}

/// What could be read; a broken stream yields bytes that fail the digest.
async fn read_all(mut stream: Box<dyn tokio::io::AsyncRead + Send + Unpin>) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while stream.read_buf(&mut bytes).await.ok()? > 0 {}
    Some(bytes.freeze())
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(node_id) => Self::NodeNotFound(node_id),
            other => Self::Refused(other.to_string()),
        }
    }
}

#[async_trait]
impl Repository for MemoryRepository {
    fn description(&self) -> Description {
        let (rules, users) = {
            let tree = self.lock();
            (tree.rules, tree.people.is_some())
        };
        Description {
            installation_id: self.installation_id.clone(),
            index_id: self.installation_id.clone(),
            capabilities: Capabilities {
                name_rule: Some(rules.names),
                properties: vec!["*".to_owned()],
                node_types: rules.node_types.iter().map(ToString::to_string).collect(),
                locks: true,
                users,
                versions: true,
                move_out: rules.move_out,
                editing_locks: true,
            },
        }
    }

    async fn watch(&self, roots: &[WatchRoot]) -> Result<(), Error> {
        self.ready().await?;
        self.with(|tree| tree.watch(roots));
        Ok(())
    }

    async fn changes(&self, max: usize) -> Result<Vec<Observation>, Error> {
        let mut changed = self.changed.subscribe();
        loop {
            self.ready().await?;
            let offered = {
                let mut tree = self.lock();
                if tree.faults.root_gone {
                    return Err(Error::RootGone(ROOT.to_owned()));
                }
                tree.run_background_rules();
                tree.take_changes(max)
            };
            if !offered.is_empty() {
                return Ok(offered);
            }
            let _ = changed.changed().await;
        }
    }

    async fn reported(&self, seen: &[Seen]) -> Result<(), Error> {
        self.lock().reported(seen);
        Ok(())
    }

    async fn forget_reported(&self) -> Result<(), Error> {
        self.lock().forget_reported();
        Ok(())
    }

    async fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error> {
        self.ready().await?;
        self.lock().scan(root, position, children_max)
    }

    async fn observe(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error> {
        self.ready().await?;
        Ok(self.lock().observe(node_ids))
    }

    async fn open(&self, node_id: &str, digest: &[u8]) -> Result<Content, Error> {
        self.ready().await?;
        let tree = self.lock();
        if tree
            .faults
            .unreadable
            .iter()
            .any(|unreadable| unreadable == node_id)
        {
            return Err(Error::Unavailable(format!("node {node_id} cannot be read")));
        }
        let bytes = tree
            .content(node_id)
            .ok_or_else(|| Error::NodeNotFound(node_id.to_owned()))?;
        if content_ref(&bytes).digest[..] == *digest {
            Ok(Content::Bytes(bytes))
        } else {
            Err(Error::ContentChanged(node_id.to_owned()))
        }
    }

    async fn present(&self, node_id: &str) -> Result<Present, Error> {
        self.ready().await?;
        let tree = self.lock();
        let bytes = tree.content(node_id);
        let mut bytes = bytes.ok_or_else(|| Error::NodeNotFound(node_id.to_owned()))?;
        let digest = Some(content_ref(&bytes).digest);
        if tree.faults.damaged && !bytes.is_empty() {
            let mut damaged = BytesMut::from(&bytes[..]);
            damaged[0] ^= 1;
            bytes = damaged.freeze();
        }
        let content = Content::Bytes(bytes);
        Ok(Present { content, digest })
    }

    async fn apply(&self, work: Vec<Work>) -> Vec<Outcome> {
        // A repository that is away answers late, not wrong.
        let _ = self.ready().await;
        let mut outcomes = Vec::with_capacity(work.len());
        for one in work {
            outcomes.push(self.apply_one(one).await);
        }
        // The sender lives as long as this.
        let _ = self.holds_outcomes.subscribe().wait_for(|held| !held).await;
        outcomes
    }

    async fn resolve(&self, node_ids: &[String], paths: &[String]) -> Result<Vec<NodeInfo>, Error> {
        self.ready().await?;
        let tree = self.lock();
        let by_id = node_ids.iter().map(|id| tree.info(id));
        let by_path = paths.iter().map(|path| match tree.find(path) {
            Some(id) => tree.info(&id),
            None => NodeInfo {
                missing: true,
                path: path.clone(),
                ..NodeInfo::default()
            },
        });
        Ok(by_id.chain(by_path).collect())
    }

    async fn list_folder(
        &self,
        node_id: &str,
        after_node_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        self.ready().await?;
        let tree = self.lock();
        if tree.projection(node_id).is_none() {
            return Err(Error::NodeNotFound(node_id.to_owned()));
        }
        let behind = tree
            .children(node_id)
            .map(|(id, _)| id)
            .filter(|id| id.as_str() > after_node_id);
        let mut infos: Vec<NodeInfo> = behind.take(max + 1).map(|id| tree.info(id)).collect();
        let more = infos.len() > max;
        infos.truncate(max);
        Ok((infos, more))
    }

    async fn create_folder(
        &self,
        parent_node_id: &str,
        name: &str,
        request_id: &[u8],
        act_as: &str,
    ) -> Result<NodeInfo, Error> {
        self.ready().await?;
        self.with(|tree| {
            if let Some(made) = tree.requests.get(request_id) {
                return Ok(tree.info(made));
            }
            tree.check_creator(act_as, parent_node_id)
                .map_err(|failed| Error::Refused(failed.message))?;
            let made = tree.create_folder_as(act_as, parent_node_id, name)?;
            tree.requests.insert(request_id.to_vec(), made.clone());
            Ok(tree.info(&made))
        })
    }

    async fn check_access(
        &self,
        user: &str,
        node_ids: &[String],
    ) -> Result<Vec<AccessInfo>, Error> {
        self.ready().await?;
        Ok(self.lock().access(user, node_ids))
    }

    async fn versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeVersion>, bool), Error> {
        self.ready().await?;
        Ok(self.lock().kept_versions(node_id, after_version_id, max))
    }

    async fn restore_version(&self, node_id: &str, version_id: &str) -> Result<(), Error> {
        self.ready().await?;
        match self.with(|tree| tree.restore_version(node_id, version_id)) {
            Some(restored) => Ok(restored?),
            None => Err(Error::VersionNotFound(version_id.to_owned())),
        }
    }

    async fn describe_folder(
        &self,
        node_id: &str,
        title: &str,
        description: &str,
    ) -> Result<(), Error> {
        self.with(|tree| {
            for (name, text) in [("cm:title", title), ("cm:description", description)] {
                if !text.is_empty() {
                    tree.set_property(node_id, name, Some(text))?;
                }
            }
            Ok(())
        })
    }

    async fn room(&self) -> Result<Option<u64>, Error> {
        self.ready().await?;
        Ok(MemoryTree::room(&self.lock()))
    }

    async fn verify_account(&self, account: &str, credential: &str) -> Result<(), Error> {
        self.ready().await?;
        let verified = self.with(|tree| {
            let people = tree.people.as_mut();
            people.map(|people| people.verify(account, credential))
        });
        match verified {
            Some(verified) => verified.map_err(Error::Refused),
            None => Err(Error::Unsupported("verify accounts: it has no users")),
        }
    }
}

impl MemoryTree {
    pub(super) fn info(&self, node_id: &str) -> NodeInfo {
        let Some(node) = self.nodes.get(node_id) else {
            return NodeInfo {
                node_id: node_id.to_owned(),
                missing: true,
                ..NodeInfo::default()
            };
        };
        self.info_of(node_id, node)
    }

    fn info_of(&self, node_id: &str, node: &Node) -> NodeInfo {
        let mut info = NodeInfo {
            node_id: node_id.to_owned(),
            missing: false,
            name: node.name.clone(),
            path: self.path(node_id),
            library_root: node_id == ROOT,
            in_library: self.is_in_library(node_id),
            writable: !node.locked,
            size: node
                .content
                .as_ref()
                .map_or(0, |content| content_ref(content).size),
            checked_out: self.is_checked_out(node_id),
            locked_for_editing: self.edited.contains(node_id),
            ..NodeInfo::default()
        };
        info.set_kind(node.kind());
        info.set_node_trait(node.special);
        info
    }
}
