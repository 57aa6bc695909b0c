//! Every rule of the specification is named where it is decided, and by a test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source;

/// The rules of the specification: each family with its highest number.
pub(crate) const FAMILIES: &[(&str, u32)] = &[
    ("ADM", 1),
    ("AGT", 10),
    ("CNT", 2),
    ("CON", 5),
    ("CPY", 1),
    ("DEL", 4),
    ("ERR", 2),
    ("IDN", 2),
    ("JRN", 1),
    ("LCK", 2),
    ("MEM", 4),
    ("MOV", 6),
    ("PRJ", 5),
    ("REC", 11),
    ("REQ", 1),
    ("SET", 7),
    ("SRV", 1),
    ("STA", 2),
    ("UNS", 2),
];

/// Rules that are not kept yet: named in no code, or by no test. Whoever builds one takes it off this list.
const NOT_YET: &[&str] = &["R-SRV-1"];

/// Whether a family has a rule of this number.
pub(crate) fn exists(family: &str, number: u32) -> bool {
    FAMILIES
        .iter()
        .any(|(name, last)| *name == family && (1..=*last).contains(&number))
}

fn all_rules() -> Vec<String> {
    FAMILIES
        .iter()
        .flat_map(|(family, last)| (1..=*last).map(move |number| format!("R-{family}-{number}")))
        .collect()
}

/// The rules that a text names, as `R-REC-1` or `r_rec_1`.
fn named(text: &str) -> BTreeSet<String> {
    let text = text.to_uppercase().replace('_', "-");
    text.match_indices("R-")
        .filter(|(at, _)| !text[..*at].ends_with(|before: char| before.is_alphanumeric()))
        .filter_map(|(at, _)| rule_at(&text[at + 2..]))
        .collect()
}

/// The rule that a text goes on with, behind its `R-`.
fn rule_at(rest: &str) -> Option<String> {
    let (family, rest) = rest.split_once('-')?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let number = digits.parse().ok()?;
    exists(family, number).then(|| format!("R-{family}-{number}"))
}

/// What is no test: the file without its last module, where that is of tests.
fn product_of(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("")
}

/// Each test function with its comment.
pub(crate) fn tests_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with("fn ") && !line.starts_with("async fn ") {
            continue;
        }
        let above = lines[..at].iter().rev();
        let above: Vec<&str> = above
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
            .copied()
            .collect();
        let is_test = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
        if above.iter().any(is_test) {
            let (name, _) = line.split_once('(').unwrap_or((line, ""));
            found.push([&above[..], &[name]].concat().join("\n"));
        }
    }
    found
}

fn files(folders: &[&str]) -> Vec<PathBuf> {
    folders
        .iter()
        .flat_map(|folder| source::rust_files(folder))
        .collect()
}

fn in_product() -> BTreeSet<String> {
    let files = files(&["proto/src", "migrations/src", "server/src", "client/src"]);
    let code = files.iter().filter(|path| !source::is_test_file(path));
    let code = code.map(|path| product_of(&source::read(path)).to_owned());
    let wire = source::files("proto/tandem", "proto");
    let wire = wire.iter().map(|path| source::read(path));
    code.chain(wire).flat_map(|text| named(&text)).collect()
}

fn in_tests() -> BTreeSet<String> {
    let files = files(&["server", "client", "proto", "tests"]);
    let files = files.iter().filter(|path| !is_this(path));
    let tests = files.flat_map(|path| tests_of(&source::read(path)));
    tests.flat_map(|test| named(&test)).collect()
}

fn is_this(path: &Path) -> bool {
    path.ends_with("it/rules.rs")
}

#[test]
fn every_rule_is_named_where_it_is_decided_and_by_a_test() {
    let (product, tests) = (in_product(), in_tests());
    let mut wrong = Vec::new();
    for rule in all_rules() {
        let (decided, tested) = (product.contains(&rule), tests.contains(&rule));
        match (NOT_YET.contains(&rule.as_str()), decided && tested) {
            (true, true) => wrong.push(format!("{rule} is kept by now: take it off NOT_YET")),
            (false, false) if !decided => wrong.push(format!("{rule} is named in no code")),
            (false, false) => wrong.push(format!("{rule} is named by no test")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_rule_is_found_in_comments_and_names_of_tests_only() {
    let text = "
        /// R-SET-1
        fn helper() {}
        /// Of R-SET-2.
        #[test]
        fn one_thing() {}
        #[tokio::test]
        async fn r_set_3_and_r_rec_11_hold() {}
        #[test]
        fn for_r_set_99_there_is_none() { r_set_4(); }
    ";
    let found: BTreeSet<String> = tests_of(text).iter().flat_map(|test| named(test)).collect();
    let expected = ["R-REC-11", "R-SET-2", "R-SET-3"].map(str::to_owned);
    assert_eq!(found, expected.into());
    let file = "/// R-SET-1\n#[cfg(test)]\nmod tests {\n/// R-SET-2\n}";
    assert_eq!(named(product_of(file)), ["R-SET-1".to_owned()].into());
}
