//! The benchmark: Tandem beside `cp -a` and `rsync -a`, all in one run on one machine.
//!
//! `cargo run --release -p tandem-tests --bin bench -- [WORKLOAD…]` after `cargo build --release --workspace`.
//! Nothing is asserted: a missed goal is shown, and the reader judges.

mod lab;
mod large_edit;
mod living;
mod measure;
mod members;
mod once;
mod report;
mod statistics;
mod together;
mod tools;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::{lab::Lab, report::Report};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// First sync of 10,000 files of 1 to 16 KiB in 500 folders.
    FirstSync,
    /// Start with nothing to do, on the same tree.
    Restart,
    /// 400 changes on one side and 100 on the other while both are kept the same.
    Mixed,
    /// One small change, 100 times.
    Latency,
    /// First sync of 100,000 files of 64 to 1024 bytes.
    Tiny,
    /// One file of 1 GiB.
    Large,
    /// Nothing happens for 5 s.
    Idle,
    /// 1 MiB over, and into, the middle of a file of 1 GiB.
    LargeEdit,
    /// A folder with 10,000 members is renamed.
    FolderRename,
    /// 50 documents edited on both sides, 40 made, 40 edited here and deleted there, at the same moment.
    Concurrent,
    /// One change in a set of 1,000,000 members, beside one in a set of 10,000.
    Members,
}

/// Measures Tandem beside `cp -a` and `rsync -a` through its daemon.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything when none is named.
    workloads: Vec<Workload>,
    /// How often each is run; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// The seed of the generated trees.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the trees are made and deleted again; on the disk that is to be measured.
    #[arg(long, default_value_os_t = env::temp_dir())]
    work_dir: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Human,
    Json,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let lab = Lab::new(&arguments.work_dir, arguments.runs, arguments.seed)?;
    let mut report = Report::default();
    let chosen = match arguments.workloads.is_empty() {
        true => Workload::value_variants().to_vec(),
        false => arguments.workloads,
    };
    for workload in chosen {
        eprintln!("measuring {workload:?}");
        Box::pin(measure(workload, &lab, &mut report)).await?;
    }
    match arguments.output {
        Output::Human => println!("{}", report.table()),
        Output::Json => println!("{}", report.json()?),
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(workload: Workload, lab: &Lab, report: &mut Report) -> Result<()> {
    match workload {
        Workload::FirstSync => once::first_sync(lab, report).await,
        Workload::Restart => once::restart(lab, report).await,
        Workload::Tiny => once::tiny(lab, report).await,
        Workload::Large => once::large(lab, report).await,
        Workload::Mixed => living::mixed(lab, report).await,
        Workload::Latency => living::latency(lab, report).await,
        Workload::Idle => living::idle(lab, report).await,
        Workload::LargeEdit => large_edit::large_edit(lab, report).await,
        Workload::FolderRename => together::folder_rename(lab, report).await,
        Workload::Concurrent => together::concurrent(lab, report).await,
        Workload::Members => Box::pin(members::one_change(report)).await,
    }
}
