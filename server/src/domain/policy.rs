//! How a set decides where its two sides differ (SPEC §6): fixed at its creation (R-SET-2).

use super::conflict::ConflictKind;
use super::planted::planted;
use super::projection::Side;
use super::sync_set::Options;

/// Which side holds when both copies left the base, differently (R-CON-3); the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum ConflictPolicy {
    /// The cloud's state holds.
    #[default]
    CloudWins = 1,
    /// The mirror image: the on-premise state holds.
    OnPremiseWins = 2,
    /// The cloud's content holds, and the on-premise one becomes a sibling; a change beats a deletion.
    KeepBoth = 3,
    /// Both copies stay as they are until a person decides, or until they are equal.
    Manual = 4,
}

impl ConflictPolicy {
    /// The policy of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::CloudWins,
            Self::OnPremiseWins,
            Self::KeepBoth,
            Self::Manual,
        ]
        .into_iter()
        .find(|policy| *policy as i32 == number)
    }
}

/// What collides (R-CON-2); the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum ConflictGrain {
    /// Any two changes of one node.
    #[default]
    WholeNode = 1,
    /// Name, content, each property and place are independent: only two changes of the same do.
    PerField = 2,
}

impl ConflictGrain {
    /// The grain of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::WholeNode, Self::PerField]
            .into_iter()
            .find(|grain| *grain as i32 == number)
    }
}

/// What becomes of two unpaired nodes under one name (R-REC-9); the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum NameClashPolicy {
    /// Both fail until one is renamed.
    #[default]
    Fail = 1,
    /// Equal ones are paired.
    AdoptIdentical = 2,
    /// The on-premise newcomer gets a free name.
    Rename = 3,
}

impl NameClashPolicy {
    /// The policy of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Fail, Self::AdoptIdentical, Self::Rename]
            .into_iter()
            .find(|policy| *policy as i32 == number)
    }
}

impl Options {
    /// The side whose state holds in a conflict; `None` = a person decides. Nobody may change a locked copy, so there
    /// the cloud's does whatever the policy (R-LCK-1). Moves that make a cycle never wait (R-MOV-5).
    #[must_use]
    pub fn winner(&self, kind: ConflictKind) -> Option<Side> {
        match self.conflict_policy {
            _ if self.lock_on_premise_copy => Some(Side::Cloud),
            _ if planted("policy-ignored") => Some(Side::Cloud),
            ConflictPolicy::CloudWins => Some(Side::Cloud),
            ConflictPolicy::OnPremiseWins => Some(Side::OnPremise),
            ConflictPolicy::KeepBoth if planted("deletion-beats-kept-change") => Some(Side::Cloud),
            ConflictPolicy::KeepBoth if kind == ConflictKind::ChangeDelete => Some(Side::OnPremise),
            ConflictPolicy::KeepBoth => Some(Side::Cloud),
            ConflictPolicy::Manual => (kind == ConflictKind::MoveMove).then_some(Side::Cloud),
        }
    }
}
