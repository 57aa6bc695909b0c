//! Sync sets.

use serde::Serialize;
use tandem_proto::v1alpha::{SkippedNode, SyncSet};

use super::{
    Row, Show,
    label::{self, Label},
    set_options::OptionsView,
    text, time,
};
use crate::cli::names::short;

/// A sync set.
#[derive(Debug, Serialize)]
pub(crate) struct SetView {
    name: String,
    uid: String,
    kind: Label,
    state: Label,
    scanning: bool,
    held_deletions: i64,
    members: i64,
    pending: i64,
    failed: i64,
    bytes: i64,
    on_premise_repository: String,
    node_ids: Vec<String>,
    cloud_repository: String,
    target_folder_node_id: String,
    options: Option<OptionsView>,
    owner: String,
    etag: String,
    create_time: Option<String>,
}

impl From<SyncSet> for SetView {
    fn from(set: SyncSet) -> Self {
        let counters = set.counters.unwrap_or_default();
        Self {
            kind: label::set_kind(set.kind()),
            state: label::set_state(set.state()),
            create_time: time::rfc3339(set.create_time.as_ref()),
            name: set.name,
            uid: set.uid,
            scanning: set.scanning,
            held_deletions: set.held_deletions,
            members: counters.members,
            pending: counters.pending,
            failed: counters.failed,
            bytes: counters.bytes,
            on_premise_repository: set.on_premise_repository,
            node_ids: set.node_ids,
            cloud_repository: set.cloud_repository,
            target_folder_node_id: set.target_folder_node_id,
            options: set.options.map(Into::into),
            owner: set.owner,
            etag: set.etag,
        }
    }
}

impl SetView {
    fn readable_state(&self) -> String {
        let mut state = label::readable(self.state);
        if self.scanning {
            state.push_str(" (scanning)");
        }
        if self.held_deletions > 0 {
            state.push_str(&format!(" ({} deletions held)", self.held_deletions));
        }
        state
    }
}

impl Row for SetView {
    const HEADINGS: &'static [&'static str] = &[
        "SET",
        "STATE",
        "MEMBERS",
        "PENDING",
        "FAILED",
        "SIZE",
        "ON-PREMISE",
        "CLOUD",
        "OWNER",
        "CREATED",
    ];
    const EMPTY: &'static str =
        "There are no sync sets that you may see. `tandem set create` makes one.";

    fn cells(&self) -> Vec<String> {
        vec![
            self.uid.clone(),
            self.readable_state(),
            self.members.to_string(),
            self.pending.to_string(),
            self.failed.to_string(),
            text::size(self.bytes),
            short(&self.on_premise_repository),
            short(&self.cloud_repository),
            text::or_dash(&self.owner),
            time::readable(self.create_time.as_deref()),
        ]
    }

    fn notes(sets: &[Self]) -> String {
        let mut notes = String::new();
        if sets.iter().any(|set| set.failed > 0) {
            notes.push_str(
                "\n`tandem member list --state failed` shows what failed and what to do.\n",
            );
        }
        if sets.iter().any(|set| set.held_deletions > 0) {
            notes
                .push_str("\n`tandem set hold confirm|refuse SET` decides about held deletions.\n");
        }
        notes
    }
}

impl Show for SetView {
    fn human(&self) -> String {
        let place = |repository: &str, node: &str| {
            format!("{}, node {}", short(repository), text::or_dash(node))
        };
        let (pending, failed) = (self.pending, self.failed);
        let mut fields = vec![
            ("Set", self.uid.clone()),
            ("Kind", label::readable(self.kind)),
            ("State", self.readable_state()),
            (
                "Members",
                format!("{} ({pending} pending, {failed} failed)", self.members),
            ),
            ("Size", text::size(self.bytes)),
            (
                "On-premise",
                place(&self.on_premise_repository, &self.node_ids.join(", ")),
            ),
            (
                "Cloud target",
                place(&self.cloud_repository, &self.target_folder_node_id),
            ),
            ("Owner", text::or_dash(&self.owner)),
            ("Created", time::readable(self.create_time.as_deref())),
        ];
        if let Some(options) = &self.options {
            fields.extend(options.fields());
        }
        text::fields(&fields) + &Self::notes(std::slice::from_ref(self))
    }
}

/// A set that was made, and what was chosen for it.
#[derive(Debug, Serialize)]
pub(crate) struct CreatedView {
    pub(crate) sync_set: SetView,
    pub(crate) accepted: Vec<String>,
    pub(crate) skipped: Vec<SkippedView>,
}

/// A chosen node that was left out.
#[derive(Debug, Serialize)]
pub(crate) struct SkippedView {
    node_id: String,
    reason: String,
}

impl From<SkippedNode> for SkippedView {
    fn from(skipped: SkippedNode) -> Self {
        Self {
            node_id: skipped.node_id,
            reason: skipped.reason,
        }
    }
}

impl Show for CreatedView {
    fn human(&self) -> String {
        let mut human = format!(
            "Made sync set {}.\n\n{}",
            text::clean(&self.sync_set.uid),
            self.sync_set.human()
        );
        if !self.skipped.is_empty() {
            let rows = self
                .skipped
                .iter()
                .map(|skipped| vec![skipped.node_id.clone(), skipped.reason.clone()]);
            human.push_str(&format!(
                "\nLeft out:\n{}",
                text::table(&["NODE", "REASON"], rows)
            ));
        }
        human
    }
}
