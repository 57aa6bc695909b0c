//! What admins do over the heads of owners: give sets to others, and end them from the cloud's side (R-ADM-1).

use super::access::check_user_of;
use super::{AdminScope, Error};
use crate::domain::engine::Ending;
use crate::domain::ids::SyncSetId;
use crate::domain::sync_set::Removal;

/// What became of each of several sets, in the order asked.
pub type Answers = Vec<(SyncSetId, Result<(), Error>)>;

impl AdminScope {
    /// Gives sets to another owner; each is answered, and one that is refused does not keep back the others.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for an owner that can be none; the answers of sets are [`Error::SyncSetNotFound`],
    /// [`Error::WrongState`] for sets that are ending, and [`Error::AccountNotLinked`].
    pub async fn transfer_ownership(
        &self,
        sets: &[SyncSetId],
        owner: &str,
    ) -> Result<Answers, Error> {
        check_user_of("owner", owner)?;
        let mut answers = Vec::new();
        for set in sets {
            answers.push((*set, self.transfer_one(*set, owner).await));
        }
        Ok(answers)
    }

    async fn transfer_one(&self, set: SyncSetId, owner: &str) -> Result<(), Error> {
        let found = self.user.own_set(set).await?;
        if found.ending {
            return Err(Error::WrongState { state: "ENDING" });
        }
        let (store, cloud) = (&self.user.coordinator.store, found.repositories.cloud);
        if let Some(cloud) = store.repository(self.user.network, cloud).await? {
            self.user.account_of(owner, &cloud).await?;
        }
        let ingest = &self.user.coordinator.ingest;
        let (network, actor) = (self.user.network, &self.user.user);
        ingest.transfer(network, set, owner, actor).await
    }

    /// Ends sets from the cloud's side: both copies stay, and the on-premise side is told, its locks released. Sets that
    /// were ended before stay ended.
    ///
    /// # Errors
    /// None of its own; the answers of sets are [`Error::SyncSetNotFound`] and [`Error::StoreUnavailable`].
    pub async fn force_unsync(&self, sets: &[SyncSetId]) -> Answers {
        let mut answers = Vec::new();
        for set in sets {
            answers.push((*set, self.force_one(*set).await));
        }
        answers
    }

    async fn force_one(&self, set: SyncSetId) -> Result<(), Error> {
        let (user, store) = (&self.user, &self.user.coordinator.store);
        match user.own_set(set).await {
            Ok(found) if found.ending => return Ok(()),
            Ok(_) => {}
            Err(error @ Error::SyncSetNotFound { .. }) => {
                let ended = store.ended_set(user.network, set).await?;
                return ended.map(|_| ()).ok_or(error);
            }
            Err(error) => return Err(error),
        }
        let ending = Ending {
            set,
            removal: Removal::None,
            actor: user.user.clone(),
            forced: true,
        };
        user.coordinator.ingest.end_set(user.network, ending).await
    }
}
