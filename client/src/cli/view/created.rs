//! What `set create` tells.

use serde::Serialize;
use tandem_proto::v1::SkippedNode;

use super::{Show, set::SetView, text};

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
    path: String,
    reason: String,
}

impl From<SkippedNode> for SkippedView {
    fn from(skipped: SkippedNode) -> Self {
        Self {
            node_id: skipped.node_id,
            path: skipped.path,
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
            human.push_str(&left_out("Left out", &self.skipped));
        }
        human
    }
}

/// A table of what is left out, under its heading.
pub(crate) fn left_out(heading: &str, skipped: &[SkippedView]) -> String {
    let rows = skipped.iter().map(|skipped| {
        let path = match skipped.path.as_str() {
            "" => &skipped.node_id,
            path => path,
        };
        vec![path.to_owned(), skipped.reason.clone()]
    });
    format!("\n{heading}:\n{}", text::table(&["PATH", "REASON"], rows))
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::SyncSet;

    use super::*;

    #[test]
    fn what_was_left_out_is_shown_at_creation() {
        let set = SyncSet {
            uid: "s1".to_owned(),
            ..SyncSet::default()
        };
        let view = CreatedView {
            sync_set: set.into(),
            accepted: vec!["n1".to_owned()],
            skipped: vec![
                SkippedNode {
                    node_id: "n2".to_owned(),
                    reason: "locked".to_owned(),
                    path: "b.txt".to_owned(),
                }
                .into(),
            ],
        };
        let human = view.human();
        assert!(human.starts_with("Made sync set s1.\n"), "{human}");
        assert!(
            human.ends_with("Left out:\nPATH   REASON\nb.txt  locked\n"),
            "{human}"
        );
    }
}
