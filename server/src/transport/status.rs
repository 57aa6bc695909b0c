//! The one map from refusals to Status: code, reason, metadata, and how long to wait.
//!
//! Clients decide by `ErrorInfo.reason`; the text is for people. A Status stays below 4 KiB: peers that allow 16 KiB of
//! headers would otherwise see a broken connection instead of an answer.

use std::collections::HashMap;
use std::time::Duration;

use tandem_proto::ERROR_DOMAIN;
use tandem_proto::v1::ErrorReason as Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::limits::STATUS_TEXT_BYTES_MAX;
use crate::domain::report::NodeTrait;
use crate::service::Error;
use crate::service::error::{TargetFault, trait_name};

/// How long a caller should wait before it tries again.
const WAIT: Duration = Duration::from_secs(1);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        log(&error);
        let reason = reason(&error);
        let metadata: HashMap<String, String> = metadata(&error)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), cut(&value).to_owned()))
            .collect();
        let mut details = ErrorDetails::with_error_info(name(reason), ERROR_DOMAIN, metadata);
        if waits(reason) {
            details.set_retry_info(Some(WAIT));
        }
        if let Error::InvalidField { field, rule } = &error {
            details.add_bad_request_violation(cut(field), cut(rule));
        }
        Self::with_error_details(code(reason), cut(&error.to_string()), details)
    }
}

/// What is our fault is logged once, here, with what callers may not see.
fn log(error: &Error) {
    match error {
        Error::Internal { detail } => tracing::error!(detail, "internal error"),
        Error::Storage(cause) => {
            let source = std::error::Error::source(cause).map(ToString::to_string);
            tracing::error!(error = %cause, source, "the database failed");
        }
        _ => {}
    }
}

/// The longest beginning that fits into a Status.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(STATUS_TEXT_BYTES_MAX)]
}

/// The name of a reason as `ErrorInfo.reason` carries it: without the prefix of the enum.
fn name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// True where waiting helps.
fn waits(reason: Reason) -> bool {
    matches!(code(reason), Code::Unavailable | Code::ResourceExhausted)
}

/// The reason of a refusal; also for answers that carry it inside a message instead of a Status.
#[must_use]
pub fn reason(error: &Error) -> Reason {
    match error {
        Error::InvalidField { .. } => Reason::InvalidField,
        Error::ProtocolViolation { .. } => Reason::ProtocolViolation,
        Error::Unauthenticated => Reason::Unauthenticated,
        Error::NotAllowed => Reason::NotAllowed,
        Error::NetworkNotFound { .. } => Reason::NetworkNotFound,
        Error::RepositoryNotFound { .. } => Reason::RepositoryNotFound,
        Error::SyncSetNotFound { .. } => Reason::SyncSetNotFound,
        Error::MemberNotFound { .. } => Reason::MemberNotFound,
        Error::ConflictNotFound { .. } => Reason::ConflictNotFound,
        Error::TokenNotFound { .. } => Reason::TokenNotFound,
        Error::NodeNotFound { .. } => Reason::NodeNotFound,
        Error::VersionNotFound { .. } => Reason::VersionNotFound,
        Error::ContentNotFound { .. } => Reason::ContentNotFound,
        Error::ProtocolUnsupported { .. } => Reason::ProtocolUnsupported,
        Error::SessionSuperseded => Reason::SessionSuperseded,
        Error::RepositoryCloned => Reason::RepositoryCloned,
        Error::RollbackSuspected { .. } => Reason::RollbackSuspected,
        Error::StaleEpoch => Reason::StaleEpoch,
        Error::BatchGap { .. } => Reason::BatchGap,
        Error::ContentMissing { .. } => Reason::ContentMissing,
        Error::FolderCycle { .. } => Reason::FolderCycle,
        Error::DigestMismatch { .. } => Reason::DigestMismatch,
        Error::RateLimited { .. } => Reason::RateLimited,
        Error::Draining => Reason::Draining,
        Error::StoreUnavailable | Error::StoreFull => Reason::StoreUnavailable,
        Error::AgentOffline { .. } => Reason::AgentOffline,
        Error::AgentTimeout { .. } => Reason::AgentTimeout,
        Error::NotImplemented { .. } => Reason::NotImplemented,
        Error::Internal { .. } => Reason::Internal,
        Error::CursorCompacted { .. } => Reason::CursorCompacted,
        Error::CursorEpoch => Reason::CursorEpoch,
        Error::LibraryRoot { .. } => Reason::LibraryRoot,
        Error::OutsideLibrary { .. } => Reason::OutsideLibrary,
        Error::AlreadySynced { .. } => Reason::AlreadySynced,
        Error::NodeNotEligible { node_trait, .. } => ineligible(*node_trait),
        Error::TargetNotUsable { fault, .. } => unusable(*fault),
        Error::MixedSelection { .. } => Reason::MixedSelection,
        Error::NothingAccepted { .. } => Reason::NothingAccepted,
        Error::NodeNotWritable { .. } => Reason::NodeNotWritable,
        Error::NetworkNotEnabled { .. } => Reason::NetworkNotEnabled,
        Error::AccountNotLinked { .. } => Reason::AccountNotLinked,
        Error::AccountLinkNotFound { .. } => Reason::AccountLinkNotFound,
        Error::AccountRefused { .. } => Reason::AccountRefused,
        Error::DeleteNotAllowed { .. } => Reason::DeleteNotAllowed,
        Error::NothingHeld { .. } => Reason::NothingHeld,
        Error::WrongState { .. } => Reason::WrongState,
        Error::StaleEtag => Reason::StaleEtag,
        Error::AlreadyExists { .. } => Reason::AlreadyExists,
        Error::Storage(cause) if cause.is_transient() => Reason::StoreUnavailable,
        Error::Storage(_) => Reason::Internal,
    }
}

