//! Trees made from a seed: the same seed makes the same tree, byte for byte.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

const WORKLOAD_A_FILES: usize = 10_000;
/// Folders on the first level; each holds `WORKLOAD_A_SUBFOLDERS` more: 500 in all.
const WORKLOAD_A_FOLDERS: usize = 20;
const WORKLOAD_A_SUBFOLDERS: usize = 24;
const TINY_FILES_PER_FOLDER: usize = 100;
const TINY_BYTES_MIN: usize = 64;
const TINY_BYTES_MAX: usize = 1024;
const WRITE_BYTES: usize = 1024 * 1024;

/// What was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// 10,000 files of 1 to 16 KiB in 500 folders on two levels.
///
/// Sizes are spread evenly over their logarithm, small ones being more common as in life: 55 MB in all.
///
/// # Errors
///
/// The directory cannot be written.
pub fn workload_a(directory: &Path, seed: u64) -> io::Result<Totals> {
    files_in_folders(directory, seed, WORKLOAD_A_FILES)
}

/// Like [`workload_a`] with another number of files.
///
/// # Errors
///
/// The directory cannot be written.
pub fn files_in_folders(directory: &Path, seed: u64, count: usize) -> io::Result<Totals> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut folders = Vec::new();
    for first in 0..WORKLOAD_A_FOLDERS {
        let folder = PathBuf::from(format!("department-{first:02}"));
        folders.extend(
            (0..WORKLOAD_A_SUBFOLDERS).map(|second| folder.join(format!("case-{second:02}"))),
        );
        folders.push(folder);
    }
    let mut writer = TreeWriter::new(directory, &folders)?;
    for number in 0..count {
        let folder = &folders[random.random_range(0..folders.len())];
        let size = (1024.0 * (random.random::<f64>() * 4.0).exp2()) as usize;
        writer.file(
            &folder.join(format!("document-{number:05}.txt")),
            size,
            &mut random,
        )?;
    }
    Ok(writer.totals)
}

/// Files of 64 to 1024 bytes, 100 to a folder.
///
/// # Errors
///
/// The directory cannot be written.
pub fn tiny(directory: &Path, seed: u64, count: usize) -> io::Result<Totals> {
    let mut random = StdRng::seed_from_u64(seed);
    let folders: Vec<PathBuf> = (0..count.div_ceil(TINY_FILES_PER_FOLDER))
        .map(|number| format!("box-{number:04}").into())
        .collect();
    let mut writer = TreeWriter::new(directory, &folders)?;
    for number in 0..count {
        let folder = &folders[number / TINY_FILES_PER_FOLDER];
        let size = random.random_range(TINY_BYTES_MIN..=TINY_BYTES_MAX);
        writer.file(&folder.join(format!("note-{number:06}")), size, &mut random)?;
    }
    Ok(writer.totals)
}

/// One file of so many bytes that no tool can compress or deduplicate.
///
/// # Errors
///
/// The file cannot be written.
pub fn large_file(path: &Path, seed: u64, bytes: usize) -> io::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut file = File::create(path)?;
    let mut block = vec![0; WRITE_BYTES.min(bytes)];
    let mut left = bytes;
    while left > 0 {
        let size = left.min(block.len());
        random.fill(&mut block[..size]);
        file.write_all(&block[..size])?;
        left -= size;
    }
    Ok(())
}

/// So many random bytes.
#[must_use]
pub fn bytes(random: &mut StdRng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    bytes
}

struct TreeWriter<'a> {
    directory: &'a Path,
    totals: Totals,
}

impl<'a> TreeWriter<'a> {
    fn new(directory: &'a Path, folders: &[PathBuf]) -> io::Result<Self> {
        for folder in folders {
            fs::create_dir_all(directory.join(folder))?;
        }
        let totals = Totals {
            folders: folders.len() as u64,
            ..Totals::default()
        };
        Ok(Self { directory, totals })
    }

    fn file(&mut self, path: &Path, size: usize, random: &mut StdRng) -> io::Result<()> {
        fs::write(self.directory.join(path), bytes(random, size))?;
        self.totals.files += 1;
        self.totals.bytes += size as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    type Generator = fn(&Path, u64) -> io::Result<Totals>;

    fn made(generator: Generator, seed: u64) -> (Tree, Totals) {
        let directory = tempfile::tempdir().unwrap();
        let totals = generator(directory.path(), seed).unwrap();
        (Tree::read(directory.path()).unwrap(), totals)
    }

    #[test]
    fn the_same_seed_makes_the_same_tree_and_another_seed_another() {
        let generators: [Generator; 2] = [
            |directory, seed| files_in_folders(directory, seed, 200),
            |directory, seed| tiny(directory, seed, 250),
        ];
        for generator in generators {
            assert_eq!(made(generator, 7), made(generator, 7));
            assert_ne!(made(generator, 7).0, made(generator, 8).0);
        }
    }

    #[test]
    fn workload_a_is_what_the_benchmark_says_it_is() {
        let (tree, totals) = made(workload_a, 1);
        assert_eq!((totals.files, totals.folders), (10_000, 500));
        assert_eq!(tree.entries.len(), 10_500);
        assert!(
            (54_000_000..57_000_000).contains(&totals.bytes),
            "{}",
            totals.bytes
        );
    }

    #[test]
    fn tiny_files_keep_their_bounds() {
        let (tree, totals) = made(|directory, seed| tiny(directory, seed, 250), 1);
        assert_eq!((totals.files, totals.folders), (250, 3));
        assert_eq!(tree.files().len(), 250);
        assert!((64 * 250..=1024 * 250).contains(&totals.bytes));
    }

    #[test]
    fn a_large_file_has_the_bytes_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        large_file(&path, 1, WRITE_BYTES + 17).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), WRITE_BYTES as u64 + 17);
    }
}
