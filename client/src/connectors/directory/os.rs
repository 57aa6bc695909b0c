//! Everything that is asked of the operating system by more than the standard library can do; Linux for now.
//!
//! Every call names a file relative to an open folder and follows no symbolic link, so a folder that is swapped for a
//! link can never lead outside the root.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{
    self, Access, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags,
    StatxTimestamp, XattrFlags,
};

use super::names;
#[cfg(test)]
use crate::agent::trace;

/// What the file system says a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    /// An ordinary file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; never followed.
    Link,
    /// A socket, device, fifo or a mounted file system.
    Special,
}

/// Names one file in the life of a file system: numbers are used again, birth times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Inode {
    /// The inode number.
    pub(super) number: u64,
    /// When it was born, in nanoseconds; 0 where the file system does not tell.
    pub(super) born: i64,
}

/// What `statx` tells of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) kind: FileKind,
    pub(super) device: u64,
    pub(super) inode: Inode,
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
    /// Nanoseconds since 1970; set by the kernel alone.
    pub(super) changed: i64,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) links: u32,
}

fn nanoseconds(stamp: StatxTimestamp) -> i64 {
    stamp.tv_sec.saturating_mul(1_000_000_000) + i64::from(stamp.tv_nsec)
}

fn convert(statx: &Statx) -> Stat {
    let kind = match FileType::from_raw_mode(u32::from(statx.stx_mode)) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Special,
    };
    let born = if statx.stx_mask & StatxFlags::BTIME.bits() == 0 {
        0
    } else {
        nanoseconds(statx.stx_btime)
    };
    Stat {
        kind,
        device: (u64::from(statx.stx_dev_major) << 32) | u64::from(statx.stx_dev_minor),
        inode: Inode {
            number: statx.stx_ino,
            born,
        },
        size: statx.stx_size,
        modified: nanoseconds(statx.stx_mtime),
        changed: nanoseconds(statx.stx_ctime),
        mode: u32::from(statx.stx_mode) & 0o7777,
        owner: statx.stx_uid,
        group: statx.stx_gid,
        links: statx.stx_nlink,
    }
}

const STAT: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// Looks at a name in a folder.
pub(super) fn stat_at(folder: impl AsFd, name: &str) -> io::Result<Stat> {
    let name = names::on_disk(name);
    let statx = fs::statx(folder, &*name, AtFlags::SYMLINK_NOFOLLOW, STAT)?;
    Ok(convert(&statx))
}

/// Looks at an open file.
pub(super) fn stat(file: impl AsFd) -> io::Result<Stat> {
    let statx = fs::statx(file, "", AtFlags::EMPTY_PATH, STAT)?;
    Ok(convert(&statx))
}

/// Looks at a path; the last part is not followed.
pub(super) fn stat_path(path: &Path) -> io::Result<Stat> {
    let statx = fs::statx(fs::CWD, path, AtFlags::empty(), STAT)?;
    Ok(convert(&statx))
}

/// Looks at a path itself, whatever it is.
#[cfg(test)]
pub(super) fn stat_path_itself(path: &Path) -> io::Result<Stat> {
    let statx = fs::statx(fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW, STAT)?;
    Ok(convert(&statx))
}

/// Opens a folder by its path, as the one place where a link in the path is followed: it is what the user gave.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

fn open_beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // EAGAIN: a rename elsewhere raced with the look-up (openat2(2)); it says nothing about this path.
    for _ in 0..16 {
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Opens a folder below the root for listing; `path` has `/` between names, empty is the root.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file below the root for reading.
pub(super) fn open_file(root: BorrowedFd<'_>, path: &str) -> io::Result<File> {
    open_beneath(root, path, OFlags::RDONLY | OFlags::NONBLOCK).map(File::from)
}

/// Opens a file in a folder for reading.
pub(super) fn open_at(folder: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(folder, name, flags, Mode::empty())?.into())
}

/// Makes a file that must not be there yet, with the permissions that the user's umask leaves.
pub(super) fn create_at(folder: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(folder, name, flags, Mode::from_raw_mode(0o666))?.into())
}

/// Makes a folder with the permissions that the user's umask leaves.
pub(super) fn make_folder(parent: impl AsFd, name: &str) -> io::Result<()> {
    Ok(fs::mkdirat(parent, name, Mode::from_raw_mode(0o777))?)
}

/// Opens a folder directly inside another.
pub(super) fn open_folder_at(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

/// The names in a folder, as the tree keeps them.
pub(super) fn list(folder: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(folder)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(names::kept(name)),
        }
    }
    Ok(names)
}

/// Renames, and refuses when the new name is taken.
pub(super) fn rename(from: impl AsFd, name: &str, to: impl AsFd, new_name: &str) -> io::Result<()> {
    let renamed = match fs::renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) if same_file(&from, name, &to, new_name) => {
            // Another spelling of the same name on a file system that folds case.
            fs::renameat(&from, name, &to, new_name)
        }
        other => other,
    };
    renamed?;
    #[cfg(test)]
    trace::renamed(&from, name, &to, new_name);
    Ok(())
}

