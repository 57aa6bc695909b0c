//! What is shown of each resource: a document for programs and text for people, both made from the same fields.
//!
//! Field names and words of the documents are stable; they are those of the proto files. Absent values are `null`.

pub(crate) mod account;
pub(crate) mod conflict;
pub(crate) mod content;
pub(crate) mod created;
mod error;
pub(crate) mod failure;
pub(crate) mod journal;
pub(crate) mod label;
pub(crate) mod member;
pub(crate) mod member_step;
pub(crate) mod network;
pub(crate) mod portable;
pub(crate) mod preview;
pub(crate) mod repository;
pub(crate) mod set;
pub(crate) mod set_answer;
mod set_options;
pub(crate) mod skipped;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod token;
pub(crate) mod version;

use serde::{Serialize, Serializer};

use super::paging::Listed;

/// What people can read.
pub(crate) trait Show {
    /// Whole lines of text.
    fn human(&self) -> String;
}

/// What stands in a line of a list.
pub(crate) trait Row: Sized {
    /// The columns.
    const HEADINGS: &'static [&'static str];
    /// What is said of a list without entries.
    const EMPTY: &'static str;

    /// One text for each column.
    fn cells(&self) -> Vec<String>;

    /// What is said below the table, as whole lines.
    fn notes(_rows: &[Self]) -> String {
        String::new()
    }
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl<T: Row> Show for Listed<T> {
    fn human(&self) -> String {
        if self.items.is_empty() {
            return format!("{}\n", T::EMPTY);
        }
        let mut human = text::table(T::HEADINGS, self.items.iter().map(Row::cells));
        human.push_str(&T::notes(&self.items));
        if self.more {
            human.push_str("\nThere are more; raise --limit or leave it out.\n");
        }
        human
    }
}

/// That something was done which has no result of its own.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
    message: &'static str,
}

impl Done {
    /// What was done, and to what.
    pub(crate) fn new(name: String, message: &'static str) -> Self {
        Self {
            name,
            count: None,
            message,
        }
    }

    /// Says to how many.
    pub(crate) fn with_count(mut self, count: i64) -> Self {
        self.count = Some(count);
        self
    }
}

impl Show for Done {
    fn human(&self) -> String {
        match self.count {
            Some(count) => format!("{} ({count} in all)\n", self.message),
            None => format!("{}\n", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Letter(char);

    impl Row for Letter {
        const HEADINGS: &'static [&'static str] = &["LETTER", "NUMBER"];
        const EMPTY: &'static str = "There are no letters.";

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_string(), u32::from(self.0).to_string()]
        }
    }

    #[test]
    fn an_empty_list_says_so() {
        let listed: Listed<Letter> = Listed {
            items: vec![],
            more: false,
        };
        assert_eq!(listed.human(), "There are no letters.\n");
        assert_eq!(serde_json::to_string(&listed).expect("it is JSON"), "[]");
    }

    #[test]
    fn a_list_that_was_cut_says_so() {
        let listed = Listed {
            items: vec![Letter('a')],
            more: true,
        };
        assert_eq!(
            listed.human(),
            "LETTER  NUMBER\na       97\n\nThere are more; raise --limit or leave it out.\n"
        );
        assert_eq!(
            serde_json::to_string(&listed).expect("it is JSON"),
            r#"["a"]"#
        );
    }

    #[test]
    fn what_was_done_names_a_count_only_where_there_is_one() {
        let done = Done::new("networks/default/syncSets/s".to_owned(), "Confirmed.");
        assert_eq!(done.human(), "Confirmed.\n");
        assert_eq!(done.with_count(3).human(), "Confirmed. (3 in all)\n");
    }
}
