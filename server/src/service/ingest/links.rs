//! Links of accounts, on their way into the database and the journal (R-IDN-1).

use super::{Change, Ingest, Writer};
use crate::domain::ids::NetworkId;
use crate::domain::journal::{Entry, JournalKind};
use crate::domain::projection::Side;
use crate::service::Error;
use crate::storage::Tx;
use crate::storage::sync::accounts::{self, AccountLink};
use crate::storage::sync::journal;
use crate::storage::sync::save::Wake;

/// An account that was verified and is to be linked.
#[derive(Debug, Clone)]
pub struct Linking {
    /// The link.
    pub link: AccountLink,
    /// The name of its repository, for the journal.
    pub repository: String,
    /// Who asked for it.
    pub actor: String,
}

impl Linking {
    /// What the journal tells of it.
    fn entry(&self) -> Entry {
        let AccountLink { owner, account, .. } = &self.link;
        Entry {
            kind: JournalKind::Administration,
            set: None,
            member: None,
            side: Some(Side::Cloud),
            actor: self.actor.clone(),
            node_name: self.repository.clone(),
            message: format!("{owner} linked the account {account}"),
        }
    }
}

impl Ingest {
    /// Links an account; what failed because of the old one is tried again by itself.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn link_account(&self, network: NetworkId, linking: Linking) -> Result<(), Error> {
        let change = Change::LinkAccount(linking);
        self.submit(network, change).await.map(|_| ())
    }
}

impl Writer {
    pub(super) async fn finish_link(
        &self,
        tx: &Tx,
        linking: &Linking,
        wake: &mut Wake,
    ) -> Result<(), Error> {
        accounts::link_in(&**tx, &linking.link).await?;
        let entry = linking.entry();
        journal::append_in(&**tx, self.network, &[entry], linking.link.linked_at).await?;
        accounts::retry_in(&**tx, self.network, &linking.link, &linking.actor).await?;
        wake.any = true;
        Ok(())
    }
}
