//! Runs many seeds of the simulation, or one of them with its whole trace, or a plan from a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tandem_tests::sim::run::{Report, play};
use tandem_tests::sim::script::Script;
use tandem_tests::sim::shrink::{promise, shrink};
use tandem_tests::sim::sweep::Sweep;

/// Runs the simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many threads play.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Go on after a failing seed, and tell only what broke.
    #[arg(long)]
    all: bool,
    /// Play the plan in this file instead, and tell all that happens.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "all"])]
    replay: Option<PathBuf>,
    /// Where the plans of failing seeds are saved, as they are and shrunk.
    #[arg(long, value_name = "DIRECTORY", default_value = "sim-failures")]
    save: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A panic is a broken promise like any other: it is told with the trace, and not by each thread.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(file) = &arguments.replay {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read the plan {}", file.display()))?;
        let script = serde_json::from_str(&text);
        let script = script.with_context(|| format!("{} is no plan", file.display()))?;
        return Ok(tell(&play(&script)));
    }
    if arguments.seeds == 1 {
        let _ = tell(&play(&Script::draw(arguments.from)));
    }
    sweep(&arguments)
}

fn sweep(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let sweep = Sweep {
        from: arguments.from,
        seeds: arguments.seeds,
        jobs: arguments.jobs,
        all: arguments.all,
    };
    let swept = sweep.play();
    for (seed, broken) in &swept.broken {
        println!("seed {seed}: {broken}");
        if !arguments.all {
            save(&arguments.save, *seed, broken)?;
        }
    }
    println!(
        "{} seeds, {} broken; trace hash {:016x}; {:.0} seeds/s",
        swept.played,
        swept.broken.len(),
        swept.hash,
        swept.rate()
    );
    println!("conflicts (of content): {}", swept.conflicts);
    Ok(match swept.broken.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Tells a whole run.
fn tell(report: &Report) -> ExitCode {
    for line in &report.trace {
        println!("{line}");
    }
    println!("trace hash {:016x}", report.hash);
    match &report.broken {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            println!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps the plan of a failing seed, and a smaller one that breaks the same promise.
fn save(directory: &Path, seed: u64, broken: &str) -> anyhow::Result<()> {
    let script = Script::draw(seed);
    let small = shrink(&script, |candidate| {
        let again = play(candidate).broken;
        again.is_some_and(|again| promise(&again) == promise(broken))
    });
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, script) in [("whole", &script), ("small", &small)] {
        let file = directory.join(format!("{seed}.{name}.json"));
        let text = serde_json::to_string_pretty(script)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{} moves: {}", script.moves.len(), file.display());
    }
    println!(
        "again: sim --replay {}/{seed}.small.json",
        directory.display()
    );
    Ok(())
}
