//! Errors.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text;
use crate::cli::{error::Error, exit::Kind};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Error {
        Error {
            kind: Kind::NotFound,
            message: "there is no set s1".to_owned(),
            reason: Some("SYNC_SET_NOT_FOUND".to_owned()),
            remedy: Some("`tandem set list` shows the sets.".to_owned()),
            metadata: BTreeMap::from([("sync_set".to_owned(), "s1".to_owned())]),
        }
    }

    #[test]
    fn an_error_for_people_has_message_reason_and_remedy() {
        assert_eq!(
            error().human(),
            "error: there is no set s1\n  reason: SYNC_SET_NOT_FOUND\n  \
             what to do: `tandem set list` shows the sets.\n"
        );
        assert_eq!(
            Error::new(Kind::Internal, "a\u{1b}b").human(),
            "error: a\\u{1b}b\n"
        );
    }

    #[test]
    fn an_error_for_programs_is_one_line_of_json() {
        assert_eq!(
            error().json().expect("it is JSON"),
            r#"{"error":{"kind":"not_found","exit_code":3,"reason":"SYNC_SET_NOT_FOUND","message":"there is no set s1","remedy":"`tandem set list` shows the sets.","metadata":{"sync_set":"s1"}}}"#
        );
    }
}
