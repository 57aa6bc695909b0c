//! Answers to deliveries.

use std::{fmt::Display, io};

use rustix::io::Errno;
use tandem_proto::v1::{
    AbsenceKind, Applied, Delivery, Failed, FailureReason, Observation, Outcome, Projection, Stale,
    delivery::Action, observation, outcome,
};

use super::super::{node::absence, properties};

/// What became of a delivery.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Applied(Box<Observation>),
    /// The node is not there, and should not be.
    AppliedAbsent(String),
    Stale(Box<Observation>),
    /// The node vanished while it was looked at.
    StaleAbsent(String),
    /// The node left the synced folders.
    StaleMovedOut(String),
    Failed(Box<Failed>),
    /// The node is not there, but should be.
    Gone,
}

impl Answer {
    /// A name is taken.
    pub(super) fn clash(name: &str, blocking_node_id: String) -> Self {
        Self::Failed(Box::new(Failed {
            reason: FailureReason::TargetFolderNameClash.into(),
            message: format!("{name:?} exists already in the receiving folder; rename either"),
            blocking_node_id,
            ..Failed::default()
        }))
    }
}

/// A failure with its reason.
pub(super) fn fail(reason: FailureReason, message: &dyn Display) -> Answer {
    Answer::Failed(Box::new(Failed {
        reason: reason.into(),
        message: message.to_string(),
        ..Failed::default()
    }))
}

/// The failure that an error of the file system means.
pub(super) fn from_io(error: &io::Error) -> Answer {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let (reason, remedy) = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            (FailureReason::QuotaLimitViolation, "make room on the disk")
        }
        Some(Errno::ACCESS | Errno::PERM) => (
            FailureReason::TargetNodeAccessDenied,
            "give the agent's user the right to write there",
        ),
        Some(Errno::NAMETOOLONG | Errno::ILSEQ) => (
            FailureReason::UnsupportedNode,
            "the name is illegal there; rename it on the other side",
        ),
        Some(Errno::FBIG) => (
            FailureReason::ContentLimitViolation,
            "the file system takes no file of that size",
        ),
        Some(Errno::ROFS | Errno::IO | Errno::NODEV | Errno::STALE) => {
            (FailureReason::Unreachable, "see to the disk")
        }
        _ => (FailureReason::Unknown, "see the log of the agent"),
    };
    Answer::Failed(Box::new(Failed {
        reason: reason.into(),
        message: format!("{error}: {remedy}"),
        detail: format!("{error:?}"),
        ..Failed::default()
    }))
}

/// The answer to every delivery of a group that an error has ended as a whole: a disk without room is told as that,
/// anything else passes.
pub(super) fn of_all(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => from_io(error),
        _ => fail(FailureReason::Unreachable, error),
    }
}

/// The outcomes, each beside its delivery.
pub(super) fn outcomes(deliveries: &[Delivery], answers: Vec<Answer>) -> Vec<Outcome> {
    let pairs = deliveries.iter().zip(answers);
    pairs
        .map(|(delivery, answer)| Outcome {
            delivery_id: delivery.id.clone(),
            answer: Some(convert(delivery, answer)),
        })
        .collect()
}

fn convert(delivery: &Delivery, answer: Answer) -> outcome::Answer {
    let gone = |id| Box::new(absence(id, AbsenceKind::Deleted));
    match answer {
        Answer::Applied(result) => outcome::Answer::Applied(applied(delivery, *result)),
        Answer::AppliedAbsent(id) => outcome::Answer::Applied(Applied {
            result: Some(*gone(id)),
            ..Applied::default()
        }),
        Answer::Stale(seen) => outcome::Answer::Stale(Stale { seen: Some(*seen) }),
        Answer::StaleAbsent(id) => outcome::Answer::Stale(Stale {
            seen: Some(*gone(id)),
        }),
        Answer::StaleMovedOut(id) => outcome::Answer::Stale(Stale {
            seen: Some(absence(id, AbsenceKind::MovedOut)),
        }),
        Answer::Failed(failed) => outcome::Answer::Failed(*failed),
        Answer::Gone => outcome::Answer::Failed(Failed {
            reason: FailureReason::TargetNodeNoLongerExists.into(),
            message: "the copy was deleted".to_owned(),
            ..Failed::default()
        }),
    }
}

/// Tells what was delivered where the copy came out differently.
fn applied(delivery: &Delivery, result: Observation) -> Applied {
    let delivered = match &delivery.action {
        Some(Action::Create(create)) => create.projection.as_ref(),
        Some(Action::Update(update)) => update.projection.as_ref(),
        _ => None,
    };
    let made = match &result.state {
        Some(observation::State::Present(projection)) => Some(projection),
        _ => None,
    };
    let differs = match (delivered, made) {
        (Some(delivered), Some(made)) => compared(delivered) != compared(made),
        _ => false,
    };
    let delivered = delivered.filter(|_| differs).cloned();
    Applied {
        result: Some(result),
        delivered,
        delivered_parent_node_id: String::new(),
    }
}

/// What counts when two projections are compared.
fn compared(projection: &Projection) -> Projection {
    let mut projection = projection.clone();
    projection.node_type.clear();
    projection.properties = properties::sorted(projection.properties);
    if let Some(content) = projection.content.as_mut() {
        content.inline = None;
    }
    projection
}
