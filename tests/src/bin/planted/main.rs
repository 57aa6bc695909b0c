//! Proves that the tests can fail: plants one bug after the other, and tells who finds it.

mod bugs;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use bugs::{BUGS, Finder, Target};
use clap::Parser;
use comfy_table::{Table, presets};
use serde_json::Value;
use tandem_server::domain::planted::plant;
use tandem_tests::sim::sweep::Sweep;

/// Plants bugs, and tells who finds them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds of the simulation that a bug may take.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// How many threads play.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Leave out what is found by tests, which have to be built.
    #[arg(long)]
    simulation_only: bool,
    /// Let the simulation look for every bug, whoever is named for it.
    #[arg(long, conflicts_with = "simulation_only")]
    simulate: bool,
    /// Only bugs whose name contains this.
    #[arg(default_value = "")]
    only: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A panic is one way to find a bug; it is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let simulated = |finder: &Finder| *finder == Finder::Simulation;
    let chosen = BUGS.iter().filter(|(bug, finder)| {
        bug.contains(&arguments.only) && (!arguments.simulation_only || simulated(finder))
    });
    let chosen: Vec<_> = chosen.collect();
    let tests = match arguments.simulate {
        true => BTreeMap::new(),
        false => build_tests(&chosen)?,
    };
    let start = Instant::now();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["bug", "found by", "seeds", "seconds"]);
    let mut missed = 0;
    for (bug, finder) in &chosen {
        let began = Instant::now();
        let found = match finder {
            Finder::Tests(target, filter) if !arguments.simulate => {
                let failing = tests[target].failing(filter, Some(bug))?;
                failing.map(|by| (by, String::new()))
            }
            _ => by_simulation(bug, &arguments),
        };
        missed += u32::from(found.is_none());
        let nobody = || (format!("NOBODY; {finder:?} should"), String::new());
        let (by, seeds) = found.unwrap_or_else(nobody);
        let seconds = format!("{:.1}", began.elapsed().as_secs_f64());
        eprintln!("{bug}: {by}; {seconds} s");
        table.add_row([(*bug).to_owned(), by, seeds, seconds]);
    }
    println!("{table}");
    let (tried, seconds) = (chosen.len(), start.elapsed().as_secs());
    println!("{tried} bugs planted, {missed} not found; {seconds} s");
    Ok(match (tried, missed) {
        (1.., 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What breaks, and how many seeds that took.
fn by_simulation(bug: &str, arguments: &Arguments) -> Option<(String, String)> {
    plant(Some(bug));
    let sweep = Sweep {
        from: 0,
        seeds: arguments.seeds,
        jobs: arguments.jobs,
        all: false,
    };
    let swept = sweep.play();
    plant(None);
    let (_, broken) = swept.broken.first_key_value()?;
    let broken: String = broken.chars().take(60).collect();
    Some((format!("simulation, {broken}"), swept.played.to_string()))
}

fn cargo_test(target: Target) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--locked", "--quiet", "--features", "planted"]);
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(target.arguments());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo
}

/// Tests that are built, and pass when nothing is planted.
struct Tests {
    executable: PathBuf,
    directory: PathBuf,
}

impl Tests {
    fn build(target: Target) -> anyhow::Result<Self> {
        let built = cargo_test(target).stderr(Stdio::inherit()).output();
        let built = built.context("cargo cannot be started")?;
        anyhow::ensure!(built.status.success(), "{target:?} cannot be built");
        let told = String::from_utf8_lossy(&built.stdout);
        let mut messages = told.lines().filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let is_test = message.pointer("/profile/test") == Some(&Value::Bool(true));
            let text = |at: &str| message.get(at).and_then(Value::as_str).map(PathBuf::from);
            let manifest = text("manifest_path").filter(|_| is_test)?;
            Some(Self {
                executable: text("executable")?,
                directory: manifest.parent()?.to_owned(),
            })
        });
        let tests = messages.next();
        tests.with_context(|| format!("cargo does not tell where {target:?} is"))
    }

    /// The first test that fails, among those whose names contain the filter.
    fn failing(&self, filter: &str, bug: Option<&str>) -> anyhow::Result<Option<String>> {
        let mut command = Command::new(&self.executable);
        command.arg(filter).current_dir(&self.directory);
        command.env("PROPTEST_CASES", "10000").stdin(Stdio::null());
        command.env("TANDEM_PLANTED", bug.unwrap_or_default());
        let done = command.output().context("the tests cannot be started")?;
        if done.status.success() {
            return Ok(None);
        }
        let told = String::from_utf8_lossy(&done.stdout);
        let failed = told.lines().find_map(|line| {
            let name = line.strip_prefix("---- ")?.strip_suffix(" stdout ----")?;
            Some(name.to_owned())
        });
        let failed = failed.with_context(|| format!("{bug:?}: no test failed, yet:\n{told}"))?;
        Ok(Some(failed))
    }
}

/// Builds what is needed, and sees that all that is to find a bug passes without one.
fn build_tests(chosen: &[&(&str, Finder)]) -> anyhow::Result<BTreeMap<Target, Tests>> {
    let mut built = BTreeMap::new();
    let mut tried = BTreeSet::new();
    for (_, finder) in chosen {
        let Finder::Tests(target, filter) = *finder else {
            continue;
        };
        let tests = match built.entry(target) {
            Entry::Vacant(vacant) => vacant.insert(Tests::build(target)?),
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        if tried.insert((target, filter)) {
            let failing = tests.failing(filter, None)?;
            anyhow::ensure!(failing.is_none(), "{failing:?} fails without a bug");
        }
    }
    Ok(built)
}
