//! What went wrong, in facts that a program can decide by.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

use tandem_proto::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

type Source = Box<dyn StdError + Send + Sync>;

/// An error of a call, of the connection, or of this side's own store.
pub struct Error(Box<Facts>);

struct Facts {
    code: Code,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    retry_after: Option<Duration>,
    transport: bool,
    source: Option<Source>,
}

// === impl Error ===

impl Error {
    /// An error found on this side.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            code,
            reason: String::new(),
            message: message.into(),
            metadata: BTreeMap::new(),
            retry_after: None,
            transport: false,
            source: None,
        }))
    }

    /// An error found on this side that carries one of the wire's reasons.
    pub fn with_reason(code: Code, reason: ErrorReason, message: impl Into<String>) -> Self {
        let mut error = Self::new(code, message);
        error.0.reason = name_of(reason);
        error
    }

    /// The connection broke or could not be made.
    pub fn transport(message: impl Into<String>) -> Self {
        let mut error = Self::new(Code::Unavailable, message);
        error.0.transport = true;
        error
    }

    /// The gRPC status code; of local errors the one that fits best.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// `ErrorInfo.reason`: the name of an `ErrorReason` without its prefix; empty when there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// True when the coordinator gave this reason.
    #[must_use]
    pub fn is(&self, reason: ErrorReason) -> bool {
        !self.0.reason.is_empty() && self.0.reason == name_of(reason)
    }

    /// Readable text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The variable parts of the message, by the keys that `error_reason.proto` names.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// How long the coordinator asks to wait before another try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// True when no coordinator answered: the connection is the cause.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        self.0.transport
    }

    fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }
}

/// The name of a reason as it stands in `ErrorInfo.reason`.
fn name_of(reason: ErrorReason) -> String {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_")
        .unwrap_or(name)
        .to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.reason.is_empty() {
            write!(formatter, "{}", self.0.message)
        } else {
            write!(formatter, "{} ({})", self.0.message, self.0.reason)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Error")
            .field("code", &self.0.code)
            .field("reason", &self.0.reason)
            .field("message", &self.0.message)
            .field("metadata", &self.0.metadata)
            .field("retry_after", &self.0.retry_after)
            .field("transport", &self.0.transport)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let transport = comes_from_transport(&status);
        let mut error = Self::new(status.code(), readable(&status));
        if let Some(info) = status.get_details_error_info()
            && info.domain == tandem_proto::ERROR_DOMAIN
        {
            error.0.reason = info.reason;
            error.0.metadata = info.metadata.into_iter().collect();
        }
        error.0.retry_after = status
            .get_details_retry_info()
            .and_then(|retry| retry.retry_delay);
        error.0.transport = transport;
        error.with_source(status)
    }
}

impl From<tonic::transport::Error> for Error {
    fn from(cause: tonic::transport::Error) -> Self {
        Self::transport(format!("cannot reach the coordinator: {}", root_of(&cause)))
            .with_source(cause)
    }
}

/// A status made by this side's HTTP/2 stack has a source; one that was sent has none.
fn comes_from_transport(status: &Status) -> bool {
    StdError::source(status).is_some()
}

fn readable(status: &Status) -> String {
    match StdError::source(status) {
        Some(source) => format!("cannot reach the coordinator: {}", root_of(source)),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

fn root_of(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn facts_of_a_status_are_kept() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info(
                "BATCH_GAP",
                "tandem",
                HashMap::from([("expected_number".to_owned(), "7".to_owned())]),
            )
            .set_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::FailedPrecondition, "a gap", details);
        let error = Error::from(status);
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.is(ErrorReason::BatchGap));
        assert_eq!(error.metadata()["expected_number"], "7");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert!(!error.is_transport());
        assert_eq!(error.to_string(), "a gap (BATCH_GAP)");
    }

    #[test]
    fn reasons_of_other_domains_are_not_ours() {
        let mut details = ErrorDetails::new();
        details.set_error_info("BATCH_GAP", "elsewhere", HashMap::new());
        let error = Error::from(Status::with_error_details(Code::Aborted, "x", details));
        assert_eq!(error.reason(), "");
    }
}