fn same_file(from: impl AsFd, name: &str, to: impl AsFd, new_name: &str) -> bool {
    match (stat_at(from, name), stat_at(to, new_name)) {
        (Ok(one), Ok(other)) => one.inode == other.inode && one.links == 1,
        _ => false,
    }
}

/// Exchanges what two names stand for, in one step.
pub(super) fn exchange(from: impl AsFd, name: &str, to: impl AsFd, other: &str) -> io::Result<()> {
    fs::renameat_with(&from, name, &to, other, RenameFlags::EXCHANGE)?;
    #[cfg(test)]
    trace::renamed(&from, name, &to, other);
    Ok(())
}

/// Removes a file.
pub(super) fn unlink(folder: impl AsFd, name: &str) -> io::Result<()> {
    Ok(fs::unlinkat(folder, name, AtFlags::empty())?)
}

/// Removes an empty folder.
pub(super) fn remove_folder(folder: impl AsFd, name: &str) -> io::Result<()> {
    Ok(fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

/// Sets the permission bits.
pub(super) fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Gives a file to somebody.
pub(super) fn set_owner(file: impl AsFd, user: u32, group: Option<u32>) -> io::Result<()> {
    let group = group.map(fs::Gid::from_raw);
    Ok(fs::fchown(file, Some(fs::Uid::from_raw(user)), group)?)
}

/// Gives a file the owner of another; where that is not allowed, the group at least, else nothing.
pub(super) fn copy_owner(file: impl AsFd, like: &Stat) {
    let owner = Some(fs::Uid::from_raw(like.owner));
    let group = Some(fs::Gid::from_raw(like.group));
    if fs::fchown(&file, owner, group).is_err() && fs::fchown(&file, None, group).is_err() {
        tracing::debug!("the owner of a replaced file could not be kept");
    }
}

/// Sets the time of the last modification.
pub(super) fn set_modified(file: impl AsFd, nanoseconds: i64) -> io::Result<()> {
    let stamp = fs::Timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000),
    };
    let times = fs::Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    Ok(fs::futimens(file, &times)?)
}

/// Makes an empty file share the bytes of another, where the file system can do that.
pub(super) fn clone_file(to: &File, from: &File) -> io::Result<()> {
    Ok(fs::ioctl_ficlone(to, from)?)
}

/// Writes everything of the file system out.
pub(super) fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    fs::syncfs(&file)?;
    #[cfg(test)]
    trace::flushed_around(&file);
    Ok(())
}

/// Writes a file out with all that is known of it; of a folder, the names in it.
pub(super) fn flush(file: &File) -> io::Result<()> {
    file.sync_all()?;
    #[cfg(test)]
    trace::flushed(file);
    Ok(())
}

/// True when this process may do so to a name in a folder.
pub(super) fn may(folder: impl AsFd, name: &str, access: Access) -> bool {
    fs::accessat(folder, name, access, AtFlags::EACCESS).is_ok()
}

/// Reads an extended attribute of an open file; `None` when it has none, or there is no such thing there.
pub(super) fn attribute(file: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match fs::fgetxattr(&file, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(rustix::io::Errno::RANGE) => value = vec![0; 64 * 1024],
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a short extended attribute of a name in a folder, without opening the file.
pub(super) fn attribute_at(folder: impl AsFd, name: &str, attribute: &OsStr) -> Option<Vec<u8>> {
    let path = format!("/proc/self/fd/{}/{name}", folder.as_fd().as_raw_fd());
    let mut value = [0_u8; 256];
    let length = fs::lgetxattr(path, attribute, value.as_mut_slice()).ok()?;
    Some(value[..length].to_vec())
}

/// Sets an extended attribute.
pub(super) fn set_attribute(file: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fs::fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Removes an extended attribute, if it is there.
pub(super) fn remove_attribute(file: impl AsFd, name: &OsStr) -> io::Result<()> {
    match fs::fremovexattr(file, name) {
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// The names of the extended attributes; empty where there are none.
pub(super) fn attributes(file: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = vec![0_u8; 1024];
    let length = loop {
        match fs::flistxattr(&file, names.as_mut_slice()) {
            Ok(length) => break length,
            Err(rustix::io::Errno::RANGE) => names = vec![0; 64 * 1024],
            Err(rustix::io::Errno::OPNOTSUPP) => break 0,
            Err(error) => return Err(error.into()),
        }
    };
    let names = names[..length].split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(str::to_owned)
        .collect())
}

/// The path by which a watch is put on an open folder, whatever its name is meanwhile.
pub(super) fn path_of(folder: impl AsFd) -> String {
    format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd())
}
