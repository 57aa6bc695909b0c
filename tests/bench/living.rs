//! Workloads on a process that keeps two directories the same.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tandem_tests::{
    change::{Change, Script},
    generate,
    tree::Tree,
    wait::eventually,
};
use tokio::time::{interval, sleep};

use crate::{
    lab::{DEADLINE, Lab, Pair},
    measure, once,
    report::Report,
    statistics::{median, percentile},
};

/// How often the other side is looked at; half of it is added to each time on average.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Between one small change and the next.
const PACE: Duration = Duration::from_millis(100);
const SMALL_CHANGES: usize = 100;
const IDLE: Duration = Duration::from_secs(5);

/// A change and the root below which it is to appear.
type Expected<'a> = (&'a Change, &'a Path);

/// 200 edits, 50 renames, 50 moves, 50 deletions and 50 creations on one side, 100 edits on the other.
pub(crate) async fn mixed(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "mixed changes";
    let (pair, _) = once::filled_pair(lab, generate::workload_a)?;
    let process = pair.start_in_sync().await?;
    let mut times = Vec::new();
    let mut cpu = Vec::new();
    for run in 0..lab.runs {
        let files = Tree::read(&pair.contracts)?.files();
        let mut script = Script::new(files, lab.seed + u64::from(run));
        let (here, there) = mixed_changes(&mut script);
        let cpu_before = measure::live_cpu_s(process.pid())?;
        times.push(time_mixed(&pair, &here, &there).await?);
        cpu.push(measure::live_cpu_s(process.pid())? - cpu_before);
        settled(&pair).await?;
    }
    report.judge(NAME, "wall until equal", median(&times), "s", 0.5);
    report.note(NAME, "CPU", median(&cpu), "s");
    Ok(())
}

fn mixed_changes(script: &mut Script) -> (Vec<Change>, Vec<Change>) {
    let mut here = script.edits(200);
    here.extend(script.renames(50));
    here.extend(script.moves(50));
    here.extend(script.deletions(50));
    here.extend(script.creations(50));
    let there = script.edits(100);
    (script.mixed(here), there)
}

async fn time_mixed(pair: &Pair, here: &[Change], there: &[Change]) -> Result<f64> {
    let started = Instant::now();
    for change in here {
        change.apply(&pair.contracts)?;
    }
    for change in there {
        change.apply(&pair.mirror)?;
    }
    let mut expected: Vec<Expected<'_>> = here
        .iter()
        .map(|change| (change, pair.mirror.as_path()))
        .collect();
    expected.extend(
        there
            .iter()
            .map(|change| (change, pair.contracts.as_path())),
    );
    visible(expected).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Waits until all changes have arrived.
async fn visible(mut expected: Vec<Expected<'_>>) -> Result<()> {
    let started = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    while !expected.is_empty() {
        ensure!(
            started.elapsed() < DEADLINE,
            "{} changes did not arrive, the first: {:?}",
            expected.len(),
            expected.first()
        );
        ticks.tick().await;
        expected.retain(|(change, root)| !change.is_visible(root));
    }
    Ok(())
}

/// Waits until both sides hold the same bytes.
async fn settled(pair: &Pair) -> Result<()> {
    let (contracts, mirror) = (&pair.contracts, &pair.mirror);
    eventually(DEADLINE, "both sides are equal", || {
        Tree::is_same(contracts, mirror)
    })
    .await
}

/// One small edit at a time, on both sides in turn, from the write to its visibility on the other side.
pub(crate) async fn latency(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "one small change";
    let (pair, _) = once::filled_pair(lab, generate::workload_a)?;
    let _process = pair.start_in_sync().await?;
    settled(&pair).await?;
    let files = Tree::read(&pair.contracts)?.files();
    let changes = Script::new(files, lab.seed).edits(SMALL_CHANGES);
    let mut pace = interval(PACE);
    let mut times = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let (from, to) = match number % 2 {
            0 => (&pair.contracts, &pair.mirror),
            _ => (&pair.mirror, &pair.contracts),
        };
        pace.tick().await;
        let started = Instant::now();
        change.apply(from)?;
        visible(vec![(change, to)]).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    settled(&pair).await?;
    report.judge(NAME, "median", median(&times), "ms", 30.0);
    report.judge(
        NAME,
        "99th percentile",
        percentile(&times, 99.0),
        "ms",
        100.0,
    );
    Ok(())
}

/// What it costs to keep workload A the same when nothing changes.
pub(crate) async fn idle(lab: &Lab, report: &mut Report) -> Result<()> {
    let (pair, _) = once::filled_pair(lab, generate::workload_a)?;
    let process = pair.start_in_sync().await?;
    settled(&pair).await?;
    // What the first sync leaves to be done later is not idleness.
    sleep(IDLE).await;
    let before = measure::live_cpu_s(process.pid())?;
    sleep(IDLE).await;
    let used = measure::live_cpu_s(process.pid())? - before;
    report.judge("idle", "CPU in 5 s", used, "s", 0.01);
    Ok(())
}
