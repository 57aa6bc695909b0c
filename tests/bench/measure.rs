//! What a process costs: wall time, CPU, memory, flushes.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    },
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use tandem_tests::process::Launch;
use tokio::time::interval;

use crate::lab::DEADLINE;

/// The system calls that make something durable.
const FLUSHES: &[&str] = &["fsync", "fdatasync", "syncfs", "sync_file_range", "msync"];
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// What one run of a program cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// From start to end, in seconds.
    pub(crate) wall_s: f64,
    /// User and system time of the process and all that it waited for, in seconds.
    pub(crate) cpu_s: f64,
    /// The highest resident memory, in MiB, of the process itself.
    pub(crate) peak_mib: f64,
}

/// CPU that ended and awaited children of this process have used, in seconds.
pub(crate) fn children_cpu_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

/// Runs a program to its end; nothing else may be started meanwhile.
///
/// Memory is the high-water mark that the kernel keeps, read every 10 ms: what is added after the last look is missed.
pub(crate) async fn run(launch: &Launch, logs: &Path) -> Result<Cost> {
    // What was written before must not be flushed on the account of this run.
    rustix::fs::sync();
    let cpu_before = children_cpu_s()?;
    let started = Instant::now();
    let mut process = launch.start(logs)?;
    let pid = process.pid();
    let mut ticks = interval(SAMPLE_EVERY);
    let mut peak_mib: f64 = 0.0;
    let status = {
        let mut ended = std::pin::pin!(process.wait(DEADLINE));
        loop {
            tokio::select! {
                status = &mut ended => break status?,
                _ = ticks.tick() => peak_mib = peak_mib.max(high_water_mib(pid).unwrap_or(0.0)),
            }
        }
    };
    let wall_s = started.elapsed().as_secs_f64();
    ensure!(status.success(), "ended with {status}:\n{}", process.log());
    Ok(Cost {
        wall_s,
        cpu_s: children_cpu_s()? - cpu_before,
        peak_mib,
    })
}

fn high_water_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// CPU that a living process has used, its ended threads included, in seconds and exact to the nanosecond.
pub(crate) fn live_cpu_s(pid: u32) -> Result<f64> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let used = clock_gettime(clock_getcpuclockid(pid)?)?;
    Ok(used.num_nanoseconds() as f64 / 1e9)
}

/// Runs a program under strace and counts its flushes. Slow, so never part of a timed run.
pub(crate) async fn flushes(launch: &Launch, logs: &Path) -> Result<f64> {
    let counts = logs.join("flushes");
    let trace = format!("trace={}", FLUSHES.join(","));
    let options = ["-f", "-c", "-e", &trace, "-o"].map(OsStr::new);
    let traced = launch.under("strace", options.into_iter().chain([counts.as_os_str()]));
    let mut process = traced.start(logs)?;
    let status = process.wait(DEADLINE).await?;
    ensure!(status.success(), "ended with {status}:\n{}", process.log());
    Ok(f64::from(counted(&fs::read_to_string(&counts)?)))
}

/// Adds up the column `calls` of `strace -c`.
fn counted(table: &str) -> u32 {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.last().is_some_and(|name| FLUSHES.contains(name)))
        .filter_map(|columns| columns.get(3)?.parse::<u32>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_added_up() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 91.20    0.012345         123       100           fdatasync
  8.80    0.001200          40        30         2 syncfs
------ ----------- ----------- --------- --------- ----------------
100.00    0.013545         104       130         2 total
";
        assert_eq!(counted(table), 130);
        assert_eq!(counted(""), 0);
    }

    #[tokio::test]
    async fn a_run_is_measured() {
        let logs = tempfile::tempdir().unwrap();
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let launch = Launch::command("/bin/sh", "busy").args(["-c", script]);
        let cost = run(&launch, logs.path()).await.unwrap();
        assert!(cost.wall_s > 0.0 && cost.cpu_s > 0.0, "{cost:?}");
        let failing = Launch::command("/bin/sh", "failing").args(["-c", "echo why >&2; exit 2"]);
        let error = run(&failing, logs.path()).await.unwrap_err().to_string();
        assert!(error.contains("why"), "{error}");
    }

    #[test]
    fn a_living_process_shows_its_memory_and_cpu() {
        assert!(high_water_mib(std::process::id()).unwrap() > 0.1);
        assert!(live_cpu_s(std::process::id()).unwrap() > 0.0);
    }
}
