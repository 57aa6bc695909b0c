//! Every bug that can be planted has somebody who is to find it, and the other way round.

use std::collections::BTreeSet;

use crate::source;

const LIST: &str = "tests/src/bin/planted/bugs.rs";

/// The texts in quotes that look like the name of a bug, and follow directly on an opening bracket.
fn named(text: &str, bracket: &str) -> BTreeSet<String> {
    let places = text.split(bracket).skip(1);
    let quoted = places.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let is_name = |name: &&str| name.contains('-') && !name.contains(' ');
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_planted_bug_is_listed_with_its_finder() {
    let mut planted = BTreeSet::new();
    for folder in ["server/src", "tests/src/sim"] {
        for path in source::rust_files(folder) {
            planted.extend(named(&source::read(&path), "planted("));
        }
    }
    let list = source::read(LIST.as_ref());
    assert_eq!(planted, named(&list, "("));
    assert!(planted.len() > 80, "{planted:?}");
}

#[test]
fn names_of_bugs_are_read() {
    let text = "if planted(\"a-b\") || planted(\n    \"c-d\") || planted(bug) {}";
    let expected = ["a-b", "c-d"].map(str::to_owned);
    assert_eq!(named(text, "planted("), expected.into());
}
