//! The journal.

use serde::Serialize;
use tandem_proto::v1::{JournalEntry, WatchJournalResponse};

use super::{
    Row, Show,
    label::{self, Label},
    text, time,
};

/// One step that was taken.
#[derive(Debug, Serialize)]
pub(crate) struct EntryView {
    position: i64,
    kind: Label,
    time: Option<String>,
    sync_set: Option<String>,
    member: Option<String>,
    side: Label,
    actor: String,
    node_name: String,
    message: String,
}

impl From<JournalEntry> for EntryView {
    fn from(entry: JournalEntry) -> Self {
        Self {
            position: entry.position,
            kind: label::journal_kind(entry.kind()),
            side: label::side(entry.side()),
            time: time::rfc3339(entry.time.as_ref()),
            sync_set: (!entry.sync_set.is_empty()).then_some(entry.sync_set),
            member: (!entry.member.is_empty()).then_some(entry.member),
            actor: entry.actor,
            node_name: entry.node_name,
            message: entry.message,
        }
    }
}

impl Row for EntryView {
    const HEADINGS: &'static [&'static str] = &[
        "POSITION", "TIME", "KIND", "SIDE", "NODE", "ACTOR", "MESSAGE",
    ];
    const EMPTY: &'static str = "The journal holds no such entries.";

    fn cells(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            time::readable(self.time.as_deref()),
            label::readable(self.kind),
            label::readable(self.side),
            text::or_dash(&self.node_name),
            text::or_dash(&self.actor),
            text::or_dash(&self.message),
        ]
    }
}

/// A step of what is watched.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Step {
    /// An entry.
    Entry(EntryView),
    /// Going on behind this cursor leaves nothing out.
    Cursor { cursor: String },
}

impl Step {
    /// The steps that a message tells of.
    pub(crate) fn all(message: WatchJournalResponse) -> Vec<Self> {
        let mut steps: Vec<Self> = message
            .entries
            .into_iter()
            .map(|entry| Self::Entry(entry.into()))
            .collect();
        if !message.cursor.is_empty() {
            steps.push(Self::Cursor {
                cursor: message.cursor,
            });
        }
        steps
    }
}

impl Show for Step {
    fn human(&self) -> String {
        match self {
            Self::Entry(entry) => text::clean(&entry.cells().join("  ")) + "\n",
            // People go on by the hint that an interrupted watch ends with.
            Self::Cursor { .. } => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{JournalKind, Side};

    use super::*;

    #[test]
    fn a_message_becomes_a_line_for_each_entry_and_one_for_the_cursor() {
        let entry = JournalEntry {
            position: 7,
            kind: JournalKind::Applied.into(),
            side: Side::Cloud.into(),
            node_name: "a\nb".to_owned(),
            message: "created".to_owned(),
            ..JournalEntry::default()
        };
        let steps = Step::all(WatchJournalResponse {
            entries: vec![entry],
            cursor: "c1".to_owned(),
        });
        let human: String = steps.iter().map(Show::human).collect();
        assert_eq!(human, "7  -  APPLIED  CLOUD  a\\nb  -  created\n");
        let json: Vec<_> = steps
            .iter()
            .filter_map(|step| serde_json::to_string(step).ok())
            .collect();
        assert_eq!(
            json,
            [
                r#"{"type":"entry","position":7,"kind":"APPLIED","time":null,"sync_set":null,"member":null,"side":"CLOUD","actor":"","node_name":"a\nb","message":"created"}"#,
                r#"{"type":"cursor","cursor":"c1"}"#
            ]
        );
    }
}
