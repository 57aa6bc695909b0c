//! From the wire: every field is checked before anything takes effect (SPEC §12).

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tandem_proto::v1 as wire;

use crate::domain::allow_list::is_allowed;
use crate::domain::copy::Absence;
use crate::domain::failure::Reason;
use crate::domain::ids::RepositoryId;
use crate::domain::ids::{BatchId, Digest, MemberId, NodeId, ScanId};
use crate::domain::limits::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CONTENT_BYTES_MAX, CURSOR_BYTES_MAX, INLINE_BYTES_MAX,
    NODE_ID_BYTES_MAX, PROPERTIES_BYTES_MAX, PROPERTY_BYTES_MAX, PROPERTY_TEXTS_MAX,
    REVISION_BYTES_MAX,
};
use crate::domain::member::PeerChoice;
use crate::domain::names::check_name;
use crate::domain::projection::{ContentRef, NodeKind, Projection, Properties, PropertyValue};
use crate::domain::report::{
    Answer, Item, NodeTrait, Observation, Presence, ScanOutcome, ScanPage, Seen,
};
use crate::service::Error;
use crate::service::content::verify;
use crate::service::ingest::Batch;

/// A decoder that knows where it is, and collects the content that rides inline.
struct Decoder {
    inline: Vec<(Digest, Bytes)>,
    /// The node being read exceeds a limit: it fails alone, the batch does not (R-AGT-3).
    too_large: bool,
}

type Decoded<T> = Result<T, Error>;

fn at(path: &str, field: &str) -> String {
    format!("{path}.{field}")
}

fn required<T>(value: Option<T>, path: &str, field: &str) -> Decoded<T> {
    value.ok_or_else(|| Error::invalid(at(path, field), "it must be given"))
}

/// Reads a batch of this repository.
///
/// # Errors
/// [`Error::InvalidField`] naming the first field that is wrong, [`Error::DigestMismatch`].
pub fn batch(repository: RepositoryId, batch: wire::ChangeBatch) -> Decoded<Batch> {
    check_size(&batch)?;
    if batch.items.is_empty() || batch.items.len() > BATCH_ITEMS_MAX {
        return Err(Error::invalid(
            "items",
            format!("1 to {BATCH_ITEMS_MAX} items in a batch"),
        ));
    }
    if batch.cursor.len() > CURSOR_BYTES_MAX {
        return Err(Error::invalid(
            "cursor",
            format!("at most {CURSOR_BYTES_MAX} bytes"),
        ));
    }
    if batch.number < 1 {
        return Err(Error::invalid("number", "batches are numbered from 1"));
    }
    let id = BatchId::from_bytes(&batch.id)
        .ok_or_else(|| Error::invalid("id", "16 random bytes, kept in the outbox"))?;
    let mut decoder = Decoder {
        inline: Vec::new(),
        too_large: false,
    };
    let mut items = Vec::with_capacity(batch.items.len());
    for (index, item) in batch.items.into_iter().enumerate() {
        items.push(decoder.item(item, &format!("items[{index}]"))?);
    }
    Ok(Batch {
        repository,
        epoch: batch.session_epoch,
        number: batch.number,
        id,
        cursor: batch.cursor.to_vec(),
        items,
        inline: decoder.inline,
    })
}

/// A batch of one item that is too large names it, so that an agent knows what to mend.
fn check_size(batch: &wire::ChangeBatch) -> Decoded<()> {
    if batch.encoded_len() <= BATCH_BYTES_MAX {
        return Ok(());
    }
    let (field, remedy) = match batch.items.len() {
        1 => (
            "items[0]",
            "report the node as too large, or list fewer children in a page",
        ),
        _ => ("items", "send fewer items in a batch"),
    };
    let rule = format!("a batch has at most {BATCH_BYTES_MAX} bytes; {remedy}");
    Err(Error::invalid(field, rule))
}

impl Decoder {
    fn item(&mut self, item: wire::ChangeItem, path: &str) -> Decoded<Item> {
        use wire::change_item::Item as Wire;
        match required(item.item, path, "item")? {
            Wire::Observation(observation) => Ok(Item::Observed(
                self.observation(observation, &at(path, "observation"))?,
            )),
            Wire::Outcome(outcome) => self.outcome(outcome, &at(path, "outcome")),
            Wire::ScanPage(page) => self.scan_page(page, &at(path, "scan_page")),
            Wire::ScanEnd(end) => scan_end(&end, &at(path, "scan_end")),
            Wire::CauseChanged(cause) => Ok(Item::CauseChanged(member_id(
                &cause.member_id,
                path,
                "cause_changed.member_id",
            )?)),
        }
    }

