//! A directory of the file system as a repository.
//!
//! | room | what it does |
//! |---|---|
//! | [`options`] | how a directory is kept |
//! | `os`, `disk` | the operating system, and the ways into the root that no link can lead out of |
//! | `node`, `tree`, `index` | what is known: one node, all of them in memory, all of them in SQLite |
//! | `watch`, `pending`, `look` | what happened, where to look, and which node each file found is |
//! | `reading`, `properties` | content and properties |
//! | `report`, `scan`, `ask`, `checkouts`, `users` | the agent's questions |
//! | `apply`, `durability`, `versions` | the coordinator's deliveries |
//!
//! The tree in memory is behind one lock, which is held for looking and for making things visible, never for writing or
//! hashing content; so reading, applying and reporting of a node exclude each other (R-AGT-6). Every state of the tree
//! that leaves the connector is in the index first.

mod agent;
mod apply;
mod ask;
mod checkouts;
mod core;
mod disk;
mod durability;
mod faults;
mod index;
mod look;
mod names;
mod node;
mod open;
pub mod options;
mod os;
mod pending;
mod properties;
mod reading;
mod report;
mod scan;
#[cfg(test)]
mod tests;
mod tree;
mod users;
mod versions;
mod watch;

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use tandem_proto::v1::{
    AccessInfo, Capabilities, NodeInfo, NodeVersion, Observation, Outcome, WatchRoot,
    delivery::Action,
};

use self::{
    apply::{Item, Source, stage_large},
    core::{Core, Depth, unavailable},
    report::Next,
};
pub use self::{options::Options, users::Users};
use crate::agent::{
    chunks::Manifest,
    repository::{Content, Description, Error, Present, Repository, ScanStep, Seen, Work},
};
pub use agent::{Error as AgentError, beside};

/// So often `observe` looks again, a settling time apart, at files that are being written.
const LOOKS: usize = 40;

/// A directory, open.
#[derive(Debug)]
pub struct Directory {
    core: Arc<Core>,
}

impl Directory {
    /// Opens a directory: completes or cleans what a crash left half done, and finds what changed meanwhile.
    ///
    /// # Errors
    /// [`Error::RootGone`] when the root is missing or is another than the index remembers; [`Error::Refused`] when the
    /// state directory lies inside the root; [`Error::Unavailable`] with what the operating system says.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(|| Core::open(options)).await;
        let core = opened.map_err(unavailable)??;
        Ok(Self {
            core: Arc::new(core),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let core = Arc::clone(&self.core);
        let done = tokio::task::spawn_blocking(move || work(&core)).await;
        done.map_err(unavailable)?
    }

    async fn look(&self, node_ids: &[String], depth: Depth) -> Result<Vec<Observation>, Error> {
        for look in 0..=LOOKS {
            let ids = node_ids.to_vec();
            let which = (look == 0, look == LOOKS);
            let looked = self.blocking(move |core| core.observe(&ids, depth, which));
            let (seen, doubtful) = looked.await?;
            if !doubtful {
                return Ok(seen);
            }
            tokio::time::sleep(self.core.options.settle()).await;
        }
        Err(Error::Unavailable(
            "files are still being written".to_owned(),
        ))
    }

    async fn item(&self, work: Work) -> Item {
        let Work { delivery, content } = work;
        let bytes = match content {
            None => Source::None,
            Some(Content::Bytes(bytes)) => Source::Bytes(bytes),
            Some(large) => {
                let projection = match &delivery.action {
                    Some(Action::Create(create)) => create.projection.as_ref(),
                    Some(Action::Update(update)) => update.projection.as_ref(),
                    _ => None,
                };
                let content = projection.and_then(|projection| projection.content.clone());
                stage_large(&self.core, large, content).await
            }
        };
        Item { delivery, bytes }
    }

    /// Waits for something to happen, but not beyond a time.
    async fn pause(&self, until: Option<Instant>) {
        match until {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => {
                self.core.pending.wake.notified().await;
                // Whatever happened has to settle anyway; until then there is nothing to look at.
                tokio::time::sleep(self.core.options.settle()).await;
            }
        }
    }
}

#[async_trait]
impl Repository for Directory {
    fn description(&self) -> Description {
        Description {
            installation_id: self.core.installation_id.clone(),
            index_id: self.core.index_id.clone(),
            capabilities: Capabilities {
                name_rule: Some(self.core.name_rule),
                properties: vec!["*".to_owned()],
                node_types: Vec::new(),
                locks: true,
                users: self.core.options.users.is_some(),
                versions: true,
                move_out: true,
                editing_locks: false,
            },
        }
    }

    async fn watch(&self, roots: &[WatchRoot]) -> Result<(), Error> {
        let roots = roots.to_vec();
        self.blocking(move |core| core.watch(&roots)).await
    }

