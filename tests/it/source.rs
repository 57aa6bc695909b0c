//! Reads Rust sources as tokens, so that the shape tests see paths in code, attributes and macros, not only `use` lines.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A token of a file, groups dissolved into their two delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// True below `#[cfg(test)]` and `#[test]`.
    pub(crate) test: bool,
}

/// A path as the compiler would read it: `use a::{b, c::d}` yields `a::b` and `a::c::d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodePath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap()
}

/// Every `.rs` file below a folder of the repository, sorted, relative to the repository.
pub(crate) fn rust_files(folder: &str) -> Vec<PathBuf> {
    files(folder, "rs")
}

/// Every file with an extension below a folder of the repository, sorted, relative to the repository.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let root = repository();
    let mut waiting = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(&root).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// True for a file that is a test as a whole: its module stands behind `#[cfg(test)]` in its parent.
pub(crate) fn is_test_file(path: &Path) -> bool {
    path.iter()
        .skip(1)
        .filter_map(|part| part.to_str())
        .any(|part| {
            matches!(
                part,
                "tests" | "tests.rs" | "testing.rs" | "management_tests" | "management_tests.rs"
            )
        })
}

/// The text of a file of the repository.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The tokens of a Rust text.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let stream = TokenStream::from_str(text).unwrap_or_else(|error| panic!("no Rust: {error}"));
    let mut tokens = Vec::new();
    flatten(stream, false, &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, mut test: bool, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let enclosing = test;
    for (index, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) => {
                if marks_test(&trees, index, group) {
                    test = true;
                }
                push_group(group, test, tokens);
                if group.delimiter() == Delimiter::Brace {
                    test = enclosing;
                }
            }
            other => {
                push(other.to_string(), other.span().start().line, test, tokens);
                if matches!(other, TokenTree::Punct(punct) if punct.as_char() == ';') {
                    test = enclosing;
                }
            }
        }
    }
}

/// Is this group the `[cfg(test)]` or `[test]` of an attribute?
fn marks_test(trees: &[TokenTree], index: usize, group: &Group) -> bool {
    let is_attribute = index
        .checked_sub(1)
        .and_then(|before| trees.get(before))
        .is_some_and(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '#'));
    let text = group.stream().to_string().replace(' ', "");
    is_attribute
        && group.delimiter() == Delimiter::Bracket
        && (text == "test" || text.ends_with("::test") || text == "cfg(test)")
}

fn push_group(group: &Group, test: bool, tokens: &mut Vec<Token>) {
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    };
    push(open.into(), group.span_open().start().line, test, tokens);
    flatten(group.stream(), test, tokens);
    push(close.into(), group.span_close().start().line, test, tokens);
}

fn push(text: String, line: usize, test: bool, tokens: &mut Vec<Token>) {
    tokens.push(Token { text, line, test });
}

/// Every path of a file that has more than one segment or stands in a `use`, with `self` and `super` resolved:
/// `module` says where the file stands, for instance `["storage", "tx"]`. Paths of the crate begin with `crate`.
pub(crate) fn paths(tokens: &[Token], module: &[String]) -> Vec<CodePath> {
    let mut reader = PathReader {
        tokens,
        module: module.to_vec(),
        opened: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    let mut index = 0;
    while index < tokens.len() {
        index = reader.step(index);
    }
    reader.found
}

struct PathReader<'a> {
    tokens: &'a [Token],
    module: Vec<String>,
    /// Depths at which an inline module was opened.
    opened: Vec<usize>,
    depth: usize,
    found: Vec<CodePath>,
}

