//! What became of an export, and of an import.

use serde::Serialize;
use tandem_proto::v1::ImportSyncSetsResponse;

use super::Show;

/// An export that was written to a file.
#[derive(Debug, Serialize)]
pub(crate) struct ExportView {
    /// The file.
    pub(crate) file: String,
    /// Its bytes.
    pub(crate) bytes: u64,
}

impl Show for ExportView {
    fn human(&self) -> String {
        format!("Exported to {} ({} bytes).\n", self.file, self.bytes)
    }
}

/// What was imported.
#[derive(Debug, Serialize)]
pub(crate) struct ImportView {
    sync_sets: i64,
    members: i64,
    already_there: i64,
}

impl From<ImportSyncSetsResponse> for ImportView {
    fn from(answer: ImportSyncSetsResponse) -> Self {
        Self {
            sync_sets: answer.sync_sets,
            members: answer.members,
            already_there: answer.already_there,
        }
    }
}

impl Show for ImportView {
    fn human(&self) -> String {
        let anew = match self.sync_sets {
            0 => "",
            _ => "; both sides are listed anew",
        };
        let mut human = format!(
            "Imported {} sync sets with {} members{anew}.\n",
            self.sync_sets, self.members
        );
        if self.already_there > 0 {
            let there = format!("{} were there already, and stay.\n", self.already_there);
            human.push_str(&there);
        }
        human
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_adm_1_what_was_there_already_is_told_only_where_something_was() {
        let mut view = ImportView::from(ImportSyncSetsResponse {
            sync_sets: 2,
            members: 7,
            already_there: 0,
        });
        assert_eq!(
            view.human(),
            "Imported 2 sync sets with 7 members; both sides are listed anew.\n"
        );
        view.already_there = 1;
        assert!(view.human().ends_with("1 were there already, and stay.\n"));
        view.sync_sets = 0;
        view.members = 0;
        assert!(!view.human().contains("listed anew"), "nothing is");
    }
}
