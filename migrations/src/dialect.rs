//! The texts of the migrations are those of SQLite; PostgreSQL gets the same ones with its own types.
//!
//! Only what our migrations use is translated. SQLite keeps every whole number in one kind of column; PostgreSQL has
//! three, and its driver reads each as what it is: a column that code reads as `bool` or `i32` is named here.

/// Columns that are true or false, by their names, whatever the table.
pub const FLAGS: [&str; 15] = [
    "enabled",
    "include_subfolders",
    "lock_on_premise_copy",
    "allow_delete_on_cloud",
    "delete_on_premise",
    "ending",
    "direct",
    "locked",
    "edited",
    "read_content",
    "open",
    "paused",
    "cloned",
    "rebind",
    "restored",
];

/// Columns of small numbers: kinds, states, reasons, and what else is counted on one hand.
const SMALL: [&str; 15] = [
    "absence",
    "choice",
    "conflict_grain",
    "conflict_policy",
    "gate",
    "kind",
    "lane",
    "max_delete_percent",
    "name_clash_policy",
    "outside",
    "policy",
    "reason",
    "removal",
    "state",
    "unfit",
];

/// The statement of a migration as PostgreSQL understands it.
pub(crate) fn postgres(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len() + 64);
    let mut before = "";
    let mut flag = false;
    for piece in statement.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let behind = &piece[word.len()..];
        let written = match word {
            "BLOB" => "BYTEA",
            "INTEGER" if FLAGS.contains(&before) => "BOOLEAN",
            "INTEGER" if SMALL.contains(&before) => "INTEGER",
            "INTEGER" => "BIGINT",
            "0" if flag => "FALSE",
            "1" if flag => "TRUE",
            other => other,
        };
        text.push_str(written);
        text.push_str(behind);
        if !word.is_empty() {
            flag = flag || FLAGS.contains(&word);
            before = word;
        }
        if behind.contains(',') {
            flag = false;
        }
    }
    let text = text
        .replace(" WITHOUT ROWID", "")
        .replace("x''", "''")
        .replace(
            "BIGINT PRIMARY KEY AUTOINCREMENT",
            "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        );
    match text.strip_prefix("INSERT OR IGNORE") {
        Some(insert) => format!("INSERT{insert} ON CONFLICT DO NOTHING"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::postgres;

    #[test]
    fn types_and_literals_are_those_of_postgresql() {
        for (sqlite, expected) in [
            (
                "CREATE TABLE t (id BLOB NOT NULL PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
                "CREATE TABLE t (id BYTEA NOT NULL PRIMARY KEY, size BIGINT NOT NULL)",
            ),
            (
                "CREATE TABLE t (direct INTEGER NOT NULL, state INTEGER NOT NULL)",
                "CREATE TABLE t (direct BOOLEAN NOT NULL, state INTEGER NOT NULL)",
            ),
            (
                "ALTER TABLE t ADD COLUMN edited INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE t ADD COLUMN edited BOOLEAN NOT NULL DEFAULT FALSE",
            ),
            (
                "ALTER TABLE t ADD COLUMN removals INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE t ADD COLUMN removals BIGINT NOT NULL DEFAULT 0",
            ),
            (
                "ALTER TABLE t ADD COLUMN past BLOB NOT NULL DEFAULT x''",
                "ALTER TABLE t ADD COLUMN past BYTEA NOT NULL DEFAULT ''",
            ),
            (
                "CREATE INDEX i ON member (set_id, id) WHERE direct = 1",
                "CREATE INDEX i ON member (set_id, id) WHERE direct = TRUE",
            ),
            (
                "id INTEGER PRIMARY KEY AUTOINCREMENT",
                "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            ),
            (
                "INSERT OR IGNORE INTO t SELECT a FROM b",
                "INSERT INTO t SELECT a FROM b ON CONFLICT DO NOTHING",
            ),
        ] {
            assert_eq!(postgres(sqlite), expected);
        }
    }
}
