//! Cloud folders that can receive sync sets.

use serde::Serialize;
use tandem_proto::v1::NodeInfo;

use super::{Row, Show, text};

/// A folder.
#[derive(Debug, Serialize)]
pub(crate) struct FolderView {
    node_id: String,
    name: String,
    path: String,
    writable: bool,
}

impl From<NodeInfo> for FolderView {
    fn from(folder: NodeInfo) -> Self {
        Self {
            node_id: folder.node_id,
            name: folder.name,
            path: folder.path,
            writable: folder.writable,
        }
    }
}

impl Row for FolderView {
    const HEADINGS: &'static [&'static str] = &["PATH", "WRITABLE", "NODE"];
    const EMPTY: &'static str = "There are no folders in it.";

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            text::yes_no(self.writable),
            self.node_id.clone(),
        ]
    }
}

impl Show for FolderView {
    fn human(&self) -> String {
        text::fields(&[
            ("Folder", self.path.clone()),
            ("Writable", text::yes_no(self.writable)),
            ("Node", self.node_id.clone()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::paging::Listed;

    #[test]
    fn r_set_3_folders_are_listed_by_paths_that_can_be_given_as_target() {
        let folder = NodeInfo {
            node_id: "n1".to_owned(),
            path: "inbox/march".to_owned(),
            writable: true,
            ..NodeInfo::default()
        };
        let listed: Listed<FolderView> = Listed {
            items: vec![folder.into()],
            more: false,
        };
        assert_eq!(
            listed.human(),
            "PATH         WRITABLE  NODE\ninbox/march  yes       n1\n"
        );
    }
}
