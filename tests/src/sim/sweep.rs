//! Plays many seeds on several threads; what comes out does not depend on how many there are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::census::Census;
use super::run::run;

/// Which seeds are played, and how.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// How many threads play.
    pub jobs: usize,
    /// Go on after a seed that breaks a promise.
    pub all: bool,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Swept {
    /// Seeds that broke a promise; only the lowest one, unless all were asked for.
    pub broken: BTreeMap<u64, String>,
    /// Stands for the traces of all seeds that were played up to the end or to the broken one.
    pub hash: u64,
    /// Seeds that were played.
    pub played: u64,
    /// The conflicts that were found in them.
    pub conflicts: Census,
    /// The time it took.
    pub took: Duration,
}

impl Swept {
    /// Seeds in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.played as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

impl Sweep {
    /// Plays them.
    #[must_use]
    pub fn play(&self) -> Swept {
        let start = Instant::now();
        let next = AtomicU64::new(self.from);
        let end = AtomicU64::new(self.from.saturating_add(self.seeds));
        let found = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| self.work(&next, &end, &found));
            }
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.sum_up(found, start.elapsed())
    }

    /// Every seed below a broken one is played to its end, so the lowest broken one is the same whoever finds it.
    fn work(&self, next: &AtomicU64, end: &AtomicU64, found: &Mutex<Played>) {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            let report = run(seed);
            if report.broken.is_some() && !self.all {
                end.fetch_min(seed + 1, Ordering::Relaxed);
            }
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(seed, (report.hash, report.broken, report.conflicts));
        }
    }

    fn sum_up(&self, found: Played, took: Duration) -> Swept {
        let mut swept = Swept {
            took,
            ..Swept::default()
        };
        for (seed, (hash, broken, conflicts)) in found {
            swept.played += 1;
            swept.conflicts.add(&conflicts);
            swept.hash = swept.hash.rotate_left(5) ^ hash;
            if let Some(broken) = broken {
                swept.broken.insert(seed, broken);
                if !self.all {
                    break;
                }
            }
        }
        swept
    }
}

type Played = BTreeMap<u64, (u64, Option<String>, Census)>;
