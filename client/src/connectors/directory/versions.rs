//! What sync overwrote or deleted: kept outside the synced tree, listed, restorable, pruned in small doses.
//!
//! `kept/` holds the versions. `late/` holds the very files that were taken out of the tree, for as long as somebody may
//! still write to them through a handle opened before; such a write becomes a version, too.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use rusqlite::{OptionalExtension, Row, Transaction, params};
use tandem_proto::v1::NodeVersion;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    core::{Core, unavailable},
    node::Known,
    os,
    pending::{LATE, Place},
    reading,
};
use crate::agent::repository::Error;

const KEPT: &str = "kept";
const LATE_FOLDER: &str = "late";
/// So many old versions are removed at once at most.
const DOSE: usize = 64;
const SWEEP_EVERY: i64 = 30_000_000_000;

/// A kept version.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: Uuid,
    pub(super) node: Uuid,
    pub(super) path: String,
    pub(super) known: Known,
    pub(super) comment: String,
    pub(super) actor: String,
    /// Nanoseconds since 1970.
    pub(super) archived_at: i64,
}

/// The folders of the versions.
#[derive(Debug)]
pub(super) struct Versions {
    kept: OwnedFd,
    late: OwnedFd,
    /// On the file system of the root, so files can be renamed into it.
    near: bool,
    swept_at: AtomicI64,
}

impl Versions {
    /// Opens the folders, made if missing.
    pub(super) fn open(state: &Path, device: u64) -> io::Result<Self> {
        let folder = state.join("versions");
        fs::create_dir_all(folder.join(KEPT))?;
        fs::create_dir_all(folder.join(LATE_FOLDER))?;
        let kept = os::open_root(&folder.join(KEPT))?;
        let late = os::open_root(&folder.join(LATE_FOLDER))?;
        let near = os::stat(&kept)?.device == device;
        Ok(Self {
            kept,
            late,
            near,
            swept_at: AtomicI64::new(0),
        })
    }

    pub(super) fn is_near(&self) -> bool {
        self.near
    }

    pub(super) fn late(&self) -> &OwnedFd {
        &self.late
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        os::sync_file_system(&self.kept)
    }

    fn folder(&self, name: &str) -> &OwnedFd {
        if name == KEPT { &self.kept } else { &self.late }
    }

    pub(super) fn open_for_flush(&self, folder: &str, name: &str) -> io::Result<File> {
        match name {
            "" => os::open_folder_at(self.folder(folder), ".").map(File::from),
            _ => os::open_at(self.folder(folder), name),
        }
    }

    /// What is to be flushed after [`keep`](Self::keep), or after a file was taken itself.
    pub(super) fn flushed(version: Option<Uuid>) -> Vec<(&'static str, String)> {
        let file = version.map(|id| (KEPT, id.to_string()));
        let folders = [(KEPT, String::new()), (LATE_FOLDER, String::new())];
        folders.into_iter().chain(file).collect()
    }

    /// Keeps a copy of a replaced file, and the file itself for late writes.
    pub(super) fn keep(&self, folder: &OwnedFd, name: &str, version: Uuid) -> io::Result<()> {
        let id = version.to_string();
        copy(&os::open_at(folder, name)?, &self.kept, &id)?;
        if self.near {
            os::rename(folder, name, &self.late, &id)
        } else {
            os::unlink(folder, name)
        }
    }

    /// Opens the bytes of a version.
    pub(super) fn content(&self, version: Uuid) -> io::Result<File> {
        let id = version.to_string();
        os::open_at(&self.kept, &id).or_else(|_| os::open_at(&self.late, &id))
    }

    /// Looks at replaced files that were written to.
    pub(super) fn late_writes(&self, core: &Core, places: &[Place]) {
        for place in places.iter().filter(|place| place.folder == LATE) {
            let Ok(id) = Uuid::try_parse(&place.name) else {
                continue;
            };
            if let Err(error) = self.late_write(core, id, place) {
                tracing::warn!(version = %id, %error, "a write to a replaced file could not be kept");
            }
        }
    }

