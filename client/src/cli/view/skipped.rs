//! Nodes in synced folders that are no members.

use serde::Serialize;
use tandem_proto::v1::SkippedCopy;

use super::{
    Row,
    label::{self, Label},
    text,
};

/// A node that is skipped, and why.
#[derive(Debug, Serialize)]
pub(crate) struct SkippedView {
    path: String,
    side: Label,
    kind: Label,
    reason: String,
    node_id: String,
}

impl From<SkippedCopy> for SkippedView {
    fn from(copy: SkippedCopy) -> Self {
        Self {
            side: label::side(copy.side()),
            kind: label::node_kind(copy.kind()),
            path: copy.path,
            reason: copy.reason,
            node_id: copy.node_id,
        }
    }
}

impl Row for SkippedView {
    const HEADINGS: &'static [&'static str] = &["PATH", "SIDE", "WHY SKIPPED", "NODE"];
    const EMPTY: &'static str = "Nothing is skipped.";

    fn cells(&self) -> Vec<String> {
        vec![
            text::or_dash(&self.path),
            label::readable(self.side),
            self.reason.clone(),
            self.node_id.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{NodeKind, Side};

    use super::*;
    use crate::cli::{paging::Listed, view::Show};

    #[test]
    fn a_skipped_node_is_shown_with_its_reason() {
        let copy = SkippedCopy {
            side: Side::Cloud.into(),
            node_id: "n1".to_owned(),
            path: "contracts/link".to_owned(),
            kind: NodeKind::Document.into(),
            reason: "a link is never followed".to_owned(),
        };
        let listed = Listed {
            items: vec![SkippedView::from(copy)],
            more: false,
        };
        let human = listed.human();
        for word in ["contracts/link", "CLOUD", "a link is never followed", "n1"] {
            assert!(human.contains(word), "{word} in {human}");
        }
    }
}
