//! Accounts of users in cloud repositories.

use serde::Serialize;
use tandem_proto::v1::AccountLink;

use super::{Show, text, time};
use crate::cli::ids::short;

/// Which account a user linked.
#[derive(Debug, Serialize)]
pub(crate) struct AccountView {
    repository: String,
    user: String,
    account: String,
    link_time: Option<String>,
}

impl From<AccountLink> for AccountView {
    fn from(link: AccountLink) -> Self {
        Self {
            repository: link.repository,
            user: link.user,
            account: link.account,
            link_time: time::rfc3339(link.link_time.as_ref()),
        }
    }
}

impl Show for AccountView {
    fn human(&self) -> String {
        text::fields(&[
            ("User", self.user.clone()),
            ("Account", self.account.clone()),
            ("Repository", short(&self.repository)),
            ("Linked", time::readable(self.link_time.as_deref())),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_idn_1_a_link_is_shown_with_whose_it_is() {
        let view = AccountView::from(AccountLink {
            repository: "networks/default/repositories/site".to_owned(),
            user: "anna".to_owned(),
            account: "anna@example.com".to_owned(),
            link_time: None,
        });
        assert_eq!(
            view.human(),
            "User:        anna\nAccount:     anna@example.com\nRepository:  site\nLinked:      -\n"
        );
    }
}
