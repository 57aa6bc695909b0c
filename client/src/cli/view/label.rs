//! The words of the protocol without the prefixes that the wire needs; `None` stands for "not given".

use tandem_proto::v1::{
    ConflictGrain, ConflictKind, ConflictPolicy, ConflictState, ErrorReason, FailureReason, Hold,
    JournalKind, MemberState, NameClashPolicy, NodeKind, Role, Side, SyncSetKind, SyncSetState,
    VersionReason,
};

/// A word of the protocol.
pub(crate) type Label = Option<&'static str>;

macro_rules! labels {
    ($($function:ident($enumeration:ty) = $prefix:literal;)*) => {$(
        #[doc = concat!("The word without `", $prefix, "`.")]
        pub(crate) fn $function(value: $enumeration) -> Label {
            word(value.as_str_name(), $prefix)
        }
    )*};
}

labels! {
    conflict_grain(ConflictGrain) = "CONFLICT_GRAIN_";
    conflict_kind(ConflictKind) = "CONFLICT_KIND_";
    conflict_policy(ConflictPolicy) = "CONFLICT_POLICY_";
    conflict_state(ConflictState) = "CONFLICT_STATE_";
    error_reason(ErrorReason) = "ERROR_REASON_";
    failure_reason(FailureReason) = "FAILURE_REASON_";
    hold(Hold) = "HOLD_";
    journal_kind(JournalKind) = "JOURNAL_KIND_";
    member_state(MemberState) = "MEMBER_STATE_";
    name_clash_policy(NameClashPolicy) = "NAME_CLASH_POLICY_";
    node_kind(NodeKind) = "NODE_KIND_";
    role(Role) = "ROLE_";
    set_kind(SyncSetKind) = "SYNC_SET_KIND_";
    set_state(SyncSetState) = "SYNC_SET_STATE_";
    side(Side) = "SIDE_";
    version_reason(VersionReason) = "VERSION_REASON_";
}

fn word(name: &'static str, prefix: &str) -> Label {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    (word != "UNSPECIFIED").then_some(word)
}

/// For people: a dash when it is not given.
pub(crate) fn readable(label: Label) -> String {
    label.unwrap_or(super::text::NOTHING).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_left_out() {
        assert_eq!(set_state(SyncSetState::Failed), Some("FAILED"));
        assert_eq!(hold(Hold::MassDelete), Some("MASS_DELETE"));
        assert_eq!(
            failure_reason(FailureReason::RuleFailed),
            Some("RULE_FAILED")
        );
        assert_eq!(side(Side::OnPremise), Some("ON_PREMISE"));
        assert_eq!(set_kind(SyncSetKind::Folder), Some("FOLDER"));
        assert_eq!(journal_kind(JournalKind::Held), Some("HELD"));
        assert_eq!(role(Role::Unspecified), None);
    }
}
