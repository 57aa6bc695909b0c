//! Reads all data of a coordinator, whether it serves or not, and tells what is not as it must be. Changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::ids::BlobId;
use crate::domain::limits::{VERIFY_BLOBS_MAX, VERIFY_FOUND_MAX, VERIFY_ROWS_MAX};
use crate::service::backup::{self, Kept};
use crate::storage::content_index;
use crate::storage::verify::{self as rows, StoredBlob};
use crate::storage::{Place, Reading};

mod meaning;
#[cfg(test)]
mod tests;

pub use crate::storage::verify::{Fault, Found};
pub use backup::Error;
pub use meaning::{meaning, name, remedy};

/// Members that are named of a blob.
const NAMED_MAX: usize = 3;

/// What is looked at.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The database.
    pub place: Place,
    /// The directory of the content store.
    pub content: PathBuf,
    /// Only whether content is there in its length, not whether its bytes are right.
    pub quick: bool,
    /// Only content.
    pub objects_only: bool,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Contents.
    pub blobs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What is not as it must be: of each fault the first ones.
    pub found: Vec<Found>,
    /// How many more there are of a fault, at least.
    pub more: BTreeMap<Fault, u64>,
}

impl Verified {
    fn add(&mut self, found: Vec<Found>) {
        for one in found {
            let same = self.found.iter().filter(|other| other.fault == one.fault);
            if same.count() < VERIFY_FOUND_MAX {
                self.found.push(one);
            } else {
                *self.more.entry(one.fault).or_default() += 1;
            }
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It looks at the rows of the database.
    Rows,
    /// It reads content.
    Content {
        /// Contents so far.
        blobs: u64,
        /// Bytes of them.
        bytes: u64,
    },
}

/// Looks at everything.
///
/// # Errors
/// When something cannot be read, so that nothing can be said about it.
pub async fn verify(
    options: &VerifyOptions,
    told: Arc<dyn Fn(Step) + Send + Sync>,
) -> Result<Verified, Error> {
    let reading = Reading::open(&options.place).await?;
    let mut verified = Verified::default();
    if !options.objects_only {
        told(Step::Rows);
        verified.add(rows::damaged_file(reading.connection(), options.quick).await?);
        if !verified.found.is_empty() {
            // What its rows say means nothing.
            return Ok(verified);
        }
    }
    reading.check_schema(false).await?;
    if !options.objects_only {
        look_at_rows(&reading, &mut verified).await?;
    }
    look_at_content(&reading, options, &mut verified, told).await?;
    reading.close().await?;
    Ok(verified)
}

async fn look_at_rows(reading: &Reading, verified: &mut Verified) -> Result<(), Error> {
    // One state of all tables: what two statements see of a moving database does not fit together.
    let snapshot = reading.snapshot().await?;
    verified.add(rows::rules(&snapshot, VERIFY_FOUND_MAX + 1).await?);
    verified.add(rows::derived(&snapshot, VERIFY_ROWS_MAX).await?);
    Ok(())
}

async fn look_at_content(
    reading: &Reading,
    options: &VerifyOptions,
    verified: &mut Verified,
    told: Arc<dyn Fn(Step) + Send + Sync>,
) -> Result<(), Error> {
    let mut after: Option<BlobId> = None;
    loop {
        let blobs = rows::blobs_behind(reading.connection(), after, VERIFY_BLOBS_MAX).await?;
        let Some(last) = blobs.last() else {
            return Ok(());
        };
        after = Some(last.id);
        for blob in blobs {
            verified.blobs += 1;
            verified.bytes += u64::try_from(blob.size).unwrap_or(0);
            let is = state_of(options, &blob).await?;
            let found = found_of(reading, &blob, is).await?;
            verified.add(found.into_iter().collect());
            told(Step::Content {
                blobs: verified.blobs,
                bytes: verified.bytes,
            });
        }
    }
}

async fn state_of(options: &VerifyOptions, blob: &StoredBlob) -> Result<Kept, Error> {
    let (digest, size) = (blob.digest, blob.size);
    if let Some(bytes) = &blob.bytes {
        let length = i64::try_from(bytes.len()) == Ok(size);
        let whole = length && (options.quick || super::content::digest_of(bytes) == digest);
        return Ok(if whole { Kept::Whole } else { Kept::Damaged });
    }
    let path = content_index::object_below(&options.content, blob.id);
    let quick = options.quick;
    let look = move || backup::state_of_file(&path, digest, size, quick);
    let done = tokio::task::spawn_blocking(look).await;
    done.unwrap_or(Err(Error::Closing))
}

/// What is wrong with a blob, unless it was collected or replaced while it was looked at.
async fn found_of(reading: &Reading, blob: &StoredBlob, is: Kept) -> Result<Option<Found>, Error> {
    let fault = match is {
        Kept::Missing => Fault::ContentMissing,
        Kept::Damaged => Fault::ContentDamaged,
        Kept::Whole if blob.known_damaged => Fault::ContentDamaged,
        Kept::Whole => return Ok(None),
    };
    let connection = reading.connection();
    let known = content_index::known_objects(connection, &[blob.id]).await?;
    if known.is_empty() {
        return Ok(None);
    }
    let named = rows::named_by(connection, blob.id, NAMED_MAX + 1).await?;
    let members: Vec<String> = named
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    let members = match (named.len(), members.join(", ")) {
        (0, _) => "no member".to_owned(),
        (count, members) if count > NAMED_MAX => format!("{members} and more"),
        (_, members) => members,
    };
    let known = match blob.known_damaged {
        true => ", known since it was read",
        false => "",
    };
    let at = format!(
        "content {} of {} bytes, object {}{known}, needed by {members}",
        blob.digest,
        blob.size,
        blob.id.0.simple()
    );
    Ok(Some(Found { fault, at }))
}
