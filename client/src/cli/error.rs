//! Why a command did not end well, as it is told to people and programs.

use std::{collections::BTreeMap, io, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{exit::Kind, remedy};
use crate::error as client;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// What happened.
    pub(crate) message: String,
    /// The coordinator's machine-readable reason.
    pub(crate) reason: Option<String>,
    /// What a person can do about it.
    pub(crate) remedy: Option<String>,
    /// What the reason is about, by name.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Error {
    /// An error that did not come from the coordinator.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            reason: None,
            remedy: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Something in the command line is wrong.
    pub(crate) fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message).with_remedy(remedy)
    }

    /// The coordinator broke its own contract.
    pub(crate) fn contract(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
            .with_remedy("This is a fault; report it with the log of the coordinator.")
    }

    /// Says what a person can do about it.
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        let reason = Some(error.reason()).filter(|reason| !reason.is_empty());
        // A connection that broke under a call may come as Unknown; that is no fault of the coordinator's.
        let kind = match error.is_transport() {
            true => Kind::Unavailable,
            false => Kind::of_code(error.code()),
        };
        Self {
            kind,
            message: error.message().to_owned(),
            reason: reason.map(ToOwned::to_owned),
            remedy: remedy_of(error.code(), reason, error.retry_after()),
            metadata: error.metadata().clone(),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let mut error = Self::from(client::Error::from(status));
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice());
        for violation in violations.unwrap_or_default() {
            if !error.message.contains(&violation.description) {
                let line = format!("\n  {}: {}", violation.field, violation.description);
                error.message.push_str(&line);
            }
        }
        error
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::OutputClosed,
            _ => Kind::Internal,
        };
        Self::new(kind, format!("cannot write the output: {error}"))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Kind::Internal, format!("cannot write JSON: {error}"))
    }
}

fn remedy_of(code: Code, reason: Option<&str>, wait: Option<Duration>) -> Option<String> {
    let remedy = remedy::of(code, reason)?;
    Some(match wait {
        Some(wait) if !wait.is_zero() => {
            format!("{remedy} Wait at least {:.1} s.", wait.as_secs_f64())
        }
        _ => remedy.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_field_that_is_wrong_is_named() {
        let details = ErrorDetails::with_bad_request_violation("page_size", "must not be negative");
        let status = Status::with_error_details(Code::InvalidArgument, "bad request", details);
        let error = Error::from(status);
        assert_eq!(
            error.message,
            "bad request\n  page_size: must not be negative"
        );
        assert_eq!(error.kind, Kind::Refused);
    }

    #[test]
    fn a_remedy_tells_how_long_to_wait() {
        let mut details = ErrorDetails::with_error_info("DRAINING", "tandem", HashMap::new());
        details.set_retry_info(Some(Duration::from_millis(2500)));
        let status = Status::with_error_details(Code::Unavailable, "it stops", details);
        assert_eq!(
            Error::from(status).remedy.as_deref(),
            Some("The coordinator is about to stop; try again. Wait at least 2.5 s.")
        );
    }

    #[test]
    fn a_connection_that_broke_under_a_call_is_unavailable() {
        let broken = io::Error::other("h2 protocol error");
        let error = Error::from(Status::from_error(Box::new(broken)));
        assert_eq!(error.kind, Kind::Unavailable);
    }

    #[test]
    fn reasons_of_other_domains_are_ignored() {
        let details = ErrorDetails::with_error_info("DRAINING", "elsewhere", HashMap::new());
        let status = Status::with_error_details(Code::Internal, "x", details);
        assert_eq!(Error::from(status).reason, None);
    }

    #[test]
    fn a_closed_output_is_no_error() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.kind.exit_code(), 0);
    }
}
