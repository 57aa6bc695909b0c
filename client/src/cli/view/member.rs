//! Members of sync sets.

use serde::Serialize;
use tandem_proto::v1::{Member, MemberCopy};

use super::{
    Row, Show,
    content::ContentView,
    failure::FailureView,
    label::{self, Label},
    text, time,
};
use crate::cli::ids::short;

/// A member with both copies.
#[derive(Debug, Serialize)]
pub(crate) struct MemberView {
    name: String,
    uid: String,
    kind: Label,
    direct: bool,
    state: Label,
    hold: Label,
    cloud_copy_deleted: bool,
    pub(crate) failure: Option<FailureView>,
    transient_error: Option<FailureView>,
    on_premise: Option<CopyView>,
    cloud: Option<CopyView>,
    last_synced_at: Option<String>,
    conflict: Option<String>,
}

/// One copy of a member.
#[derive(Debug, Serialize)]
struct CopyView {
    node_id: String,
    name: String,
    path: String,
    content: Option<ContentView>,
    revision: String,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            kind: label::node_kind(member.kind()),
            state: label::member_state(member.state()),
            hold: label::hold(member.hold()),
            last_synced_at: time::rfc3339(member.last_synced_at.as_ref()),
            name: member.name,
            uid: member.uid,
            direct: member.direct,
            cloud_copy_deleted: member.cloud_copy_deleted,
            failure: member.failure.map(Into::into),
            transient_error: member.transient_error.map(Into::into),
            on_premise: member.on_premise.map(Into::into),
            cloud: member.cloud.map(Into::into),
            conflict: (!member.conflict.is_empty()).then_some(member.conflict),
        }
    }
}

impl From<MemberCopy> for CopyView {
    fn from(copy: MemberCopy) -> Self {
        Self {
            node_id: copy.node_id,
            name: copy.name,
            path: copy.path,
            content: copy.content.map(Into::into),
            revision: copy.revision,
        }
    }
}

impl CopyView {
    fn place(&self) -> &str {
        if self.path.is_empty() {
            &self.name
        } else {
            &self.path
        }
    }

    fn readable(copy: Option<&Self>) -> String {
        let Some(copy) = copy else {
            return "none".to_owned();
        };
        let content = copy
            .content
            .as_ref()
            .map_or_else(String::new, |content| format!(" ({})", content.readable()));
        format!("{}{content}, node {}", copy.place(), copy.node_id)
    }
}

impl MemberView {
    /// The state with what explains it.
    pub(crate) fn readable_state(&self) -> String {
        let mut state = label::readable(self.state);
        if let Some(failure) = &self.failure {
            state.push_str(&format!(": {}", label::readable(failure.reason)));
        }
        if let Some(hold) = self.hold {
            state.push_str(&format!(" (held: {hold})"));
        }
        if let Some(transient) = &self.transient_error {
            state.push_str(&format!(
                " (for now: {})",
                label::readable(transient.reason)
            ));
        }
        if self.cloud_copy_deleted {
            state.push_str(" (cloud copy deleted)");
        }
        state
    }

    fn copy(&self) -> Option<&CopyView> {
        self.on_premise.as_ref().or(self.cloud.as_ref())
    }

    /// Where it lies, by the on-premise copy if there is one.
    pub(crate) fn place(&self) -> String {
        self.copy().map_or_else(
            || text::NOTHING.to_owned(),
            |copy| text::or_dash(copy.place()),
        )
    }

    fn size(&self) -> String {
        let content = self.copy().and_then(|copy| copy.content.as_ref());
        content.map_or_else(
            || text::NOTHING.to_owned(),
            |content| text::size(content.size),
        )
    }
}

impl Row for MemberView {
    const HEADINGS: &'static [&'static str] =
        &["STATE", "KIND", "SIZE", "PATH", "LAST SYNCED", "MEMBER"];
    const EMPTY: &'static str = "There are no such members.";

    fn cells(&self) -> Vec<String> {
        vec![
            self.readable_state(),
            label::readable(self.kind),
            self.size(),
            self.place(),
            time::readable(self.last_synced_at.as_deref()),
            short(&self.name),
        ]
    }

    fn notes(members: &[Self]) -> String {
        let failed: Vec<_> = members
            .iter()
            .filter_map(|member| Some((member, member.failure.as_ref()?)))
            .collect();
        if failed.is_empty() {
            return String::new();
        }
        let mut notes = format!("\n{} failed:\n", text::count(failed.len(), "member"));
        for (member, failure) in failed {
            notes.push_str(&failure.note(&member.place()));
        }
        notes
    }
}

