//! What can be typed behind `tandemd quickstart`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tandem_client::policies::Policies;

/// Keep two directories the same: the first is the synced folder, the second the folder that receives it.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The on-premise directory; made if missing
    #[arg(value_name = "ON_PREMISE")]
    pub on_premise: PathBuf,
    /// The cloud directory, which receives a folder named like the first; made if missing
    #[arg(value_name = "CLOUD")]
    pub cloud: PathBuf,
    /// End as soon as both sides are the same: code 0, or 2 when some members failed
    #[arg(long)]
    pub once: bool,
    /// Where the coordinator and the agents keep their state [default: in the user's data directory, by pair]
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Lines for people, or one JSON object on each line for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub output: Format,
    /// Leave out what lies in subfolders
    #[arg(long)]
    pub no_subfolders: bool,
    /// Let nobody change the on-premise copies
    #[arg(long)]
    pub lock_on_premise_copy: bool,
    /// Keep the cloud copy of what is deleted on-premise
    #[arg(long, conflicts_with = "delete_on_premise")]
    pub no_delete_on_cloud: bool,
    /// Delete on-premise what is deleted on the cloud
    #[arg(long)]
    pub delete_on_premise: bool,
    /// What the set does about conflicts
    #[command(flatten)]
    pub policies: Policies,
    /// Hold deletions when they exceed this share of the members, in per cent; 100 = no share is too large
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=100))]
    pub max_delete_percent: i32,
    /// Which events to log, such as `info`
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// For whom output is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}
