//! Scripts of changes as users make them, drawn from a seed, no path touched twice.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::generate;

/// The sizes of new content: each edit and creation of a script gets another one, so that its arrival
/// shows by size. Below 1 KiB no file of workload A has it already.
const SIZE_FIRST: usize = 200;

/// One change; paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// New content in a file that exists.
    Edit {
        /// The file.
        path: PathBuf,
        /// Its new bytes.
        content: Vec<u8>,
    },
    /// A new file.
    Create {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// Another name, or another folder.
    Move {
        /// Where the file was.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// The file is deleted.
    Delete {
        /// The file.
        path: PathBuf,
    },
}

impl Change {
    /// Makes the change below a root.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn apply(&self, root: &Path) -> io::Result<()> {
        match self {
            Self::Edit { path, content } | Self::Create { path, content } => {
                fs::write(root.join(path), content)
            }
            Self::Move { from, to } => fs::rename(root.join(from), root.join(to)),
            Self::Delete { path } => fs::remove_file(root.join(path)),
        }
    }

    /// Has the change arrived below a root? Looks at presence and size only, so it costs next to nothing.
    #[must_use]
    pub fn is_visible(&self, root: &Path) -> bool {
        let size = |path: &Path| {
            fs::symlink_metadata(root.join(path))
                .map(|found| found.len())
                .ok()
        };
        match self {
            Self::Edit { path, content } | Self::Create { path, content } => {
                size(path) == Some(content.len() as u64)
            }
            Self::Move { from, to } => size(from).is_none() && size(to).is_some(),
            Self::Delete { path } => size(path).is_none(),
        }
    }
}

/// Draws changes for the files of a tree.
#[derive(Debug)]
pub struct Script {
    random: StdRng,
    /// Files that no change has touched yet, in random order.
    untouched: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    drawn: usize,
    /// Part of new names, so that several scripts may follow each other in one tree.
    seed: u64,
}

impl Script {
    /// Draws from these files; the same seed and files make the same changes.
    #[must_use]
    pub fn new(mut files: Vec<PathBuf>, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        files.sort();
        let mut folders: Vec<PathBuf> = files
            .iter()
            .filter_map(|path| path.parent())
            .map(Path::to_path_buf)
            .collect();
        folders.dedup();
        files.shuffle(&mut random);
        Self {
            random,
            untouched: files,
            folders,
            drawn: 0,
            seed,
        }
    }

    /// At most so many edits; fewer when the files run out, as with all others.
    pub fn edits(&mut self, count: usize) -> Vec<Change> {
        let files = self.take(count);
        files
            .into_iter()
            .map(|path| Change::Edit {
                content: self.content(),
                path,
            })
            .collect()
    }

    /// New names in the same folder.
    pub fn renames(&mut self, count: usize) -> Vec<Change> {
        let files = self.take(count);
        files
            .into_iter()
            .map(|from| Change::Move {
                to: self.new_path(from.parent()),
                from,
            })
            .collect()
    }

    /// Moves to any folder, under a new name.
    pub fn moves(&mut self, count: usize) -> Vec<Change> {
        let files = self.take(count);
        files
            .into_iter()
            .map(|from| Change::Move {
                to: self.new_path(None),
                from,
            })
            .collect()
    }

    /// Deletions.
    pub fn deletions(&mut self, count: usize) -> Vec<Change> {
        self.take(count)
            .into_iter()
            .map(|path| Change::Delete { path })
            .collect()
    }

    /// New files in any folder.
    pub fn creations(&mut self, count: usize) -> Vec<Change> {
        (0..count)
            .map(|_| Change::Create {
                path: self.new_path(None),
                content: self.content(),
            })
            .collect()
    }

    /// The same changes in random order; they touch different files, so any order does the same.
    #[must_use]
    pub fn mixed(&mut self, mut changes: Vec<Change>) -> Vec<Change> {
        changes.shuffle(&mut self.random);
        changes
    }

    fn take(&mut self, count: usize) -> Vec<PathBuf> {
        self.untouched
            .split_off(self.untouched.len().saturating_sub(count))
    }

    fn content(&mut self) -> Vec<u8> {
        self.drawn += 1;
        generate::bytes(&mut self.random, SIZE_FIRST + self.drawn)
    }

    fn new_path(&mut self, folder: Option<&Path>) -> PathBuf {
        self.drawn += 1;
        let name = format!("new-{}-{:05}", self.seed, self.drawn);
        let any = self.random.random_range(0..self.folders.len().max(1));
        folder
            .or_else(|| self.folders.get(any).map(PathBuf::as_path))
            .map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn drawn(files: &[PathBuf], seed: u64) -> Vec<Change> {
        let mut script = Script::new(files.to_vec(), seed);
        let mut changes = script.edits(20);
        changes.extend(script.renames(5));
        changes.extend(script.moves(5));
        changes.extend(script.deletions(5));
        changes.extend(script.creations(5));
        script.mixed(changes)
    }

    #[test]
    fn a_script_does_what_it_says_and_the_same_on_every_side() {
        let (left, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [left.path(), right.path()] {
            generate::files_in_folders(root, 3, 100).unwrap();
        }
        let files = Tree::read(left.path()).unwrap().files();
        let changes = drawn(&files, 5);
        assert_eq!(changes, drawn(&files, 5));
        assert_ne!(changes, drawn(&files, 6));
        assert_eq!(changes.len(), 40);
        for change in &changes {
            assert!(!change.is_visible(left.path()), "{change:?}");
            change.apply(left.path()).unwrap();
            assert!(change.is_visible(left.path()), "{change:?}");
        }
        for change in changes.iter().rev() {
            change.apply(right.path()).unwrap();
        }
        Tree::assert_same(left.path(), right.path());
        assert_eq!(Tree::read(left.path()).unwrap().files().len(), 100);
    }
}
