//! Why a command did not end well, as it is told to people and programs.

use std::{collections::BTreeMap, io, time::Duration};

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{exit::Kind, remedy, view::text};

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

/// An error as a JSON document.
#[derive(Serialize)]
struct Document<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    kind: Kind,
    exit_code: u8,
    reason: Option<&'a str>,
    message: &'a str,
    remedy: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
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

    /// The lines for people.
    pub(crate) fn human(&self) -> String {
        let mut lines = format!("error: {}\n", text::lines(&self.message));
        if let Some(reason) = &self.reason {
            lines.push_str(&format!("  reason: {}\n", text::clean(reason)));
        }
        if let Some(remedy) = &self.remedy {
            lines.push_str(&format!("  what to do: {}\n", text::clean(remedy)));
        }
        lines
    }

    /// The document for programs.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Document {
            error: Body {
                kind: self.kind,
                exit_code: self.kind.exit_code(),
                reason: self.reason.as_deref(),
                message: &self.message,
                remedy: self.remedy.as_deref(),
                metadata: &self.metadata,
            },
        })
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let information = details
            .error_info()
            .filter(|info| info.domain == tandem_proto::ERROR_DOMAIN);
        let reason = information.map(|info| info.reason.clone());
        let wait = details.retry_info().and_then(|info| info.retry_delay);
        let metadata = information.map_or_else(BTreeMap::new, |info| {
            info.metadata.clone().into_iter().collect()
        });
        Self {
            kind: kind_of(&status),
            message: message_of(&status),
            remedy: remedy_of(status.code(), reason.as_deref(), wait),
            reason,
            metadata,
        }
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

/// A connection that broke under a call comes as Unknown with a source; it is no fault of the coordinator's.
fn kind_of(status: &Status) -> Kind {
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unknown if broken => Kind::Unavailable,
        code => Kind::of_code(code),
    }
}

/// The message, and a line for each field that is wrong.
fn message_of(status: &Status) -> String {
    let mut message = match status.message() {
        "" => format!("the coordinator answered: {}", status.code().description()),
        message => message.to_owned(),
    };
    let details = status.get_error_details();
    for violation in details
        .bad_request()
        .iter()
        .flat_map(|bad| &bad.field_violations)
    {
        if !message.contains(&violation.description) {
            message.push_str(&format!(
                "\n  {}: {}",
                violation.field, violation.description
            ));
        }
    }
    message
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

    fn draining() -> Status {
        let mut details = ErrorDetails::with_error_info("DRAINING", "tandem", HashMap::new());
        details.set_retry_info(Some(Duration::from_millis(2500)));
        Status::with_error_details(Code::Unavailable, "the coordinator stops", details)
    }

    #[test]
    fn a_status_becomes_message_reason_and_remedy() {
        assert_eq!(
            Error::from(draining()).human(),
            "error: the coordinator stops\n  reason: DRAINING\n  what to do: The coordinator is about to stop; \
             try again. Wait at least 2.5 s.\n"
        );
    }

    #[test]
    fn an_error_for_programs_is_one_line_of_json() {
        let metadata = HashMap::from([("sync_set".to_owned(), "s1".to_owned())]);
        let details = ErrorDetails::with_error_info("SYNC_SET_NOT_FOUND", "tandem", metadata);
        let status = Status::with_error_details(Code::NotFound, "there is no set s1", details);
        assert_eq!(
            Error::from(status).json().expect("it is JSON"),
            r#"{"error":{"kind":"not_found","exit_code":3,"reason":"SYNC_SET_NOT_FOUND","message":"there is no set s1","remedy":"`tandem set list` shows the sets.","metadata":{"sync_set":"s1"}}}"#
        );
    }

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
