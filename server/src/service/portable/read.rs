//! Lines of an export as rows, each field checked: a file may come from anywhere.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::format::{
    BaseLine, CopyLine, DeletingLine, GoneLine, LeavingLine, LeftLine, Line, Look, MemberLine,
    OptionsLine, SetLine, Value,
};
use super::words::{self, Words, meaning};
use crate::domain::allow_list::is_allowed;
use crate::domain::copy::{Copy, CopyState};
use crate::domain::ids::{Digest, MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::{CONTENT_BYTES_MAX, PROPERTIES_BYTES_MAX};
use crate::domain::member::{Leaving, Member, PeerChoice};
use crate::domain::names::{NameRule, check_name};
use crate::domain::planted::planted;
use crate::domain::projection::{
    ContentRef, NodeKind, Projection, Properties, PropertyValue, Side, Sides, State,
};
use crate::domain::sync_set::{Options, Removal, SetKind};
use crate::service::Error;
use crate::service::choice::check_options;
use crate::service::ingest::ImportedMember;
use crate::service::nodes::check_node_id;

/// Where nodes are imported, and how names are compared there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) network: NetworkId,
    pub(super) set: SyncSetId,
    pub(super) kind: SetKind,
    pub(super) repositories: Sides<RepositoryId>,
    pub(super) rules: Sides<NameRule>,
    /// Whether the set locks its on-premise copies.
    pub(super) locks: bool,
    /// Above every version that a member of this id ever had: agents remember what they applied by it.
    pub(super) version: i64,
}

/// Checks a line on its own, as far as that needs no other line and no database.
///
/// # Errors
/// [`Error::InvalidField`], with the field and the rule.
pub fn check_line(line: &[u8]) -> Result<(), Error> {
    let read: Result<Line, _> = serde_json::from_slice(line);
    let line = read.map_err(|error| Error::invalid("lines", error.to_string()))?;
    let place = |kind| Place {
        network: NetworkId(1),
        set: SyncSetId::default(),
        kind,
        repositories: Sides {
            on_premise: RepositoryId(1),
            cloud: RepositoryId(2),
        },
        rules: Sides {
            on_premise: NameRule::default(),
            cloud: NameRule::default(),
        },
        locks: true,
        version: 1,
    };
    match line {
        Line::Set(set) => {
            let kind = of_words("kind", words::SET_KINDS, &set.kind)?;
            options(&set, kind).map(drop)
        }
        Line::Member(line) => member(&place(SetKind::Folder), &line).map(drop),
        Line::Left(line) => left(&place(SetKind::Folder), &line).map(drop),
        Line::Gone(line) => gone(&place(SetKind::Folder), &line).map(drop),
        Line::Export(_) | Line::EndSet(_) | Line::End(_) => Ok(()),
    }
}

