//! Messages that carry credentials of others show themselves without them, so that no log can hold one (R-IDN-1).

use std::fmt;

use crate::v1::{LinkAccountRequest, VerifyAccount};

/// Stands where the credential would.
const HIDDEN: &str = "(hidden)";

impl fmt::Debug for LinkAccountRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LinkAccountRequest")
            .field("parent", &self.parent)
            .field("user", &self.user)
            .field("account", &self.account)
            .field("credential", &HIDDEN)
            .field("repository", &self.repository)
            .finish()
    }
}

impl fmt::Debug for VerifyAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifyAccount")
            .field("account", &self.account)
            .field("credential", &HIDDEN)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Command, command::Request};

    #[test]
    fn r_idn_1_no_debug_output_shows_a_credential() {
        let link = LinkAccountRequest {
            credential: "open sesame".to_owned(),
            account: "alice@cloud".to_owned(),
            ..LinkAccountRequest::default()
        };
        let verify = VerifyAccount {
            credential: "open sesame".to_owned(),
            account: "alice@cloud".to_owned(),
        };
        let command = Command {
            request: Some(Request::VerifyAccount(verify)),
            ..Command::default()
        };
        for shown in [format!("{link:?}"), format!("{command:?}")] {
            assert!(shown.contains("alice@cloud"), "{shown}");
            assert!(!shown.contains("sesame"), "{shown}");
        }
    }
}
