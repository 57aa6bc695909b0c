//! From the name of a network to the scope in which a caller may act there.

use super::names;
use crate::domain::access::Role;
use crate::service::{Coordinator, Error, Principal, UserScope};

/// The scope of a network that is named as parent, and its short name.
///
/// # Errors
/// [`Error::InvalidField`] for the field `parent`, or what the coordinator answers.
pub(super) async fn of_network<'a>(
    coordinator: &Coordinator,
    caller: &Principal,
    parent: &'a str,
    role: Role,
) -> Result<(UserScope, &'a str), Error> {
    let network = names::network("parent", parent)?;
    let scope = coordinator.for_user(caller, network, role).await?;
    Ok((scope, network))
}