    fn observation(&mut self, observation: wire::Observation, path: &str) -> Decoded<Observation> {
        use wire::observation::State;
        let node = node_id(observation.node_id, path, "node_id")?;
        let seen = match required(observation.state, path, "state")? {
            State::Absent(absence) => absent(&absence, path)?,
            State::Present(projection) => {
                let special = is_special(observation.node_trait);
                self.too_large = false;
                let projection = self.projection(projection, &at(path, "present"), special)?;
                let node_trait = match node_trait(observation.node_trait) {
                    NodeTrait::Ordinary if self.too_large => NodeTrait::TooLarge,
                    NodeTrait::Special if observation.illegal_name => NodeTrait::IllegalName,
                    node_trait => node_trait,
                };
                Seen::Present(Presence {
                    parent: optional_id(observation.parent_node_id, path, "parent_node_id")?,
                    revision: revision(observation.revision, path)?,
                    projection: Arc::new(projection),
                    mark: MemberId::from_bytes(&observation.member_mark),
                    node_trait,
                    locked: observation.locked,
                    edited: observation.edited_online,
                    actor: observation.actor,
                })
            }
        };
        Ok(Observation { node, seen })
    }

    fn projection(
        &mut self,
        projection: wire::Projection,
        path: &str,
        special: bool,
    ) -> Decoded<Projection> {
        let kind = match wire::NodeKind::try_from(projection.kind) {
            Ok(wire::NodeKind::Document) => NodeKind::Document,
            Ok(wire::NodeKind::Folder) => NodeKind::Folder,
            _ => return Err(Error::invalid(at(path, "kind"), "DOCUMENT or FOLDER")),
        };
        check_name(&projection.name)
            .map_err(|rule| Error::invalid(at(path, "name"), rule.to_string()))?;
        let content = match projection.content {
            Some(content) => self.content(content, &at(path, "content"))?,
            None => None,
        };
        let properties = self.properties(projection.properties, path)?;
        if content.is_some() == (kind == NodeKind::Folder) && !special && !self.too_large {
            let rule = "a document has content, a folder has none";
            return Err(Error::invalid(at(path, "content"), rule));
        }
        Ok(Projection {
            kind,
            name: projection.name,
            content,
            properties,
            node_type: projection.node_type,
        })
    }

    fn content(&mut self, content: wire::ContentRef, path: &str) -> Decoded<Option<ContentRef>> {
        let digest = Digest::from_bytes(&content.digest)
            .ok_or_else(|| Error::invalid(at(path, "digest"), "a SHA-256 digest has 32 bytes"))?;
        if content.size < 0 {
            return Err(Error::invalid(at(path, "size"), "0 or more bytes"));
        }
        if content.size > CONTENT_BYTES_MAX {
            self.too_large = true;
            return Ok(None);
        }
        if let Some(bytes) = content.inline {
            if bytes.len() > INLINE_BYTES_MAX {
                let rule = format!("at most {INLINE_BYTES_MAX} bytes ride inline; write the rest");
                return Err(Error::invalid(at(path, "inline"), rule));
            }
            verify(digest, content.size, &bytes)?;
            self.inline.push((digest, bytes));
        }
        Ok(Some(ContentRef {
            digest,
            size: content.size,
        }))
    }

    /// None at all of a node that exceeds a limit.
    fn properties(&mut self, list: Vec<wire::Property>, path: &str) -> Decoded<Properties> {
        let mut properties = Properties::new();
        let mut bytes = 0;
        for property in list {
            if !is_allowed(&property.name) {
                continue;
            }
            let field = format!("{path}.properties[{}]", property.name);
            let value = required(property.value.and_then(|value| value.kind), &field, "value")?;
            let value = property_value(value, &field)?;
            let (size, texts) = extent(&value);
            bytes += size;
            self.too_large |= size > PROPERTY_BYTES_MAX
                || texts > PROPERTY_TEXTS_MAX
                || bytes > PROPERTIES_BYTES_MAX;
            if properties.insert(property.name, value).is_some() {
                return Err(Error::invalid(field, "each property once"));
            }
        }
        if self.too_large {
            properties.clear();
        }
        Ok(properties)
    }