/// R-SET-4: each kind of node has a reason of its own.
fn ineligible(node_trait: NodeTrait) -> Reason {
    match node_trait {
        NodeTrait::WorkingCopy => Reason::NodeIsWorkingCopy,
        NodeTrait::Record => Reason::NodeIsRecord,
        NodeTrait::SmartFolder => Reason::NodeIsSmartFolder,
        NodeTrait::Link => Reason::NodeIsLink,
        NodeTrait::Ordinary
        | NodeTrait::Special
        | NodeTrait::IllegalName
        | NodeTrait::OutsideLibrary
        | NodeTrait::TooLarge => Reason::NodeNotEligible,
    }
}

/// R-SET-4: so has each fault of a target.
fn unusable(fault: TargetFault) -> Reason {
    match fault {
        TargetFault::Missing => Reason::TargetNotFound,
        TargetFault::NotAFolder => Reason::TargetNotAFolder,
        TargetFault::AlreadySynced => Reason::TargetAlreadySynced,
        TargetFault::NotWritable => Reason::TargetNotWritable,
        TargetFault::Special(_) => Reason::TargetNotUsable,
    }
}

fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidField | Reason::ProtocolViolation | Reason::DigestMismatch => {
            Code::InvalidArgument
        }
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::NotAllowed => Code::PermissionDenied,
        Reason::NetworkNotFound
        | Reason::RepositoryNotFound
        | Reason::SyncSetNotFound
        | Reason::MemberNotFound
        | Reason::ConflictNotFound
        | Reason::TokenNotFound
        | Reason::NodeNotFound
        | Reason::VersionNotFound
        | Reason::AccountLinkNotFound
        | Reason::ContentNotFound => Code::NotFound,
        Reason::ProtocolUnsupported
        | Reason::SessionSuperseded
        | Reason::RepositoryCloned
        | Reason::RollbackSuspected
        | Reason::BatchGap
        | Reason::ContentMissing
        | Reason::FolderCycle
        | Reason::LibraryRoot
        | Reason::OutsideLibrary
        | Reason::AlreadySynced
        | Reason::NodeNotEligible
        | Reason::TargetNotUsable
        | Reason::MixedSelection
        | Reason::NothingAccepted
        | Reason::NodeIsWorkingCopy
        | Reason::NodeIsRecord
        | Reason::NodeIsSmartFolder
        | Reason::NodeIsLink
        | Reason::TargetNotFound
        | Reason::TargetNotAFolder
        | Reason::TargetAlreadySynced
        | Reason::TargetNotWritable
        | Reason::NodeNotWritable
        | Reason::NetworkNotEnabled
        | Reason::AccountNotLinked
        | Reason::AccountRefused
        | Reason::DeleteNotAllowed
        | Reason::NothingHeld
        | Reason::WrongState => Code::FailedPrecondition,
        Reason::StaleEpoch | Reason::StaleEtag => Code::Aborted,
        Reason::RateLimited => Code::ResourceExhausted,
        Reason::Draining | Reason::StoreUnavailable | Reason::AgentOffline => Code::Unavailable,
        Reason::AgentTimeout => Code::DeadlineExceeded,
        Reason::NotImplemented => Code::Unimplemented,
        Reason::Unspecified | Reason::Internal => Code::Internal,
        Reason::CursorCompacted | Reason::CursorEpoch => Code::OutOfRange,
        Reason::AlreadyExists => Code::AlreadyExists,
    }
}

