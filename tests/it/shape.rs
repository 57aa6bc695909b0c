//! The shape of the code: sizes, proofs, comments, and tests that nobody runs.

use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::{rules, source};

/// Lines of a source file outside tests.
const FILE_LINES_MAX: usize = 600;
/// An `expect` says why it cannot fail; that takes more characters than this.
const PROOF_CHARS_MIN: usize = 15;
fn program_files() -> Vec<PathBuf> {
    [
        "proto/src",
        "tests/crash/src",
        "tests/database/src",
        "migrations/src",
        "server/src",
        "client/src",
    ]
    .iter()
    .flat_map(|folder| source::rust_files(folder))
    .collect()
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut files = program_files();
    files.extend(source::rust_files("tests/src"));
    files.extend(source::rust_files("tests/bench"));
    let found: Vec<String> = files
        .iter()
        .map(|path| (path, source::read(path).lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines} lines; split it by noun", path.display()))
        .collect();
    assert_none(&found);
}

#[test]
fn every_test_file_is_listed_by_its_parent() {
    let found: Vec<String> = source::rust_files("tests/it")
        .iter()
        .filter(|path| !path.ends_with("it/main.rs") && !is_listed(path))
        .map(|path| format!("{} is in no `mod` line: nobody runs it", path.display()))
        .collect();
    assert_none(&found);
}

fn is_listed(path: &Path) -> bool {
    let mut module = path.with_extension("");
    if module.ends_with("mod") {
        module.pop();
    }
    let folder = module.parent().unwrap();
    let parent = match folder.ends_with("it") {
        true => folder.join("main.rs"),
        false if source::repository().join(folder).join("mod.rs").exists() => folder.join("mod.rs"),
        false => folder.with_extension("rs"),
    };
    let name = module.file_name().unwrap().to_string_lossy();
    source::tokens(&source::read(&parent))
        .windows(2)
        .any(|pair| pair[0].text == "mod" && pair[1].text == name)
}

/// Calls of `unwrap`, and of `expect` without a proof, outside tests.
fn unproven(text: &str) -> Vec<usize> {
    source::tokens(text)
        .windows(4)
        .filter(|tokens| tokens[0].text == "." && tokens[2].text == "(" && !tokens[0].test)
        .filter(|tokens| match tokens[1].text.as_str() {
            "unwrap" => true,
            "expect" => !is_proof(&tokens[3].text),
            _ => false,
        })
        .map(|tokens| tokens[1].line)
        .collect()
}

fn is_proof(argument: &str) -> bool {
    let inner = argument.trim_matches('"');
    inner.len() + 2 == argument.len() && inner.chars().count() > PROOF_CHARS_MIN
}

#[test]
fn nothing_outside_tests_may_panic_without_a_proof() {
    let found: Vec<String> = program_files()
        .iter()
        .filter(|path| !source::is_test_file(path))
        .flat_map(|path| {
            unproven(&source::read(path))
                .into_iter()
                .map(move |line| (path, line))
        })
        .map(|(path, line)| format!("{}:{line}: say in `expect` why this holds", path.display()))
        .collect();
    assert_none(&found);
}

#[test]
fn planted_panics_are_found() {
    let text = r#"
        fn f() { a.unwrap(); b.expect("short"); c.expect(&message); d.unwrap_or(1); }
        fn g() { e.expect("the list was filled two lines above"); }
        #[cfg(test)] mod tests { fn h() { i.unwrap(); } }
    "#;
    assert_eq!(unproven(text), [2, 2, 2]);
}

/// Mentions of rules that the specification does not have.
fn unknown_rules(text: &str) -> Vec<String> {
    let mentions = text.match_indices("R-").map(|(at, _)| &text[at + 2..]);
    mentions
        .filter_map(|rest| {
            let (family, rest) = rest.split_once('-')?;
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let number: u32 = rest[..digits].parse().ok()?;
            let is_family = family.len() == 3 && family.bytes().all(|b| b.is_ascii_uppercase());
            let is_known = rules::exists(family, number);
            (is_family && !is_known).then(|| format!("R-{family}-{number}"))
        })
        .collect()
}

#[test]
fn every_rule_that_is_named_exists() {
    let mut files = program_files();
    files.extend(
        source::rust_files("tests")
            .into_iter()
            .filter(|path| !path.ends_with("shape.rs")),
    );
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| {
            unknown_rules(&source::read(path))
                .into_iter()
                .map(move |rule| format!("{}: there is no rule {rule}", path.display()))
        })
        .collect();
    assert_none(&found);
}

#[test]
fn a_planted_rule_is_found() {
    assert_eq!(
        unknown_rules("R-AGT-3, R-AGT-11; R-XYZ-1 and R-SET-0"),
        ["R-AGT-11", "R-XYZ-1", "R-SET-0"]
    );
}

#[test]
fn every_element_of_the_wire_has_a_comment() {
    let set = FileDescriptorSet::decode(tandem_proto::DESCRIPTOR_SET).unwrap();
    let ours: Vec<&FileDescriptorProto> = set
        .file
        .iter()
        .filter(|file| file.package() == "tandem.v1")
        .collect();
    assert!(ours.len() >= 9, "{}", ours.len());
    let found: Vec<String> = ours.into_iter().flat_map(uncommented).collect();
    assert_none(&found);
}

fn uncommented(file: &FileDescriptorProto) -> Vec<String> {
    let locations = &file.source_code_info.as_ref().unwrap().location;
    locations
        .iter()
        .filter(|location| is_element(&location.path))
        .filter(|location| location.leading_comments().trim().is_empty())
        .map(|location| format!("{}:{}: no comment", file.name(), location.span[0] + 1))
        .collect()
}

/// Is this path of numbers a message, field, oneof, enum, value, service or method, at any depth? The numbers are those
/// of `google/protobuf/descriptor.proto`.
fn is_element(path: &[i32]) -> bool {
    match path {
        [4..=6, _] => true,
        [4, _, 3 | 4, _] | [4, _, 2 | 8, _] | [5 | 6, _, 2, _] => true,
        [4, _, 3, nested @ ..] if nested.len() > 2 => is_element(&[&[4], nested].concat()),
        [4, _, 4, nested @ ..] if nested.len() > 2 => is_element(&[&[5], nested].concat()),
        _ => false,
    }
}
