//! What must hold between the rows of a database, looked for in one state of it; nothing is changed.

mod content;
mod derived;
mod rules;

use sea_orm::QueryResult;

use super::Error;

pub use content::{StoredBlob, blobs_behind, named_by};
pub use derived::derived;
pub use rules::{damaged_file, rules};

/// What does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SQLite finds its own file damaged.
    DatabaseDamaged,
    /// A network has no head of its journal.
    NetworkWithoutJournal,
    /// The last entry of a journal is not the one that its head names.
    JournalHead,
    /// Entries are missing in the middle of a journal.
    JournalGap,
    /// A repository has answers to batches behind its last one.
    BatchUnknown,
    /// A repository that a set names is not there.
    SetWithoutRepository,
    /// The set of a member is not there.
    MemberWithoutSet,
    /// A node that a member pairs is not there.
    MemberWithoutCopy,
    /// The member of a node is not there.
    CopyWithoutMember,
    /// The content of a member's copy is not there.
    CopyWithoutContent,
    /// The content of a version is not there.
    VersionWithoutContent,
    /// The bytes of a content are not there, or are others.
    ContentWithoutBlob,
    /// A blob says of its bytes neither or both: that they are in the database, and that they are in an object.
    BlobWithoutPlace,
    /// What is due is not what follows from the members.
    DueWrong,
    /// Who waits for what is not what follows from the members.
    BlockedWrong,
    /// The bytes of a content are missing.
    ContentMissing,
    /// The bytes of a content are others.
    ContentDamaged,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::DatabaseDamaged,
        Self::NetworkWithoutJournal,
        Self::JournalHead,
        Self::JournalGap,
        Self::BatchUnknown,
        Self::SetWithoutRepository,
        Self::MemberWithoutSet,
        Self::MemberWithoutCopy,
        Self::CopyWithoutMember,
        Self::CopyWithoutContent,
        Self::VersionWithoutContent,
        Self::ContentWithoutBlob,
        Self::BlobWithoutPlace,
        Self::DueWrong,
        Self::BlockedWrong,
        Self::ContentMissing,
        Self::ContentDamaged,
    ];
}

/// A fault, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What does not hold.
    pub fault: Fault,
    /// Which rows it is about, for people.
    pub at: String,
}

/// Reads an id as it is shown: a UUID if it has the length of one, else hex.
fn id_text(bytes: &[u8]) -> String {
    uuid::Uuid::from_slice(bytes).map_or_else(|_| hex::encode(bytes), |id| id.to_string())
}

/// Reads a row of an id, a number and a text, each told if it says something.
fn place_of_row(row: &QueryResult, labels: [&str; 3]) -> Result<String, Error> {
    let id: Option<Vec<u8>> = row.try_get_by_index(0)?;
    let number: i64 = row.try_get_by_index(1)?;
    let text: String = row.try_get_by_index(2)?;
    let shown = [
        id.filter(|id| !id.is_empty()).map(|id| id_text(&id)),
        (!labels[1].is_empty()).then(|| number.to_string()),
        (!labels[2].is_empty()).then_some(text),
    ];
    let parts = labels.iter().zip(shown);
    let parts = parts.filter_map(|(label, shown)| Some(format!("{label} {}", shown?)));
    Ok(parts.collect::<Vec<_>>().join(", "))
}
