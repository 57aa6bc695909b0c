//! `tandemd restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::show::{self, Bar, Format};
use crate::config::Config;
use crate::service::Clock;
use crate::service::backup::{RestoreOptions, Restored, restore};

/// What can be typed behind `tandemd restore`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A directory that `tandemd backup` made
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Put aside what is there, under names that end in `.replaced-` and the time, and restore in its place
    #[arg(long)]
    replace: bool,
    /// Lines for people, or one JSON object for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// Restores; code 2 when some content is not in the backup, and has to come from the agents again.
///
/// # Errors
/// When nothing was restored; the reason says what to do.
pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bar = Bar::new(arguments.output);
    let options = RestoreOptions {
        directory: arguments.directory,
        place: config.database(),
        content: config.content_dir(),
        replace: arguments.replace,
    };
    let restored = restore(&options, &Clock::System, bar.told()).await;
    bar.end();
    let restored = restored?;
    match arguments.output {
        Format::Human => show_human(&restored),
        Format::Json => show::line(&json(&restored).to_string()),
    }
    Ok(super::code(!restored.copied.left_out.is_empty()))
}

fn put_aside(restored: &Restored) -> Vec<String> {
    let paths = restored.put_aside.iter();
    paths.map(|path| path.display().to_string()).collect()
}

fn json(restored: &Restored) -> serde_json::Value {
    json!({
        "manifest": restored.manifest,
        "objects": restored.copied.objects,
        "object_bytes": restored.copied.bytes,
        "repositories": restored.repositories,
        "put_aside": put_aside(restored),
        "left_out": show::left_out_json(&restored.copied),
    })
}

fn show_human(restored: &Restored) {
    show::line(&format!(
        "Restored the backup of {}: {} objects of {}.",
        restored.manifest.made_at,
        restored.copied.objects,
        HumanBytes(restored.copied.bytes)
    ));
    show::line(&format!(
        "When the coordinator serves again, each of its {} repositories is listed anew: nothing is deleted for \
         what is missing, and what changed since the backup counts as it is now.",
        restored.repositories
    ));
    for path in put_aside(restored) {
        show::line(&format!("What was there is kept: {path}"));
    }
    if let Some(table) = show::left_out_table(&restored.copied) {
        show::line("Content that the backup does not have; agents that have it are asked for it:");
        show::line(&table);
    }
}
