//! The options of a sync set.

use serde::Serialize;
use tandem_proto::v1::SyncSetOptions;

use super::{
    label::{self, Label},
    text,
};

/// The options of a sync set; what the coordinator left out has its default.
#[derive(Debug, Serialize)]
pub(crate) struct OptionsView {
    include_subfolders: bool,
    lock_on_premise_copy: bool,
    allow_delete_on_cloud: bool,
    delete_on_premise: bool,
    conflict_policy: Label,
    conflict_grain: Label,
    name_clash_policy: Label,
    max_delete_percent: i32,
}

impl From<SyncSetOptions> for OptionsView {
    fn from(options: SyncSetOptions) -> Self {
        Self {
            include_subfolders: options.include_subfolders.unwrap_or(true),
            lock_on_premise_copy: options.lock_on_premise_copy,
            allow_delete_on_cloud: options.allow_delete_on_cloud.unwrap_or(true),
            delete_on_premise: options.delete_on_premise,
            conflict_policy: label::conflict_policy(options.conflict_policy())
                .or(Some("CLOUD_WINS")),
            conflict_grain: label::conflict_grain(options.conflict_grain()).or(Some("WHOLE_NODE")),
            name_clash_policy: label::name_clash_policy(options.name_clash_policy())
                .or(Some("FAIL")),
            max_delete_percent: options.max_delete_percent.unwrap_or(50),
        }
    }
}

impl OptionsView {
    /// The pairs for people.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Subfolders", text::yes_no(self.include_subfolders)),
            (
                "On-premise copy locked",
                text::yes_no(self.lock_on_premise_copy),
            ),
            ("Deletes on cloud", text::yes_no(self.allow_delete_on_cloud)),
            ("Deletes on-premise", text::yes_no(self.delete_on_premise)),
            ("Conflicts", label::readable(self.conflict_policy)),
            ("Conflict grain", label::readable(self.conflict_grain)),
            ("Name clashes", label::readable(self.name_clash_policy)),
            (
                "Deletions held above",
                format!("{} % of the members", self.max_delete_percent),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_set_2_options_that_are_left_out_show_their_defaults() {
        let options = OptionsView::from(SyncSetOptions::default());
        assert_eq!(
            serde_json::to_string(&options).expect("it is JSON"),
            "{\"include_subfolders\":true,\"lock_on_premise_copy\":false,\"allow_delete_on_cloud\":true,\
             \"delete_on_premise\":false,\"conflict_policy\":\"CLOUD_WINS\",\"conflict_grain\":\"WHOLE_NODE\",\
             \"name_clash_policy\":\"FAIL\",\"max_delete_percent\":50}"
        );
    }
}
