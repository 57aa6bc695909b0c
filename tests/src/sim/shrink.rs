//! Makes a failing script smaller: leaves out moves (delta debugging), then makes the plan ordinary.

use super::script::{Act, Move, Ordinary, Script};

/// Runs that one shrinking may cost.
const RUNS_MAX: usize = 20_000;

/// A smaller script that is still as bad.
#[must_use]
pub fn shrink(script: &Script, is_bad: impl FnMut(&Script) -> bool) -> Script {
    let mut shrinker = Shrinker {
        best: script.clone(),
        is_bad,
        runs: 0,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.leave_out();
        shrinker.calm_crashes();
        shrinker.make_ordinary();
        if shrinker.best == before || shrinker.runs >= RUNS_MAX {
            return shrinker.best;
        }
    }
}

/// The name of a broken promise: what stands before the colon, such as `I3`.
#[must_use]
pub fn promise(broken: &str) -> &str {
    broken.split(':').next().unwrap_or(broken)
}

struct Shrinker<F> {
    best: Script,
    is_bad: F,
    runs: usize,
}

impl<F: FnMut(&Script) -> bool> Shrinker<F> {
    /// Takes a candidate that is as bad.
    fn try_it(&mut self, candidate: Script) {
        self.runs += 1;
        if (self.is_bad)(&candidate) {
            self.best = candidate;
        }
    }

    /// First large pieces, then smaller ones, at last single moves; from the end, where most is in vain.
    fn leave_out(&mut self) {
        let mut size = self.best.moves.len().div_ceil(2);
        while size > 0 {
            let mut end = self.best.moves.len();
            while end > 0 && self.runs < RUNS_MAX {
                let start = end.saturating_sub(size);
                let mut candidate = self.best.clone();
                candidate.moves.drain(start..end);
                self.try_it(candidate);
                end = start;
            }
            size /= 2;
        }
    }

    fn calm_crashes(&mut self) {
        for at in 0..self.best.moves.len() {
            let Move { act, draw } = self.best.moves[at];
            if let Act::AgentCrashes(side) = act {
                let mut candidate = self.best.clone();
                let act = Act::Agent(side);
                candidate.moves[at] = Move { act, draw };
                self.try_it(candidate);
            }
        }
    }

    fn make_ordinary(&mut self) {
        for way in Ordinary::ALL {
            let mut candidate = self.best.clone();
            if candidate.ordinary.insert(way) {
                self.try_it(candidate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_server::domain::projection::Side;

    use super::*;

    fn count(script: &Script, wanted: Act) -> usize {
        let acts = script.moves.iter().map(|one| one.act);
        acts.filter(|act| *act == wanted).count()
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let is_bad = |script: &Script| {
            count(script, Act::Coordinator) >= 2 && count(script, Act::Agent(Side::Cloud)) >= 1
        };
        let whole = (0..)
            .map(Script::draw)
            .find(|script| script.moves.len() > 100);
        let whole = whole.unwrap();
        assert!(is_bad(&whole));
        let small = shrink(&whole, is_bad);
        assert_eq!(small.moves.len(), 3, "{small:?}");
        assert!(is_bad(&small));
        assert_eq!(small.ordinary.len(), Ordinary::ALL.len());
        assert!(small.moves.iter().all(|one| whole.moves.contains(one)));
    }

    #[test]
    fn a_promise_is_what_stands_before_the_colon() {
        assert_eq!(promise("I3: lost: all"), "I3");
        assert_eq!(promise("refused"), "refused");
    }
}
