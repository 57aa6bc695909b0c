//! Why a member failed or is delayed, and what ends it (SPEC §9).

use super::ids::MemberId;

/// Why something did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum Reason {
    /// Another node has that name in the receiving folder.
    TargetFolderNameClash = 1,
    /// The receiving folder is missing, cause unknown.
    TargetFolderNotFound = 2,
    /// The receiving folder is known to be deleted on the cloud.
    DeletedOnCloud = 3,
    /// The copy to be updated was deleted.
    TargetNodeNoLongerExists = 4,
    /// The node in the way is a member of another set.
    TargetNodeAlreadySynced = 5,
    /// The peer belongs to another set.
    TargetNodeOtherSyncSet = 6,
    /// The owner of the set is gone.
    OwnerNotFound = 7,
    /// The owner may not read the source.
    SourceNodeAccessDenied = 8,
    /// The account may not write the target.
    TargetNodeAccessDenied = 9,
    /// The account's credentials no longer work.
    AuthenticationError = 10,
    /// Larger than the receiver takes.
    ContentLimitViolation = 11,
    /// The receiver's quota is used up.
    QuotaLimitViolation = 12,
    /// A foreground rule refused.
    RuleFailed = 13,
    /// A record, a link, or a name that is illegal there.
    UnsupportedNode = 14,
    /// The bytes could not be read.
    ContentUnavailable = 15,
    /// The node kept flipping, or kept being stale.
    LoopDetected = 16,
    /// Anything else.
    Unknown = 17,
    /// Transient: the repository is away.
    Unreachable = 18,
    /// Transient: the repository asks for fewer calls.
    RateLimited = 19,
    /// Transient: somebody edits the document.
    LockedForEditing = 20,
}

/// What ends a failure (R-ERR-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Somebody repairs the cause; tried again on any sign of that, and every hour.
    Fix,
    /// Somebody decides.
    Decision,
    /// Time; tried again by itself, without end.
    Retry,
}

/// The first wait of a retry, in microseconds.
const BACKOFF_FIRST: i64 = 1_000_000;
/// The longest wait of a retry.
const BACKOFF_MAX: i64 = 300_000_000;
/// The wait of a *fix* failure whose cause shows no sign of change.
pub const FIX_RETRY: i64 = 3_600_000_000;

impl Reason {
    /// Whether it depends on who owns the set, and so may be gone under another owner (R-ERR-1).
    #[must_use]
    pub fn is_of_owner(self) -> bool {
        matches!(
            self,
            Self::OwnerNotFound
                | Self::SourceNodeAccessDenied
                | Self::TargetNodeAccessDenied
                | Self::AuthenticationError
        )
    }

    /// Every reason.
    pub const ALL: [Self; 20] = [
        Self::TargetFolderNameClash,
        Self::TargetFolderNotFound,
        Self::DeletedOnCloud,
        Self::TargetNodeNoLongerExists,
        Self::TargetNodeAlreadySynced,
        Self::TargetNodeOtherSyncSet,
        Self::OwnerNotFound,
        Self::SourceNodeAccessDenied,
        Self::TargetNodeAccessDenied,
        Self::AuthenticationError,
        Self::ContentLimitViolation,
        Self::QuotaLimitViolation,
        Self::RuleFailed,
        Self::UnsupportedNode,
        Self::ContentUnavailable,
        Self::LoopDetected,
        Self::Unknown,
        Self::Unreachable,
        Self::RateLimited,
        Self::LockedForEditing,
    ];

