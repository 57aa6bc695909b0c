//! What a person can do about an error of the coordinator, by its reason.

use tandem_proto::v1::ErrorReason;
use tonic::Code;

/// What can be done; `None` when there is nothing to say beyond the message.
pub(crate) fn of(code: Code, reason: Option<&str>) -> Option<&'static str> {
    let known = reason
        .and_then(|reason| ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")))
        .unwrap_or(ErrorReason::Unspecified);
    by_reason(known).or_else(|| by_code(code))
}

fn by_reason(reason: ErrorReason) -> Option<&'static str> {
    use ErrorReason as R;
    Some(match reason {
        R::Unauthenticated => "Give a valid token with --token-file, --token or TANDEM_TOKEN.",
        R::NotAllowed => "Use a token that allows it; `tandem whoami` shows what yours speaks for.",
        R::NetworkNotFound => {
            "Check --network; an operator makes one with `tandem network create`."
        }
        R::RepositoryNotFound => "`tandem repository list` shows the repositories.",
        R::SyncSetNotFound => "`tandem set list` shows the sets.",
        R::MemberNotFound => "`tandem member list` shows the members.",
        R::ConflictNotFound => "`tandem conflict list` shows the conflicts.",
        R::TokenNotFound => "`tandem token list` shows the tokens.",
        R::VersionNotFound => "`tandem version list MEMBER` shows what is kept.",
        R::NodeNotFound => {
            "Check the path: it is counted from the directory that the agent was given."
        }
        R::Draining => "The coordinator is about to stop; try again.",
        R::StoreUnavailable => "The coordinator cannot reach its storage; try again.",
        R::RateLimited => "A limit is reached; try again later, or ask for less.",
        R::AgentOffline => "Start the agent of the repository, or wait until it is connected.",
        R::AgentTimeout => "The agent of the repository is slow; try again.",
        R::NotImplemented => "This coordinator does not offer it yet.",
        R::Internal => "This is a fault; the log of the coordinator has more.",
        R::CursorCompacted => "The journal begins later than this cursor; start without --cursor.",
        R::CursorEpoch => "The cursor belongs to another journal; start without --cursor.",
        R::LibraryRoot => "Choose a folder inside the library.",
        R::OutsideLibrary => "Choose a folder that lies in a site library.",
        R::AlreadySynced => "A node can be in one set only; `tandem set list` shows them.",
        R::NodeNotEligible => "Choose an ordinary document or folder.",
        R::NodeIsWorkingCopy => "Check the document in, and choose the document itself.",
        R::NodeIsRecord => "Records stay where they are; choose something else.",
        R::NodeIsSmartFolder => "Choose an ordinary folder, or the documents it shows.",
        R::NodeIsLink => "Choose what the link leads to.",
        R::MixedSelection => "Choose one folder, or documents only.",
        R::NothingAccepted => {
            "Wait until the documents are free, or ask for the right to write them."
        }
        R::TargetNotFound => {
            "`tandem target browse` shows the folders; `tandem target create` makes one."
        }
        R::TargetNotAFolder => "`tandem target browse` shows the folders.",
        R::TargetAlreadySynced => "Choose a target folder that is not synced itself.",
        R::TargetNotWritable => "Choose a target folder that the cloud account may write.",
        R::TargetNotUsable => "Choose an ordinary folder as target.",
        R::AccountNotLinked | R::AccountLinkNotFound => {
            "Link one: `tandem account link REPOSITORY ACCOUNT --credential-file FILE`."
        }
        R::AccountRefused => "Check the account and its credential, and link it again.",
        R::NodeNotWritable => "Only who may write a node can sync it.",
        R::NetworkNotEnabled => "Ask an operator to enable the network.",
        R::DeleteNotAllowed => "The set keeps cloud copies; delete the on-premise copy, or unsync.",
        R::NothingHeld => "There is nothing to decide.",
        R::StaleEtag => "It was changed meanwhile; look again, then repeat.",
        R::AlreadyExists => "Choose another name.",
        R::RepositoryCloned => {
            "Stop the other copy, or accept this one: `tandem repository rebind`."
        }
        _ => return None,
    })
}

fn by_code(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => by_reason(ErrorReason::Unauthenticated),
        Code::PermissionDenied => by_reason(ErrorReason::NotAllowed),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Some("Try again."),
        Code::Unimplemented => by_reason(ErrorReason::NotImplemented),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_goes_before_the_code() {
        let remedy = of(Code::Unavailable, Some("AGENT_OFFLINE"));
        assert_eq!(remedy, by_reason(ErrorReason::AgentOffline));
    }

    #[test]
    fn a_reason_of_a_newer_coordinator_falls_back_to_the_code() {
        assert_eq!(
            of(Code::Unavailable, Some("FROM_THE_FUTURE")),
            Some("Try again.")
        );
        assert_eq!(of(Code::NotFound, None), None);
    }
}
