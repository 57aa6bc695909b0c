//! The raw statements of this floor as PostgreSQL reads them.
//!
//! Statements are written once, in what SQLite understands; this turns the few things that PostgreSQL writes otherwise.
//! Each text is turned at its first use and kept. What is said differently on purpose stands where it is used.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use tandem_migrations::FLAGS;

/// By the text as it is written; there are as many as the program has statements.
static TURNED: LazyLock<RwLock<HashMap<String, Arc<str>>>> = LazyLock::new(RwLock::default);

/// What a row is found by, for `INSERT OR REPLACE`.
const KEYS: [(&str, &str); 15] = [
    ("account_link", "repository, owner"),
    ("blocked", "repository, obstacle, member"),
    ("chunk", "blob, start"),
    ("copy", "repository, node"),
    ("due", "repository, member"),
    ("generation", "repository"),
    ("import", "network"),
    ("late_set", "id"),
    ("lost", "repository, node"),
    ("member", "id"),
    ("set_job", "set_id, kind"),
    ("stay", "set_id, node"),
    ("suspect", "repository, node"),
    ("sync_set", "id"),
    ("version", "member, position, side"),
];

/// The text for PostgreSQL.
pub(crate) fn turned(text: &str) -> Arc<str> {
    let known = TURNED.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(turned) = known.get(text) {
        return turned.clone();
    }
    drop(known);
    let turned: Arc<str> = turn(text).into();
    let mut known = TURNED.write().unwrap_or_else(PoisonError::into_inner);
    known.insert(text.to_owned(), turned.clone());
    turned
}

fn turn(text: &str) -> String {
    let pieces = pieces(text);
    let mut turning = Turning {
        pieces: &pieces,
        parameters: 0,
        out: String::with_capacity(text.len() + text.len() / 8),
    };
    turning.part(0, pieces.len());
    let mut out = turning.out;
    finish_insert(&mut out);
    out
}

/// Words, quoted texts, parameters, arrows, runs of space, and single other characters.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            '?' => 1 + run(&rest[1..], |c| c.is_ascii_digit()),
            '-' if rest.starts_with("->>") => 3,
            c if is_word(c) => run(rest, is_word),
            c if c.is_whitespace() => run(rest, char::is_whitespace),
            c => c.len_utf8(),
        };
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

struct Turning<'a> {
    pieces: &'a [&'a str],
    parameters: usize,
    out: String,
}

impl<'a> Turning<'a> {
    /// Turns the pieces from one place to before another.
    fn part(&mut self, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            at = self.piece(at);
        }
    }

    /// Turns what stands at a place; answers where to go on.
    fn piece(&mut self, at: usize) -> usize {
        let piece = self.pieces[at];
        match piece {
            "CROSS" => return self.behind(at),
            "INDEXED" => return self.behind(self.behind(self.behind(at))),
            "ifnull" => self.out.push_str("coalesce"),
            "unhex" => return self.unhex(at),
            "json_each" => return self.json_each(at),
            "x" if self.at(at + 1).starts_with('\'') => {
                let digits = self.pieces[at + 1].trim_matches('\'');
                // Writing to a String cannot fail.
                let _ = write!(self.out, "'\\x{digits}'::bytea");
                return at + 2;
            }
            _ if piece.starts_with('?') => self.parameter(piece),
            "0" | "1" if self.is_flag_before(at) => {
                self.out
                    .push_str(if piece == "1" { "TRUE" } else { "FALSE" });
            }
            _ => self.out.push_str(piece),
        }
        at + 1
    }

    fn at(&self, at: usize) -> &'a str {
        self.pieces.get(at).copied().unwrap_or_default()
    }

    /// The place of the next piece that is no space.
    fn behind(&self, at: usize) -> usize {
        let space = self.at(at + 1).starts_with(char::is_whitespace);
        at + 1 + usize::from(space)
    }

    /// The place of the last piece before that is no space.
    fn before(&self, at: usize) -> Option<usize> {
        let before = at.checked_sub(1)?;
        match self.pieces[before].starts_with(char::is_whitespace) {
            true => before.checked_sub(1),
            false => Some(before),
        }
    }

    /// `ending = 0`, `paused <> 1`: what is true or false has a type of its own.
    fn is_flag_before(&self, at: usize) -> bool {
        let mut place = self.before(at);
        let mut compared = false;
        while let Some(at) = place.filter(|at| matches!(self.pieces[*at], "=" | "<" | ">")) {
            compared = true;
            place = self.before(at);
        }
        compared && place.is_some_and(|at| FLAGS.contains(&self.pieces[at]))
    }

    fn parameter(&mut self, piece: &str) {
        let number = piece[1..].parse().unwrap_or_else(|_| {
            self.parameters += 1;
            self.parameters
        });
        let _ = write!(self.out, "${number}");
    }

    /// The place of the bracket that closes the one at a place.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        for (at, piece) in self.pieces.iter().enumerate().skip(open) {
            match *piece {
                "(" => depth += 1,
                ")" if depth == 1 => return at,
                ")" => depth -= 1,
                _ => {}
            }
        }
        self.pieces.len()
    }

    fn unhex(&mut self, at: usize) -> usize {
        let closing = self.closing(at + 1);
        self.out.push_str("decode(");
        self.part(at + 2, closing);
        self.out.push_str(", 'hex')");
        closing + 1
    }

    /// A list in one parameter: of rows, each a list itself, or of texts.
    fn json_each(&mut self, at: usize) -> usize {
        let closing = self.closing(at + 1);
        let named = match self.at(self.behind(closing)) {
            "AS" => Some(self.behind(self.behind(closing))),
            name if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Some(self.behind(closing))
            }
            _ => None,
        };
        let name = named.map(|at| self.pieces[at]);
        let function = match self.has_rows(name) {
            true => "jsonb_array_elements",
            false => "jsonb_array_elements_text",
        };
        let _ = write!(self.out, "{function}(");
        self.part(at + 2, closing);
        let _ = write!(self.out, "::jsonb) AS {}(value)", name.unwrap_or("list"));
        named.unwrap_or(closing) + 1
    }

    /// Whether parts are taken out of the values of the list of this name.
    fn has_rows(&self, name: Option<&str>) -> bool {
        (0..self.pieces.len()).any(|at| {
            let of = match at.checked_sub(2) {
                Some(before) if self.pieces[at - 1] == "." => Some(self.pieces[before]),
                _ => None,
            };
            self.pieces[at] == "value" && of == name && self.at(self.behind(at)) == "->>"
        })
    }
}