/// The id that something gets in a network: always the same, so that an import can be repeated, and no other one's, so
/// that no network can reach what is of another.
pub(super) fn id_in(network: NetworkId, exported: Uuid) -> Uuid {
    if planted("import-reaches-any-network") {
        return exported;
    }
    let mut hash = Sha256::new();
    hash.update(b"tandem import");
    hash.update(network.0.to_be_bytes());
    hash.update(exported.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    // The time stays, since it tells when a set was made.
    let mut bytes = *exported.as_bytes();
    bytes[6..].copy_from_slice(&digest[..10]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

/// What a word of a field means.
pub(super) fn of_words<T: core::marker::Copy>(
    field: &str,
    words: Words<T>,
    word: &str,
) -> Result<T, Error> {
    meaning(words, word).map_err(|rule| Error::invalid(field, rule))
}

/// The options of a set (R-SET-2).
pub(super) fn options(set: &SetLine, kind: SetKind) -> Result<Options, Error> {
    let line: &OptionsLine = &set.options;
    let options = Options {
        include_subfolders: line.include_subfolders,
        lock_on_premise_copy: line.lock_on_premise_copy,
        allow_delete_on_cloud: line.allow_delete_on_cloud,
        delete_on_premise: line.delete_on_premise,
        conflict_policy: of_words(
            "options.conflict_policy",
            words::CONFLICT_POLICIES,
            &line.conflict_policy,
        )?,
        conflict_grain: of_words(
            "options.conflict_grain",
            words::CONFLICT_GRAINS,
            &line.conflict_grain,
        )?,
        name_clash_policy: of_words(
            "options.name_clash_policy",
            words::NAME_CLASH_POLICIES,
            &line.name_clash_policy,
        )?,
        max_delete_percent: line.max_delete_percent,
    };
    check_options("options", &options)?;
    if kind == SetKind::Documents && !options.include_subfolders {
        let rule = "is for a set of a folder; must be true for documents";
        return Err(Error::invalid("options.include_subfolders", rule));
    }
    Ok(options)
}

/// A member with its copies.
pub(super) fn member(place: &Place, line: &MemberLine) -> Result<ImportedMember, Error> {
    let kind = of_words("kind", words::NODE_KINDS, &line.kind)?;
    let chosen = place.kind == SetKind::Documents;
    if chosen && !(line.direct && kind == NodeKind::Document) {
        let rule = "a set of documents has chosen documents only: direct, and of kind DOCUMENT";
        return Err(Error::invalid("kind", rule));
    }
    if line.direct && !chosen && kind == NodeKind::Document {
        let rule = "the chosen node of a set of a folder is a FOLDER";
        return Err(Error::invalid("kind", rule));
    }
    let id = MemberId(id_in(place.network, line.uid));
    let base = line.base.as_ref().map(|base| state(place, base, kind));
    let base = base.transpose()?;
    if line.direct && base.as_ref().is_some_and(|base| base.parent.is_some()) {
        let rule = "a direct member has none: its place is not compared";
        return Err(Error::invalid("base.parent_uid", rule));
    }
    let read = |side, field: &str, line: &Option<CopyLine>| {
        let copy = line
            .as_ref()
            .map(|line| copy(place, (side, field), line, (id, kind), &base));
        copy.transpose()
    };
    let copies = Sides {
        on_premise: read(Side::OnPremise, "on_premise", &line.on_premise)?,
        cloud: read(Side::Cloud, "cloud", &line.cloud)?,
    };
    let mut member = Member::new(id, place.set, kind, line.direct);
    let node = |copy: &Option<Copy>| copy.as_ref().map(|copy| copy.node.clone());
    member.nodes = Sides {
        on_premise: node(&copies.on_premise),
        cloud: node(&copies.cloud),
    };
    if member.nodes == Sides::default() {
        let rule = "a member has a copy on at least one side";
        return Err(Error::invalid("on_premise", rule));
    }
    member.base = base.filter(|_| !planted("import-forgets-bases"));
    member.cloud_copy_deleted = line.cloud_copy_deleted;
    member.last_synced_at = line.last_synced_at;
    member.deleting = line.deleting.as_ref().map(deleting).transpose()?;
    if let Some(line) = &line.leaving {
        let (leaving, clearing) = leaving(place, line, &member)?;
        member.leaving = Some(leaving);
        member.clearing = clearing;
    }
    member.choice = match &line.choice {
        Some(word) => Some(of_words("choice", words::PEER_CHOICES, word)?),
        None => None,
    };
    member.home = line.home_node_id.clone().map(NodeId);
    member.version = place.version;
    Ok(ImportedMember { member, copies })
}

fn deleting(line: &DeletingLine) -> Result<(Side, PeerChoice), Error> {
    Ok((
        of_words("deleting.side", words::SIDES, &line.side)?,
        of_words("deleting.choice", words::PEER_CHOICES, &line.choice)?,
    ))
}

/// R-UNS-1: what is left to do for a document that was unsynced alone.
fn leaving(place: &Place, line: &LeavingLine, member: &Member) -> Result<(Leaving, bool), Error> {
    if place.kind != SetKind::Documents {
        let rule = "only a document of a set of documents is unsynced alone; leave it out";
        return Err(Error::invalid("leaving", rule));
    }
    let removal = of_words("leaving.removal", words::REMOVALS, &line.removal)?;
    let only_on_cloud = member.nodes.on_premise.is_none() && member.nodes.cloud.is_some();
    if line.clearing && !(only_on_cloud && removal != Removal::None) {
        let rule = "is of a member that has a cloud copy only, which is to be removed";
        return Err(Error::invalid("leaving.clearing", rule));
    }
    let actor = line.actor.clone();
    Ok((Leaving { removal, actor }, line.clearing))
}

fn state(place: &Place, line: &BaseLine, kind: NodeKind) -> Result<State, Error> {
    let parent = line
        .parent_uid
        .map(|uid| MemberId(id_in(place.network, uid)));
    Ok(State {
        projection: Arc::new(projection("base.look", &line.look, kind)?),
        parent,
    })
}

fn copy(
    place: &Place,
    (side, field): (Side, &str),
    line: &CopyLine,
    (member, kind): (MemberId, NodeKind),
    base: &Option<State>,
) -> Result<Copy, Error> {
    check_node_id(&format!("{field}.node_id"), &line.node_id)?;
    if !line.parent_node_id.is_empty() {
        check_node_id(&format!("{field}.parent_node_id"), &line.parent_node_id)?;
    }
    let state = line.state.as_deref().map_or(Ok(CopyState::Live), |word| {
        of_words(&format!("{field}.state"), words::COPY_STATES, word)
    })?;
    let field = format!("{field}.look");
    let projection = match (&line.look, base) {
        (Some(look), _) => Arc::new(projection(&field, look, kind)?),
        (None, Some(base)) => Arc::clone(&base.projection),
        (None, None) => {
            return Err(Error::invalid(field, "is needed where there is no base"));
        }
    };
    Ok(Copy {
        member: Some(member),
        state,
        // Till it is listed: what ends before that is released, which leaves a copy that is not locked as it is.
        locked: side == Side::OnPremise && place.locks,
        ..unlinked(
            place,
            side,
            (&line.node_id, &line.parent_node_id),
            projection,
        )
    })
}

/// A node that was unlinked.
pub(super) fn left(place: &Place, line: &LeftLine) -> Result<Copy, Error> {
    let side = of_words("side", words::SIDES, &line.side)?;
    let kind = of_words("kind", words::NODE_KINDS, &line.kind)?;
    check_node_id("node_id", &line.node_id)?;
    check_node_id("parent_node_id", &line.parent_node_id)?;
    let look = Look {
        name: line.name.clone(),
        digest: None,
        size: None,
        properties: std::collections::BTreeMap::new(),
        node_type: String::new(),
    };
    let projection = Arc::new(projection("", &look, kind)?);
    let nodes = (line.node_id.as_str(), line.parent_node_id.as_str());
    Ok(unlinked(place, side, nodes, projection))
}

/// A node that is gone.
pub(super) fn gone(place: &Place, line: &GoneLine) -> Result<Copy, Error> {
    let state = of_words("state", words::COPY_STATES, &line.state)?;
    if !matches!(state, CopyState::Gone(_)) {
        let rule = "must be DELETED or MOVED_OUT of a node that is gone";
        return Err(Error::invalid("state", rule));
    }
    let node = LeftLine {
        side: line.side.clone(),
        kind: line.kind.clone(),
        node_id: line.node_id.clone(),
        parent_node_id: line.parent_node_id.clone(),
        name: line.name.clone(),
    };
    Ok(Copy {
        state,
        ..left(place, &node)?
    })
}

/// A node without a member; its revision, its agent tells.
fn unlinked(
    place: &Place,
    side: Side,
    (node, parent): (&str, &str),
    projection: Arc<Projection>,
) -> Copy {
    Copy {
        repository: *place.repositories.get(side),
        node: NodeId(node.to_owned()),
        member: None,
        state: CopyState::Left,
        parent: NodeId(parent.to_owned()),
        name_key: place.rules.get(side).key(&projection.name),
        revision: String::new(),
        projection,
        locked: false,
        edited: false,
        actor: String::new(),
        unfit: None,
        past: Vec::new(),
    }
}

fn projection(field: &str, look: &Look, kind: NodeKind) -> Result<Projection, Error> {
    let at = |name: &str| match field {
        "" => name.to_owned(),
        field => format!("{field}.{name}"),
    };
    check_name(&look.name).map_err(|rule| Error::invalid(at("name"), rule.to_string()))?;
    let content = content(&at, look)?;
    if kind == NodeKind::Folder && content.is_some() {
        return Err(Error::invalid(at("digest"), "a folder has no content"));
    }
    Ok(Projection {
        kind,
        name: look.name.clone(),
        content,
        properties: properties(&at("properties"), look)?,
        node_type: look.node_type.clone(),
    })
}

fn content(at: &impl Fn(&str) -> String, look: &Look) -> Result<Option<ContentRef>, Error> {
    let (digest, size) = match (&look.digest, look.size) {
        (None, None) => return Ok(None),
        (Some(digest), Some(size)) => (digest, size),
        _ => {
            let rule = "digest and size come together; give both, or neither";
            return Err(Error::invalid(at("digest"), rule));
        }
    };
    let bytes = hex::decode(digest).ok();
    let digest = bytes.and_then(|bytes| Digest::from_bytes(&bytes));
    let digest = digest.ok_or_else(|| {
        let rule = "must be a SHA-256 digest: 64 hexadecimal digits";
        Error::invalid(at("digest"), rule)
    })?;
    if !(0..=CONTENT_BYTES_MAX).contains(&size) {
        let rule = format!("must be 0 to {CONTENT_BYTES_MAX}");
        return Err(Error::invalid(at("size"), rule));
    }
    Ok(Some(ContentRef { digest, size }))
}

/// R-PRJ-1: what is not on the list is dropped.
fn properties(field: &str, look: &Look) -> Result<Properties, Error> {
    let mut properties = Properties::new();
    let mut bytes = 0;
    for (name, given) in &look.properties {
        let value = value(&format!("{field}.{name}"), given)?;
        bytes += name.len() + size_of_value(&value);
        if is_allowed(name) {
            properties.insert(name.clone(), value);
        }
    }
    if bytes > PROPERTIES_BYTES_MAX {
        let rule = format!("properties have at most {PROPERTIES_BYTES_MAX} bytes together");
        return Err(Error::invalid(field, rule));
    }
    Ok(properties)
}

fn size_of_value(value: &PropertyValue) -> usize {
    match value {
        PropertyValue::Text(text) => text.len(),
        PropertyValue::TextList(texts) => texts.iter().map(String::len).sum(),
        _ => 16,
    }
}

fn value(field: &str, given: &Value) -> Result<PropertyValue, Error> {
    Ok(match given {
        Value::Text(text) => PropertyValue::Text(text.clone()),
        Value::Flag(flag) => PropertyValue::Flag(*flag),
        Value::Integer(number) => PropertyValue::Integer(*number),
        Value::Number(text) => {
            let number: f64 = text
                .parse()
                .map_err(|_| Error::invalid(field, "must be a decimal number"))?;
            PropertyValue::Number(number.to_bits())
        }
        Value::Timestamp(seconds, nanos) => PropertyValue::Timestamp(*seconds, *nanos),
        Value::TextList(texts) => PropertyValue::TextList(texts.clone()),
    })
}
