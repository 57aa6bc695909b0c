//! Which repository has which content, and where the bytes are (R-CNT-1, R-CNT-2).
//!
//! Five tables. `content` says that a repository sent or received a digest: possession, never shared between repositories.
//! `blob` is the bytes, one row for a whole network, in the row itself or in an [`Objects`] file. `upload` is what is still
//! on its way. `chunk` tells which parts of large ones are which chunks. `version` says who names which content: the only thing that collection asks.
//!
//! Functions ending in `_in` join an open write transaction; each takes a constant number of statements for a whole group.
//! `json_each` carries lists, so that each text is prepared once.

mod blobs;
mod chunks;
mod collect;
mod hold;
mod objects;
mod pieces;
mod possession;
mod readable;
mod upload_file;
mod uploads;

pub use blobs::{
    BlobPlace, NewContent, Place, StoredObject, blobs_by_id, mark_damaged_in, objects_behind,
    put_in, put_small_in, read_small,
};
pub use chunks::{
    ChunkPlace, NewChunk, chunked_blobs, chunks_of, find_chunks, forget_chunks_in, insert_chunks_in,
};
pub use collect::{
    Candidate, Taken, candidates, collect_in, expire_versions_in, forget_blobs_in, known_objects,
};
pub use hold::{COLLECTION_LOCK, Hold};
pub use objects::{ObjectError, ObjectFile, Objects, object_below};
pub use pieces::{Piece, Pieces};
pub use possession::{Presence, presence, present_in, present_sizes_in, share_in, touch_in};
pub use readable::{Readable, Reader, Source, SourceName, readable};
pub use upload_file::UploadFile;
pub use uploads::{
    Upload, advance_upload_in, delete_upload_in, idle_uploads, insert_upload_in,
    unfinished_uploads, upload_of,
};

use std::fmt::Write as _;

use crate::domain::ids::Digest;

/// A JSON list of hex texts.
fn hex_list<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> String {
    let mut list = String::from("[");
    for (index, item) in items.into_iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        list.push_str(separator);
        list.push('"');
        list.push_str(&hex::encode(item.as_ref()));
        list.push('"');
    }
    list.push(']');
    list
}

/// Digests as a JSON list of hex texts.
fn digest_list<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> String {
    hex_list(digests.into_iter().map(|digest| digest.0))
}

/// A JSON list of records, each a list of texts in which nothing needs to be escaped: numbers, hex, paths of objects.
fn record_list<const N: usize>(records: impl IntoIterator<Item = [String; N]>) -> String {
    let mut list = String::from("[");
    for (index, record) in records.into_iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}[\"{}\"]", record.join("\",\""));
    }
    list.push(']');
    list
}
