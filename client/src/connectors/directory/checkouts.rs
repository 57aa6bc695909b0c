//! Check-outs, as far as a directory shows them: office programs leave a lock file beside a document that they have open
//! (R-LCK-2). A lock file is told of as a working copy, so it is listed as skipped and never synced; the document itself is
//! synced on, and what is saved is an ordinary change.

use uuid::Uuid;

use super::{node::Node, os::FileKind, tree::Tree};

/// True for the names of lock files: `.~lock.NAME#` of LibreOffice, `~$NAME` of Microsoft Office.
pub(super) fn is_lock_file(name: &str) -> bool {
    libre_office(name).is_some() || microsoft(name).is_some()
}

fn libre_office(name: &str) -> Option<&str> {
    let document = name.strip_prefix(".~lock.")?.strip_suffix('#')?;
    Some(document).filter(|document| !document.is_empty())
}

fn microsoft(name: &str) -> Option<&str> {
    name.strip_prefix("~$").filter(|rest| !rest.is_empty())
}

/// True when a lock file of this name stands beside a document that is open. Word puts `~$` in the place of the first one
/// or two characters of a long name, the other programs before it.
fn is_of(lock: &str, document: &str) -> bool {
    if let Some(name) = libre_office(lock) {
        return name == document;
    }
    let Some(end) = microsoft(lock) else {
        return false;
    };
    let starts = document.char_indices().map(|(at, _)| at);
    starts.take(3).any(|at| &document[at..] == end)
}

/// The complaint about a document that would be taken for a lock file.
pub(super) fn check(name: &str) -> Result<(), String> {
    match is_lock_file(name) {
        false => Ok(()),
        true => Err(format!(
            "a directory keeps no document of the name {name:?}: office programs call their lock files so; \
             rename it on the other side"
        )),
    }
}

impl Node {
    /// True for the lock file of an office program.
    pub(super) fn is_lock_file(&self) -> bool {
        self.kind == FileKind::File && is_lock_file(&self.name)
    }
}

impl Tree {
    /// True while somebody has a document open, or one that lies below this folder.
    pub(super) fn is_checked_out(&self, id: &Uuid) -> bool {
        let Some(node) = self.live(id) else {
            return false;
        };
        if node.kind == FileKind::File {
            let mut beside = self.children(&node.parent);
            return !node.is_lock_file()
                && beside.any(|lock| lock.is_lock_file() && is_of(&lock.name, &node.name));
        }
        let below = self.below(id);
        let mut locks = below.iter().filter_map(|id| self.live(id));
        locks.any(|lock| lock.is_lock_file() && self.has_document(lock))
    }

    /// A lock file whose document is gone was left behind, and says nothing.
    fn has_document(&self, lock: &Node) -> bool {
        let mut beside = self.children(&lock.parent);
        beside.any(|node| {
            node.kind == FileKind::File && !node.is_lock_file() && is_of(&lock.name, &node.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_lck_2_lock_files_are_known_by_their_names() {
        for name in [".~lock.a.odt#", "~$a.docx", "~$"] {
            assert_eq!(is_lock_file(name), name.len() > 2, "{name}");
        }
        for name in [".~lock.#", ".~lock.a.odt", "~a.docx", "a~$b", "$a"] {
            assert!(!is_lock_file(name), "{name}");
        }
    }

    #[test]
    fn r_lck_2_a_lock_file_is_of_the_document_that_it_names() {
        for (lock, document) in [
            (".~lock.a.odt#", "a.odt"),
            ("~$a.docx", "a.docx"),
            ("~$ntract.docx", "contract.docx"),
            ("~$ntract.docx", "ontract.docx"),
            ("~$berblick.docx", "\u{dc}berblick.docx"),
        ] {
            assert!(is_of(lock, document), "{lock} {document}");
        }
        for (lock, document) in [
            (".~lock.a.odt#", "b.odt"),
            ("~$tract.docx", "contract.docx"),
            ("a.odt", "a.odt"),
        ] {
            assert!(!is_of(lock, document), "{lock} {document}");
        }
    }
}
