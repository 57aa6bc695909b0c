//! What people ask for, on its way to the writer.

use super::{Change, Done, Ingest, Repeatable, RepositoryPause};
use crate::domain::engine::{Ending, Request};
use crate::domain::ids::{NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::service::Error;
use crate::storage::sync::walks::SetJobKind;

impl Ingest {
    /// Does what a person asked for; committed when it returns.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn request(&self, network: NetworkId, request: Request) -> Result<(), Error> {
        self.submit(network, Change::Request(request))
            .await
            .map(|_| ())
    }

    /// Makes a set, or finds the one that the same request made before (R-SET-3, R-SET-5).
    ///
    /// # Errors
    /// [`Error::AlreadySynced`] when the node is in a set.
    pub async fn create_set(
        &self,
        network: NetworkId,
        request_id: Option<Repeatable>,
        create: Request,
    ) -> Result<SyncSetId, Error> {
        match self
            .submit(network, Change::CreateSet(request_id, create))
            .await?
        {
            Done::Set(set) => Ok(set),
            Done::Accepted(_) | Done::Plain | Done::Imported(_) => Err(Error::Internal {
                detail: "creating a set named none".to_owned(),
            }),
        }
    }

    /// Begins work on all members of a set; it is durable and goes on by itself.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn set_job(
        &self,
        network: NetworkId,
        set: SyncSetId,
        kind: SetJobKind,
        actor: &str,
    ) -> Result<(), Error> {
        self.submit(network, Change::SetJob(set, kind, actor.to_owned()))
            .await
            .map(|_| ())
    }

    /// Ends a set (R-UNS-1); what is left to be done goes on by itself.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn end_set(&self, network: NetworkId, ending: Ending) -> Result<(), Error> {
        self.submit(network, Change::EndSet(ending))
            .await
            .map(|_| ())
    }

    /// Gives a set to another owner (R-ADM-1); what failed because of the old one is tried again.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn transfer(
        &self,
        network: NetworkId,
        set: SyncSetId,
        owner: &str,
        actor: &str,
    ) -> Result<(), Error> {
        let change = Change::Transfer(set, owner.to_owned(), actor.to_owned());
        self.submit(network, change).await.map(|_| ())
    }

    /// Pauses a repository, or resumes it (R-SET-7); committed when it returns.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn pause_repository(
        &self,
        network: NetworkId,
        pause: RepositoryPause,
    ) -> Result<(), Error> {
        self.submit(network, Change::PauseRepository(pause))
            .await
            .map(|_| ())
    }

    /// Asks a repository's agent to list every watched folder again, or only this one (R-AGT-5).
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn ask_scan(
        &self,
        network: NetworkId,
        repository: RepositoryId,
        root: Option<NodeId>,
        read_content: bool,
    ) -> Result<(), Error> {
        self.submit(network, Change::Scan(repository, root, read_content))
            .await
            .map(|_| ())
    }
}
