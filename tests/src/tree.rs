//! A tree of files as a value: read, compared, with differences that a person can read.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// How many differences a message lists.
const DIFFERENCES_SHOWN: usize = 20;
const READ_BYTES: usize = 64 * 1024;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// The SHA-256 of its bytes, in hex.
        sha256: String,
        /// Its bytes.
        size: u64,
    },
    /// A symbolic link and where it points; never followed.
    Link(PathBuf),
    /// A device, socket or pipe.
    Special,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => formatter.write_str("folder"),
            Self::File { sha256, size } => write!(formatter, "{size} bytes {sha256:.12}"),
            Self::Link(target) => write!(formatter, "link to {}", target.display()),
            Self::Special => formatter.write_str("special file"),
        }
    }
}

/// Everything below a directory, by path relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// What stands where.
    pub entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Reads a directory, contents included.
    ///
    /// # Errors
    ///
    /// Something cannot be read, or vanished while the tree was read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            for child in fs::read_dir(directory.join(&folder))? {
                let path = folder.join(child?.file_name());
                let entry = read_entry(&directory.join(&path))?;
                if entry == Entry::Folder {
                    waiting.push(path.clone());
                }
                tree.entries.insert(path, entry);
            }
        }
        Ok(tree)
    }

    /// The paths of all files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let is_file = |(path, entry): (&PathBuf, &Entry)| {
            matches!(entry, Entry::File { .. }).then(|| path.clone())
        };
        self.entries.iter().filter_map(is_file).collect()
    }

    /// Every path at which two trees differ, one line each; empty when they are equal.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, left) in &self.entries {
            match other.entries.get(path) {
                None => found.push(format!("only left:  {} ({left})", path.display())),
                Some(right) if left != right => {
                    found.push(format!("differs:    {} ({left} | {right})", path.display()));
                }
                Some(_) => {}
            }
        }
        let only_right = other
            .entries
            .iter()
            .filter(|(path, _)| !self.entries.contains_key(*path));
        found.extend(
            only_right.map(|(path, entry)| format!("only right: {} ({entry})", path.display())),
        );
        found
    }

    /// Panics with the differences unless both directories hold the same.
    ///
    /// # Panics
    ///
    /// They differ, or one cannot be read.
    #[track_caller]
    pub fn assert_same(left: &Path, right: &Path) {
        let read = |path: &Path| match Self::read(path) {
            Ok(tree) => tree,
            Err(error) => panic!("cannot read {}: {error}", path.display()),
        };
        let differences = read(left).differences(&read(right));
        assert!(
            differences.is_empty(),
            "{}",
            listed(left, right, &differences)
        );
    }

    /// Do both directories hold the same? False also while one of them cannot be read.
    #[must_use]
    pub fn is_same(left: &Path, right: &Path) -> bool {
        let trees = (Self::read(left), Self::read(right));
        matches!(trees, (Ok(left), Ok(right)) if left == right)
    }
}

fn listed(left: &Path, right: &Path, differences: &[String]) -> String {
    let mut text = format!(
        "{} differences between {} (left) and {} (right):",
        differences.len(),
        left.display(),
        right.display()
    );
    for line in differences.iter().take(DIFFERENCES_SHOWN) {
        let _ = write!(text, "\n  {line}");
    }
    if differences.len() > DIFFERENCES_SHOWN {
        text.push_str("\n  ...");
    }
    text
}

fn read_entry(path: &Path) -> io::Result<Entry> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() {
        Ok(Entry::Folder)
    } else if kind.is_symlink() {
        fs::read_link(path).map(Entry::Link)
    } else if kind.is_file() {
        read_file(path)
    } else {
        Ok(Entry::Special)
    }
}

fn read_file(path: &Path) -> io::Result<Entry> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            let sha256 = hex::encode(hasher.finalize());
            return Ok(Entry::File { sha256, size });
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_trees_are_equal_and_differences_are_named() {
        let (left, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [left.path(), right.path()] {
            fs::create_dir(root.join("folder")).unwrap();
            fs::write(root.join("folder/same"), "same").unwrap();
        }
        Tree::assert_same(left.path(), right.path());
        fs::write(left.path().join("changed"), "a").unwrap();
        fs::write(right.path().join("changed"), "b").unwrap();
        fs::write(left.path().join("left"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", right.path().join("right")).unwrap();
        assert!(!Tree::is_same(left.path(), right.path()));
        let differences = Tree::read(left.path())
            .unwrap()
            .differences(&Tree::read(right.path()).unwrap());
        assert_eq!(differences.len(), 3);
        assert!(differences[0].starts_with("differs:    changed (1 bytes ca978112ca1b"));
        assert!(differences[1].starts_with("only left:  left (0 bytes"));
        assert_eq!(differences[2], "only right: right (link to nowhere)");
    }
}
