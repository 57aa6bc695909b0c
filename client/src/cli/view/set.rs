//! Sync sets.

use serde::Serialize;
use tandem_proto::v1::SyncSet;

use super::{
    Row, Show,
    label::{self, Label},
    set_options::OptionsView,
    text, time,
};
use crate::cli::ids::short;

/// A sync set.
#[derive(Debug, Serialize)]
pub(crate) struct SetView {
    name: String,
    pub(crate) uid: String,
    kind: Label,
    state: Label,
    scanning: bool,
    paused: bool,
    repository_paused: bool,
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
            paused: set.paused,
            repository_paused: set.repository_paused,
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
        if self.paused {
            state.push_str(" (paused)");
        }
        if self.repository_paused {
            state.push_str(" (repository paused)");
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

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{SyncSetCounters, SyncSetState};

    use super::*;
    use crate::cli::paging::Listed;

    fn set() -> SyncSet {
        SyncSet {
            name: "networks/default/syncSets/s1".to_owned(),
            uid: "s1".to_owned(),
            state: SyncSetState::Failed.into(),
            on_premise_repository: "networks/default/repositories/hq".to_owned(),
            cloud_repository: "networks/default/repositories/cloud".to_owned(),
            owner: "anna".to_owned(),
            counters: Some(SyncSetCounters {
                members: 12,
                pending: 1,
                failed: 2,
                bytes: 4096,
            }),
            held_deletions: 3,
            ..SyncSet::default()
        }
    }

    #[test]
    fn sets_are_listed_with_what_to_do() {
        let listed: Listed<SetView> = Listed {
            items: vec![set().into()],
            more: false,
        };
        assert_eq!(
            listed.human(),
            "SET  STATE                      MEMBERS  PENDING  FAILED  SIZE     ON-PREMISE  CLOUD  OWNER  CREATED\n\
             s1   FAILED (3 deletions held)  12       1        2       4.0 KiB  hq          cloud  anna   -\n\n\
             `tandem member list --state failed` shows what failed and what to do.\n\n\
             `tandem set hold confirm|refuse SET` decides about held deletions.\n"
        );
    }

    #[test]
    fn r_set_7_a_paused_set_shows_what_is_paused() {
        let paused = SyncSet {
            paused: true,
            repository_paused: true,
            held_deletions: 0,
            ..set()
        };
        let view = SetView::from(paused);
        assert_eq!(view.readable_state(), "FAILED (paused) (repository paused)");
        let json = serde_json::to_value(view).expect("it is JSON");
        assert_eq!(json["paused"], true);
        assert_eq!(json["repository_paused"], true);
    }

    #[test]
    fn documents_name_every_field_and_tell_absent_from_empty() {
        let json = serde_json::to_value(SetView::from(set())).expect("it is JSON");
        assert_eq!(json["state"], "FAILED");
        assert_eq!(json["failed"], 2);
        assert_eq!(json["create_time"], serde_json::Value::Null);
        assert_eq!(json["options"], serde_json::Value::Null);
    }
}
