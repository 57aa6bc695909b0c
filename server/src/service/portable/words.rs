//! The words of an export that stand for numbers of the coordinator; those of the wire without their prefixes.

use crate::domain::copy::{Absence, CopyState};
use crate::domain::member::PeerChoice;
use crate::domain::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use crate::domain::projection::{NodeKind, Side};
use crate::domain::sync_set::{Removal, SetKind};

/// Words, each with what it means.
pub(super) type Words<T> = &'static [(&'static str, T)];

pub(super) const SET_KINDS: Words<SetKind> = &[
    ("DOCUMENTS", SetKind::Documents),
    ("FOLDER", SetKind::Folder),
];
pub(super) const NODE_KINDS: Words<NodeKind> = &[
    ("DOCUMENT", NodeKind::Document),
    ("FOLDER", NodeKind::Folder),
];
pub(super) const SIDES: Words<Side> = &[("ON_PREMISE", Side::OnPremise), ("CLOUD", Side::Cloud)];
pub(super) const COPY_STATES: Words<CopyState> = &[
    ("THERE", CopyState::Live),
    ("DELETED", CopyState::Gone(Absence::Deleted)),
    ("MOVED_OUT", CopyState::Gone(Absence::MovedOut)),
];
pub(super) const CONFLICT_POLICIES: Words<ConflictPolicy> = &[
    ("CLOUD_WINS", ConflictPolicy::CloudWins),
    ("ON_PREMISE_WINS", ConflictPolicy::OnPremiseWins),
    ("KEEP_BOTH", ConflictPolicy::KeepBoth),
    ("MANUAL", ConflictPolicy::Manual),
];
pub(super) const CONFLICT_GRAINS: Words<ConflictGrain> = &[
    ("WHOLE_NODE", ConflictGrain::WholeNode),
    ("PER_FIELD", ConflictGrain::PerField),
];
pub(super) const REMOVALS: Words<Removal> = &[
    ("NONE", Removal::None),
    ("MEMBERS", Removal::Members),
    ("EVERYTHING", Removal::Everything),
];
pub(super) const PEER_CHOICES: Words<PeerChoice> =
    &[("REMOVE", PeerChoice::Remove), ("KEEP", PeerChoice::Keep)];
pub(super) const NAME_CLASH_POLICIES: Words<NameClashPolicy> = &[
    ("FAIL", NameClashPolicy::Fail),
    ("ADOPT_IDENTICAL", NameClashPolicy::AdoptIdentical),
    ("RENAME", NameClashPolicy::Rename),
];

/// The word for something; every value that is exported has one.
pub(super) fn word<T: PartialEq>(words: Words<T>, value: &T) -> String {
    let found = words.iter().find(|(_, meant)| meant == value);
    found
        .map(|(word, _)| (*word).to_owned())
        .unwrap_or_default()
}

/// What a word means; else the words that there are.
pub(super) fn meaning<T: Copy>(words: Words<T>, word: &str) -> Result<T, String> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("must be one of {}", known.join(", "))
    })
}
