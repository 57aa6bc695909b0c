//! What a person or a program sees of a quickstart.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tandem_client::cli::clean;
use tandem_proto::v1 as wire;

use super::Arguments;
use super::arguments::Format;
use super::home::Home;
use super::trouble::Trouble;

/// The output of a quickstart: a bar while it works, and a line for each change after that.
pub(super) struct Show {
    format: Format,
    address: String,
    token_file: String,
    bar: Option<ProgressBar>,
    first_done: bool,
    /// What was told last.
    trouble: Trouble,
}

impl Show {
    pub(super) fn new(arguments: &Arguments, address: &str, home: &Home) -> Self {
        Self {
            format: arguments.output,
            address: address.to_owned(),
            token_file: quoted(&home.admin_token_file()),
            bar: None,
            first_done: false,
            trouble: Trouble::default(),
        }
    }

    /// Prints a line. A reader that went away is no reason to stop syncing.
    fn line(&self, text: &str) {
        use std::io::Write;
        let print = || {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn event(&self, event: &Value) {
        self.line(&event.to_string());
    }

    pub(super) fn ready(&self) {
        let look = format!(
            "tandem --server {} --token-file {} set list",
            self.address, self.token_file
        );
        match self.format {
            Format::Human => {
                self.line(&format!("Coordinator: {}", self.address));
                self.line(&format!("Look further: {look}"));
            }
            Format::Json => self.event(&json!({
                "event": "ready", "address": self.address, "command": look
            })),
        }
    }

    pub(super) fn progress(&mut self, set: &wire::SyncSet, settled: bool) {
        if self.format == Format::Json || !std::io::stderr().is_terminal() {
            return;
        }
        let counters = set.counters.unwrap_or_default();
        if settled || (counters.pending == 0 && !set.scanning) {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let done = counters.members - counters.pending;
        bar.set_length(u64::try_from(counters.members).unwrap_or(0));
        bar.set_position(u64::try_from(done).unwrap_or(0));
        bar.set_message(if set.scanning {
            "synced, still looking for more"
        } else {
            "synced"
        });
    }

    pub(super) fn entries(&self, entries: &[wire::JournalEntry]) {
        if !self.first_done {
            return;
        }
        for entry in entries {
            match self.format {
                Format::Human => self.line(&human(entry)),
                Format::Json => self.event(&json!({
                    "event": "change",
                    "position": entry.position,
                    "kind": entry.kind().as_str_name(),
                    "side": entry.side().as_str_name(),
                    "name": entry.node_name,
                    "message": entry.message,
                    "member": entry.member,
                })),
            }
        }
    }

    pub(super) fn in_sync(&mut self, set: &wire::SyncSet) {
        let counters = set.counters.unwrap_or_default();
        match self.format {
            Format::Human if !self.first_done => self.line(&format!(
                "In sync: {} members, {} bytes.",
                counters.members, counters.bytes
            )),
            Format::Human => {}
            Format::Json => self.event(&json!({
                "event": "in_sync", "members": counters.members, "bytes": counters.bytes
            })),
        }
        self.first_done = true;
    }

    pub(super) fn failed(&mut self, set: &wire::SyncSet, trouble: &Trouble) {
        self.first_done = true;
        if self.format == Format::Json {
            self.event(&json!({
                "event": "failed", "members": trouble.failed_json(),
                "held_deletions": set.held_deletions, "open_conflicts": trouble.open_conflicts
            }));
            return;
        }
        if set.held_deletions > 0 {
            self.line(&format!(
                "{} deletions are held. Decide: tandem --server {} --token-file {} set hold \
                 confirm|refuse {}",
                set.held_deletions, self.address, self.token_file, set.uid
            ));
        }
        if trouble.open_conflicts > 0 {
            self.line(&format!(
                "Conflicts that wait for a decision: {}. Look: tandem --server {} --token-file {} conflict \
                 list; decide: conflict resolve UID --keep on-premise|cloud",
                trouble.open_conflicts, self.address, self.token_file
            ));
        }
        if let Some(table) = trouble.failed_table() {
            self.line(&table);
        }
    }

    /// Tells what is skipped, when it is something else than before.
    pub(super) fn skipped(&mut self, trouble: Trouble) {
        let same = trouble.skipped_json() == self.trouble.skipped_json();
        if !same && self.format == Format::Json {
            let nodes = trouble.skipped_json();
            self.event(&json!({"event": "skipped", "nodes": nodes}));
        } else if !same && let Some(table) = trouble.skipped_table() {
            self.line(&table);
        }
        self.trouble = trouble;
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn human(entry: &wire::JournalEntry) -> String {
    let side = match entry.side() {
        wire::Side::OnPremise => "on-premise",
        wire::Side::Cloud => "cloud",
        wire::Side::Unspecified => "",
    };
    let (name, message) = (clean(&entry.node_name), clean(&entry.message));
    format!("{side:>10}  {name}  {message}")
}