    /// What was delivered was within the limits.
    fn delivered(&mut self, delivered: wire::Projection, path: &str) -> Decoded<Projection> {
        self.too_large = false;
        let delivered = self.projection(delivered, path, false)?;
        if self.too_large {
            return Err(Error::invalid(path, "what was delivered, unchanged"));
        }
        Ok(delivered)
    }

    fn outcome(&mut self, outcome: wire::Outcome, path: &str) -> Decoded<Item> {
        use wire::outcome::Answer as Wire;
        let id = required(outcome.delivery_id, path, "delivery_id")?;
        let member = member_id(&id.member_id, path, "delivery_id.member_id")?;
        let answer = match required(outcome.answer, path, "answer")? {
            Wire::Applied(applied) => {
                let result = required(applied.result, path, "applied.result")?;
                let delivered = match applied.delivered {
                    Some(delivered) => {
                        let path = at(path, "applied.delivered");
                        Some(Arc::new(self.delivered(delivered, &path)?))
                    }
                    None => None,
                };
                let result = self.observation(result, &at(path, "applied.result"))?;
                Answer::Applied { result, delivered }
            }
            Wire::Stale(stale) => {
                let seen = required(stale.seen, path, "stale.seen")?;
                Answer::Stale(self.observation(seen, &at(path, "stale.seen"))?)
            }
            Wire::Failed(failed) => failed_answer(failed),
        };
        Ok(Item::Outcome {
            member,
            version: id.source_version,
            answer,
        })
    }

    fn scan_page(&mut self, page: wire::ScanPage, path: &str) -> Decoded<Item> {
        if page.children.len() > BATCH_ITEMS_MAX {
            let rule = format!("at most {BATCH_ITEMS_MAX} children in a page");
            return Err(Error::invalid(at(path, "children"), rule));
        }
        let scan = scan_id(&page.scan_id, path)?;
        let mut children = Vec::with_capacity(page.children.len());
        for (index, child) in page.children.into_iter().enumerate() {
            children.push(self.observation(child, &format!("{path}.children[{index}]"))?);
        }
        if children.windows(2).any(|pair| pair[0].node >= pair[1].node) {
            return Err(Error::invalid(
                at(path, "children"),
                "ordered by node id, each once",
            ));
        }
        Ok(Item::ScanPage(ScanPage {
            scan,
            folder: node_id(page.folder_node_id, path, "folder_node_id")?,
            after: optional_id(page.after_node_id, path, "after_node_id")?,
            through: optional_id(page.through_node_id, path, "through_node_id")?,
            readable: page.readable,
            children,
        }))
    }
}

fn is_special(node_trait: i32) -> bool {
    let ordinary = [
        wire::NodeTrait::Unspecified,
        wire::NodeTrait::OutsideLibrary,
    ];
    !ordinary.iter().any(|one| *one as i32 == node_trait)
}

fn node_trait(node_trait: i32) -> NodeTrait {
    match wire::NodeTrait::try_from(node_trait) {
        Ok(wire::NodeTrait::WorkingCopy) => NodeTrait::WorkingCopy,
        Ok(wire::NodeTrait::SmartFolder) => NodeTrait::SmartFolder,
        Ok(wire::NodeTrait::Link) => NodeTrait::Link,
        Ok(wire::NodeTrait::Record) => NodeTrait::Record,
        Ok(wire::NodeTrait::Special) => NodeTrait::Special,
        Ok(wire::NodeTrait::OutsideLibrary) => NodeTrait::OutsideLibrary,
        Ok(wire::NodeTrait::TooLarge) => NodeTrait::TooLarge,
        Ok(wire::NodeTrait::Unspecified) | Err(_) => NodeTrait::Ordinary,
    }
}

fn node_id(node: String, path: &str, field: &str) -> Decoded<NodeId> {
    // PostgreSQL keeps no NUL in a text.
    if node.is_empty() || node.len() > NODE_ID_BYTES_MAX || node.contains('\0') {
        let rule = format!("a node id has 1 to {NODE_ID_BYTES_MAX} bytes, none of them NUL");
        return Err(Error::invalid(at(path, field), rule));
    }
    Ok(NodeId(node))
}

