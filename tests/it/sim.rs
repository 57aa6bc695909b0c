//! Many seeds of the simulation, and that a seed is a run.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Result, ensure};
use tandem_tests::sim::census::Census;
use tandem_tests::sim::run::{play, run};
use tandem_tests::sim::script::{Act, Script};
use tandem_tests::sim::sweep::Sweep;

/// Seeds when `TANDEM_SIM_SEEDS` does not say.
const SEEDS: u64 = 2_000;

/// Stops at S5, S6, S7, K1, K2, K3, K4, K7 and K8.
#[test]
fn every_seed_converges_and_loses_nothing() {
    let seeds = std::env::var("TANDEM_SIM_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let jobs = available_parallelism().map_or(1, usize::from);
    let sweep = Sweep {
        from: 0,
        seeds,
        jobs,
        all: false,
    };
    let swept = sweep.play();
    if let Some((seed, why)) = swept.broken.first_key_value() {
        let trace = run(*seed).trace.join("\n");
        panic!(
            "{trace}\nseed {seed}: {why}\n\
             again: cargo run -p tandem-tests --bin sim -- --seeds 1 --from {seed}"
        );
    }
    assert_eq!(swept.played, seeds);
    println!("conflicts (of content): {}", swept.conflicts);
    if seeds >= SEEDS {
        assert_policies_are_judged(&swept.conflicts);
    }
    println!(
        "{seeds} seeds, trace hash {:016x}, {:.0} seeds/s",
        swept.hash,
        swept.rate()
    );
}

/// The oracles of the policies mean something only where there are conflicts to judge.
fn assert_policies_are_judged(found: &Census) {
    let policies = [
        "CLOUD_WINS",
        "ON_PREMISE_WINS",
        "KEEP_BOTH",
        "MANUAL",
        "PER_FIELD",
    ];
    for name in policies {
        assert!(found.of_content(name) >= 5, "{name}: {found}");
    }
}

/// Each was shrunk from a seed that broke a promise; its name says what was wrong. A plan whose moves mean something else
/// by now still has to hold.
#[test]
fn plans_that_broke_a_promise_once_hold_it() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/plans");
    let mut played = 0;
    for plan in fs::read_dir(folder)? {
        let path = plan?.path();
        let script: Script = serde_json::from_slice(&fs::read(&path)?)?;
        let broken = play(&script).broken;
        ensure!(broken.is_none(), "{}: {broken:?}", path.display());
        played += 1;
    }
    ensure!(played > 0, "no plan was found");
    Ok(())
}

#[test]
fn a_seed_is_a_run_whoever_plays_it() {
    let [alone, together] = [1, 3].map(|jobs| {
        let sweep = Sweep {
            from: 0,
            seeds: 40,
            jobs,
            all: true,
        };
        sweep.play().hash
    });
    assert_eq!(alone, together);
    for seed in 0..20 {
        assert_eq!(run(seed).trace, run(seed).trace, "seed {seed}");
    }
}

#[test]
fn any_move_can_be_left_out_of_a_plan_and_the_rest_is_played_as_before() {
    for seed in 0..5 {
        let whole = Script::draw(seed);
        for left_out in 0..whole.moves.len() {
            let mut script = whole.clone();
            let removed = script.moves.remove(left_out);
            let broken = play(&script).broken;
            assert_eq!(broken, None, "seed {seed} without {left_out}: {removed:?}");
        }
        let waits = |script: &mut Script| script.moves.retain(|one| one.act != Act::Wait);
        let mut script = whole;
        waits(&mut script);
        assert_eq!(play(&script).broken, None, "seed {seed} without waits");
    }
}
