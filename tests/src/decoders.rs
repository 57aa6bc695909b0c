//! Whatever a peer sends to a decoder, it answers: with what it read, which keeps every promise, or with an error that
//! names the field and the rule. Used by the fuzz targets in `tests/fuzz` and by the replay of their corpus.

use prost::Message as _;
use tandem_client::agent::chunks::Chunk;
use tandem_client::agent::runtime::reuse::{Part, chunk, parts};
use tandem_proto::v1 as wire;
use tandem_server::domain::ids::RepositoryId;
use tandem_server::domain::limits::{BATCH_ITEMS_MAX, CONTENT_BYTES_MAX, CURSOR_BYTES_MAX};
use tandem_server::domain::names::check_name;
use tandem_server::domain::report::{Item, Observation, Seen};
use tandem_server::domain::session::ResumeKey;
use tandem_server::service::{Error, ingest::Batch, portable};
use tandem_server::transport::exchange::decode;
use tandem_server::transport::tokens::List;
use tandem_server::transport::{cursor, names};

/// A decoder by its name, which is that of its fuzz target and of the folder of its corpus.
pub type Decoder = (&'static str, fn(&[u8]));

/// Every decoder.
pub const DECODERS: [Decoder; 6] = [
    ("frames", frames),
    ("cursors", cursors),
    ("tokens", tokens),
    ("names", resource_names),
    ("manifests", manifests),
    ("imports", imports),
];

/// A refusal tells what is wrong and with which field.
///
/// # Panics
/// It does not.
fn assert_clear(error: &Error) {
    match error {
        Error::InvalidField { field, rule } => {
            assert!(!field.is_empty() && !rule.is_empty(), "{error:?}");
        }
        Error::DigestMismatch { .. } | Error::ProtocolViolation { .. } => {}
        other => panic!("no error of a decoder: {other:?}"),
    }
}

/// A frame of an agent (R-AGT-3).
///
/// # Panics
/// A promise is broken.
pub fn frames(bytes: &[u8]) {
    let Ok(request) = wire::ExchangeRequest::decode(bytes) else {
        return;
    };
    match request.frame {
        Some(wire::exchange_request::Frame::ChangeBatch(batch)) => {
            match decode::batch(RepositoryId(1), batch) {
                Ok(batch) => assert_sound(&batch),
                Err(error) => assert_clear(&error),
            }
        }
        Some(wire::exchange_request::Frame::Hello(hello)) => assert_key(&hello.resume_key),
        Some(wire::exchange_request::Frame::ResumeKeyStored(stored)) => {
            assert_key(&stored.resume_key);
        }
        _ => {}
    }
}

/// A key is read as it was written, or not at all.
fn assert_key(bytes: &[u8]) {
    if let Some(key) = ResumeKey::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
    }
}

fn assert_sound(batch: &Batch) {
    assert!((1..=BATCH_ITEMS_MAX).contains(&batch.items.len()));
    assert!(batch.cursor.len() <= CURSOR_BYTES_MAX && batch.number > 0);
    for item in &batch.items {
        item.observations().for_each(assert_observed);
        if let Item::ScanPage(page) = item {
            let ids = page.children.iter().map(|child| &child.node);
            assert!(ids.is_sorted(), "{page:?}");
        }
    }
}

fn assert_observed(observation: &Observation) {
    assert!(!observation.node.0.is_empty());
    let Seen::Present(presence) = &observation.seen else {
        return;
    };
    let projection = &presence.projection;
    assert_eq!(check_name(&projection.name), Ok(()));
    let size = projection.content.map_or(0, |content| content.size);
    assert!((0..=CONTENT_BYTES_MAX).contains(&size), "{projection:?}");
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// A cursor of the journal (R-JRN-1).
///
/// # Panics
/// A promise is broken.
pub fn cursors(bytes: &[u8]) {
    if let Some(text) = text(bytes)
        && let Err(error) = cursor::start("cursor", text)
    {
        assert_clear(&error);
    }
}

/// A page token.
///
/// # Panics
/// A promise is broken.
pub fn tokens(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let list = List {
        call: "ListSyncSets",
        scope: &["acme"],
    };
    if let Err(error) = list.position::<(String, i64)>(text) {
        assert_clear(&error);
    }
}

/// A resource name; what is read is what was written.
///
/// # Panics
/// A promise is broken.
pub fn resource_names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match names::network("name", text) {
        Ok(network) => assert_eq!(text, format!("networks/{network}")),
        Err(error) => assert_clear(&error),
    }
    match names::repository("name", text) {
        Ok((network, repository)) => {
            assert_eq!(
                text,
                format!("networks/{network}/repositories/{repository}")
            );
        }
        Err(error) => assert_clear(&error),
    }
    let failed = [
        names::token("name", text).err(),
        names::uid_in_network("name", text, "syncSets").err(),
        names::uid_in_uid("name", text, "syncSets", "members").err(),
    ];
    failed.iter().flatten().for_each(assert_clear);
}

/// The chunks of a content, as a coordinator tells them: whatever they are, each byte is fetched or kept once, in order
/// (R-CNT-1). The bytes are two answers to `ListChunks`, of the content and of the present copy, behind the size and the
/// length of the first.
///
/// # Panics
/// A promise is broken.
pub fn manifests(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Some(([length], rest)) = rest.split_first_chunk::<1>() else {
        return;
    };
    let Some((wanted, present)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    let (Some(wanted), Some(present)) = (chunks(wanted), chunks(present)) else {
        return;
    };
    let size = i64::from_be_bytes(*size) & i64::MAX;
    let kept: Vec<Chunk> = present.into_iter().filter(is_possible).collect();
    assert_covers(&Vec::from(parts(&wanted, &kept, size)), size);
}

fn chunks(bytes: &[u8]) -> Option<Vec<Chunk>> {
    let listed = wire::ListChunksResponse::decode(bytes).ok()?;
    Some(listed.chunks.into_iter().map(chunk).collect())
}

/// Of the present copy an agent reads the chunks itself.
fn is_possible(chunk: &Chunk) -> bool {
    chunk.offset >= 0 && chunk.size > 0 && chunk.offset.checked_add(chunk.size).is_some()
}

fn assert_covers(parts: &[Part], size: i64) {
    let (mut at, mut read) = (0, 0);
    for part in parts {
        match part {
            Part::Fetched { until } => {
                assert!(*until > at, "{parts:?}");
                at = *until;
            }
            Part::Kept { from, chunk } => {
                assert!(
                    chunk.offset == at && chunk.size > 0 && *from >= read,
                    "{parts:?}"
                );
                at = chunk.end();
                read = from + chunk.size;
            }
        }
    }
    assert_eq!(at, size, "{parts:?}");
}

/// A line of an exported set (R-ADM-1).
///
/// # Panics
/// A promise is broken.
pub fn imports(bytes: &[u8]) {
    if let Err(error) = portable::check_line(bytes) {
        assert_clear(&error);
    }
}
