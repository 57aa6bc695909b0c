//! Runs many seeds of the simulation, or one of them with its whole trace.

use std::time::Instant;

use clap::Parser;
use tandem_tests::sim::run::run;

/// Runs the simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Go on after a failing seed, and tell only what broke.
    #[arg(long)]
    all: bool,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let mut broken = 0;
    for seed in arguments.from..arguments.from + arguments.seeds {
        let report = run(seed);
        if let Some(why) = report.broken {
            broken += 1;
            if !arguments.all {
                for line in &report.trace {
                    println!("{line}");
                }
            }
            println!("seed {seed}: {why}");
            if !arguments.all {
                break;
            }
        }
    }
    let rate = arguments.seeds as f64 / start.elapsed().as_secs_f64();
    println!("{broken} broken; {rate:.0} seeds/s");
    match broken {
        0 => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}
