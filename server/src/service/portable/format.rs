//! The lines of an export. A change that older coordinators would misread raises [`VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the first line says it is.
pub(super) const FORMAT: &str = "tandem.syncSets";
/// The version of the format.
pub(super) const VERSION: u64 = 1;

/// A line; the first is `export` and the last `end`, so that a file that was cut is noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    /// What the file is.
    Export(Header),
    /// A set begins.
    Set(SetLine),
    /// A member of the set.
    Member(Box<MemberLine>),
    /// A node that was unlinked and lies in a folder of the set (R-MEM-4).
    Left(LeftLine),
    /// A node that was in a folder of the set until it was deleted or moved out (R-DEL-4).
    Gone(GoneLine),
    /// The set is told.
    EndSet(EndSet),
    /// Every set is told.
    End(End),
}

/// The first line; of it only what is needed to refuse it is read before its version is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    /// [`FORMAT`].
    pub(super) format: String,
    /// [`VERSION`].
    pub(super) version: u64,
    /// The network that it was made of; for people.
    #[serde(default)]
    pub(super) network: String,
}

/// A set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetLine {
    /// Its id where it was exported.
    pub(super) uid: Uuid,
    /// `DOCUMENTS` or `FOLDER`.
    pub(super) kind: String,
    /// The last part of the repository's name.
    pub(super) on_premise_repository: String,
    /// The last part of the repository's name.
    pub(super) cloud_repository: String,
    /// The cloud folder that receives it.
    pub(super) target_folder_node_id: String,
    /// The on-premise folder that held the synced folder when the set was made; empty = not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) source_folder_node_id: String,
    /// The on-premise user who owns it.
    pub(super) owner: String,
    /// It is paused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) paused: bool,
    /// Its options.
    pub(super) options: OptionsLine,
}

/// Options of a set (R-SET-2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptionsLine {
    pub(super) include_subfolders: bool,
    pub(super) lock_on_premise_copy: bool,
    pub(super) allow_delete_on_cloud: bool,
    pub(super) delete_on_premise: bool,
    pub(super) conflict_policy: String,
    pub(super) conflict_grain: String,
    pub(super) name_clash_policy: String,
    pub(super) max_delete_percent: i32,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberLine {
    /// Its id where it was exported.
    pub(super) uid: Uuid,
    /// `DOCUMENT` or `FOLDER`.
    pub(super) kind: String,
    /// It was chosen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) direct: bool,
    /// How both copies looked when they last agreed; absent = they never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<BaseLine>,
    /// Its on-premise copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on_premise: Option<CopyLine>,
    /// Its cloud copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cloud: Option<CopyLine>,
    /// The cloud copy was deleted and the on-premise one stays.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) cloud_copy_deleted: bool,
    /// Somebody asked to delete a copy, and that is not done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleting: Option<DeletingLine>,
    /// Somebody unsynced it alone, and that is not done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leaving: Option<LeavingLine>,
    /// What is to become of the other copy of one that was deleted: `REMOVE` or `KEEP`; absent = nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) choice: Option<String>,
    /// The on-premise folder in which a chosen node was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) home_node_id: Option<String>,
    /// Microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_synced_at: Option<i64>,
}

/// A deletion that somebody asked for (SPEC §7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeletingLine {
    /// `ON_PREMISE` or `CLOUD`: whose copy goes.
    pub(super) side: String,
    /// `REMOVE` or `KEEP`: what becomes of the other one.
    pub(super) choice: String,
}

/// The end of one membership in a set that goes on (R-UNS-1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeavingLine {
    /// `NONE`, `MEMBERS` or `EVERYTHING`: what becomes of the cloud copy.
    pub(super) removal: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) actor: String,
    /// The on-premise copy is unlinked already, and only the cloud copy is still to be removed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) clearing: bool,
}

/// What both copies agreed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BaseLine {
    /// The member whose folder held it; absent for chosen ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent_uid: Option<Uuid>,
    /// How it looked.
    pub(super) look: Look,
}

/// A copy as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyLine {
    /// The node.
    pub(super) node_id: String,
    /// The folder that holds it; empty = the root given to the agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) parent_node_id: String,
    /// `THERE`, `DELETED` or `MOVED_OUT`; absent = `THERE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// How it looked; absent = as the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) look: Option<Look>,
}

/// How a node looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// Its name.
    pub(super) name: String,
    /// SHA-256 of its content, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// Bytes of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) properties: BTreeMap<String, Value>,
    /// The repository's own type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) node_type: String,
}

/// A property's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Value {
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A double, in the fewest decimal digits that name it: JSON readers do not keep all of them.
    Number(String),
    /// Seconds and nanoseconds since 1970.
    Timestamp(i64, i32),
    /// Texts in order.
    TextList(Vec<String>),
}

/// A node that was unlinked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeftLine {
    /// `ON_PREMISE` or `CLOUD`.
    pub(super) side: String,
    /// `DOCUMENT` or `FOLDER`.
    pub(super) kind: String,
    /// The node.
    pub(super) node_id: String,
    /// The folder that holds it.
    pub(super) parent_node_id: String,
    /// Its name.
    pub(super) name: String,
}

/// A node that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoneLine {
    /// `ON_PREMISE` or `CLOUD`.
    pub(super) side: String,
    /// `DOCUMENT` or `FOLDER`.
    pub(super) kind: String,
    /// The node.
    pub(super) node_id: String,
    /// The folder that held it.
    pub(super) parent_node_id: String,
    /// Its name.
    pub(super) name: String,
    /// `DELETED` or `MOVED_OUT`.
    pub(super) state: String,
}

/// The end of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndSet {
    /// The set.
    pub(super) uid: Uuid,
    /// How many members were told.
    pub(super) members: i64,
}

/// The end of the export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// How many sets were told.
    pub(super) sync_sets: i64,
}

/// serde gives a reference to the field.
fn is_false(value: &bool) -> bool {
    !value
}
