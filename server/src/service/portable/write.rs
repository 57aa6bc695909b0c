//! Rows as lines of an export.

use std::sync::Arc;

use super::format::{
    BaseLine, CopyLine, DeletingLine, GoneLine, LeavingLine, LeftLine, Look, MemberLine,
    OptionsLine, SetLine, Value,
};
use super::words::{self, word};
use crate::domain::copy::{Copy, CopyState};
use crate::domain::member::Member;
use crate::domain::planted::planted;
use crate::domain::projection::{Projection, PropertyValue, Side, Sides};
use crate::domain::sync_set::Options;
use crate::service::sync_sets::SetView;

/// A set.
pub(super) fn set_line(view: &SetView) -> SetLine {
    let set = &view.set;
    SetLine {
        uid: set.id.0,
        kind: word(words::SET_KINDS, &set.kind),
        on_premise_repository: view.repositories.on_premise.clone(),
        cloud_repository: view.repositories.cloud.clone(),
        target_folder_node_id: set.target.0.clone(),
        source_folder_node_id: set.source_folder.0.clone(),
        owner: set.owner.clone(),
        paused: set.paused && !planted("export-forgets-pauses"),
        options: options_line(&set.options),
    }
}

fn options_line(options: &Options) -> OptionsLine {
    OptionsLine {
        include_subfolders: options.include_subfolders,
        lock_on_premise_copy: options.lock_on_premise_copy,
        allow_delete_on_cloud: options.allow_delete_on_cloud,
        delete_on_premise: options.delete_on_premise,
        conflict_policy: word(words::CONFLICT_POLICIES, &options.conflict_policy),
        conflict_grain: word(words::CONFLICT_GRAINS, &options.conflict_grain),
        name_clash_policy: word(words::NAME_CLASH_POLICIES, &options.name_clash_policy),
        max_delete_percent: options.max_delete_percent,
    }
}

/// A member with its copies; `None` of one that has none, since there is nothing to pair.
pub(super) fn member_line(member: &Member, copies: Sides<Option<&Copy>>) -> Option<MemberLine> {
    let has_copy = Side::BOTH.iter().any(|side| copies.get(*side).is_some());
    let over = member.leaving.is_some() && planted("export-forgets-the-leaving");
    if !has_copy || over {
        return None;
    }
    let base = member.base.as_ref();
    let agreed = base.map(|base| &base.projection);
    let line = |side: Side| copies.get(side).map(|copy| copy_line(copy, agreed));
    Some(MemberLine {
        uid: member.id.0,
        kind: word(words::NODE_KINDS, &member.kind),
        direct: member.direct,
        base: base.map(|base| BaseLine {
            parent_uid: base.parent.map(|parent| parent.0),
            look: look(&base.projection),
        }),
        on_premise: line(Side::OnPremise),
        cloud: line(Side::Cloud),
        cloud_copy_deleted: member.cloud_copy_deleted,
        deleting: member.deleting.map(|(side, choice)| DeletingLine {
            side: word(words::SIDES, &side),
            choice: word(words::PEER_CHOICES, &choice),
        }),
        leaving: member.leaving.as_ref().map(|leaving| LeavingLine {
            removal: word(words::REMOVALS, &leaving.removal),
            actor: leaving.actor.clone(),
            clearing: member.clearing,
        }),
        choice: member
            .choice
            .map(|choice| word(words::PEER_CHOICES, &choice)),
        home_node_id: member.home.as_ref().map(|home| home.0.clone()),
        last_synced_at: member.last_synced_at,
    })
}

fn copy_line(copy: &Copy, base: Option<&Arc<Projection>>) -> CopyLine {
    let as_base = base.is_some_and(|base| **base == *copy.projection);
    CopyLine {
        node_id: copy.node.0.clone(),
        parent_node_id: copy.parent.0.clone(),
        state: (copy.state != CopyState::Live).then(|| word(words::COPY_STATES, &copy.state)),
        look: (!as_base).then(|| look(&copy.projection)),
    }
}

/// A node that was unlinked.
pub(super) fn left_line(side: Side, copy: &Copy) -> LeftLine {
    LeftLine {
        side: word(words::SIDES, &side),
        kind: word(words::NODE_KINDS, &copy.projection.kind),
        node_id: copy.node.0.clone(),
        parent_node_id: copy.parent.0.clone(),
        name: copy.projection.name.clone(),
    }
}

/// A node that was a member and is gone.
pub(super) fn gone_line(side: Side, copy: &Copy) -> GoneLine {
    let LeftLine {
        side,
        kind,
        node_id,
        parent_node_id,
        name,
    } = left_line(side, copy);
    GoneLine {
        side,
        kind,
        node_id,
        parent_node_id,
        name,
        state: word(words::COPY_STATES, &copy.state),
    }
}

fn look(projection: &Projection) -> Look {
    let properties = projection.properties.iter();
    Look {
        name: projection.name.clone(),
        digest: projection.content.map(|content| content.digest.to_string()),
        size: projection.content.map(|content| content.size),
        properties: properties
            .map(|(name, given)| (name.clone(), value(given)))
            .collect(),
        node_type: projection.node_type.clone(),
    }
}

fn value(value: &PropertyValue) -> Value {
    match value {
        PropertyValue::Text(text) => Value::Text(text.clone()),
        PropertyValue::Flag(flag) => Value::Flag(*flag),
        PropertyValue::Integer(number) => Value::Integer(*number),
        PropertyValue::Number(bits) => Value::Number(format!("{:?}", f64::from_bits(*bits))),
        PropertyValue::Timestamp(seconds, nanos) => Value::Timestamp(*seconds, *nanos),
        PropertyValue::TextList(texts) => Value::TextList(texts.clone()),
    }
}