impl Show for MemberView {
    fn human(&self) -> String {
        let direct = if self.direct {
            "chosen"
        } else {
            "inside a synced folder"
        };
        let mut fields = vec![
            ("Member", short(&self.name)),
            ("Kind", format!("{}, {direct}", label::readable(self.kind))),
            ("State", self.readable_state()),
        ];
        if let Some(failure) = &self.failure {
            fields.extend(failure.fields("Failure"));
        }
        if let Some(transient) = &self.transient_error {
            fields.extend(transient.fields("For now"));
        }
        fields.push(("On-premise", CopyView::readable(self.on_premise.as_ref())));
        fields.push(("Cloud", CopyView::readable(self.cloud.as_ref())));
        fields.push((
            "Last synced",
            time::readable(self.last_synced_at.as_deref()),
        ));
        if let Some(conflict) = &self.conflict {
            fields.push(("Conflict", short(conflict)));
        }
        text::fields(&fields)
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use tandem_proto::v1::{ContentRef, Failure, FailureReason, Hold, MemberState, NodeKind};

    use super::*;
    use crate::cli::paging::Listed;

    fn member(state: MemberState) -> Member {
        Member {
            name: "networks/default/syncSets/s1/members/m1".to_owned(),
            uid: "m1".to_owned(),
            kind: NodeKind::Document.into(),
            state: state.into(),
            on_premise: Some(MemberCopy {
                node_id: "n1".to_owned(),
                name: "a.txt".to_owned(),
                path: "contracts/a.txt".to_owned(),
                content: Some(ContentRef {
                    digest: vec![1; 32].into(),
                    size: 10,
                    inline: None,
                }),
                revision: "r1".to_owned(),
            }),
            ..Member::default()
        }
    }

    fn failed() -> Member {
        Member {
            failure: Some(Failure {
                reason: FailureReason::TargetFolderNameClash.into(),
                message: "another node has that name".to_owned(),
                since: Some(Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                }),
                attempts: 1,
                remedy: "rename either of them".to_owned(),
                ..Failure::default()
            }),
            ..member(MemberState::Failed)
        }
    }

    #[test]
    fn r_sta_2_failed_members_are_listed_with_their_remedies() {
        let listed: Listed<MemberView> = Listed {
            items: vec![member(MemberState::Synced).into(), failed().into()],
            more: false,
        };
        assert_eq!(
            listed.human(),
            "STATE                             KIND      SIZE  PATH             LAST SYNCED  MEMBER\n\
             SYNCED                            DOCUMENT  10 B  contracts/a.txt  -            s1/m1\n\
             FAILED: TARGET_FOLDER_NAME_CLASH  DOCUMENT  10 B  contracts/a.txt  -            s1/m1\n\n\
             1 member failed:\n  contracts/a.txt: another node has that name\n    \
             what to do: rename either of them\n"
        );
    }

    #[test]
    fn r_err_2_one_member_is_shown_with_everything_about_its_failure() {
        assert_eq!(
            MemberView::from(failed()).human(),
            "Member:        s1/m1\n\
             Kind:          DOCUMENT, inside a synced folder\n\
             State:         FAILED: TARGET_FOLDER_NAME_CLASH\n\
             Failure:       TARGET_FOLDER_NAME_CLASH: another node has that name\n  \
             since:       2023-11-14 22:13:20 UTC, 1 try\n  \
             what to do:  rename either of them\n\
             On-premise:    contracts/a.txt (10 B, sha256 010101010101), node n1\n\
             Cloud:         none\n\
             Last synced:   -\n"
        );
    }

    #[test]
    fn r_sta_1_a_state_tells_why_it_waits() {
        let mut waiting = member(MemberState::Pending);
        waiting.hold = Hold::MassDelete.into();
        waiting.cloud_copy_deleted = true;
        waiting.transient_error = Some(Failure {
            reason: FailureReason::Unreachable.into(),
            ..Failure::default()
        });
        assert_eq!(
            MemberView::from(waiting).readable_state(),
            "PENDING (held: MASS_DELETE) (for now: UNREACHABLE) (cloud copy deleted)"
        );
    }
}
