//! What fits into a repository in memory: the size of a document, and of all of them together.

use bytes::Bytes;

use super::tree::{MemoryTree, Refused};

/// Bounds of a repository; `None` = there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of one document.
    pub document_bytes_max: Option<u64>,
    /// Bytes of all documents together: the quota.
    pub quota_bytes: Option<u64>,
}

impl MemoryTree {
    /// Makes sure that content may be written, in place of what a document has now.
    pub(super) fn check_size(&self, node_id: Option<&str>, content: &Bytes) -> Result<(), Refused> {
        let size = content.len() as u64;
        if self.limits.document_bytes_max.is_some_and(|max| size > max) {
            return Err(Refused::TooLarge(size));
        }
        let replaced = node_id.and_then(|node_id| self.content(node_id));
        let freed = replaced.map_or(0, |bytes| bytes.len() as u64);
        match self.room() {
            Some(room) if size > room.saturating_add(freed) => Err(Refused::NoRoom(size)),
            _ => Ok(()),
        }
    }

    /// Bytes that still fit in; `None` = as many as one likes. What is in the trash counts no more.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let quota = self.limits.quota_bytes?;
        let sizes = self.nodes.values().filter_map(|node| node.content.as_ref());
        let used: u64 = sizes.map(|content| content.len() as u64).sum();
        Some(quota.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::memory::{ROOT, Rules};

    #[test]
    fn nothing_larger_than_the_limit_or_the_quota_is_written() {
        let mut tree = MemoryTree::new("n", Rules::default());
        tree.limits = Limits {
            document_bytes_max: Some(4),
            quota_bytes: Some(6),
        };
        let large = tree.create_document(ROOT, "large", "12345");
        assert_eq!(large, Err(Refused::TooLarge(5)));
        let document = tree.create_document(ROOT, "a", "1234").unwrap();
        assert_eq!(tree.room(), Some(2));
        let second = tree.create_document(ROOT, "b", "123");
        assert_eq!(second, Err(Refused::NoRoom(3)));
        tree.write(&document, "4321").unwrap();
        assert_eq!(tree.write(&document, "12345"), Err(Refused::TooLarge(5)));
        tree.delete(&document).unwrap();
        assert_eq!(tree.room(), Some(6));
        tree.limits = Limits::default();
        tree.create_document(ROOT, "c", "123456789").unwrap();
        assert_eq!(tree.room(), None);
    }
}