/// `OR REPLACE` and `OR IGNORE` are said at the end.
fn finish_insert(text: &mut String) {
    if let Some(insert) = text.strip_prefix("INSERT OR IGNORE") {
        *text = format!("INSERT{insert} ON CONFLICT DO NOTHING");
    } else if let Some(insert) = text.strip_prefix("INSERT OR REPLACE INTO ") {
        let (table, behind) = insert.split_once(' ').unwrap_or((insert, ""));
        let key = KEYS
            .iter()
            .find_map(|(of, key)| (*of == table).then_some(*key));
        let columns = behind
            .split_once('(')
            .and_then(|(_, columns)| columns.split_once(')'));
        let (Some(key), Some((columns, _))) = (key, columns) else {
            return;
        };
        let set: Vec<String> = columns
            .split(',')
            .map(str::trim)
            .filter(|column| !key.split(", ").any(|of_key| of_key == *column))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let done = match set.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", set.join(", ")),
        };
        *text = format!("INSERT INTO {insert} ON CONFLICT ({key}) DO {done}");
    }
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn what_differs_is_turned_and_nothing_else() {
        for (written, expected) in [
            (
                "SELECT a FROM t WHERE b = ? AND c > ?",
                "SELECT a FROM t WHERE b = $1 AND c > $2",
            ),
            (
                "UPDATE t SET a = ?2 WHERE b = ?1 AND a <> ?2",
                "UPDATE t SET a = $2 WHERE b = $1 AND a <> $2",
            ),
            ("SELECT '?' || x''", "SELECT '?' || '\\x'::bytea"),
            (
                "SELECT 1 FROM a CROSS JOIN copy c INDEXED BY copy_place ON c.x = a.x WHERE c.state = 0",
                "SELECT 1 FROM a JOIN copy c ON c.x = a.x WHERE c.state = 0",
            ),
            (
                "SELECT 1 FROM s WHERE s.ending = 0 AND (paused <> 1 OR kind = 1)",
                "SELECT 1 FROM s WHERE s.ending = FALSE AND (paused <> TRUE OR kind = 1)",
            ),
            ("SELECT ifnull(?2, 0)", "SELECT coalesce($2, 0)"),
        ] {
            assert_eq!(turn(written), expected);
        }
    }

    #[test]
    fn lists_are_of_rows_or_of_texts() {
        for (written, expected) in [
            (
                "SELECT 1 FROM json_each(?) j CROSS JOIN m ON m.id = unhex(j.value->>0)",
                "SELECT 1 FROM jsonb_array_elements($1::jsonb) AS j(value) JOIN m \
                 ON m.id = decode(j.value->>0, 'hex')",
            ),
            (
                "SELECT 1 FROM json_each(?2) AS w CROSS JOIN m ON m.id = unhex(w.value) AND m.n = ?1",
                "SELECT 1 FROM jsonb_array_elements_text($2::jsonb) AS w(value) JOIN m \
                 ON m.id = decode(w.value, 'hex') AND m.n = $1",
            ),
            (
                "DELETE FROM t WHERE n IN (SELECT value FROM json_each(?))",
                "DELETE FROM t WHERE n IN \
                 (SELECT value FROM jsonb_array_elements_text($1::jsonb) AS list(value))",
            ),
            (
                "SELECT unhex(substr(value, 1, 32)) FROM json_each(?2) WHERE TRUE",
                "SELECT decode(substr(value, 1, 32), 'hex') \
                 FROM jsonb_array_elements_text($2::jsonb) AS list(value) WHERE TRUE",
            ),
            (
                "SELECT p.value ->> 0 FROM json_each(?1) p WHERE n NOT IN (SELECT value FROM json_each(?2))",
                "SELECT p.value ->> 0 FROM jsonb_array_elements($1::jsonb) AS p(value) WHERE n NOT IN \
                 (SELECT value FROM jsonb_array_elements_text($2::jsonb) AS list(value))",
            ),
        ] {
            assert_eq!(turn(written), expected);
        }
    }

    #[test]
    fn a_row_that_is_there_is_replaced_or_stays() {
        assert_eq!(
            turn("INSERT OR REPLACE INTO due (repository, member, since) VALUES (?,?,?)"),
            "INSERT INTO due (repository, member, since) VALUES ($1,$2,$3) \
             ON CONFLICT (repository, member) DO UPDATE SET since = excluded.since"
        );
        assert_eq!(
            turn("INSERT OR REPLACE INTO blocked (repository, obstacle, member) VALUES (?,?,?)"),
            "INSERT INTO blocked (repository, obstacle, member) VALUES ($1,$2,$3) \
             ON CONFLICT (repository, obstacle, member) DO NOTHING"
        );
        assert_eq!(
            turn("INSERT OR IGNORE INTO lost (repository, node) SELECT ?, node FROM copy"),
            "INSERT INTO lost (repository, node) SELECT $1, node FROM copy ON CONFLICT DO NOTHING"
        );
    }
}
