//! What a backup says of itself: a small JSON file, written last.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Copied, Error, files};

/// The form of backups that this program makes and reads.
pub const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup; another one is refused.
    pub format: u32,
    /// When it was begun, as RFC 3339 writes it: state is that of this moment or a little later.
    pub made_at: String,
    /// The version of the program that made it.
    pub program: String,
    /// The copy of the database; none when its server's tools make it.
    pub database: Option<DatabaseFile>,
    /// How many objects there are.
    pub objects: u64,
    /// How many bytes they have.
    pub object_bytes: u64,
    /// How many objects are not in it, because they were missing or damaged.
    pub left_out: u64,
}

/// The copy of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFile {
    /// Bytes.
    pub size: u64,
    /// The digest of its bytes, in hex.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new(
        made_at: i64,
        database: Option<&Path>,
        copied: &Copied,
    ) -> Result<Self, Error> {
        let database = database.map(|path| {
            let (digest, size) = files::digest_of_file(path)?;
            let sha256 = digest.to_string();
            Ok::<_, Error>(DatabaseFile { size, sha256 })
        });
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(made_at) * 1_000);
        let at = at.ok().and_then(|at| at.format(&Rfc3339).ok());
        Ok(Self {
            format: FORMAT,
            made_at: at.unwrap_or_default(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            database: database.transpose()?,
            objects: copied.objects,
            object_bytes: copied.bytes,
            // usize always fits into u64 where this program runs.
            left_out: copied.left_out.len() as u64,
        })
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(NAME);
        let write = || {
            let mut file = std::fs::File::create_new(&path)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            writeln!(file)
        };
        write().map_err(Error::file(&path))
    }

    /// Reads what a backup says of itself.
    ///
    /// # Errors
    /// [`Error::Unusable`] when it is no backup, or one of another form.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let unusable = |why: String| Error::Unusable {
            path: directory.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(directory.join(NAME)).map_err(|error| {
            unusable(format!(
                "it has no {NAME} that can be read ({error}); name a directory that `tandemd backup` made"
            ))
        })?;
        // The form is looked at first: another one may have other fields.
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| unusable(format!("its {NAME} is damaged ({error}); use another")))?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            return Err(unusable(format!(
                "its {NAME} has another format than {FORMAT}; use the program that made it"
            )));
        }
        serde_json::from_value(value)
            .map_err(|error| unusable(format!("its {NAME} is damaged ({error}); use another")))
    }
}
