//! To the wire.

use bytes::Bytes;
use prost_types::Timestamp;
use tandem_proto::v1 as wire;

use crate::domain::delivery::{Action, Delivery, FolderRef};
use crate::domain::ids::Digest;
use crate::domain::projection::{ContentRef, NodeKind, Projection, PropertyValue};
use crate::service::Error;
use crate::service::exchange::Ready;
use crate::service::exchange::Root;
use crate::service::ingest::Accepted;
use crate::transport::status;

/// A content reference without bytes.
#[must_use]
pub fn content(content: ContentRef) -> wire::ContentRef {
    wire::ContentRef {
        digest: Bytes::copy_from_slice(&content.digest.0),
        size: content.size,
        inline: None,
    }
}

/// A projection, with the bytes of its content where they ride inline.
#[must_use]
pub fn projection(projection: &Projection, inline: Option<Bytes>) -> wire::Projection {
    wire::Projection {
        kind: match projection.kind {
            NodeKind::Document => wire::NodeKind::Document as i32,
            NodeKind::Folder => wire::NodeKind::Folder as i32,
        },
        name: projection.name.clone(),
        content: projection.content.map(|named| wire::ContentRef {
            inline,
            ..content(named)
        }),
        properties: projection
            .properties
            .iter()
            .map(|(name, value)| wire::Property {
                name: name.clone(),
                value: Some(wire::PropertyValue {
                    kind: Some(property(value)),
                }),
            })
            .collect(),
        node_type: projection.node_type.clone(),
    }
}

fn property(value: &PropertyValue) -> wire::property_value::Kind {
    use wire::property_value::Kind;
    match value.clone() {
        PropertyValue::Text(text) => Kind::Text(text),
        PropertyValue::Flag(flag) => Kind::Flag(flag),
        PropertyValue::Integer(integer) => Kind::Integer(integer),
        PropertyValue::Number(bits) => Kind::Number(f64::from_bits(bits)),
        PropertyValue::Timestamp(seconds, nanos) => Kind::Timestamp(Timestamp { seconds, nanos }),
        PropertyValue::TextList(values) => Kind::TextList(wire::TextList { values }),
    }
}

fn place(folder: &FolderRef) -> wire::Place {
    use wire::place::Folder;
    let folder = match folder {
        FolderRef::Node(node) => Folder::NodeId(node.0.clone()),
        FolderRef::Made(member) => Folder::MemberId(member.to_bytes().into()),
    };
    wire::Place {
        folder: Some(folder),
    }
}

/// What is sent for one member.
#[must_use]
pub(super) fn delivery(ready: Ready) -> wire::Delivery {
    let Ready { delivery, inline } = ready;
    let comment = format!("synced with conflict by {}", delivery.owner);
    wire::Delivery {
        id: Some(wire::DeliveryId {
            member_id: delivery.member.to_bytes().into(),
            source_version: delivery.version,
        }),
        action: Some(action(&delivery, inline)),
        act_as: delivery.act_as,
        conflict: delivery.conflict.map(|id| wire::DeliveredConflict {
            conflict_id: id.to_bytes().into(),
            comment,
        }),
    }
}

fn action(delivery: &Delivery, inline: Option<Bytes>) -> wire::delivery::Action {
    use wire::delivery::Action as Wire;
    match &delivery.action {
        Action::Create {
            folder,
            projection: looks,
            locked,
        } => Wire::Create(wire::CreateNode {
            parent: Some(place(folder)),
            projection: Some(projection(looks, inline)),
            locked: *locked,
        }),
        Action::Update {
            node,
            expected_revision,
            projection: looks,
            folder,
            locked,
        } => Wire::Update(wire::UpdateNode {
            node_id: node.0.clone(),
            expected_revision: expected_revision.clone(),
            projection: Some(projection(looks, inline)),
            parent: folder.as_ref().map(place),
            locked: *locked,
        }),
        Action::Delete {
            node,
            expected_revision,
            with_content,
        } => Wire::Delete(wire::DeleteNode {
            node_id: node.0.clone(),
            expected_revision: expected_revision.clone(),
            with_content: *with_content,
        }),
        Action::Release { node } => Wire::Release(wire::ReleaseNode {
            node_id: node.0.clone(),
        }),
    }
}

/// The answer to a batch.
#[must_use]
pub(super) fn batch_result(number: i64, result: Result<Accepted, Error>) -> wire::BatchResult {
    use wire::batch_result::Answer;
    let (answer, missing) = match result {
        Ok(accepted) => (Answer::Accepted(accepted_answer(accepted)), Vec::new()),
        Err(error) => {
            let missing = match &error {
                Error::ContentMissing { digests } => digests.clone(),
                Error::DigestMismatch { digest } => vec![*digest],
                _ => Vec::new(),
            };
            (Answer::Refused(refusal(&error)), missing)
        }
    };
    wire::BatchResult {
        number,
        answer: Some(answer),
        missing_digests: missing
            .iter()
            .map(|Digest(bytes)| Bytes::copy_from_slice(bytes))
            .collect(),
    }
}

fn accepted_answer(accepted: Accepted) -> wire::Accepted {
    let number = |place: usize| i32::try_from(place).unwrap_or(i32::MAX);
    let note = |note: crate::service::ingest::StoredNote| wire::ItemNote {
        item_index: number(note.item),
        child_index: number(note.child),
        kind: if note.unknown_parent {
            wire::ItemNoteKind::UnknownParent as i32
        } else if note.failed {
            wire::ItemNoteKind::NodeFailed as i32
        } else {
            wire::ItemNoteKind::NotSynced as i32
        },
        message: note.reason,
    };
    wire::Accepted {
        notes: accepted.notes.into_iter().map(note).collect(),
    }
}

/// What a Status would say, in typed form.
#[must_use]
pub(super) fn refusal(error: &Error) -> wire::Refusal {
    let (field, expected_number) = match error {
        Error::InvalidField { field, .. } => (field.clone(), 0),
        Error::BatchGap { expected_number } => (String::new(), *expected_number),
        _ => (String::new(), 0),
    };
    wire::Refusal {
        reason: status::reason(error) as i32,
        message: error.to_string(),
        field,
        expected_number,
    }
}

/// The roots to be watched.
#[must_use]
pub(super) fn watch_roots(roots: &[Root]) -> wire::WatchRoots {
    let root = |root: &Root| wire::WatchRoot {
        document: root.document,
        node_id: root.node.0.clone(),
        include_subfolders: root.include_subfolders,
        scan_id: root
            .scan
            .map(|scan| scan.to_bytes().into())
            .unwrap_or_default(),
        read_content: root.read_content,
    };
    wire::WatchRoots {
        roots: roots.iter().map(root).collect(),
    }
}
