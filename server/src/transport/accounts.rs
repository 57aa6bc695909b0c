//! Links of accounts on the wire (R-IDN-1).

use tandem_proto::v1 as wire;

use super::access::repository_name;
use super::{convert, names};
use crate::domain::access::Role;
use crate::service::accounts::{AccountLink, NewLink};
use crate::service::command::Credential;
use crate::service::{Coordinator, Error, Principal};

/// Links an account.
pub(super) async fn link(
    coordinator: &Coordinator,
    caller: &Principal,
    request: wire::LinkAccountRequest,
) -> Result<wire::AccountLink, Error> {
    let network = names::network("parent", &request.parent)?;
    let scope = coordinator.for_user(caller, network, Role::User).await?;
    let (of, repository) = names::repository("repository", &request.repository)?;
    if of != network {
        return Err(Error::invalid("repository", "must belong to `parent`"));
    }
    let new = NewLink {
        repository: repository.to_owned(),
        user: request.user,
        account: request.account,
        credential: Credential(request.credential),
    };
    let linked = scope.link_account(new).await?;
    Ok(shown(network, repository, linked))
}

/// Shows a link.
pub(super) async fn get(
    coordinator: &Coordinator,
    caller: &Principal,
    request: &wire::GetAccountLinkRequest,
) -> Result<wire::AccountLink, Error> {
    let (network, repository) = names::repository("repository", &request.repository)?;
    let scope = coordinator.for_user(caller, network, Role::Viewer).await?;
    let found = scope.account_link(repository, &request.user).await?;
    Ok(shown(network, repository, found))
}

fn shown(network: &str, repository: &str, link: AccountLink) -> wire::AccountLink {
    wire::AccountLink {
        repository: repository_name(network, repository),
        user: link.owner,
        account: link.account,
        link_time: Some(convert::timestamp(link.linked_at)),
    }
}
