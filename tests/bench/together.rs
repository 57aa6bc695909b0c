//! A large folder renamed, and people on both sides at the same moment.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tandem_tests::{generate, tree::Tree};
use tokio::time::interval;

use crate::{
    lab::{DEADLINE, Lab, Pair},
    report::Report,
    statistics::median,
};

const LOOK_EVERY: Duration = Duration::from_millis(1);
const MEMBERS: usize = 10_000;
/// The documents around those that people work on together.
const AROUND: usize = 1_000;
const EDITED_ON_BOTH: usize = 50;
const CREATED: usize = 20;
const EDITED_AND_DELETED: usize = 40;

/// A folder with 10,000 members gets another name.
pub(crate) async fn folder_rename(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "rename of a folder with 10,000 members";
    let pair = lab.pair()?;
    let folder = |number: u32| format!("folder-{number}");
    let first = pair.contracts.join(folder(0));
    fs::create_dir(&first)?;
    generate::files_in_folders(&first, lab.seed, MEMBERS)?;
    let _process = pair.start_in_sync().await?;
    let mut times = Vec::new();
    for run in 0..lab.runs {
        let (from, to) = (folder(run), folder(run + 1));
        let started = Instant::now();
        fs::rename(pair.contracts.join(&from), pair.contracts.join(&to))?;
        let (old, new) = (pair.mirror.join(from), pair.mirror.join(to));
        seen(|| new.exists() && !old.exists()).await?;
        times.push(started.elapsed().as_secs_f64());
        Tree::assert_same(&pair.contracts, &pair.mirror);
    }
    report.judge(NAME, "wall until there", median(&times), "s", 0.2);
    Ok(())
}

/// 50 documents are written on both sides, 20 made on each, and 40 written here and deleted there.
pub(crate) async fn concurrent(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "edits on both sides at once";
    let mut times = Vec::new();
    for _ in 0..lab.runs {
        let pair = lab.pair()?;
        generate::files_in_folders(&pair.contracts, lab.seed, AROUND)?;
        let _process = pair.start_in_sync().await?;
        times.push(work_together(&pair).await?);
    }
    report.judge(NAME, "wall until equal", median(&times), "s", 1.0);
    Ok(())
}

async fn work_together(pair: &Pair) -> Result<f64> {
    let mut files = Tree::read(&pair.contracts)?.files();
    files.sort();
    let edited: Vec<PathBuf> = files.drain(..EDITED_ON_BOTH).collect();
    let disputed: Vec<PathBuf> = files.drain(..EDITED_AND_DELETED).collect();
    let started = Instant::now();
    for path in &edited {
        fs::write(
            pair.contracts.join(path),
            format!("{} here", path.display()),
        )?;
        fs::write(pair.mirror.join(path), format!("{} there!", path.display()))?;
    }
    let mut made = Vec::new();
    for number in 0..CREATED {
        for (root, side) in [(&pair.contracts, "here"), (&pair.mirror, "there")] {
            let path = PathBuf::from(format!("made-{side}-{number}.txt"));
            fs::write(root.join(&path), side)?;
            made.push(path);
        }
    }
    for (number, path) in disputed.iter().enumerate() {
        // An edit on either side is stronger than a deletion on the other where the cloud wins or nothing is deleted.
        let (writer, deleter) = match number % 2 {
            0 => (&pair.contracts, &pair.mirror),
            _ => (&pair.mirror, &pair.contracts),
        };
        fs::write(writer.join(path), format!("{} kept", path.display()))?;
        fs::remove_file(deleter.join(path))?;
    }
    // Deleted on the cloud and edited here: it stays here, and its push fails (SPEC §7); all else is equal.
    let follows = |number: usize| number % 2 == 1;
    let kept = disputed
        .iter()
        .enumerate()
        .filter(|(number, _)| follows(*number));
    let waited: Vec<&PathBuf> = edited
        .iter()
        .chain(&made)
        .chain(kept.map(|(_, path)| path))
        .collect();
    seen(|| waited.iter().all(|path| is_same(pair, path))).await?;
    let wall = started.elapsed().as_secs_f64();
    for path in edited {
        let text = fs::read_to_string(pair.contracts.join(&path))?;
        ensure!(
            text.ends_with("there!"),
            "the cloud wins: {}",
            path.display()
        );
    }
    Ok(wall)
}

fn is_same(pair: &Pair, path: &Path) -> bool {
    let read = |root: &Path| fs::read(root.join(path)).ok();
    let here = read(&pair.contracts);
    here.is_some() && here == read(&pair.mirror)
}

async fn seen(mut condition: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    while !condition() {
        ensure!(started.elapsed() < DEADLINE, "it does not become equal");
        ticks.tick().await;
    }
    Ok(())
}
