//! Named points at which a test lets a process die, as SIGKILL would: no destructor runs, nothing is flushed.
//!
//! They exist in builds with debug assertions alone, so that an ordinary `cargo test` walks them without building the
//! programs once more. In every other build [`at`] is an empty constant function, and the compiler leaves nothing of it:
//! no environment can stop a shipped program. `tests/it/crash_sweep.rs` walks them.

/// The variable of the environment that names a point: `K5`, or `K5:3` for the third time that it is reached. It does not
/// begin like the settings, of which unknown ones are refused.
pub const VARIABLE: &str = "CRASH_TANDEM";

/// Dies here, if a test wants it: never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn at(_point: &str) {}

#[cfg(not(debug_assertions))]
const _: () = at("any");

#[cfg(debug_assertions)]
pub use chosen::at;

#[cfg(debug_assertions)]
mod chosen {
    use std::env;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Where the process is to die.
    static CHOSEN: LazyLock<Option<Chosen>> = LazyLock::new(|| {
        env::var(super::VARIABLE)
            .ok()
            .map(|text| Chosen::new(&text))
    });

    /// A point, and how often it is still reached before it counts.
    #[derive(Debug)]
    pub(super) struct Chosen {
        point: String,
        left: AtomicU64,
    }

    impl Chosen {
        pub(super) fn new(text: &str) -> Self {
            let (point, times) = text.split_once(':').unwrap_or((text, "1"));
            Self {
                point: point.to_owned(),
                left: AtomicU64::new(times.parse().unwrap_or(1)),
            }
        }

        /// True the one time that counts.
        pub(super) fn is_reached(&self, point: &str) -> bool {
            self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    /// Dies here (SIGABRT), if a test wants it: at the chosen point, the chosen time that it is reached.
    pub fn at(point: &str) {
        if CHOSEN
            .as_ref()
            .is_some_and(|chosen| chosen.is_reached(point))
        {
            std::process::abort();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::chosen::Chosen;

    #[test]
    fn a_point_counts_once_at_the_time_that_is_named() {
        let third = Chosen::new("K5:3");
        let reached = ["K5", "K6", "K5", "K5", "K5"].map(|point| third.is_reached(point));
        assert_eq!(reached, [false, false, false, true, false]);
        assert!(Chosen::new("S1").is_reached("S1"));
    }
}
