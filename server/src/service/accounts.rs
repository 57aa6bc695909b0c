//! Cloud accounts of on-premise users: verified and kept by the agent of the cloud repository, noted here by name
//! (R-IDN-1). Credentials pass through.

use super::access::{Repository, check_user_of};
use super::command::{Command, Credential, Reply};
use super::ingest::Linking;
use super::{Error, UserScope};
use crate::domain::access::{Role, Side};
use crate::domain::limits::CREDENTIAL_BYTES_MAX;

pub use crate::storage::sync::accounts::AccountLink;

/// Stands in the text of an agent where a credential stood.
const HIDDEN: &str = "(hidden)";

/// An account to be linked.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// The last part of the cloud repository's name.
    pub repository: String,
    /// The on-premise user; empty = the caller.
    pub user: String,
    /// The account.
    pub account: String,
    /// What its repository is shown; kept nowhere.
    pub credential: Credential,
}

impl UserScope {
    /// Lets the agent of a cloud repository verify an account, and links it to a user; an older link is replaced.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::NotAllowed`], [`Error::RepositoryNotFound`], [`Error::AccountRefused`],
    /// [`Error::AgentOffline`], [`Error::AgentTimeout`].
    pub async fn link_account(&self, new: NewLink) -> Result<AccountLink, Error> {
        self.require(Role::User)?;
        let owner = self.self_or_other(&new.user)?;
        check_user_of("account", &new.account)?;
        if new.credential.0.len() > CREDENTIAL_BYTES_MAX {
            let rule = format!("must be at most {CREDENTIAL_BYTES_MAX} bytes");
            return Err(Error::invalid("credential", rule));
        }
        let repository = self.with_accounts(&new.repository).await?;
        self.verify(&repository, &new).await?;
        let link = AccountLink {
            repository: repository.id,
            owner,
            account: new.account,
            linked_at: self.coordinator.clock.now(),
        };
        let linking = Linking {
            link: link.clone(),
            repository: repository.name,
            actor: self.user.clone(),
        };
        let ingest = &self.coordinator.ingest;
        ingest.link_account(self.network, linking).await?;
        Ok(link)
    }

    /// The account that a user linked in a cloud repository; empty = the caller.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::NotAllowed`], [`Error::RepositoryNotFound`], [`Error::AccountLinkNotFound`].
    pub async fn account_link(&self, repository: &str, user: &str) -> Result<AccountLink, Error> {
        let owner = self.self_or_other(user)?;
        let repository = self.with_accounts(repository).await?;
        let store = &self.coordinator.store;
        let found = store.account_link(repository.id, &owner).await?;
        found.ok_or_else(|| Error::AccountLinkNotFound {
            user: owner,
            repository: self.repository_name(&repository.name),
        })
    }

    /// R-SET-4: whoever is to own a set has an account, where the cloud repository has users. Where it has none, nobody's
    /// name counts there.
    ///
    /// # Errors
    /// [`Error::AccountNotLinked`].
    pub(super) async fn account_of(
        &self,
        owner: &str,
        cloud: &Repository,
    ) -> Result<String, Error> {
        if !self.users_of(cloud.id).await? {
            return Ok(String::new());
        }
        let store = &self.coordinator.store;
        let link = store.account_link(cloud.id, owner).await?;
        let linked = link.map(|link| link.account);
        linked.ok_or_else(|| Error::AccountNotLinked {
            user: owner.to_owned(),
            repository: self.repository_name(&cloud.name),
        })
    }

    /// Users look after their own account, admins after everybody's.
    fn self_or_other(&self, user: &str) -> Result<String, Error> {
        if user.is_empty() || user == self.user {
            return Ok(self.user.clone());
        }
        self.require(Role::Admin)?;
        check_user_of("user", user)?;
        Ok(user.to_owned())
    }

    async fn with_accounts(&self, name: &str) -> Result<Repository, Error> {
        let repository = self.repository(name).await?;
        if repository.side == Side::Cloud {
            return Ok(repository);
        }
        let rule = "must be a cloud repository; on-premise you act as yourself";
        Err(Error::invalid("repository", rule))
    }

    async fn verify(&self, repository: &Repository, new: &NewLink) -> Result<(), Error> {
        let verify = Command::VerifyAccount {
            account: new.account.clone(),
            credential: new.credential.clone(),
        };
        match self.ask_agent(repository, verify).await? {
            Reply::Done => Ok(()),
            Reply::Refused(text) => Err(Error::AccountRefused {
                repository: self.repository_name(&repository.name),
                text: without(&text, &new.credential),
            }),
            Reply::Nodes(..) | Reply::Access(_) => Err(Error::Internal {
                detail: format!("the agent of repository {} verified nodes", repository.id),
            }),
        }
    }
}

/// R-ERR-2: an agent may repeat what it was shown; what people read and logs keep does not.
fn without(text: &str, credential: &Credential) -> String {
    match credential.0.as_str() {
        "" => text.to_owned(),
        secret => text.replace(secret, HIDDEN),
    }
}
