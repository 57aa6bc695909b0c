//! What a person or a program sees of a quickstart.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tandem_proto::v1alpha as wire;

use super::Arguments;
use super::arguments::Format;
use super::home::Home;
use crate::domain::failure::Reason;

/// The output of a quickstart: a bar while it works, and a line for each change after that.
pub(super) struct Show {
    format: Format,
    address: String,
    token_file: String,
    bar: Option<ProgressBar>,
    first_done: bool,
}

impl Show {
    pub(super) fn new(arguments: &Arguments, address: &str, home: &Home) -> Self {
        Self {
            format: arguments.output,
            address: address.to_owned(),
            token_file: quoted(&home.admin_token_file()),
            bar: None,
            first_done: false,
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

    pub(super) fn failed(&mut self, set: &wire::SyncSet, members: &[wire::Member]) {
        self.first_done = true;
        if self.format == Format::Json {
            let members: Vec<Value> = members.iter().map(failed_json).collect();
            self.event(&json!({
                "event": "failed", "members": members, "held_deletions": set.held_deletions
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
        for member in members {
            self.line(&failed_line(member));
        }
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
    format!("{side:>10}  {}  {}", entry.node_name, entry.message)
}

fn path(member: &wire::Member) -> &str {
    let copy = member.on_premise.as_ref().or(member.cloud.as_ref());
    copy.map_or("", |copy| copy.path.as_str())
}

fn reason(failure: &wire::Failure) -> &'static str {
    failure
        .reason()
        .as_str_name()
        .trim_start_matches("FAILURE_REASON_")
}

fn failed_line(member: &wire::Member) -> String {
    let failure = member.failure.clone().unwrap_or_default();
    let remedy = Reason::from_number(failure.reason).remedy();
    format!(
        "FAILED  {}  {}: {}. Remedy: {remedy}",
        path(member),
        reason(&failure),
        failure.message
    )
}

fn failed_json(member: &wire::Member) -> Value {
    let failure = member.failure.clone().unwrap_or_default();
    json!({
        "path": path(member),
        "reason": reason(&failure),
        "message": failure.message,
        "detail": failure.detail,
        "remedy": Reason::from_number(failure.reason).remedy(),
    })
}
