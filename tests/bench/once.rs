//! Workloads of programs that end when their work is done.

use std::{fs, io, path::Path};

use anyhow::Result;
use tandem_tests::{
    generate::{self, Totals},
    tree::Tree,
};

use crate::{
    lab::{Lab, Pair},
    measure::{self, Cost},
    report::Report,
    statistics::median,
    tools,
};

const TINY_FILES: usize = 100_000;
const LARGE_BYTES: usize = 1024 * 1024 * 1024;

type Generator = fn(&Path, u64) -> io::Result<Totals>;

/// A pair whose one side is filled and whose other side is empty.
pub(crate) fn filled_pair(lab: &Lab, generator: Generator) -> Result<(Pair, Totals)> {
    let pair = lab.pair()?;
    let totals = generator(&pair.contracts, lab.seed)?;
    Ok((pair, totals))
}

/// What every tool took for the same tree.
#[derive(Debug, Default)]
struct Costs {
    cp: Vec<Cost>,
    rsync: Vec<Cost>,
    tandem: Vec<Cost>,
}

fn median_of(costs: &[Cost], field: fn(&Cost) -> f64) -> f64 {
    median(&costs.iter().map(field).collect::<Vec<_>>())
}

/// The first sync of workload A.
pub(crate) async fn first_sync(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "first sync";
    let costs = compare(lab, report, NAME, generate::workload_a, 4.7).await?;
    let (pair, totals) = filled_pair(lab, generate::workload_a)?;
    let per_file_ms = median_of(&costs.tandem, |cost| cost.cpu_s) * 1000.0 / totals.files as f64;
    report.judge(NAME, "tandem CPU per file", per_file_ms, "ms", 0.26);
    report.note(
        NAME,
        "tandem peak memory",
        median_of(&costs.tandem, |cost| cost.peak_mib),
        "MiB",
    );
    tools::need("strace", pair.logs()).await?;
    let flushes = measure::flushes(&pair.once()?, pair.logs()).await?;
    report.judge(NAME, "tandem flushes", flushes, "calls", 500.0);
    Ok(())
}

/// The first sync of 100,000 tiny files.
pub(crate) async fn tiny(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "tiny files";
    let generator: Generator = |directory, seed| generate::tiny(directory, seed, TINY_FILES);
    let costs = compare(lab, report, NAME, generator, 5.6).await?;
    let peak = median_of(&costs.tandem, |cost| cost.peak_mib);
    report.judge(NAME, "tandem peak memory", peak, "MiB", 380.0);
    Ok(())
}

/// Runs all tools in turn on trees of their own, as often as asked, and notes medians and the ratio to rsync.
async fn compare(
    lab: &Lab,
    report: &mut Report,
    name: &'static str,
    generator: Generator,
    ratio_goal: f64,
) -> Result<Costs> {
    tools::need("rsync", &lab.fresh()?).await?;
    let mut costs = Costs::default();
    for _ in 0..lab.runs {
        let (pair, totals) = filled_pair(lab, generator)?;
        eprintln!("  {totals:?}");
        costs.cp.push(tools::cp(lab, &pair.contracts).await?);
        costs.rsync.push(tools::rsync(lab, &pair.contracts).await?);
        costs
            .tandem
            .push(measure::run(&pair.once()?, pair.logs()).await?);
        Tree::assert_same(&pair.contracts, &pair.mirror);
    }
    let all = [
        ("cp -a", &costs.cp),
        ("rsync -a", &costs.rsync),
        ("tandem", &costs.tandem),
    ];
    for (tool, costs) in all {
        report.note(
            name,
            format!("{tool} wall"),
            median_of(costs, |cost| cost.wall_s),
            "s",
        );
        report.note(
            name,
            format!("{tool} CPU"),
            median_of(costs, |cost| cost.cpu_s),
            "s",
        );
    }
    let wall = |costs: &[Cost]| median_of(costs, |cost| cost.wall_s);
    let ratio = wall(&costs.tandem) / wall(&costs.rsync);
    report.judge(name, "tandem wall / rsync wall", ratio, "times", ratio_goal);
    Ok(costs)
}

/// A start on workload A when both sides are the same already.
pub(crate) async fn restart(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "restart";
    let (pair, _) = filled_pair(lab, generate::workload_a)?;
    measure::run(&pair.once()?, pair.logs()).await?;
    let mut costs = Vec::new();
    for _ in 0..lab.runs {
        costs.push(measure::run(&pair.once()?, pair.logs()).await?);
    }
    report.judge(
        NAME,
        "wall",
        median_of(&costs, |cost| cost.wall_s),
        "s",
        0.23,
    );
    report.note(NAME, "CPU", median_of(&costs, |cost| cost.cpu_s), "s");
    Ok(())
}

/// How much memory a file of 1 GiB takes beyond that for a file of one byte.
pub(crate) async fn large(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "1 GiB file";
    let (small, large) = (lab.pair()?, lab.pair()?);
    fs::write(small.contracts.join("small"), "1")?;
    generate::large_file(&large.contracts.join("large"), lab.seed, LARGE_BYTES)?;
    let base = measure::run(&small.once()?, small.logs()).await?;
    let cost = measure::run(&large.once()?, large.logs()).await?;
    Tree::assert_same(&large.contracts, &large.mirror);
    report.note(NAME, "wall", cost.wall_s, "s");
    report.note(NAME, "CPU", cost.cpu_s, "s");
    report.judge(
        NAME,
        "memory beyond a 1 byte file",
        cost.peak_mib - base.peak_mib,
        "MiB",
        64.0,
    );
    Ok(())
}
