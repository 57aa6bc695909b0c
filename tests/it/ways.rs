//! Every scenario of the files `rules_*.rs` ends the same in whatever order, in batches of whatever size, and with
//! whoever restarted in between things happen (R-REC-5, I11).
//!
//! They are run again by this very program, once for each way, and say how they ended. They check their own
//! expectations each time; beside that nothing may be lost, canaries are not touched, and what has come to rest stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use tandem_tests::sim::ways::{ENDS, WAY, WAYS, Way};

/// Scenarios that there are at least; a filter that finds fewer finds the wrong ones.
const SCENARIOS_MIN: usize = 100;
/// Ways that are played at the same time.
const PLAYERS: usize = 2;

/// Scenarios that may end otherwise: what decides in them is one of the exceptions of R-REC-5, or the moment itself.
const MAY_DIFFER: &[(&str, &str)] = &[
    (
        "r_del_3_refused_deletions_are_restored",
        "which deletions are done before they are too many",
    ),
    (
        "r_rec_9_the_second_of_two_documents_of_one_name_fails_until_one_is_renamed",
        "the first at a free name",
    ),
    (
        "r_prj_5_two_quick_edits_through_a_rule_that_adds_a_title_are_no_conflict",
        "whether the second edit was made after the rule had fired",
    ),
    (
        "r_agt_6_a_create_that_was_observed_before_its_outcome_is_one_member_and_no_conflict",
        "it makes by hand what an agent left when it stopped",
    ),
    (
        "r_agt_5_a_gone_folder_that_is_no_member_takes_the_synced_folder_inside_it_along",
        "an agent that starts finds by a scan that a synced folder is gone, and that is held (R-DEL-3)",
    ),
    (
        "r_mov_4_a_chosen_document_keeps_its_own_set_in_a_synced_folder_once_per_side",
        "a chosen document that an agent is asked for and finds gone is held, one that it tells of is not (R-DEL-3)",
    ),
    (
        "r_del_3_what_is_seen_again_is_released_by_itself_piece_by_piece",
        "an agent that starts looks at all by itself, so nothing is seen piece by piece",
    ),
];

fn may_differ(name: &str) -> bool {
    MAY_DIFFER.iter().any(|(one, _)| *one == scenario(name))
}

/// What came of a way.
#[derive(Debug, Default)]
struct Played {
    /// How each scenario ended: by its file and name, and a number where it has several worlds.
    ends: BTreeMap<String, String>,
    /// Scenarios in which something was not as they expect.
    failed: BTreeSet<String>,
    /// What was printed.
    told: String,
}

/// Plays all scenarios in one way.
fn play(way: &Way) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["rules_", "--test-threads=2"])
        .env(WAY, way.name)
        .env(ENDS, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("test result: "), "{}: {output:?}", way.name);
    let results = told.lines().filter_map(|line| line.strip_prefix("test "));
    let failed = results.filter_map(|line| line.strip_suffix(" ... FAILED"));
    Played {
        ends: read_ends(folder.path()),
        failed: failed.map(|name| name.replace("::", ".")).collect(),
        told,
    }
}

fn read_ends(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    });
    read.collect()
}

/// All ways, in order.
fn play_all() -> Vec<Played> {
    let next = Mutex::new(0..WAYS.len());
    let all = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let Some(at) = next.lock().unwrap().next() else {
                        return;
                    };
                    let played = play(&WAYS[at]);
                    all.lock().unwrap().insert(at, played);
                }
            });
        }
    });
    all.into_inner().unwrap().into_values().collect()
}

/// The scenario of a world, without its file and number.
fn scenario(name: &str) -> &str {
    name.split('.').nth(1).unwrap_or(name)
}

#[test]
fn r_rec_5_scenarios_end_the_same_in_any_order_with_any_batches_and_restarts() {
    let all = play_all();
    let fair = &all[0];
    assert!(fair.failed.is_empty(), "{}", fair.told);
    let worlds: BTreeSet<&str> = fair.ends.keys().map(|name| scenario(name)).collect();
    assert!(worlds.len() >= SCENARIOS_MIN, "{worlds:?}");
    let (mut wrong, mut different) = (Vec::new(), BTreeSet::new());
    for (way, played) in WAYS.iter().zip(&all) {
        for name in &played.failed {
            different.insert(scenario(name).to_owned());
            if !may_differ(name) {
                wrong.push(format!("{name}, {}:\n{}", way.name, played.told));
            }
        }
        for (name, expected) in &fair.ends {
            let end = played.ends.get(name);
            if end == Some(expected) || end.is_none() && !played.failed.is_empty() {
                continue;
            }
            different.insert(scenario(name).to_owned());
            if !may_differ(name) {
                wrong.push(format!(
                    "{name}, {}: {end:?}\ninstead of\n{expected}",
                    way.name
                ));
            }
        }
    }
    let same = MAY_DIFFER
        .iter()
        .filter(|(name, _)| !different.contains(*name));
    wrong.extend(same.map(|(name, _)| format!("{name} ends the same: take it off MAY_DIFFER")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
