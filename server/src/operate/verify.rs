//! `tandemd verify`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::show::{self, Bar, Format};
use crate::config::Config;
use crate::service::verify::{Fault, Step, Verified, VerifyOptions, meaning, name, remedy, verify};

/// What can be typed behind `tandemd verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only whether content is there in its length: its bytes are not read
    #[arg(long)]
    quick: bool,
    /// Only content, not the rows of the database
    #[arg(long)]
    objects_only: bool,
    /// Lines for people, or one JSON object for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// Verifies; code 2 when something was found.
///
/// # Errors
/// When something cannot be read, so that nothing can be said about it.
pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bar = Arc::new(Bar::new(arguments.output));
    let options = VerifyOptions {
        place: config.database(),
        content: config.content_dir(),
        quick: arguments.quick,
        objects_only: arguments.objects_only,
    };
    let teller = Arc::clone(&bar);
    let told = Arc::new(move |step| {
        teller.tell(match step {
            Step::Rows => "the rows of the database".to_owned(),
            Step::Content { blobs, bytes } => {
                format!("content: {blobs} of {}", HumanBytes(bytes))
            }
        });
    });
    let verified = verify(&options, told).await;
    bar.end();
    let verified = verified?;
    match arguments.output {
        Format::Human => show_human(&verified),
        Format::Json => show::line(&json(&verified).to_string()),
    }
    Ok(super::code(!verified.found.is_empty()))
}

fn json(verified: &Verified) -> serde_json::Value {
    let found = verified.found.iter().map(|found| {
        json!({
            "fault": name(found.fault), "at": found.at,
            "means": meaning(found.fault), "remedy": remedy(found.fault)
        })
    });
    let found: Vec<_> = found.collect();
    let more = verified.more.iter();
    let more: Vec<_> = more
        .map(|(fault, count)| json!({"fault": name(*fault), "more": count}))
        .collect();
    json!({"contents": verified.blobs, "bytes": verified.bytes, "found": found, "more": more})
}

fn show_human(verified: &Verified) {
    show::line(&format!(
        "Verified {} contents of {}: {}.",
        verified.blobs,
        HumanBytes(verified.bytes),
        match verified.found.len() {
            0 => "all is as it must be".to_owned(),
            count => format!("{count} things are not as they must be"),
        }
    ));
    let faults: BTreeSet<Fault> = verified.found.iter().map(|found| found.fault).collect();
    for fault in faults {
        show::line(&format!("{}: {}.", name(fault), meaning(fault)));
        show::line(&format!("  What to do: {}.", remedy(fault)));
        for found in verified.found.iter().filter(|found| found.fault == fault) {
            show::line(&format!("  {}", found.at));
        }
        if let Some(more) = verified.more.get(&fault) {
            show::line(&format!("  … and at least {more} more"));
        }
    }
}