    fn late_write(&self, core: &Core, id: Uuid, place: &Place) -> io::Result<()> {
        let Some(version) = core.index.run(move |transaction| get(transaction, id))? else {
            // It is being archived just now.
            return Ok(());
        };
        let file = os::open_at(&self.late, &place.name)?;
        let before = os::stat(&file)?;
        let (known, _) = reading::digest(&file, before.size)?;
        let settled = reading::is_settled(before.modified, reading::now(), core.options.settle());
        if !settled || os::stat(&file)?.modified != before.modified {
            core.pending.add(place);
            return Ok(());
        }
        if known == version.known {
            return Ok(());
        }
        let comment = format!("{}; written after that", version.comment);
        if os::stat_at(&self.kept, &place.name).is_err() {
            return core
                .index
                .run(move |transaction| rewrite(transaction, id, &known, &comment));
        }
        let further = Version {
            id: Uuid::now_v7(),
            known,
            comment,
            archived_at: reading::now(),
            ..version
        };
        copy(&file, &self.kept, &further.id.to_string())?;
        os::flush(&self.open_for_flush(KEPT, &further.id.to_string())?)?;
        core.index.run(
            move |transaction| match has(transaction, further.node, &further.known)? {
                true => Ok(()),
                false => insert(transaction, &further),
            },
        )
    }

    /// Removes what is too old, a little at a time.
    pub(super) fn sweep(&self, core: &Core) {
        let now = reading::now();
        let last = self.swept_at.load(Ordering::Relaxed);
        if now - last < SWEEP_EVERY {
            return;
        }
        self.swept_at.store(now, Ordering::Relaxed);
        if let Err(error) = self
            .prune(core, now)
            .and_then(|()| self.end_late(core, now))
        {
            tracing::warn!(%error, "old versions could not be removed");
        }
    }

