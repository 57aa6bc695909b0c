//! Pausing and resuming sets and repositories: the journal keeps growing, nothing is delivered, nothing is lost
//! (R-SET-7).

use super::access::Repository;
use super::ingest::RepositoryPause;
use super::sync_sets::SetView;
use super::{AdminScope, Error, UserScope};
use crate::domain::engine::Request;
use crate::domain::ids::SyncSetId;

impl UserScope {
    /// Holds all deliveries of a set, or lets them flow again; what is on its way to an agent may end. Twice is once.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::NotAllowed`]; [`Error::WrongState`] for a set that is ending.
    pub async fn pause_set(&self, id: SyncSetId, paused: bool) -> Result<SetView, Error> {
        if self.own_set(id).await?.ending {
            return Err(Error::WrongState { state: "ENDING" });
        }
        let pause = Request::Pause(id, paused, self.user.clone());
        let ingest = &self.coordinator.ingest;
        ingest.request(self.network, pause).await?;
        self.sync_set(id).await
    }
}

impl AdminScope {
    /// Holds all deliveries of every set that a repository takes part in, or lets them flow again.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`].
    pub async fn pause_repository(&self, name: &str, paused: bool) -> Result<Repository, Error> {
        let repository = self.user.repository(name).await?;
        let pause = RepositoryPause {
            repository: repository.id,
            side: repository.side,
            name: repository.name,
            paused,
            actor: self.user.user.clone(),
        };
        let ingest = &self.user.coordinator.ingest;
        ingest.pause_repository(self.user.network, pause).await?;
        self.user.repository(name).await
    }
}
