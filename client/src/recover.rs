//! When and how soon something that failed is tried again.

use std::time::Duration;

use tandem_proto::v1::ErrorReason;
use tonic::Code;

use crate::error::Error;

/// The bound of the wait before the second try; the first retry comes within it.
const DELAY_FIRST: Duration = Duration::from_millis(100);
/// No wait is longer, but for one that the coordinator asks for.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// The coordinator's wishes are honoured up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Try again after this time.
    Retry(Duration),
    /// Another try would fail the same way; a person or a program must change something.
    GiveUp,
}

/// Counts tries in a row and spreads them.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    tries: u32,
}

// === impl Backoff ===

impl Backoff {
    /// Starts with a fast retry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins anew after something went well.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait: anything up to a bound that doubles from 100 ms to 30 s (full jitter).
    pub fn next_delay(&mut self) -> Duration {
        let bound = DELAY_FIRST
            .saturating_mul(1u32.checked_shl(self.tries.min(16)).unwrap_or(u32::MAX))
            .min(DELAY_MAX);
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(rand::random::<f64>())
    }

    /// The whole retry policy.
    pub fn recover(&mut self, error: &Error) -> Recovery {
        let retries = match error.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => true,
            // A fault over there: it may pass.
            Code::Internal | Code::DataLoss => true,
            // A dead peer shows as Unknown with the transport as its source.
            Code::Unknown => error.is_transport(),
            // Both tonic's server and its client end a late call so.
            Code::Cancelled => error.is_transport() || error.message() == "Timeout expired",
            // The step is stale; whoever calls takes it again from the start.
            Code::Aborted => !error.is(ErrorReason::StaleEtag),
            Code::FailedPrecondition => is_passing(error),
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => false,
        };
        if !retries {
            return Recovery::GiveUp;
        }
        let jitter = self.next_delay();
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        Recovery::Retry(asked.saturating_add(jitter))
    }
}

/// Preconditions that another session, or the coordinator by itself, makes true again.
fn is_passing(error: &Error) -> bool {
    [
        ErrorReason::SessionSuperseded,
        ErrorReason::RepositoryCloned,
        ErrorReason::RollbackSuspected,
        ErrorReason::BatchGap,
        ErrorReason::ContentMissing,
    ]
    .into_iter()
    .any(|reason| error.is(reason))
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn recover(status: Status) -> Recovery {
        Backoff::new().recover(&Error::from(status))
    }

    #[test]
    fn the_first_retry_is_fast_and_no_wait_exceeds_the_bound() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
        for _ in 0..64 {
            assert!(backoff.next_delay() <= Duration::from_secs(30));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn the_coordinators_wish_is_honoured() {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_secs(7)));
        let status = Status::with_error_details(Code::Unavailable, "draining", details);
        let Recovery::Retry(after) = recover(status) else {
            panic!("not retried");
        };
        assert!(after >= Duration::from_secs(7) && after <= Duration::from_millis(7100));
    }

    #[test]
    fn late_calls_and_broken_transports_are_tried_again() {
        assert!(matches!(
            recover(Status::cancelled("Timeout expired")),
            Recovery::Retry(_)
        ));
        assert_eq!(
            recover(Status::cancelled("by the caller")),
            Recovery::GiveUp
        );
        assert_eq!(
            recover(Status::unknown("said the coordinator")),
            Recovery::GiveUp
        );
        let broken = std::io::Error::other("h2 protocol error");
        assert!(matches!(
            recover(Status::from_error(Box::new(broken))),
            Recovery::Retry(_)
        ));
    }

    #[test]
    fn what_only_a_person_can_mend_is_given_up() {
        for status in [
            Status::unauthenticated("revoked"),
            Status::permission_denied("no"),
            Status::invalid_argument("no"),
            Status::not_found("no"),
            Status::failed_precondition("protocol"),
        ] {
            assert_eq!(recover(status), Recovery::GiveUp);
        }
    }
}
