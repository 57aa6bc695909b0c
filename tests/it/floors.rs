//! The floors of the coordinator: a file uses its own floor and those below, and only the libraries of its floor.

use std::{collections::BTreeSet, path::Path};

use crate::source::{self, CodePath, Token};

/// What the domain may use: it decides everything and touches nothing.
const DOMAIN_LIBRARIES: &[&str] = &[
    "serde",
    "thiserror",
    "uuid",
    "time",
    "unicode_normalization",
];
/// Parts of the standard library that do IO, look at the clock, or start something.
const DOMAIN_STD_REFUSED: &[&str] = &["fs", "net", "io", "os", "process", "thread", "env"];
/// Words that bring a clock, chance, an order of their own, or waiting into a decision.
const DOMAIN_WORDS_REFUSED: &[&str] = &[
    "SystemTime",
    "Instant",
    "now_utc",
    "now_local",
    "now_v7",
    "new_v4",
    "HashMap",
    "HashSet",
    "async",
    "await",
];
const WIRE: &[&str] = &[
    "tonic",
    "tonic_health",
    "tonic_reflection",
    "tonic_types",
    "tandem_proto",
];
const NETWORK: &[&str] = &["tower", "http"];
const DATABASE: &[&str] = &["sea_orm", "sea_orm_migration", "sqlx", "tandem_migrations"];
const PROGRAM: &[&str] = &["clap", "config", "indicatif", "directories"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    Domain,
    Storage,
    Service,
    Transport,
    /// `app`, `cli`, `config`, `main`, `quickstart`: know everything below.
    Top,
}

impl Floor {
    /// The floor of a module directly below the root of the crate.
    fn of(module: &str) -> Self {
        match module {
            "domain" => Self::Domain,
            "storage" => Self::Storage,
            "service" => Self::Service,
            "transport" => Self::Transport,
            _ => Self::Top,
        }
    }

    fn may_use_floor(self, other: Self) -> bool {
        match self {
            // Transport speaks to the service, which alone speaks to the storage.
            Self::Transport => other <= self && other != Self::Storage,
            _ => other <= self,
        }
    }

    fn may_use_library(self, library: &str, is_quickstart: bool) -> bool {
        let refused: &[&[&str]] = match self {
            Self::Domain => return DOMAIN_LIBRARIES.contains(&library),
            Self::Storage => &[WIRE, NETWORK, PROGRAM],
            Self::Service => &[WIRE, NETWORK, PROGRAM, DATABASE],
            Self::Transport => &[PROGRAM, DATABASE, &["object_store"]],
            Self::Top => &[],
        };
        let is_client = library == "tandem_client";
        !refused.iter().any(|list| list.contains(&library)) && (!is_client || is_quickstart)
    }
}

/// Where a file of `server/src` stands: `storage/tx.rs` is `["storage", "tx"]`.
fn module_of(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.pop_if(|last| last == "mod" || last == "lib" || last == "main");
    names
}

/// Every breach in one file of `server/src`, as a sentence that says what to do.
fn breaches(path: &Path, text: &str, libraries: &BTreeSet<String>) -> Vec<String> {
    let module = module_of(path);
    let top = module.first().map_or("", String::as_str);
    let floor = Floor::of(top);
    let tokens = source::tokens(text);
    let mut found = Vec::new();
    for used in source::paths(&tokens, &module) {
        let breach = floor_breach(floor, &used)
            .or_else(|| library_breach(floor, top == "quickstart", &used, libraries));
        if let Some(why) = breach {
            let name = used.segments.join("::");
            found.push(format!("{}:{}: `{name}`: {why}", path.display(), used.line));
        }
    }
    if floor == Floor::Domain {
        found.extend(refused_words(path, &tokens));
    }
    found
}

fn floor_breach(floor: Floor, used: &CodePath) -> Option<String> {
    let [root, module, ..] = used.segments.as_slice() else {
        return None;
    };
    let other = Floor::of(module);
    let crossing = (root == "crate" || root == "tandem_server")
        && module.starts_with(char::is_lowercase)
        && !floor.may_use_floor(other);
    crossing.then(|| {
        format!("{floor:?} may not use {other:?}; move the code up, or what it needs down")
    })
}

fn library_breach(
    floor: Floor,
    is_quickstart: bool,
    used: &CodePath,
    libraries: &BTreeSet<String>,
) -> Option<String> {
    let root = used.segments.first()?;
    let part = used.segments.get(1).map_or("", String::as_str);
    let is_std_refused =
        floor == Floor::Domain && root == "std" && DOMAIN_STD_REFUSED.contains(&part);
    let is_library_refused =
        libraries.contains(root) && !floor.may_use_library(root, is_quickstart);
    (!used.test && (is_std_refused || is_library_refused))
        .then(|| format!("{floor:?} may not use this library; another floor does that work"))
}