    /// The reason of a stored or received number; an unknown number is [`Reason::Unknown`].
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| *reason as i32 == number)
            .unwrap_or(Self::Unknown)
    }

    /// What ends it.
    #[must_use]
    pub fn class(self) -> RetryClass {
        match self {
            Self::DeletedOnCloud
            | Self::TargetNodeNoLongerExists
            | Self::LoopDetected
            | Self::Unknown => RetryClass::Decision,
            Self::ContentUnavailable
            | Self::Unreachable
            | Self::RateLimited
            | Self::LockedForEditing => RetryClass::Retry,
            Self::TargetFolderNameClash
            | Self::TargetFolderNotFound
            | Self::TargetNodeAlreadySynced
            | Self::TargetNodeOtherSyncSet
            | Self::OwnerNotFound
            | Self::SourceNodeAccessDenied
            | Self::TargetNodeAccessDenied
            | Self::AuthenticationError
            | Self::ContentLimitViolation
            | Self::QuotaLimitViolation
            | Self::RuleFailed
            | Self::UnsupportedNode => RetryClass::Fix,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TargetFolderNameClash => "rename one of the two nodes",
            Self::TargetFolderNotFound => "make the receiving folder again, then request a sync",
            Self::DeletedOnCloud => "request a sync of the folder, or unsync it",
            Self::TargetNodeNoLongerExists => "request a sync to make the copy anew, or unsync",
            Self::TargetNodeAlreadySynced => "rename the node in the way, or unsync its set",
            Self::TargetNodeOtherSyncSet => "unsync one of the two sets",
            Self::OwnerNotFound => "transfer the ownership of the set",
            Self::SourceNodeAccessDenied => "give the owner of the set read access",
            Self::TargetNodeAccessDenied => "give the account write access to the receiving folder",
            Self::AuthenticationError => "link the cloud account again",
            Self::ContentLimitViolation => "make the content smaller, or raise the limit",
            Self::QuotaLimitViolation => "free space, or raise the quota",
            Self::RuleFailed => "change the rule or the document, then request a sync",
            Self::UnsupportedNode => "rename or replace the node; the detail says what is illegal",
            Self::ContentUnavailable => "nothing: it is tried again",
            Self::LoopDetected => {
                "stop the rule or program that keeps changing the copy, then request a sync"
            }
            Self::Unknown => "read the detail, then request a sync",
            Self::Unreachable => "nothing: it is tried again; see whether the agent runs",
            Self::RateLimited => "nothing: it is tried again",
            Self::LockedForEditing => "nothing: it goes on when the document is closed",
        }
    }

    /// When to try again after so many failures in a row, in microseconds from now; `None` = not by itself.
    ///
    /// Full jitter, drawn from the member's id so that the decision stays a function of its arguments (R-ERR-1).
    #[must_use]
    pub fn retry_after(self, attempts: i32, member: MemberId) -> Option<i64> {
        match self.class() {
            RetryClass::Decision => None,
            RetryClass::Fix => Some(FIX_RETRY),
            RetryClass::Retry => {
                let doublings = attempts.saturating_sub(1).clamp(0, 20);
                let longest = BACKOFF_MAX.min(BACKOFF_FIRST << doublings);
                let (_, seed) = member.0.as_u64_pair();
                let draw = seed.rotate_left(attempts.unsigned_abs()) % 1_000;
                Some(longest * i64::try_from(draw).unwrap_or(0) / 1_000)
            }
        }
    }
}

/// A failure as it is kept and shown (R-ERR-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Readable text.
    pub message: String,
    /// Technical detail, without secrets.
    pub detail: String,
    /// Since when, in microseconds since 1970.
    pub since: i64,
    /// Tries so far.
    pub attempts: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_err_1_retries_double_up_to_five_minutes_and_others_wait_for_people() {
        let member = MemberId(uuid::Uuid::from_u128(0xffff_ffff_ffff_ffff));
        for attempts in 1..40 {
            let wait = Reason::Unreachable
                .retry_after(attempts, member)
                .expect("retry class");
            assert!((0..=BACKOFF_MAX).contains(&wait));
            assert!(wait <= BACKOFF_FIRST << (attempts - 1).min(20));
        }
        assert_eq!(
            Reason::TargetFolderNameClash.retry_after(1, member),
            Some(FIX_RETRY)
        );
        assert_eq!(
            Reason::TargetNodeNoLongerExists.retry_after(1, member),
            None
        );
    }

    #[test]
    fn numbers_are_those_of_the_wire() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason as i32), reason);
            assert!(!reason.remedy().is_empty());
        }
        assert_eq!(Reason::from_number(999), Reason::Unknown);
    }
}
