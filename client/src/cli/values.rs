//! Values of flags that are words of the protocol.

use clap::{
    ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use tandem_proto::v1::{FailureReason, MemberState, PeerChoice, Role, Side};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::view::label;

/// A side, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SideValue {
    /// The organisation's own repository
    OnPremise,
    /// The repository that outsiders can reach
    Cloud,
}

impl From<SideValue> for Side {
    fn from(value: SideValue) -> Self {
        match value {
            SideValue::OnPremise => Self::OnPremise,
            SideValue::Cloud => Self::Cloud,
        }
    }
}

/// What becomes of the other copy, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PeerValue {
    /// The other copy is removed too
    Remove,
    /// The other copy is kept, and no longer synced
    Keep,
}

impl From<PeerValue> for PeerChoice {
    fn from(value: PeerValue) -> Self {
        match value {
            PeerValue::Remove => Self::Remove,
            PeerValue::Keep => Self::Keep,
        }
    }
}

/// A member's state, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateValue {
    /// Something is under way or due
    Pending,
    /// Both copies are equal
    Synced,
    /// Somebody must act
    Failed,
}

impl From<StateValue> for MemberState {
    fn from(value: StateValue) -> Self {
        match value {
            StateValue::Pending => Self::Pending,
            StateValue::Synced => Self::Synced,
            StateValue::Failed => Self::Failed,
        }
    }
}

/// A user's role, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleValue {
    /// Sees everything, changes nothing
    Viewer,
    /// Makes and steers sets
    User,
    /// Administers the network
    Admin,
}

impl From<RoleValue> for Role {
    fn from(value: RoleValue) -> Self {
        match value {
            RoleValue::Viewer => Self::Viewer,
            RoleValue::User => Self::User,
            RoleValue::Admin => Self::Admin,
        }
    }
}

/// Reads the reason of a failure, such as TARGET_FOLDER_NAME_CLASH, in any case.
pub(crate) fn failure_reason() -> impl TypedValueParser<Value = FailureReason> {
    let reasons = (1..).map_while(|number| FailureReason::try_from(number).ok());
    PossibleValuesParser::new(reasons.filter_map(label::failure_reason)).try_map(|text| {
        FailureReason::from_str_name(&format!("FAILURE_REASON_{}", text.to_ascii_uppercase()))
            .ok_or("not a reason")
    })
}

/// Reads a point in time that is still to come or not; the coordinator decides.
pub(crate) fn timestamp(text: &str) -> Result<prost_types::Timestamp, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("not a time such as 2030-12-31T00:00:00Z: {error}"))?;
    Ok(prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond().cast_signed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339() {
        let time = timestamp("1970-01-01T01:00:01.5+01:00").expect("a time");
        assert_eq!((time.seconds, time.nanos), (1, 500_000_000));
        assert!(timestamp("tomorrow").is_err());
    }
}
