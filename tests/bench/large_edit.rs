//! Edits in the middle of one large file, beside rsync's delta transfer of the same edits.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use rand::{SeedableRng, rngs::StdRng};
use tandem_tests::{generate, tree::Tree, wait::eventually};

use crate::{
    lab::{DEADLINE, Lab, Pair},
    measure,
    report::Report,
    tools::Daemon,
};

const LARGE_BYTES: u64 = 1024 * 1024 * 1024;
const EDIT_BYTES: usize = 1024 * 1024;
const FILE: &str = "large";

/// What is done to the file, and what rsync took for it where the goals were set, in seconds.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Overwrite,
    Insertion,
}

impl Edit {
    fn name(self) -> &'static str {
        match self {
            Self::Overwrite => "1 MiB over the middle of 1 GiB",
            Self::Insertion => "1 MiB into the middle of 1 GiB",
        }
    }

    /// At most so many bytes on the wire a hop, in MB.
    fn goal_mb(self) -> f64 {
        match self {
            Self::Overwrite => 2.5,
            Self::Insertion => 3.5,
        }
    }

    /// Makes the edit; an insertion is saved as editors save, into a new file that takes the place of the old one.
    fn apply(self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Overwrite => {
                let opened = OpenOptions::new().write(true).open(file)?;
                opened.write_all_at(bytes, LARGE_BYTES / 2)
            }
            Self::Insertion => fs::rename(prepared(file), file),
        }
    }

    /// Writes what takes long before the clock starts.
    fn prepare(self, file: &Path, aside: &Path, bytes: &[u8]) -> io::Result<()> {
        if matches!(self, Self::Overwrite) {
            return Ok(());
        }
        let mut old = BufReader::new(File::open(file)?);
        let mut new = File::create(aside)?;
        io::copy(&mut old.by_ref().take(LARGE_BYTES / 2), &mut new)?;
        new.write_all(bytes)?;
        io::copy(&mut old, &mut new)?;
        new.sync_all()
    }

    fn is_visible(self, file: &Path, bytes: &[u8]) -> bool {
        let mut found = vec![0; bytes.len()];
        let read = File::open(file).and_then(|mut file| {
            file.seek(SeekFrom::Start(LARGE_BYTES / 2))?;
            file.read_exact(&mut found)
        });
        read.is_ok() && found == bytes
    }
}

/// Beside the synced folder, on the same disk.
fn prepared(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(Path::parent);
    folder.unwrap_or(file).join("prepared")
}

/// Both edits, by both tools, as often as asked; the two tools see the same bytes.
pub(crate) async fn large_edit(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut random = StdRng::seed_from_u64(lab.seed);
    let pair = lab.pair()?;
    let (here, there) = (pair.contracts.join(FILE), pair.mirror.join(FILE));
    generate::large_file(&here, lab.seed, LARGE_BYTES as usize)?;
    let rsync = RsyncPair::start(lab, &here).await?;
    let process = pair.start_in_sync().await?;
    eprintln!("  the file is on both sides");
    for edit in [Edit::Overwrite, Edit::Insertion] {
        let bytes = generate::bytes(&mut random, EDIT_BYTES);
        let reference = rsync.time(edit, &bytes).await?;
        edit.prepare(&here, &prepared(&here), &bytes)?;
        quiet(&pair, process.pid()).await?;
        let before = loopback_bytes()?;
        let started = Instant::now();
        edit.apply(&here, &bytes)?;
        eventually(DEADLINE, "the edit is there", || {
            edit.is_visible(&there, &bytes)
        })
        .await?;
        let wall = started.elapsed().as_secs_f64();
        quiet(&pair, process.pid()).await?;
        // Both hops go over the loopback device.
        let moved = (loopback_bytes()? - before) / 2.0 / 1_000_000.0;
        Tree::assert_same(&pair.contracts, &pair.mirror);
        let name = edit.name();
        eprintln!("  {name}: rsync {reference:.2} s, tandem {wall:.2} s, {moved:.2} MB a hop");
        report.note(name, "rsync wall", reference, "s");
        report.note(name, "tandem wall", wall, "s");
        report.judge(
            name,
            "tandem wall / rsync wall",
            wall / reference,
            "times",
            1.0,
        );
        report.judge(name, "a hop", moved, "MB", edit.goal_mb());
    }
    Ok(())
}

/// Waits until the process does nothing, so that what comes next is measured alone.
async fn quiet(pair: &Pair, pid: u32) -> Result<()> {
    let mut last = measure::live_cpu_s(pid)?;
    let mut since = Instant::now();
    eventually(
        DEADLINE,
        &format!("{} is quiet", pair.contracts.display()),
        || {
            let now = measure::live_cpu_s(pid).unwrap_or(last);
            if now - last > 0.02 {
                (last, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_secs(2)
        },
    )
    .await
}

/// What went over the loopback device so far.
fn loopback_bytes() -> Result<f64> {
    let text = fs::read_to_string("/sys/class/net/lo/statistics/tx_bytes")?;
    Ok(text.trim().parse()?)
}

/// The same file for rsync, which sends it to its daemon.
struct RsyncPair {
    daemon: Daemon,
    source: PathBuf,
    logs: PathBuf,
}

impl RsyncPair {
    async fn start(lab: &Lab, file: &Path) -> Result<Self> {
        let (source, logs) = (lab.fresh()?.join("source"), lab.fresh()?);
        fs::create_dir(&source)?;
        fs::copy(file, source.join(FILE))?;
        let pair = Self {
            daemon: Daemon::start(lab).await?,
            source,
            logs,
        };
        measure::run(&pair.daemon.send(&pair.source), &pair.logs).await?;
        Ok(pair)
    }

    async fn time(&self, edit: Edit, bytes: &[u8]) -> Result<f64> {
        let file = self.source.join(FILE);
        edit.prepare(&file, &prepared(&file), bytes)?;
        edit.apply(&file, bytes)?;
        let cost = measure::run(&self.daemon.send(&self.source), &self.logs).await?;
        Ok(cost.wall_s)
    }
}