fn optional_id(node: String, path: &str, field: &str) -> Decoded<NodeId> {
    if node.is_empty() {
        Ok(NodeId::default())
    } else {
        node_id(node, path, field)
    }
}

fn revision(revision: String, path: &str) -> Decoded<String> {
    if revision.len() > REVISION_BYTES_MAX || revision.contains('\0') {
        let rule = format!("a revision has at most {REVISION_BYTES_MAX} bytes, none of them NUL");
        return Err(Error::invalid(at(path, "revision"), rule));
    }
    Ok(revision)
}

fn member_id(bytes: &[u8], path: &str, field: &str) -> Decoded<MemberId> {
    MemberId::from_bytes(bytes)
        .ok_or_else(|| Error::invalid(at(path, field), "a member id has 16 bytes"))
}

fn scan_id(bytes: &[u8], path: &str) -> Decoded<ScanId> {
    ScanId::from_bytes(bytes)
        .ok_or_else(|| Error::invalid(at(path, "scan_id"), "a scan id has 16 bytes"))
}

fn absent(absence: &wire::Absence, path: &str) -> Decoded<Seen> {
    let kind = match wire::AbsenceKind::try_from(absence.kind) {
        Ok(wire::AbsenceKind::Deleted) => Absence::Deleted,
        Ok(wire::AbsenceKind::MovedOut) => Absence::MovedOut,
        _ => {
            return Err(Error::invalid(
                at(path, "absent.kind"),
                "DELETED or MOVED_OUT",
            ));
        }
    };
    let choice = match wire::PeerChoice::try_from(absence.choice) {
        Ok(wire::PeerChoice::Remove) => Some(PeerChoice::Remove),
        Ok(wire::PeerChoice::Keep) => Some(PeerChoice::Keep),
        Ok(wire::PeerChoice::Unspecified) => None,
        Err(_) => return Err(Error::invalid(at(path, "absent.choice"), "REMOVE or KEEP")),
    };
    Ok(Seen::Absent {
        absence: kind,
        choice,
        root_emptied: absence.root_emptied,
    })
}

fn scan_end(end: &wire::ScanEnd, path: &str) -> Decoded<Item> {
    let outcome = match wire::ScanOutcome::try_from(end.outcome) {
        Ok(wire::ScanOutcome::Complete) => ScanOutcome::Complete,
        Ok(wire::ScanOutcome::RootGone) => ScanOutcome::RootGone,
        Ok(wire::ScanOutcome::Abandoned) => ScanOutcome::Abandoned,
        _ => {
            let rule = "COMPLETE, ROOT_GONE or ABANDONED";
            return Err(Error::invalid(at(path, "outcome"), rule));
        }
    };
    Ok(Item::ScanEnd(scan_id(&end.scan_id, path)?, outcome))
}

fn failed_answer(failed: wire::Failed) -> Answer {
    let retry_delay = failed.retry_delay.map(|delay| {
        delay
            .seconds
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(delay.nanos) / 1_000)
    });
    Answer::Failed {
        reason: Reason::from_number(failed.reason),
        message: shortened(failed.message, 1024),
        detail: shortened(failed.detail, 4096),
        retry_delay,
    }
}

/// What is longer than allowed is cut, not refused: an error text must never be lost for its length.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

fn property_value(value: wire::property_value::Kind, field: &str) -> Decoded<PropertyValue> {
    use wire::property_value::Kind;
    Ok(match value {
        Kind::Text(text) => PropertyValue::Text(text),
        Kind::Flag(flag) => PropertyValue::Flag(flag),
        Kind::Integer(integer) => PropertyValue::Integer(integer),
        Kind::Number(number) if number.is_nan() => {
            return Err(Error::invalid(
                field,
                "NaN is no value; leave the property out",
            ));
        }
        Kind::Number(number) => PropertyValue::Number(number.to_bits()),
        Kind::Timestamp(time) => PropertyValue::Timestamp(time.seconds, time.nanos),
        Kind::TextList(list) => PropertyValue::TextList(list.values),
    })
}

/// Bytes and texts of a value.
fn extent(value: &PropertyValue) -> (usize, usize) {
    match value {
        PropertyValue::Text(text) => (text.len(), 1),
        PropertyValue::TextList(texts) => (texts.iter().map(String::len).sum(), texts.len()),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests;
