//! `tandemd backup`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::show::{self, Bar, Format};
use crate::config::Config;
use crate::service::Clock;
use crate::service::backup::{BackupOptions, Made, back_up};

/// What can be typed behind `tandemd backup`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory that becomes the backup; must not be there yet
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Give content a second name instead of copying it: at once and without room, but on the same file system, where
    /// what damages the disk damages both; its digests are not looked at
    #[arg(long)]
    link: bool,
    /// Leave the database out, which PostgreSQL's own tools backed up just before
    #[arg(long)]
    content_only: bool,
    /// Lines for people, or one JSON object for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// Backs up; code 2 when some content could not be, because it is missing or damaged.
///
/// # Errors
/// When there is no backup; the reason says what to do.
pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bar = Bar::new(arguments.output);
    let options = BackupOptions {
        directory: arguments.directory,
        place: config.database(),
        content: config.content_dir(),
        link: arguments.link,
        content_only: arguments.content_only,
    };
    let made = back_up(&options, &Clock::System, bar.told()).await;
    bar.end();
    let made = made?;
    match arguments.output {
        Format::Human => show_human(&options, &made),
        Format::Json => show::line(&json(&options, &made).to_string()),
    }
    Ok(super::code(!made.copied.left_out.is_empty()))
}

fn json(options: &BackupOptions, made: &Made) -> serde_json::Value {
    json!({
        "directory": options.directory.display().to_string(),
        "manifest": made.manifest,
        "left_out": show::left_out_json(&made.copied),
    })
}

fn show_human(options: &BackupOptions, made: &Made) {
    let manifest = &made.manifest;
    let database = match &manifest.database {
        Some(database) => format!("a database of {}", HumanBytes(database.size)),
        None => "no database".to_owned(),
    };
    show::line(&format!(
        "Backed up to {}: {database}, {} objects of {}.",
        options.directory.display(),
        manifest.objects,
        HumanBytes(manifest.object_bytes)
    ));
    if let Some(table) = show::left_out_table(&made.copied) {
        show::line(
            "Content that is missing or damaged, so that it is not in the backup; `tandemd verify` tells whose:",
        );
        show::line(&table);
    }
}
