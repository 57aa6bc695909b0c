//! The points at which a process may stop, by name: `crash_sweep.rs` lets real processes die at each, and shows that, once
//! everything runs again, the end is the one without a crash (I22). Smaller tests stop there too, and say in their comment
//! where: `/// Stops at S4 and S5.`

use std::collections::BTreeSet;

use crate::{crash_sweep, rules, source};

/// Every point, of the coordinator (S) and of an agent (K).
const POINTS: &[(&str, &str)] = &[
    ("S1", "before a batch is read"),
    ("S2", "a batch is checked, its transaction not begun"),
    ("S3", "content is stored, its row is not"),
    ("S4", "in a transaction, before its commit"),
    ("S5", "committed, not answered"),
    ("S6", "answered, and the answer is lost"),
    ("S7", "in the middle of a stream"),
    ("S8", "in the transaction of a conflict"),
    ("S9", "while a set ends"),
    ("S10", "while the journal is shortened"),
    ("S11", "while content is collected"),
    ("S12", "in a migration"),
    ("S13", "while the coordinator shuts down"),
    ("K1", "scanned, not in the outbox"),
    ("K2", "in the outbox, not sent"),
    ("K3", "sent, not answered"),
    ("K4", "answered, still in the outbox"),
    ("K5", "a temporary file is half written"),
    ("K6", "it is whole, and not in its place"),
    ("K7", "in its place, and not noted"),
    ("K8", "applied, and nobody was told"),
    ("K9", "in the middle of a tree that is deleted"),
    ("K10", "in the middle of a move between folders"),
    ("K11", "what was not flushed is lost"),
];

/// Points that are nowhere in the code: a process that dies leaves what it wrote to the kernel, so the kernel must forget it
/// too (`power_cut.rs`).
const BY_POWER: &[&str] = &["K11"];

/// Points in what is not offered yet, each with the words of the README that say so.
const NOT_OFFERED: &[(&str, &str)] = &[];

/// What comments of tests say before they name points.
const STOPS: &str = "/// Stops at ";

/// The points that the comment of a test names.
fn named(test: &str) -> BTreeSet<String> {
    let told = test.lines().filter_map(|line| line.strip_prefix(STOPS));
    let words = told.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
    let is_point = |word: &&str| {
        let digits = word.strip_prefix(['S', 'K']).unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    words.filter(is_point).map(str::to_owned).collect()
}

/// The points that comments of tests name.
fn told() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["server", "client", "tests"] {
        for path in source::rust_files(folder) {
            if !path.ends_with("it/crash_points.rs") {
                let tests = rules::tests_of(&source::read(&path));
                found.extend(tests.iter().flat_map(|test| named(test)));
            }
        }
    }
    found
}

/// The points that the code has: `tandem_crash::at("S4")`.
fn in_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in ["server/src", "client/src"]
        .iter()
        .flat_map(|folder| source::rust_files(folder))
    {
        let text = source::read(&path);
        let calls = text.split("tandem_crash::at(\"").skip(1);
        found.extend(
            calls
                .filter_map(|call| call.split('"').next())
                .map(str::to_owned),
        );
    }
    found
}

/// What the README lists as not there yet, in one line.
fn not_yet() -> String {
    let readme = source::read("README.md".as_ref());
    let listed = readme.split("## Not yet").nth(1).unwrap();
    listed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_point_is_one_at_which_real_processes_die() {
    let died = crash_sweep::points();
    let (not_yet, told) = (not_yet(), told());
    let mut wrong = Vec::new();
    for (point, what) in POINTS {
        let left_out = NOT_OFFERED.iter().find(|(left_out, _)| left_out == point);
        match (left_out, died.contains(*point)) {
            (None, false) if !(BY_POWER.contains(point) && told.contains(*point)) => {
                wrong.push(format!("{point} ({what}): nobody dies there"));
            }
            (Some(_), true) => wrong.push(format!("{point} ({what}) is offered by now")),
            (Some((_, feature)), false) if !not_yet.contains(feature) => wrong.push(format!(
                "{point} ({what}): the README does not say that this is not there: {feature}"
            )),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert_eq!(
        in_code(),
        died,
        "points in the code, and those where somebody dies"
    );
}

#[test]
fn comments_name_points_that_there_are() {
    let unknown: Vec<String> = told()
        .into_iter()
        .filter(|told| !POINTS.iter().any(|(point, _)| point == told))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn points_are_read_from_comments() {
    let found = named("#[test]\n/// Stops at S1, K10 and K2.\n/// As K3.\nfn s4() {}");
    assert_eq!(found, ["K10", "K2", "S1"].map(str::to_owned).into());
}
