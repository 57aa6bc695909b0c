//! The planted bugs, each with who is to find it.

/// Who is to find a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finder {
    /// A seed of the simulation breaks a promise.
    Simulation,
    /// A test of this target fails, among those whose names contain the text.
    Tests(Target, &'static str),
}

/// A target of `cargo test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Unit tests of the coordinator, and its service on real SQLite.
    Server,
    /// The table and the guard against their naive models.
    Models,
    /// The rules, each told in a few sentences in a world without faults.
    Rules,
}

impl Target {
    /// The arguments for `cargo test`.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["--package", "tandem-server", "--lib"],
            Self::Models => &["--package", "tandem-server", "--test", "naive_model"],
            Self::Rules => &["--package", "tandem-tests", "--test", "it"],
        }
    }
}

const MODELS: Finder = Finder::Tests(Target::Models, "");
const RULES: Finder = Finder::Tests(Target::Rules, "rules_");
const IN_FLIGHT: Finder = Finder::Tests(Target::Rules, "in_flight::");
const SIMULATION: Finder = Finder::Simulation;

const PORTABLE: Finder = tests("service::portable");
const DOCUMENTS: Finder = tests("management_tests::documents");

const fn tests(filter: &'static str) -> Finder {
    Finder::Tests(Target::Server, filter)
}

