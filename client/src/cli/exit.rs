//! Exit codes: which kinds of errors there are, and which code each has.

use serde::Serialize;
use tonic::Code;

/// The table that `tandem --help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  a fault of tandem or of the coordinator
  2  the command line is wrong
  3  there is no such thing
  4  the token is missing, not valid, or does not allow it
  5  the present state does not allow it, or it exists already
  6  the coordinator or an agent is away or busy; trying again later may help
  7  the coordinator refused the input, or does not offer this yet";

/// What kind of error ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A fault of tandem or of the coordinator.
    Internal,
    /// The command line is wrong.
    Usage,
    /// There is no such thing.
    NotFound,
    /// The credential is missing, not valid, or does not allow it.
    NotAllowed,
    /// The present state does not allow it.
    Precondition,
    /// Somebody is away or busy; trying again later may help.
    Unavailable,
    /// The input was refused, or what it asks for is not offered.
    Refused,
    /// Whoever read the output stopped reading, as `head` does; not an error.
    OutputClosed,
}

impl Kind {
    /// The exit code of the process.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::Precondition => 5,
            Self::Unavailable => 6,
            Self::Refused => 7,
        }
    }

    /// The kind that a gRPC code stands for.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            // A call that ended well is no error; a Status that claims so is a fault.
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Self::Internal,
            Code::NotFound => Self::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => Self::NotAllowed,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Self::Precondition,
            // tonic reports an exceeded deadline as Cancelled.
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Unavailable => Self::Unavailable,
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grpc_code_has_an_exit_code() {
        let expected = [1, 6, 1, 7, 6, 3, 5, 4, 6, 5, 5, 7, 7, 1, 6, 1, 4];
        let actual: Vec<u8> = (0..17)
            .map(|number| Kind::of_code(Code::from_i32(number)).exit_code())
            .collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn help_lists_every_exit_code() {
        for code in 0..8 {
            assert!(HELP.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
