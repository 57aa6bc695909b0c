//! Flags for what a new set does about conflicts; the same wherever sets are made.

use clap::{Args, ValueEnum};
use tandem_proto::v1::{self as wire, SyncSetOptions};

/// What a new set does where its two sides differ.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Policies {
    /// Whose state holds when both sides changed a node differently
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pub conflict_policy: ConflictPolicy,
    /// What collides
    #[arg(long, value_name = "GRAIN", value_enum, default_value_t)]
    pub conflict_grain: ConflictGrain,
    /// What becomes of two new nodes under one name
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pub name_clash_policy: NameClashPolicy,
}

/// Whose state holds in a conflict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ConflictPolicy {
    /// The cloud's
    #[default]
    CloudWins,
    /// The on-premise one's
    OnPremiseWins,
    /// The cloud's, and on-premise content that loses becomes a sibling; a change beats a deletion
    KeepBoth,
    /// A person decides; until then both copies stay as they are
    Manual,
}

/// What collides in a conflict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ConflictGrain {
    /// Any two changes of one node
    #[default]
    WholeNode,
    /// Only two changes of the same: name, content, place, or one property
    PerField,
}

/// What becomes of two new nodes under one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NameClashPolicy {
    /// Both fail until one is renamed
    #[default]
    Fail,
    /// Equal ones are paired, and folders
    AdoptIdentical,
    /// The on-premise one gets a free name
    Rename,
}

impl Policies {
    /// The options with these policies.
    #[must_use]
    pub fn set(self, options: SyncSetOptions) -> SyncSetOptions {
        let conflict_policy = match self.conflict_policy {
            ConflictPolicy::CloudWins => wire::ConflictPolicy::CloudWins,
            ConflictPolicy::OnPremiseWins => wire::ConflictPolicy::OnPremiseWins,
            ConflictPolicy::KeepBoth => wire::ConflictPolicy::KeepBoth,
            ConflictPolicy::Manual => wire::ConflictPolicy::Manual,
        };
        let conflict_grain = match self.conflict_grain {
            ConflictGrain::WholeNode => wire::ConflictGrain::WholeNode,
            ConflictGrain::PerField => wire::ConflictGrain::PerField,
        };
        let name_clash_policy = match self.name_clash_policy {
            NameClashPolicy::Fail => wire::NameClashPolicy::Fail,
            NameClashPolicy::AdoptIdentical => wire::NameClashPolicy::AdoptIdentical,
            NameClashPolicy::Rename => wire::NameClashPolicy::Rename,
        };
        SyncSetOptions {
            name_clash_policy: name_clash_policy.into(),
            conflict_grain: conflict_grain.into(),
            conflict_policy: conflict_policy.into(),
            ..options
        }
    }
}
