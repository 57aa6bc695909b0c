//! Members of sync sets.

use serde::Serialize;
use tandem_proto::v1alpha::{Member, MemberCopy, WatchMembersResponse};

use super::{
    Row, Show,
    content::ContentView,
    failure::FailureView,
    label::{self, Label},
    text, time,
};
use crate::cli::names::short;

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
    failure: Option<FailureView>,
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
    fn readable_state(&self) -> String {
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

    fn place(&self) -> String {
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

/// How many members are to be synced now.
#[derive(Debug, Serialize)]
pub(crate) struct Requested {
    pub(crate) requested: i64,
}

impl Show for Requested {
    fn human(&self) -> String {
        match self.requested {
            0 => "There was nothing to sync.\n".to_owned(),
            1 => "1 member is synced now.\n".to_owned(),
            many => format!("{many} members are synced now.\n"),
        }
    }
}

/// A step of what is watched.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Step {
    /// A member as it is now.
    Member(Box<MemberView>),
    /// A membership ended.
    Removed { uid: String },
    /// Everything up to now was told.
    Current,
}

impl Step {
    /// The steps that a message tells of.
    pub(crate) fn all(message: WatchMembersResponse) -> Vec<Self> {
        let mut steps = Vec::new();
        if let Some(member) = message.member {
            steps.push(Self::Member(Box::new(member.into())));
        }
        if !message.removed_uid.is_empty() {
            steps.push(Self::Removed {
                uid: message.removed_uid,
            });
        }
        if message.current {
            steps.push(Self::Current);
        }
        steps
    }
}

impl Show for Step {
    fn human(&self) -> String {
        match self {
            Self::Member(member) => {
                let mut line =
                    text::clean(&format!("{}  {}", member.readable_state(), member.place())) + "\n";
                if let Some(failure) = &member.failure {
                    line.push_str(&failure.note(&member.place()));
                }
                line
            }
            Self::Removed { uid } => format!("ENDED  {}\n", text::clean(uid)),
            Self::Current => "(this is all for now; waiting for changes)\n".to_owned(),
        }
    }
}