/// What is variable in a refusal, under the keys that `error_reason.proto` names.
fn metadata(error: &Error) -> Vec<(&'static str, String)> {
    match error {
        Error::InvalidField { field, .. } => vec![("field", field.clone())],
        Error::NetworkNotFound { network } | Error::NetworkNotEnabled { network } => {
            vec![("network", network.clone())]
        }
        Error::AccountNotLinked { user, repository }
        | Error::AccountLinkNotFound { user, repository } => {
            vec![("user", user.clone()), ("repository", repository.clone())]
        }
        Error::RepositoryNotFound { repository }
        | Error::AccountRefused { repository, .. }
        | Error::AgentOffline { repository }
        | Error::AgentTimeout { repository } => vec![("repository", repository.clone())],
        Error::SyncSetNotFound { sync_set }
        | Error::DeleteNotAllowed { sync_set }
        | Error::NothingHeld { sync_set } => vec![("sync_set", sync_set.clone())],
        Error::MemberNotFound { member } => vec![("member", member.clone())],
        Error::ConflictNotFound { conflict } => vec![("conflict", conflict.clone())],
        Error::TokenNotFound { token } => vec![("token", token.clone())],
        Error::VersionNotFound { version } => vec![("version", version.clone())],
        Error::NodeNotFound { node }
        | Error::FolderCycle { node }
        | Error::LibraryRoot { node }
        | Error::OutsideLibrary { node }
        | Error::AlreadySynced { node }
        | Error::TargetNotUsable { node, .. }
        | Error::MixedSelection { node }
        | Error::NothingAccepted { node, .. }
        | Error::NodeNotWritable { node } => vec![("node", node.clone())],
        Error::NodeNotEligible { node, node_trait } => {
            let node_trait = trait_name(*node_trait).to_owned();
            vec![("node", node.clone()), ("node_trait", node_trait)]
        }
        Error::ContentNotFound { digest } | Error::DigestMismatch { digest } => {
            vec![("digest", digest.to_string())]
        }
        Error::ProtocolUnsupported { min, max } => {
            vec![
                ("protocol_min", min.to_string()),
                ("protocol_max", max.to_string()),
            ]
        }
        Error::BatchGap { expected_number } => {
            vec![("expected_number", expected_number.to_string())]
        }
        Error::RateLimited { limit } => vec![("limit", (*limit).to_owned())],
        Error::NotImplemented { feature } => vec![("feature", (*feature).to_owned())],
        Error::CursorCompacted { floor } => vec![("floor", floor.to_string())],
        Error::WrongState { state } => vec![("state", (*state).to_owned())],
        Error::AlreadyExists { name } => vec![("name", name.clone())],
        Error::ProtocolViolation { .. }
        | Error::Unauthenticated
        | Error::NotAllowed
        | Error::SessionSuperseded
        | Error::RepositoryCloned
        | Error::RollbackSuspected { .. }
        | Error::StaleEpoch
        | Error::ContentMissing { .. }
        | Error::Draining
        | Error::StoreUnavailable
        | Error::StoreFull
        | Error::Internal { .. }
        | Error::CursorEpoch
        | Error::StaleEtag
        | Error::Storage(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::STATUS_BYTES_MAX;
    use crate::service::error::StorageError;

    type Row = (Error, Code, &'static str, Vec<&'static str>);

    fn table() -> Vec<Row> {
        let mut rows = plain();
        rows.extend(with_facts());
        rows.extend(of_accounts());
        rows
    }

    fn plain() -> Vec<Row> {
        vec![
            (
                Error::protocol("b"),
                Code::InvalidArgument,
                "PROTOCOL_VIOLATION",
                vec![],
            ),
            (
                Error::Unauthenticated,
                Code::Unauthenticated,
                "UNAUTHENTICATED",
                vec![],
            ),
            (
                Error::NotAllowed,
                Code::PermissionDenied,
                "NOT_ALLOWED",
                vec![],
            ),
            (
                Error::SessionSuperseded,
                Code::FailedPrecondition,
                "SESSION_SUPERSEDED",
                vec![],
            ),
            (
                Error::RepositoryCloned,
                Code::FailedPrecondition,
                "REPOSITORY_CLONED",
                vec![],
            ),
            (Error::StaleEpoch, Code::Aborted, "STALE_EPOCH", vec![]),
            (Error::Draining, Code::Unavailable, "DRAINING", vec![]),
            (
                Error::StoreUnavailable,
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                vec![],
            ),
            (
                StorageError::Busy.into(),
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                vec![],
            ),
            (
                StorageError::TransactionKept.into(),
                Code::Internal,
                "INTERNAL",
                vec![],
            ),
            (Error::CursorEpoch, Code::OutOfRange, "CURSOR_EPOCH", vec![]),
            (Error::StaleEtag, Code::Aborted, "STALE_ETAG", vec![]),
        ]
    }

    fn with_facts() -> Vec<Row> {
        let repository = || "networks/a/repositories/b".to_owned();
        let missing = Error::RepositoryNotFound {
            repository: repository(),
        };
        let late = Error::AgentTimeout {
            repository: repository(),
        };
        let gap = Error::BatchGap { expected_number: 7 };
        let limited = Error::RateLimited { limit: "calls" };
        let later = Error::NotImplemented { feature: "this" };
        let compacted = Error::CursorCompacted { floor: 3 };
        let taken = Error::AlreadyExists { name: repository() };
        let protocol = Error::ProtocolUnsupported { min: 1, max: 2 };
        let range = vec!["protocol_max", "protocol_min"];
        vec![
            (
                Error::invalid("a", "b"),
                Code::InvalidArgument,
                "INVALID_FIELD",
                vec!["field"],
            ),
            (
                missing,
                Code::NotFound,
                "REPOSITORY_NOT_FOUND",
                vec!["repository"],
            ),
            (
                gap,
                Code::FailedPrecondition,
                "BATCH_GAP",
                vec!["expected_number"],
            ),
            (
                limited,
                Code::ResourceExhausted,
                "RATE_LIMITED",
                vec!["limit"],
            ),
            (
                later,
                Code::Unimplemented,
                "NOT_IMPLEMENTED",
                vec!["feature"],
            ),
            (
                late,
                Code::DeadlineExceeded,
                "AGENT_TIMEOUT",
                vec!["repository"],
            ),
            (
                compacted,
                Code::OutOfRange,
                "CURSOR_COMPACTED",
                vec!["floor"],
            ),
            (taken, Code::AlreadyExists, "ALREADY_EXISTS", vec!["name"]),
            (
                protocol,
                Code::FailedPrecondition,
                "PROTOCOL_UNSUPPORTED",
                range,
            ),
        ]
    }

    fn of_accounts() -> Vec<Row> {
        let (user, repository) = (
            || "alice".to_owned(),
            || "networks/a/repositories/b".to_owned(),
        );
        let (keys, code) = (vec!["repository", "user"], Code::FailedPrecondition);
        let unlinked = Error::AccountNotLinked {
            user: user(),
            repository: repository(),
        };
        let unknown = Error::AccountLinkNotFound {
            user: user(),
            repository: repository(),
        };
        let refused = Error::AccountRefused {
            repository: repository(),
            text: "it opens nothing".to_owned(),
        };
        vec![
            (unlinked, code, "ACCOUNT_NOT_LINKED", keys.clone()),
            (unknown, Code::NotFound, "ACCOUNT_LINK_NOT_FOUND", keys),
            (refused, code, "ACCOUNT_REFUSED", vec!["repository"]),
        ]
    }

    #[test]
    fn each_refusal_has_its_code_reason_and_metadata() {
        for (error, code, reason, keys) in table() {
            let status = Status::from(error);
            let info = status.get_details_error_info().unwrap();
            assert_eq!((status.code(), info.reason.as_str()), (code, reason));
            assert_eq!(info.domain, "tandem");
            let mut found: Vec<_> = info.metadata.keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, keys, "{reason}");
        }
    }

    #[test]
    fn r_set_4_each_refusal_of_a_node_or_target_has_a_reason_of_its_own() {
        let traits = [
            (NodeTrait::WorkingCopy, "NODE_IS_WORKING_COPY"),
            (NodeTrait::Record, "NODE_IS_RECORD"),
            (NodeTrait::SmartFolder, "NODE_IS_SMART_FOLDER"),
            (NodeTrait::Link, "NODE_IS_LINK"),
            (NodeTrait::Special, "NODE_NOT_ELIGIBLE"),
        ];
        let nodes = traits.map(|(node_trait, reason)| {
            let node = "n".to_owned();
            (Error::NodeNotEligible { node, node_trait }, reason)
        });
        let faults = [
            (TargetFault::Missing, "TARGET_NOT_FOUND"),
            (TargetFault::NotAFolder, "TARGET_NOT_A_FOLDER"),
            (TargetFault::AlreadySynced, "TARGET_ALREADY_SYNCED"),
            (TargetFault::NotWritable, "TARGET_NOT_WRITABLE"),
            (TargetFault::Special(NodeTrait::Link), "TARGET_NOT_USABLE"),
        ];
        let targets = faults.map(|(fault, reason)| {
            let node = "n".to_owned();
            (Error::TargetNotUsable { node, fault }, reason)
        });
        for (error, reason) in nodes.into_iter().chain(targets) {
            let status = Status::from(error);
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (status.code(), info.reason.as_str()),
                (Code::FailedPrecondition, reason)
            );
            assert_eq!(info.metadata["node"], "n");
        }
    }

    #[test]
    fn who_should_wait_is_told_how_long() {
        for (error, code, reason, _) in table() {
            let waits = matches!(code, Code::Unavailable | Code::ResourceExhausted);
            let status = Status::from(error);
            assert_eq!(status.get_details_retry_info().is_some(), waits, "{reason}");
        }
    }

    #[test]
    fn a_bad_field_is_named_with_its_rule() {
        let status = Status::from(Error::invalid("items[3].node_id", "must not be empty"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "items[3].node_id");
        assert_eq!(violations[0].description, "must not be empty");
    }

    #[test]
    fn the_longest_status_stays_below_the_limit() {
        let long = "ä".repeat(100_000);
        let status = Status::from(Error::invalid(long.clone(), long));
        let bytes = status.message().len() + status.details().len();
        assert!(bytes < STATUS_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn what_failed_inside_stays_inside() {
        let status = Status::from(Error::Internal {
            detail: "the secret".to_owned(),
        });
        assert!(!format!("{status:?}").contains("the secret"));
    }
}
