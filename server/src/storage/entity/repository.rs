//! The table `repository`.

use sea_orm::entity::prelude::*;

/// A content store that takes part, with the state of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "repository")]
pub struct Model {
    /// The row; never leaves the process.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its network.
    pub network: i64,
    /// The name in `networks/{network}/repositories/{name}`; unique in the network.
    pub name: String,
    /// `ON_PREMISE` or `CLOUD`; never changes.
    pub side: String,
    /// The name people see.
    pub display_name: String,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// The installation that is bound; none before the first session.
    pub installation: Option<String>,
    /// The id of the agent's index (R-AGT-10).
    pub index_id: Option<String>,
    /// The generation of its state; 0 before the first session.
    pub generation: i64,
    /// The epoch of the newest session; 0 before the first.
    pub epoch: i64,
    /// The resume key that counts (R-AGT-2).
    pub resume_key: Option<Vec<u8>>,
    /// The resume key that was sent but is not confirmed yet.
    pub pending_resume_key: Option<Vec<u8>>,
    /// A clone was refused; set by the handshake, cleared by rebind.
    pub cloned: bool,
    /// The next session is accepted whatever its installation; set by rebind, cleared by the handshake.
    pub rebind: bool,
    /// The number of the last accepted batch (R-AGT-3).
    pub batch_number: i64,
    /// The id of the last accepted batch.
    pub batch_id: Option<Vec<u8>>,
    /// The agent's own cursor after the last accepted batch.
    pub cursor: Option<Vec<u8>>,
    /// How the repository compares the case of names (R-REC-10).
    pub name_rule_case: Option<String>,
    /// How the repository compares the Unicode form of names (R-REC-10).
    pub name_rule_unicode: Option<String>,
    /// What the agent declared that it can keep.
    pub capabilities: Option<Vec<u8>>,
    /// Nothing of its sets is delivered (R-SET-7).
    pub paused: bool,
}

/// None: joins are written where they are needed.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
