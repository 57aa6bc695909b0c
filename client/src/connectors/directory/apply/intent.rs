//! Intents: what was about to be replaced or deleted, written down first, so that a crash archives it once and loses
//! nothing.

use std::io;

use rusqlite::{Row, Transaction, params};
use uuid::Uuid;

use super::super::{
    core::Core,
    names,
    os::{self, Inode},
    reading,
    versions::{self, Version},
};

/// A replacement or deletion that is about to happen.
#[derive(Debug, Clone)]
pub(in super::super) struct Intent {
    /// The file in the work folder that takes the place of the other, and then is the other.
    pub(super) temp: String,
    pub(super) version: Uuid,
    pub(super) node: Uuid,
    /// The inode of the new file: as long as that is in the work folder, nothing happened.
    pub(super) ours: Inode,
    pub(super) path: String,
    pub(super) comment: String,
    pub(super) actor: String,
}

/// Writes intents down.
pub(super) fn save(transaction: &Transaction<'_>, intents: &[Intent]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO intent(temp, version, node, inode, born, path, comment, actor)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for intent in intents {
        statement.execute(params![
            intent.temp,
            intent.version.as_bytes(),
            intent.node.as_bytes(),
            intent.ours.number.cast_signed(),
            intent.ours.born,
            intent.path,
            intent.comment,
            intent.actor,
        ])?;
    }
    Ok(())
}

/// Crosses intents out.
pub(super) fn forget(transaction: &Transaction<'_>, intents: &[Intent]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("DELETE FROM intent WHERE temp = ?1")?;
    for intent in intents {
        statement.execute([&intent.temp])?;
    }
    Ok(())
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        temp: row.get(0)?,
        version: Uuid::from_bytes(row.get(1)?),
        node: Uuid::from_bytes(row.get(2)?),
        ours: Inode {
            number: row.get::<_, i64>(3)?.cast_unsigned(),
            born: row.get(4)?,
        },
        path: row.get(5)?,
        comment: row.get(6)?,
        actor: row.get(7)?,
    })
}

fn all(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Intent>> {
    let mut statement = transaction
        .prepare("SELECT temp, version, node, inode, born, path, comment, actor FROM intent")?;
    statement.query_map([], intent)?.collect()
}

/// After a crash: archives what was taken out of its place, and removes what never came into it.
pub(in super::super) fn recover(core: &Core) -> io::Result<()> {
    let intents = core.index.run(all)?;
    let work = core.disk.work()?;
    let mut kept = Vec::new();
    for intent in &intents {
        match os::stat_at(&work, &intent.temp) {
            Ok(stat) if stat.inode != intent.ours => {
                core.versions.keep(&work, &intent.temp, intent.version)?;
            }
            _ => {}
        }
        let id = intent.version;
        let known = core
            .index
            .run(move |transaction| versions::get(transaction, id))?;
        if known.is_none()
            && let Ok(file) = core.versions.content(id)
        {
            let (known, _) = reading::digest(&file, os::stat(&file)?.size)?;
            kept.push(Version {
                id,
                node: intent.node,
                path: intent.path.clone(),
                known,
                comment: intent.comment.clone(),
                actor: intent.actor.clone(),
                archived_at: reading::now(),
            });
        }
    }
    if !kept.is_empty() {
        core.versions.sync()?;
        tracing::info!(
            versions = kept.len(),
            "archived what was replaced when the agent stopped"
        );
    }
    core.index.run(move |transaction| {
        for version in &kept {
            versions::insert(transaction, version)?;
        }
        forget(transaction, &intents)
    })?;
    clean(&work)
}

/// What is left in the work folder was never visible.
fn clean(work: &std::os::fd::OwnedFd) -> io::Result<()> {
    for name in os::list(work)? {
        tracing::debug!(name, "removed from {}", names::WORK);
        match os::unlink(work, &name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                os::remove_folder(work, &name)?;
            }
            other => other?,
        }
    }
    Ok(())
}
