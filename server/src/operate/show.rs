//! What a person or a program sees of the commands for operators.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::service::backup::{Copied, Kept, Step, Told};

/// For whom output is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// For programs: one JSON object.
    Json,
}

/// Prints a line. A reader that went away is no failure of the work.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A bar on a terminal, and nothing elsewhere.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new(format: Format) -> Self {
        let shown = format == Format::Human && std::io::stderr().is_terminal();
        Self(shown.then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        }))
    }

    pub(super) fn tell(&self, text: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text);
            bar.tick();
        }
    }

    /// What a backup or a restore tells.
    pub(super) fn told(&self) -> Told {
        let bar = Self(self.0.clone());
        Arc::new(move |step| {
            bar.tell(match step {
                Step::Waiting => "waits until collection of content has ended".to_owned(),
                Step::Database { done, all } => {
                    format!("database: {} of {}", HumanBytes(done), HumanBytes(all))
                }
                Step::Objects { objects, bytes } => {
                    format!("content: {objects} objects, {}", HumanBytes(bytes))
                }
            });
        })
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn is(kept: Kept) -> &'static str {
    match kept {
        Kept::Whole => "whole",
        Kept::Missing => "missing",
        Kept::Damaged => "damaged",
    }
}

/// What could not be copied, for programs.
pub(super) fn left_out_json(copied: &Copied) -> Value {
    let left_out = copied.left_out.iter().map(|out| {
        json!({
            "object": out.id.0.simple().to_string(), "digest": out.digest.to_string(),
            "size": out.size, "is": is(out.is)
        })
    });
    left_out.collect()
}

/// What could not be copied, for people; nothing when all could.
pub(super) fn left_out_table(copied: &Copied) -> Option<String> {
    let rows = copied.left_out.iter().map(|out| {
        [
            out.id.0.simple().to_string(),
            is(out.is).to_owned(),
            out.size.to_string(),
            out.digest.to_string(),
        ]
    });
    (!copied.left_out.is_empty()).then(|| table(&["OBJECT", "IS", "BYTES", "DIGEST"], rows))
}

/// A table as all of them look.
pub(super) fn table<const N: usize>(
    head: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}