impl PathReader<'_> {
    fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    fn is_separator(&self, index: usize) -> bool {
        self.text(index) == ":" && self.text(index + 1) == ":"
    }

    fn step(&mut self, index: usize) -> usize {
        match self.text(index) {
            "mod" if is_word(self.text(index + 1)) && self.text(index + 2) == "{" => {
                self.module.push(self.text(index + 1).to_owned());
                self.depth += 1;
                self.opened.push(self.depth);
                index + 3
            }
            "{" => {
                self.depth += 1;
                index + 1
            }
            "}" => {
                if self.opened.last() == Some(&self.depth) {
                    self.opened.pop();
                    self.module.pop();
                }
                self.depth = self.depth.saturating_sub(1);
                index + 1
            }
            "use" => self.path(self.after_separator(index + 1), &[], true),
            word if is_word(word) => self.path(index, &[], false),
            _ => index + 1,
        }
    }

    fn after_separator(&self, index: usize) -> usize {
        if self.is_separator(index) {
            index + 2
        } else {
            index
        }
    }

    /// Reads one path or group of paths and returns where it ends.
    fn path(&mut self, start: usize, prefix: &[String], declared: bool) -> usize {
        let mut segments = prefix.to_vec();
        let mut index = start;
        loop {
            match self.text(index) {
                "{" if declared || index > start => return self.group(index, &segments),
                word if is_word(word) || word == "*" => segments.push(word.to_owned()),
                _ => break,
            }
            index += 1;
            if !self.is_separator(index) {
                break;
            }
            index += 2;
        }
        if segments.len() > 1 || declared {
            self.keep(segments, start);
        }
        index.max(start + 1)
    }

    fn group(&mut self, open: usize, prefix: &[String]) -> usize {
        let mut index = open + 1;
        while index < self.tokens.len() && self.text(index) != "}" {
            index = match self.text(index) {
                "," => index + 1,
                // What a name is renamed to is no path.
                "as" => index + 2,
                _ => self.path(index, prefix, true),
            };
        }
        index + 1
    }

    fn keep(&mut self, segments: Vec<String>, at: usize) {
        let token = &self.tokens[at.min(self.tokens.len() - 1)];
        self.found.push(CodePath {
            segments: absolute(segments, &self.module),
            line: token.line,
            test: token.test,
        });
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Writes `self::` and `super::` out from the root of the crate.
fn absolute(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let supers = segments.iter().take_while(|name| *name == "super").count();
    let own = usize::from(segments.first().is_some_and(|name| name == "self"));
    if supers + own == 0 {
        return segments;
    }
    let mut path = vec!["crate".to_owned()];
    path.extend_from_slice(&module[..module.len().saturating_sub(supers)]);
    path.extend(segments.into_iter().skip(supers.max(own)));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
        paths(&tokens(text), &module)
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn groups_are_written_out() {
        assert_eq!(
            joined("use a::{b, c::{d, e as f}, *}; use {g, h::i};", &[]),
            ["a::b", "a::c::d", "a::c::e", "a::*", "g", "h::i"]
        );
    }

    #[test]
    fn relative_paths_start_at_the_crate() {
        assert_eq!(
            joined("use super::x::Y; fn f() { self::g() }", &["a", "b"]),
            ["crate::a::x::Y", "crate::a::b::g"]
        );
        assert_eq!(
            joined("mod inner { use super::super::x; } use super::y;", &["a"]),
            ["crate::x", "crate::y"]
        );
    }

    #[test]
    fn paths_inside_code_attributes_and_macros_are_seen() {
        assert_eq!(
            joined(
                "#[a::b] fn f() { c!(d::e(1)); let x: Vec<g::H> = ::i::j(); }",
                &[]
            ),
            ["a::b", "d::e", "g::H", "i::j"]
        );
    }

    #[test]
    fn what_is_under_test_is_marked() {
        let marked: Vec<(String, bool)> = tokens("#[cfg(test)] mod t { x } y; #[test] fn z() {} w")
            .into_iter()
            .filter(|token| ["x", "y", "z", "w"].contains(&token.text.as_str()))
            .map(|token| (token.text, token.test))
            .collect();
        let expected = [("x", true), ("y", false), ("z", true), ("w", false)];
        assert_eq!(marked, expected.map(|(text, test)| (text.to_owned(), test)));
    }
}