    async fn changes(&self, max: usize) -> Result<Vec<Observation>, Error> {
        loop {
            match self.blocking(move |core| core.next_changes(max)).await? {
                Next::Offer(offers) => return Ok(offers),
                Next::Wait(until) => self.pause(until).await,
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.core.at_rest.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn reported(&self, seen: &[Seen]) -> Result<(), Error> {
        let seen = seen.to_vec();
        self.blocking(move |core| core.reported(&seen)).await
    }

    async fn forget_reported(&self) -> Result<(), Error> {
        self.blocking(Core::forget_reported).await
    }

    async fn scan(
        &self,
        root: &WatchRoot,
        position: &[u8],
        children_max: usize,
    ) -> Result<ScanStep, Error> {
        let (root, position) = (root.clone(), position.to_vec());
        self.blocking(move |core| core.scan(&root, &position, children_max))
            .await
    }

    async fn observe(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error> {
        self.look(node_ids, Depth::Needed).await
    }

    async fn observe_reading(&self, node_ids: &[String]) -> Result<Vec<Observation>, Error> {
        self.look(node_ids, Depth::All).await
    }

    async fn open(&self, node_id: &str, digest: &[u8]) -> Result<Content, Error> {
        let (node_id, digest) = (node_id.to_owned(), digest.to_vec());
        let opened = self
            .blocking(move |core| core.open_content(&node_id, Some(&digest)))
            .await?;
        Ok(opened.content)
    }

    async fn present(&self, node_id: &str) -> Result<Present, Error> {
        let node_id = node_id.to_owned();
        self.blocking(move |core| core.open_content(&node_id, None))
            .await
    }

    fn manifest(&self, digest: &[u8]) -> Option<Manifest> {
        self.core.manifests.get(digest)
    }

    async fn apply(&self, work: Vec<Work>) -> Vec<Outcome> {
        let mut items = Vec::with_capacity(work.len());
        let mut ids = Vec::with_capacity(work.len());
        for work in work {
            ids.push(work.delivery.id.clone());
            items.push(self.item(work).await);
        }
        let applied = self.blocking(move |core| Ok(core.apply(items))).await;
        applied.unwrap_or_else(|error| apply::broken(ids, &error))
    }

    async fn resolve(&self, node_ids: &[String], paths: &[String]) -> Result<Vec<NodeInfo>, Error> {
        let (node_ids, paths) = (node_ids.to_vec(), paths.to_vec());
        self.blocking(move |core| core.resolve(&node_ids, &paths))
            .await
    }

    async fn list_folder(
        &self,
        node_id: &str,
        after_node_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, bool), Error> {
        let (node_id, after) = (node_id.to_owned(), after_node_id.to_owned());
        self.blocking(move |core| core.list_folder(&node_id, &after, max))
            .await
    }

    async fn create_folder(
        &self,
        parent_node_id: &str,
        name: &str,
        request_id: &[u8],
        // Folders are asked for on the cloud, where a directory has no users.
        _act_as: &str,
    ) -> Result<NodeInfo, Error> {
        let (parent, name) = (parent_node_id.to_owned(), name.to_owned());
        let request = request_id.to_vec();
        self.blocking(move |core| core.create_folder(&parent, &name, &request))
            .await
    }

    async fn check_access(
        &self,
        user: &str,
        node_ids: &[String],
    ) -> Result<Vec<AccessInfo>, Error> {
        let (user, node_ids) = (user.to_owned(), node_ids.to_vec());
        self.blocking(move |core| core.check_access(&user, &node_ids))
            .await
    }

    async fn versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeVersion>, bool), Error> {
        let (node_id, after) = (node_id.to_owned(), after_version_id.to_owned());
        self.blocking(move |core| {
            core.catch_up(false)?;
            core.list_versions(&node_id, &after, max)
        })
        .await
    }

    async fn restore_version(&self, node_id: &str, version_id: &str) -> Result<(), Error> {
        let (node_id, version_id) = (node_id.to_owned(), version_id.to_owned());
        self.blocking(move |core| core.restore(&node_id, &version_id))
            .await
    }

    async fn describe_folder(
        &self,
        node_id: &str,
        title: &str,
        description: &str,
    ) -> Result<(), Error> {
        let node_id = node_id.to_owned();
        let described = [("cm:title", title), ("cm:description", description)]
            .map(|(name, text)| (name, text.to_owned()));
        self.blocking(move |core| core.describe_folder(&node_id, &described))
            .await
    }

    async fn room(&self) -> Result<Option<u64>, Error> {
        let room = self.blocking(|core| Ok(core.disk.room())).await?;
        room.map(Some)
            .map_err(|error| Error::Unavailable(error.to_string()))
    }
}
