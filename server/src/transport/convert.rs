//! Between the wire's types and ours: what every service needs.

use prost_types::Timestamp;
use tandem_proto::v1 as wire;
use tonic::{Code, Status};

use crate::domain::access::{Role, Side};
use crate::domain::limits::MESSAGE_BYTES_MAX;
use crate::domain::projection::NodeKind;
use crate::service::Error;

const SECOND: i64 = 1_000_000;

/// Microseconds since 1970-01-01 UTC as the wire's timestamp.
#[must_use]
pub fn timestamp(microseconds: i64) -> Timestamp {
    let nanoseconds = microseconds.rem_euclid(SECOND) * 1_000;
    Timestamp {
        seconds: microseconds.div_euclid(SECOND),
        nanos: i32::try_from(nanoseconds).unwrap_or(0),
    }
}

/// The wire's timestamp as microseconds since 1970-01-01 UTC; what is finer is dropped.
///
/// # Errors
/// [`Error::InvalidField`] when the nanoseconds are no part of a second, or the time lies outside the years 1 to 9999.
pub fn microseconds(field: &str, time: &Timestamp) -> Result<i64, Error> {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_9999: i64 = 253_402_300_799;
    let in_range = (YEAR_1..=YEAR_9999).contains(&time.seconds);
    if !in_range || !(0..1_000_000_000).contains(&time.nanos) {
        return Err(Error::invalid(
            field,
            "must be a time in the years 1 to 9999 with nanos from 0 to 999,999,999",
        ));
    }
    Ok(time.seconds * SECOND + i64::from(time.nanos) / 1_000)
}

/// What the sender of a message is told that its stream's decoder could not take: the rule that it breaks, where tonic
/// speaks of a fault of ours. When the connection broke, nobody is there to hear it.
#[must_use]
pub fn unreadable(status: &Status) -> Error {
    let said = status.message();
    match status.code() {
        Code::OutOfRange => {
            let rule = format!("at most {MESSAGE_BYTES_MAX} bytes; send less at once");
            Error::invalid("message", rule)
        }
        Code::Internal => Error::protocol(format!(
            "a message that cannot be decoded ({said}); send what the proto files say"
        )),
        _ => Error::protocol(format!("the stream broke: {said}")),
    }
}

/// The wire's side.
///
/// # Errors
/// [`Error::InvalidField`] for none or an unknown one.
pub fn side(field: &str, side: i32) -> Result<Side, Error> {
    match wire::Side::try_from(side) {
        Ok(wire::Side::OnPremise) => Ok(Side::OnPremise),
        Ok(wire::Side::Cloud) => Ok(Side::Cloud),
        Ok(wire::Side::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            "must be SIDE_ON_PREMISE or SIDE_CLOUD",
        )),
    }
}

/// A side as the wire's.
#[must_use]
pub const fn wire_side(side: Side) -> wire::Side {
    match side {
        Side::OnPremise => wire::Side::OnPremise,
        Side::Cloud => wire::Side::Cloud,
    }
}

/// The wire's role.
///
/// # Errors
/// [`Error::InvalidField`] for none or an unknown one.
pub fn role(field: &str, role: i32) -> Result<Role, Error> {
    match wire::Role::try_from(role) {
        Ok(wire::Role::Viewer) => Ok(Role::Viewer),
        Ok(wire::Role::User) => Ok(Role::User),
        Ok(wire::Role::Admin) => Ok(Role::Admin),
        Ok(wire::Role::Operator) => Ok(Role::Operator),
        Ok(wire::Role::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            "must be ROLE_VIEWER, ROLE_USER, ROLE_ADMIN or ROLE_OPERATOR",
        )),
    }
}

/// A role as the wire's.
#[must_use]
pub const fn wire_role(role: Role) -> wire::Role {
    match role {
        Role::Viewer => wire::Role::Viewer,
        Role::User => wire::Role::User,
        Role::Admin => wire::Role::Admin,
        Role::Operator => wire::Role::Operator,
    }
}

/// A kind of node as the wire's.
#[must_use]
pub const fn wire_kind(kind: NodeKind) -> wire::NodeKind {
    match kind {
        NodeKind::Document => wire::NodeKind::Document,
        NodeKind::Folder => wire::NodeKind::Folder,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_survive_the_wire(time in -62_135_596_800_000_000_i64..253_402_300_799_000_000) {
            prop_assert_eq!(microseconds("time", &timestamp(time)).unwrap(), time);
        }

        #[test]
        fn no_timestamp_panics(seconds in any::<i64>(), nanos in any::<i32>()) {
            drop(microseconds("time", &Timestamp { seconds, nanos }));
        }
    }

    #[test]
    fn unspecified_is_refused() {
        assert!(side("side", 0).is_err() && side("side", 9).is_err());
        assert!(role("role", 0).is_err() && role("role", -1).is_err());
    }
}
