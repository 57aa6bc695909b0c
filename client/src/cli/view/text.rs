//! Text for people: tables, fields, sizes, and names made safe for a terminal.

use comfy_table::{ContentArrangement, Table, presets};

/// A dash where there is nothing to show.
pub(crate) const NOTHING: &str = "-";

/// Makes text safe for one line of a terminal: a file's name may hold line breaks, escape sequences, or marks that
/// turn the direction of writing; none of them may forge output.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns_direction(character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// As [`clean`], but keeps line breaks.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

fn turns_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text, or a dash when it is empty.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { NOTHING } else { text }.to_owned()
}

/// A table without borders, which other programs can cut too.
pub(crate) fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = bare();
    table.set_header(headings);
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    render(table)
}

/// Names and values, one pair a line.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let mut table = bare();
    for (name, value) in pairs {
        table.add_row([format!("{name}:"), clean(value)]);
    }
    render(table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn render(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// A number of bytes with three digits or so.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1024 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        value / 1024,
        value % 1024 * 10 / 1024,
        UNITS[unit]
    )
}

/// `1 member`, `2 members`.
pub(crate) fn count(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {one}{plural}")
}

/// `yes` or `no`.
pub(crate) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let sizes = [
            0,
            1,
            1023,
            1024,
            1536,
            1024 * 1024,
            5 * 1024 * 1024 * 1024,
            i64::MAX,
        ];
        assert_eq!(
            sizes.map(size),
            [
                "0 B", "1 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "7.9 EiB"
            ]
        );
    }

    #[test]
    fn names_cannot_forge_output() {
        assert_eq!(
            clean("a\nb\u{1b}[31m\u{202e}ä"),
            "a\\nb\\u{1b}[31m\\u{202e}ä"
        );
        assert_eq!(lines("a\n\u{7}b"), "a\n\\u{7}b");
    }

    #[test]
    fn tables_have_columns_and_no_trailing_blanks() {
        let rows = [["one", "1", "x"], ["eleven", "11", "-"]];
        let rows = rows.map(|row| row.map(ToOwned::to_owned).to_vec());
        assert_eq!(
            table(&["NAME", "N", "LAST"], rows.into_iter()),
            "NAME    N   LAST\none     1   x\neleven  11  -\n"
        );
    }

    #[test]
    fn fields_stand_below_each_other() {
        let pairs = [("Name", "a".to_owned()), ("Longer name", "b".to_owned())];
        assert_eq!(fields(&pairs), "Name:         a\nLonger name:  b\n");
    }
}
