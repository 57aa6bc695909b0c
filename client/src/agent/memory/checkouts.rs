//! Check-out and check-in: a working copy beside the document, whose content becomes the document's in the end (R-LCK-2).

use tandem_proto::v1::NodeTrait;

use super::tree::{MemoryTree, Node, Refused};

/// Stands in the name of a working copy.
const MARK: &str = " (Working Copy)";

impl MemoryTree {
    /// A user checks a document out; answers the working copy. The document itself stays as it is: it is synced on, and
    /// only once can it be checked out.
    pub fn check_out(&mut self, node_id: &str) -> Result<String, Refused> {
        if self.is_checked_out(node_id) {
            return Err(Refused::CheckedOut(node_id.to_owned()));
        }
        let document = self.unlocked(node_id)?.clone();
        if document.is_folder() {
            return Err(Refused::WrongKind(node_id.to_owned()));
        }
        let working_copy = self.insert(Node {
            content: document.content,
            properties: document.properties,
            special: NodeTrait::WorkingCopy,
            ..Node::folder(&document.parent, &name_of(&document.name))
        })?;
        self.checked_out
            .insert(working_copy.clone(), node_id.to_owned());
        Ok(working_copy)
    }

    /// A user checks a working copy in: an ordinary change of the document, and the end of the working copy.
    pub fn check_in(&mut self, working_copy: &str) -> Result<(), Refused> {
        let document = self.end_check_out(working_copy)?;
        let node = self.nodes.get(working_copy);
        let content = node
            .and_then(|node| node.content.clone())
            .unwrap_or_default();
        self.remove(working_copy);
        self.write(&document, content)
    }

    /// A user gives a working copy up; the document stays as it is.
    pub fn cancel_check_out(&mut self, working_copy: &str) -> Result<(), Refused> {
        self.end_check_out(working_copy)?;
        self.remove(working_copy);
        Ok(())
    }

    /// True while a document has a working copy, or one in this folder has.
    #[must_use]
    pub fn is_checked_out(&self, node_id: &str) -> bool {
        let mut documents = self.checked_out.values();
        documents.any(|document| self.is_below(document, node_id))
    }

    fn end_check_out(&mut self, working_copy: &str) -> Result<String, Refused> {
        let document = self.checked_out.remove(working_copy);
        document.ok_or_else(|| Refused::NotFound(working_copy.to_owned()))
    }
}

/// `a.txt` is checked out as `a (Working Copy).txt`.
fn name_of(document: &str) -> String {
    match document.rsplit_once('.') {
        Some((name, extension)) if !name.is_empty() => format!("{name}{MARK}.{extension}"),
        _ => format!("{document}{MARK}"),
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::WatchRoot;

    use super::*;
    use crate::agent::memory::{ROOT, Rules};

    fn tree() -> (MemoryTree, String) {
        let mut tree = MemoryTree::new("n", Rules::default());
        let folder = tree.create_folder(ROOT, "docs").unwrap();
        tree.watch(&[WatchRoot {
            node_id: folder.clone(),
            include_subfolders: true,
            ..WatchRoot::default()
        }]);
        let document = tree.create_document(&folder, "a.txt", "first").unwrap();
        (tree, document)
    }

    #[test]
    fn r_lck_2_a_check_in_is_an_ordinary_change_and_working_copies_are_told_as_such() {
        let (mut tree, document) = tree();
        let working_copy = tree.check_out(&document).unwrap();
        assert!(tree.is_checked_out(&document) && tree.is_checked_out(ROOT));
        let twice = tree.check_out(&document);
        assert_eq!(twice, Err(Refused::CheckedOut(document.clone())));
        let seen = tree.observation(&working_copy);
        assert_eq!(seen.node_trait(), NodeTrait::WorkingCopy);
        assert_eq!(tree.path(&working_copy), "docs/a (Working Copy).txt");
        let before = tree.observation(&document).revision;
        tree.write(&working_copy, "second").unwrap();
        assert_eq!(
            tree.observation(&document).revision,
            before,
            "not checked in yet"
        );
        tree.check_in(&working_copy).unwrap();
        assert_eq!(tree.content(&document).as_deref(), Some(&b"second"[..]));
        assert_ne!(tree.observation(&document).revision, before);
        assert!(tree.projection(&working_copy).is_none() && !tree.is_checked_out(&document));
        let over = tree.check_in(&working_copy);
        assert_eq!(over, Err(Refused::NotFound(working_copy)));
    }

    #[test]
    fn r_lck_2_a_check_out_that_is_cancelled_changes_nothing() {
        let (mut tree, document) = tree();
        let before = tree.observation(&document);
        let working_copy = tree.check_out(&document).unwrap();
        tree.write(&working_copy, "second").unwrap();
        tree.cancel_check_out(&working_copy).unwrap();
        assert_eq!(tree.observation(&document), before);
        assert!(!tree.is_checked_out(&document));
        let folder = tree.find("docs").unwrap();
        assert!(!tree.is_checked_out(&folder));
        assert_eq!(tree.check_out(&folder), Err(Refused::WrongKind(folder)));
    }
}