    fn prune(&self, core: &Core, now: i64) -> io::Result<()> {
        let keep = i64::try_from(core.options.versions_keep.as_nanos()).unwrap_or(i64::MAX);
        if keep == 0 {
            return Ok(());
        }
        let pruned = core
            .index
            .run(move |transaction| forget_before(transaction, now.saturating_sub(keep)))?;
        for id in pruned {
            let id = id.to_string();
            for folder in [&self.kept, &self.late] {
                match os::unlink(folder, &id) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Replaced files that nobody wrote to for long become ordinary versions, or go.
    fn end_late(&self, core: &Core, now: i64) -> io::Result<()> {
        let window = i64::try_from(core.options.late_writes.as_nanos()).unwrap_or(i64::MAX);
        for name in os::list(&self.late)?.into_iter().take(DOSE) {
            let stat = os::stat_at(&self.late, &name)?;
            if now - stat.changed < window {
                continue;
            }
            if os::stat_at(&self.kept, &name).is_ok() {
                os::unlink(&self.late, &name)?;
            } else {
                os::rename(&self.late, &name, &self.kept, &name)?;
            }
        }
        Ok(())
    }
}

/// Copies a file under a new name, sharing its bytes where the file system can.
pub(super) fn copy(from: &File, folder: &OwnedFd, name: &str) -> io::Result<()> {
    let mut to = os::create_at(folder, name)?;
    if os::clone_file(&to, from).is_err() {
        io::copy(&mut &*from, &mut to)?;
    }
    Ok(())
}

/// Writes a version down.
pub(super) fn insert(transaction: &Transaction<'_>, version: &Version) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO version(id, node, path, size, digest, comment, actor, archived_at)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement
        .execute(params![
            version.id.as_bytes(),
            version.node.as_bytes(),
            version.path,
            version.known.size.cast_signed(),
            version.known.digest,
            version.comment,
            version.actor,
            version.archived_at,
        ])
        .map(drop)
}

const COLUMNS: &str = "id, node, path, size, digest, comment, actor, archived_at";

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    Ok(Version {
        id: Uuid::from_bytes(row.get(0)?),
        node: Uuid::from_bytes(row.get(1)?),
        path: row.get(2)?,
        known: Known {
            size: row.get::<_, i64>(3)?.cast_unsigned(),
            digest: row.get(4)?,
        },
        comment: row.get(5)?,
        actor: row.get(6)?,
        archived_at: row.get(7)?,
    })
}

pub(super) fn get(transaction: &Transaction<'_>, id: Uuid) -> rusqlite::Result<Option<Version>> {
    let sql = format!("SELECT {COLUMNS} FROM version WHERE id = ?1");
    let mut statement = transaction.prepare_cached(&sql)?;
    statement.query_row([id.as_bytes()], version).optional()
}

fn has(transaction: &Transaction<'_>, node: Uuid, known: &Known) -> rusqlite::Result<bool> {
    let mut statement =
        transaction.prepare_cached("SELECT 1 FROM version WHERE node = ?1 AND digest = ?2")?;
    statement.exists(params![node.as_bytes(), known.digest])
}

fn rewrite(
    transaction: &Transaction<'_>,
    id: Uuid,
    known: &Known,
    comment: &str,
) -> rusqlite::Result<()> {
    let size = known.size.cast_signed();
    let values = params![id.as_bytes(), size, known.digest, comment];
    transaction
        .execute(
            "UPDATE version SET size = ?2, digest = ?3, comment = ?4 WHERE id = ?1",
            values,
        )
        .map(drop)
}

fn forget_before(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<Vec<Uuid>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id FROM version WHERE archived_at < ?1 ORDER BY position LIMIT ?2",
    )?;
    let rows = statement.query_map(params![before, DOSE.cast_signed()], |row| {
        row.get(0).map(Uuid::from_bytes)
    })?;
    let ids: Vec<Uuid> = rows.collect::<Result<_, _>>()?;
    for id in &ids {
        transaction.execute("DELETE FROM version WHERE id = ?1", [id.as_bytes()])?;
    }
    Ok(ids)
}

fn list(
    transaction: &Transaction<'_>,
    node: Option<Uuid>,
    after: Option<Uuid>,
    max: usize,
) -> rusqlite::Result<Vec<Version>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM version
         WHERE (?1 IS NULL OR node = ?1)
           AND (?2 IS NULL OR position < (SELECT position FROM version WHERE id = ?2))
         ORDER BY position DESC LIMIT ?3"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let node = node.map(Uuid::into_bytes);
    let after = after.map(Uuid::into_bytes);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    statement
        .query_map(params![node, after, max], version)?
        .collect()
}

impl Version {
    fn into_proto(self) -> NodeVersion {
        let at = OffsetDateTime::from_unix_timestamp_nanos(self.archived_at.into());
        let at = at.ok().and_then(|at| at.format(&Rfc3339).ok());
        NodeVersion {
            version_id: self.id.to_string(),
            node_id: self.node.to_string(),
            path: self.path,
            size: self.known.size.cast_signed(),
            digest: self.known.digest.to_vec().into(),
            comment: self.comment,
            actor: self.actor,
            archived_at: at.unwrap_or_default(),
        }
    }
}

impl Core {
    /// Lists versions, newest first.
    pub(super) fn list_versions(
        &self,
        node_id: &str,
        after_version_id: &str,
        max: usize,
    ) -> Result<(Vec<NodeVersion>, bool), Error> {
        let node = match node_id {
            "" => None,
            _ => Some(parse_node(node_id)?),
        };
        let after = match after_version_id {
            "" => None,
            _ => Some(parse_version(after_version_id)?),
        };
        let listed = self
            .index
            .run(move |transaction| list(transaction, node, after, max.saturating_add(1)));
        let mut versions = listed.map_err(unavailable)?;
        let more = versions.len() > max;
        versions.truncate(max);
        let versions = versions.into_iter().map(Version::into_proto).collect();
        Ok((versions, more))
    }
}

/// A node id that has the form of ours.
pub(super) fn parse_node(id: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(id).map_err(|_| Error::NodeNotFound(id.to_owned()))
}

/// A version id that has the form of ours.
pub(super) fn parse_version(id: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(id).map_err(|_| Error::VersionNotFound(id.to_owned()))
}
