//! Reading of content: whole, in peace, and in parallel.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::Property;
use uuid::Uuid;

use super::{
    node::{Known, Node},
    os::{self, FileKind, Stat},
    properties,
};
use crate::agent::{
    chunks::{Manifest, cut_file},
    repository::INLINE_BYTES_MAX,
};

/// The attribute that carries the node id.
pub(super) const TAG: &str = "user.tandem.node";
const BUFFER: usize = 256 * 1024;
/// Content of more bytes is cut into chunks while it is read.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;

/// What was read of a node.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stat: Stat,
    pub(super) known: Option<Known>,
    /// The bytes, when there are few enough to ride inline.
    pub(super) inline: Option<Bytes>,
    /// What it is made of, when there are so many that it travels in chunks.
    pub(super) manifest: Option<Manifest>,
    pub(super) properties: Vec<Property>,
    pub(super) tagged: bool,
    /// Nobody wrote meanwhile, nor a moment before.
    pub(super) settled: bool,
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

/// True when a file was last written long enough ago: until then a further write could leave the same time behind.
/// A time that lies in the future says nothing, so it holds nothing up.
pub(super) fn is_settled(modified: i64, at: i64, settle: Duration) -> bool {
    let settle = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
    !(0..settle).contains(&(at - modified))
}

/// Reads an open file or folder and puts the node id on it. `with_content` = false keeps the content that is known.
pub(super) fn read(
    file: &File,
    node: &Node,
    with_content: bool,
    attributes: bool,
    settle: Duration,
) -> io::Result<Reading> {
    let mut properties = node.properties.clone();
    let mut tagged = node.tagged;
    if attributes {
        if !tagged {
            tagged = tag(file, node)?;
        }
        properties = properties::read(file, &node.properties)?;
    }
    let began = now();
    let before = os::stat(file)?;
    let mut reading = Reading {
        stat: before,
        known: node.known.filter(|_| node.kind == FileKind::File),
        inline: None,
        manifest: None,
        properties,
        tagged,
        settled: before.kind == FileKind::Folder || is_settled(before.modified, began, settle),
    };
    if before.kind == FileKind::File && with_content {
        let (known, inline) = if before.size > WHOLE_BYTES_MAX {
            let cut = cut_file(file)?;
            reading.manifest = Some(cut.chunks);
            let (digest, size) = (cut.digest, cut.size);
            (Known { digest, size }, None)
        } else {
            digest(file, before.size)?
        };
        let after = os::stat(file)?;
        reading.settled &= (after.size, after.modified) == (before.size, before.modified)
            && known.size == before.size;
        reading.stat = after;
        reading.known = Some(known);
        reading.inline = inline;
    }
    Ok(reading)
}

/// Puts the node id on a file. A file that an editor put in the place of another gets the properties of that one too.
fn tag(file: &File, node: &Node) -> io::Result<bool> {
    let name = OsStr::new(TAG);
    let present = os::attribute(file, name)?;
    let id = node.id.to_string();
    if present.as_deref() == Some(id.as_bytes()) {
        return Ok(true);
    }
    // A file that we may not write is known by its inode alone.
    if os::set_attribute(file, name, id.as_bytes()).is_err() {
        return Ok(false);
    }
    if present.is_none() && !node.properties.is_empty() && properties::read(file, &[])?.is_empty() {
        properties::write(file, &node.properties)?;
    }
    Ok(true)
}

/// Reads a file to its end.
pub(super) fn digest(mut file: &File, size: u64) -> io::Result<(Known, Option<Bytes>)> {
    let mut hash = Sha256::new();
    let mut total = 0_u64;
    let room = usize::try_from(size + 1).map_or(BUFFER, |size| size.min(BUFFER));
    let mut buffer = vec![0; room];
    let mut inline = Vec::new();
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += length as u64;
        hash.update(&buffer[..length]);
        if total <= INLINE_BYTES_MAX {
            inline.extend_from_slice(&buffer[..length]);
        }
    }
    let known = Known {
        digest: hash.finalize().into(),
        size: total,
    };
    let inline = (total <= INLINE_BYTES_MAX).then(|| Bytes::from(inline));
    Ok((known, inline))
}

/// Does something with each item on all cores; the answers are in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(items.len() / 4 + 1);
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let answer = work(item);
                    *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                }
            });
        }
    });
    let answers = answers.into_iter();
    answers
        .filter_map(|answer| answer.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// The id that a file carries.
pub(super) fn parse_tag(value: &[u8]) -> Option<Uuid> {
    let id = Uuid::try_parse_ascii(value).ok()?;
    (!id.is_nil() && !id.is_max()).then_some(id)
}