/// Every bug by its name in the code.
pub(crate) const BUGS: &[(&str, Finder)] = &[
    // Reconciling (SPEC §5, §7).
    ("locked-copy-pushed", MODELS),
    ("equal-changes-conflict", SIMULATION),
    ("deletion-beats-change", SIMULATION),
    ("moved-out-beats-change", MODELS),
    ("cloud-deletion-allowed", MODELS),
    ("cloud-copy-always-removed", SIMULATION),
    ("on-premise-always-deleted", SIMULATION),
    // Conflicts, their policies, and how the base moves (§6).
    ("policy-ignored", SIMULATION),
    ("deletion-beats-kept-change", MODELS),
    ("merge-is-a-conflict", SIMULATION),
    ("merge-keeps-one-side", tests("domain::fields")),
    ("answers-are-no-loop", RULES),
    ("loser-wins", SIMULATION),
    ("loser-not-kept", SIMULATION),
    ("loser-becomes-no-sibling", SIMULATION),
    ("conflict-unrecorded", SIMULATION),
    ("conflict-moves-no-base", SIMULATION),
    ("closed-conflict-stays-open", SIMULATION),
    ("clash-policy-ignored", SIMULATION),
    ("anything-adopted", RULES),
    ("result-is-always-the-base", RULES),
    // Deletes, ends and the guard (§7, §9).
    ("folder-removed-before-its-content", RULES),
    ("refilled-folder-counts-as-removed", SIMULATION),
    ("void-removal-stands", RULES),
    ("gone-folder-not-walked", SIMULATION),
    ("removals-uncounted", RULES),
    ("guard-forgets-the-done", MODELS),
    ("guard-trusts-empty-roots", MODELS),
    ("failures-uncounted", SIMULATION),
    ("pause-ignored", tests("management_tests::pauses")),
    (
        "removal-waits-for-locks",
        Finder::Tests(Target::Rules, "endings::r_uns_1"),
    ),
    (
        "pause-keeps-last-changes",
        Finder::Tests(Target::Rules, "pauses::r_uns_1"),
    ),
    // Names, moves and rings (§5, §8).
    ("names-compared-exactly", tests("domain::names")),
    ("unicode-forms-differ", tests("domain::names")),
    ("freed-name-wakes-nobody", SIMULATION),
    ("made-folder-wakes-nobody", SIMULATION),
    ("ring-stays-closed", SIMULATION),
    ("cycle-delivered", RULES),
    ("cycle-never-undone", RULES),
    // Membership (§3).
    ("working-copy-enters", SIMULATION),
    ("subfolders-always-enter", SIMULATION),
    ("left-node-enters", RULES),
    ("gone-node-enters", RULES),
    ("lock-outlives-membership", SIMULATION),
    // Online edits (§10).
    ("online-edit-ignored", RULES),
    ("made-too-late-stays", RULES),
    ("edit-wakes-nobody", tests("management_tests::editing")),
    // Observations and outcomes (§4, §5).
    ("echo-keeps-old-revision", SIMULATION),
    ("stale-changes-nothing", SIMULATION),
    ("mark-ignored", RULES),
    ("version-unnoted", SIMULATION),
    // Generations and fencing (§11).
    ("restored-coordinator-unnoticed", tests("domain::session")),
    ("collected-during-a-backup", tests("service::backup")),
    ("restored-mark-ignored", tests("domain::session")),
    ("absence-in-a-generation-deletes", SIMULATION),
    ("lost-node-stays-lost", SIMULATION),
    ("nothing-adopted", RULES),
    ("past-forgotten", RULES),
    ("used-key-admitted", SIMULATION),
    ("other-installation-admitted", SIMULATION),
    // Agents.
    ("agent-overwrites-any-revision", SIMULATION),
    ("agent-deletes-any-revision", SIMULATION),
    ("agent-deletes-what-is-inside", SIMULATION),
    ("agent-archives-nothing", SIMULATION),
    ("agent-outbox-lost-in-a-crash", SIMULATION),
    ("agent-purges-unanswered", SIMULATION),
    // Ingest, journal and content on real SQLite.
    ("gap-accepted", tests("management_tests::batches")),
    (
        "used-number-counts-again",
        tests("management_tests::batches"),
    ),
    ("old-epoch-writes", tests("management_tests::batches")),
    ("node-in-two-sets", tests("create_set::tests")),
    ("cursor-mark-unchecked", tests("management_tests::journal")),
    ("cursor-of-any-network", tests("management_tests::journal")),
    (
        "conflict-of-any-network",
        tests("management_tests::conflicts"),
    ),
    ("losers-expire", tests("management_tests::conflicts")),
    ("disputed-content-expires", SIMULATION),
    ("aside-name-stays", SIMULATION),
    ("name-given-back-agrees-on-all", IN_FLIGHT),
    ("new-content-unlinked", IN_FLIGHT),
    ("repeated-create-is-agreed-again", IN_FLIGHT),
    ("peer-moves-back", RULES),
    ("returned-node-has-no-base", RULES),
    ("forgotten-content-unkept", RULES),
    ("older-answer-counts-as-release", IN_FLIGHT),
    // Export and import, on real SQLite.
    ("export-forgets-pauses", PORTABLE),
    ("export-forgets-the-leaving", PORTABLE),
    ("export-forgets-the-left", PORTABLE),
    ("import-forgets-bases", PORTABLE),
    ("import-is-not-listed", PORTABLE),
    ("import-made-again", PORTABLE),
    ("import-reaches-any-network", PORTABLE),
    ("import-takes-any-node", PORTABLE),
    ("member-imported-twice", PORTABLE),
    ("unplaced-node-imported", PORTABLE),
    ("cut-import-accepted", PORTABLE),
    ("half-an-import-stays", PORTABLE),
    // One of several documents is unsynced.
    ("one-document-ends-its-set", DOCUMENTS),
    ("left-document-forgotten", DOCUMENTS),
    ("carried-documents-untold", DOCUMENTS),
    ("places-unasked", DOCUMENTS),
    ("checked-out-copy-removed", tests("management_tests::sets")),
    // Types (§4), sessions without a stream, and answers that are repeated.
    ("type-counts", tests("r_prj_3")),
    ("type-sent-to-anybody", tests("r_prj_3")),
    ("pull-answered-once", tests("transport::exchange")),
    ("two-pulls-wait", tests("transport::exchange")),
    ("answer-not-kept", tests("failing_calls::r_agt_3")),
    (
        "named-content-collected",
        tests("content::tests::collecting"),
    ),
];
