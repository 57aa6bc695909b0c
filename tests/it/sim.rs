//! Many seeds of the simulation, and that a seed is a run.

use std::time::Instant;

use tandem_tests::sim::run::run;

/// Seeds when `TANDEM_SIM_SEEDS` does not say.
const SEEDS: u64 = 500;

/// Stops at S5, S6, S7, K1, K2, K3, K4, K7 and K8.
#[test]
fn every_seed_converges_and_loses_nothing() {
    let seeds = std::env::var("TANDEM_SIM_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let start = Instant::now();
    for seed in 0..seeds {
        let report = run(seed);
        if let Some(why) = report.broken {
            let trace = report.trace.join("\n");
            panic!(
                "{trace}\nseed {seed}: {why}\n\
                 again: cargo run -p tandem-tests --bin sim -- --seeds 1 --from {seed}"
            );
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{seeds} seeds, {:.0} seeds/s", seeds as f64 / seconds);
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        assert_eq!(run(seed).hash, run(seed).hash, "seed {seed}");
    }
}
