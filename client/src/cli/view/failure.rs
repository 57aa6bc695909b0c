//! Why a member does not sync.

use serde::Serialize;
use tandem_proto::v1::{Failure, FailureReason};

use super::{
    label::{self, Label},
    text, time,
};

/// Why a member does not sync, since when, and what a person can do.
#[derive(Debug, Serialize)]
pub(crate) struct FailureView {
    pub(crate) reason: Label,
    pub(crate) message: String,
    pub(crate) detail: String,
    pub(crate) since: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) remedy: String,
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        let reason = match failure.reason() {
            FailureReason::Unspecified => FailureReason::Unknown,
            reason => reason,
        };
        Self {
            reason: label::failure_reason(reason),
            message: failure.message,
            detail: failure.detail,
            since: time::rfc3339(failure.since.as_ref()),
            attempts: failure.attempts,
            remedy: failure.remedy,
        }
    }
}

impl FailureView {
    /// The pairs for people.
    pub(crate) fn fields(&self, title: &'static str) -> Vec<(&'static str, String)> {
        let since = time::readable(self.since.as_deref());
        let mut fields = vec![
            (
                title,
                format!("{}: {}", label::readable(self.reason), self.message),
            ),
            ("  since", format!("{since}, {}", tries(self.attempts))),
        ];
        if !self.detail.is_empty() {
            fields.push(("  detail", self.detail.clone()));
        }
        if !self.remedy.is_empty() {
            fields.push(("  what to do", self.remedy.clone()));
        }
        fields
    }

    /// Two lines below a table: what is wrong with what, and the remedy.
    pub(crate) fn note(&self, what: &str) -> String {
        let mut note = format!("  {}: {}\n", text::clean(what), text::clean(&self.message));
        if !self.remedy.is_empty() {
            note.push_str(&format!("    what to do: {}\n", text::clean(&self.remedy)));
        }
        note
    }
}

fn tries(attempts: i32) -> String {
    match attempts {
        1 => "1 try".to_owned(),
        attempts => format!("{attempts} tries"),
    }
}
