//! What `set preview` tells.

use serde::Serialize;
use tandem_proto::v1::{NameClash, PreviewSyncSetResponse};

use super::{
    Show,
    created::{SkippedView, left_out},
    label::{self, Label},
    text,
};

/// What making a set would do.
#[derive(Debug, Serialize)]
pub(crate) struct PreviewView {
    kind: Label,
    accepted: Vec<String>,
    documents: i64,
    folders: i64,
    bytes: i64,
    skipped: Vec<SkippedView>,
    clashes: Vec<ClashView>,
    incomplete: bool,
}

/// A name that is taken.
#[derive(Debug, Serialize)]
struct ClashView {
    node_id: String,
    name: String,
    blocking_node_id: String,
}

impl From<NameClash> for ClashView {
    fn from(clash: NameClash) -> Self {
        Self {
            node_id: clash.node_id,
            name: clash.name,
            blocking_node_id: clash.blocking_node_id,
        }
    }
}

impl From<PreviewSyncSetResponse> for PreviewView {
    fn from(preview: PreviewSyncSetResponse) -> Self {
        Self {
            kind: label::set_kind(preview.kind()),
            accepted: preview.accepted,
            documents: preview.documents,
            folders: preview.folders,
            bytes: preview.bytes,
            skipped: preview.skipped.into_iter().map(Into::into).collect(),
            clashes: preview.clashes.into_iter().map(Into::into).collect(),
            incomplete: preview.incomplete,
        }
    }
}

impl Show for PreviewView {
    fn human(&self) -> String {
        let mut human = text::fields(&[
            ("Kind", label::readable(self.kind)),
            ("Documents", self.documents.to_string()),
            ("Folders", self.folders.to_string()),
            ("Size", text::size(self.bytes)),
        ]);
        if self.incomplete {
            human.push_str(
                "\nThere is more than was looked at; the counts are what was found so far.\n",
            );
        }
        if !self.skipped.is_empty() {
            human.push_str(&left_out("Would be left out", &self.skipped));
        }
        if !self.clashes.is_empty() {
            let rows = self
                .clashes
                .iter()
                .map(|clash| vec![clash.name.clone(), clash.blocking_node_id.clone()]);
            human.push_str(&format!(
                "\nWould fail, because the name is taken:\n{}",
                text::table(&["NAME", "TAKEN BY NODE"], rows)
            ));
        }
        human
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{SkippedNode, SyncSetKind};

    use super::*;

    #[test]
    fn r_set_6_counts_what_is_left_out_and_what_would_fail_are_shown() {
        let preview = PreviewSyncSetResponse {
            kind: SyncSetKind::Documents.into(),
            documents: 2,
            bytes: 2048,
            skipped: vec![SkippedNode {
                node_id: "n3".to_owned(),
                path: "c.txt".to_owned(),
                reason: "locked".to_owned(),
            }],
            clashes: vec![NameClash {
                node_id: "n1".to_owned(),
                name: "a.txt".to_owned(),
                blocking_node_id: "n9".to_owned(),
            }],
            ..PreviewSyncSetResponse::default()
        };
        assert_eq!(
            PreviewView::from(preview).human(),
            "Kind:       DOCUMENTS\n\
             Documents:  2\n\
             Folders:    0\n\
             Size:       2.0 KiB\n\n\
             Would be left out:\n\
             PATH   REASON\n\
             c.txt  locked\n\n\
             Would fail, because the name is taken:\n\
             NAME   TAKEN BY NODE\n\
             a.txt  n9\n"
        );
    }
}