fn refused_words(path: &Path, tokens: &[Token]) -> Vec<String> {
    tokens
        .iter()
        .filter(|token| !token.test && DOMAIN_WORDS_REFUSED.contains(&token.text.as_str()))
        .map(|token| {
            let (file, line, word) = (path.display(), token.line, &token.text);
            format!("{file}:{line}: `{word}`: time, ids and order are arguments of the domain")
        })
        .collect()
}

/// The names, as code writes them, of what a member of the workspace depends on.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = source::read(Path::new(manifest));
    text.lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[test]
fn the_coordinator_keeps_its_floors() {
    let libraries = dependencies("server/Cargo.toml");
    assert!(libraries.contains("tonic"), "{libraries:?}");
    let files = source::rust_files("server/src");
    assert!(files.len() > 10, "{files:?}");
    let found: Vec<String> = files
        .iter()
        .filter(|path| !source::is_test_file(path))
        // It decides nothing, and is empty in every build that is shipped.
        .filter(|path| !path.ends_with("domain/planted.rs"))
        .flat_map(|path| {
            let inside = path.strip_prefix("server/src").unwrap();
            breaches(inside, &source::read(path), &libraries)
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_wire_and_the_schema_history_use_nothing_of_ours() {
    let ours = |manifest| {
        let mut names = dependencies(manifest);
        names.retain(|name| name.starts_with("tandem"));
        names
    };
    assert_eq!(ours("proto/Cargo.toml"), BTreeSet::new());
    assert_eq!(dependencies("tests/crash/Cargo.toml"), BTreeSet::new());
    assert_eq!(ours("tests/database/Cargo.toml"), BTreeSet::new());
    assert_eq!(
        dependencies("migrations/Cargo.toml"),
        BTreeSet::from(["sea_orm_migration".to_owned()])
    );
    assert_eq!(
        ours("client/Cargo.toml"),
        BTreeSet::from(["tandem_crash", "tandem_proto"].map(str::to_owned))
    );
}

/// How many breaches a planted text makes.
fn planted(path: &str, text: &str) -> usize {
    let libraries = [
        "tonic",
        "tokio",
        "sea_orm",
        "sqlx",
        "clap",
        "tandem_client",
        "tandem_proto",
    ]
    .map(str::to_owned)
    .into();
    breaches(Path::new(path), text, &libraries).len()
}

#[test]
fn a_planted_breach_of_the_domain_is_found() {
    for text in [
        "use crate::storage::Store;",
        "fn f() { crate::service::go() }",
        "use super::super::transport::x;",
        "use {serde::Serialize, tokio::sync::mpsc};",
        "use std::{fmt, fs};",
        "fn f(now: std::time::SystemTime) {}",
        "fn f() { let id = Uuid::now_v7(); }",
        "#[tokio::main] fn f() {}",
    ] {
        assert_eq!(planted("domain/session.rs", text), 1, "{text}");
    }
}

#[test]
fn a_planted_breach_of_every_other_floor_is_found() {
    for (path, text) in [
        ("storage/mod.rs", "use crate::service::Coordinator;"),
        ("storage/tx.rs", "fn f() -> tonic::Status { g() }"),
        ("storage/codec.rs", "use tandem_proto::v1 as wire;"),
        (
            "service/ingest.rs",
            "fn f() { h!(super::super::transport::go()) }",
        ),
        ("service/ingest.rs", "use sea_orm::DatabaseConnection;"),
        ("service/ingest.rs", "use tandem_client::client::Client;"),
        (
            "transport/mod.rs",
            "use crate::{domain::ids, storage::Store};",
        ),
        ("transport/auth.rs", "use crate::config::Config;"),
        ("app.rs", "use tandem_client::agent;"),
        (
            "domain/mod.rs",
            "#[cfg(test)] mod tests { use crate::storage::Store; }",
        ),
    ] {
        assert_eq!(planted(path, text), 1, "{path}: {text}");
    }
}

#[test]
fn what_a_floor_may_use_is_no_breach() {
    for (path, text) in [
        (
            "domain/moves.rs",
            "use std::collections::BTreeMap; use super::ids::NodeId;",
        ),
        (
            "domain/moves.rs",
            "#[cfg(test)] mod tests { use tokio::sync; }",
        ),
        (
            "storage/mod.rs",
            "use sea_orm::Statement; use crate::domain::limits;",
        ),
        (
            "service/ingest.rs",
            "use tokio::sync; use crate::storage::Store; use super::error::Error;",
        ),
        (
            "transport/mod.rs",
            "use crate::service::Coordinator; use tonic::Status;",
        ),
        (
            "quickstart.rs",
            "use tandem_client::agent; use crate::storage::Store;",
        ),
        ("main.rs", "fn main() { tandem_server::app::run() }"),
    ] {
        assert_eq!(planted(path, text), 0, "{path}: {text}");
    }
}
