//! The root on disk and the ways into it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use uuid::Uuid;

use super::{
    names,
    os::{self, Stat},
    tree::Tree,
};
use crate::agent::repository::Error;

/// The root, open, and how it is recognised.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    root: RwLock<Arc<OwnedFd>>,
    identity: Stat,
    /// Files can carry attributes of ours.
    pub(super) attributes: bool,
}

/// Bytes of the number of the disk, before those of the inode.
const DEVICE_BYTES: usize = size_of::<u64>();

/// The bytes by which another start recognises the root.
pub(super) fn identity_bytes(stat: &Stat) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&stat.device.to_le_bytes());
    bytes.extend_from_slice(&stat.inode.number.to_le_bytes());
    bytes.extend_from_slice(&stat.inode.born.to_le_bytes());
    bytes
}

/// Whether the root that was remembered so is this one. After a restart of the machine a disk may have another number, so
/// that counts only where the file system does not tell when the root was made.
pub(super) fn is_root(remembered: &[u8], stat: &Stat) -> bool {
    let present = identity_bytes(stat);
    let same_inode = remembered.get(DEVICE_BYTES..) == present.get(DEVICE_BYTES..);
    remembered == present || (stat.inode.born != 0 && same_inode)
}

/// The root is not there, or is another.
pub(super) fn root_gone(path: &Path) -> Error {
    Error::RootGone(path.display().to_string())
}

impl Disk {
    /// Opens the root.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let root = os::open_root(path).map_err(|_| root_gone(path))?;
        let identity = os::stat(&root).map_err(|_| root_gone(path))?;
        let probe = std::ffi::OsStr::new("user.tandem.probe");
        let attributes = os::set_attribute(&root, probe, b"1").is_ok()
            && os::remove_attribute(&root, probe).is_ok();
        Ok(Self {
            path: path.to_owned(),
            root: RwLock::new(Arc::new(root)),
            identity,
            attributes,
        })
    }

    /// What the root was when it was opened.
    pub(super) fn identity(&self) -> &Stat {
        &self.identity
    }

    /// The path that was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open root.
    pub(super) fn root(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure that the root is still there and the same one; a disk that was unmounted or a folder that was
    /// replaced proves nothing about what was in it.
    pub(super) fn check(&self) -> Result<(), Error> {
        let same =
            |stat: &Stat| stat.device == self.identity.device && stat.inode == self.identity.inode;
        match os::stat_path(&self.path) {
            Ok(stat) if same(&stat) => Ok(()),
            _ => Err(root_gone(&self.path)),
        }
    }

    /// Opens the root anew after it was away.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        let root = os::open_root(&self.path).map_err(|_| root_gone(&self.path))?;
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(root);
        self.check()
    }

    /// Opens a folder by its path below the root.
    pub(super) fn folder_at(&self, path: &str) -> io::Result<OwnedFd> {
        os::open_folder(self.root().as_fd(), path)
    }

    /// Opens a folder of the tree, and makes sure that it is that one.
    pub(super) fn folder(&self, tree: &Tree, id: &Uuid) -> io::Result<OwnedFd> {
        let node = tree.live(id).ok_or(io::ErrorKind::NotFound)?;
        let path = tree.path(id).ok_or(io::ErrorKind::NotFound)?;
        let folder = self.folder_at(&path)?;
        if os::stat(&folder)?.inode == node.print.inode {
            Ok(folder)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Opens a file or folder by its path below the root, for reading.
    pub(super) fn file_at(&self, path: &str) -> io::Result<File> {
        os::open_file(self.root().as_fd(), path)
    }

    /// The work folder, made if missing.
    pub(super) fn work(&self) -> io::Result<OwnedFd> {
        let root = self.root();
        match os::make_folder(&root, names::WORK) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let work = os::open_folder_at(&root, names::WORK)?;
        os::set_mode(&work, 0o700)?;
        Ok(work)
    }

    /// Bytes that this process may still write.
    pub(super) fn room(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(self.root())?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Removes the work folder if nothing is in it.
    pub(super) fn tidy(&self) {
        // It stays while something is under way in it; the next one to finish removes it.
        drop(os::remove_folder(self.root(), names::WORK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(device: u64, number: u64, born: i64) -> Stat {
        let folder = tempfile::tempdir().expect("a folder");
        let root = os::open_root(folder.path()).expect("it is there");
        let inode = os::Inode { number, born };
        Stat {
            device,
            inode,
            ..os::stat(&root).expect("it is there")
        }
    }

    #[test]
    fn a_root_is_known_by_its_inode_and_by_its_disk_where_its_age_is_unknown() {
        let remembered = identity_bytes(&root(1, 2, 3));
        assert!(is_root(&remembered, &root(1, 2, 3)));
        assert!(
            is_root(&remembered, &root(9, 2, 3)),
            "the disk has another number"
        );
        assert!(!is_root(&remembered, &root(1, 9, 3)));
        assert!(!is_root(&remembered, &root(1, 2, 9)));
        assert!(!is_root(b"", &root(1, 2, 3)));
        let remembered = identity_bytes(&root(1, 2, 0));
        assert!(is_root(&remembered, &root(1, 2, 0)));
        assert!(!is_root(&remembered, &root(9, 2, 0)));
    }
}
