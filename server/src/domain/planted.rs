//! Bugs that are planted on purpose, to prove that the tests can fail.
//!
//! Without the feature `planted`, which no shipped build has, [`planted`] is `false` at compile time and the compiler
//! leaves nothing of it. With it, one bug of the process can be chosen by name, by [`plant`] or the environment variable
//! `TANDEM_PLANTED`; the program `planted` of the tests tries each one and tells who finds it.

/// Whether this bug is planted: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn planted(_bug: &str) -> bool {
    false
}

#[cfg(not(feature = "planted"))]
const _: () = assert!(!planted("any"), "an ordinary build has no planted bug");

#[cfg(feature = "planted")]
pub use chosen::{plant, planted};

#[cfg(feature = "planted")]
mod chosen {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The chosen bug as a number; 0 is none.
    static CHOSEN: LazyLock<AtomicU64> = LazyLock::new(|| {
        let named = std::env::var("TANDEM_PLANTED");
        AtomicU64::new(named.map_or(0, |bug| number(&bug)))
    });

    /// FNV-1a.
    fn number(bug: &str) -> u64 {
        bug.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn planted(bug: &str) -> bool {
        CHOSEN.load(Ordering::Relaxed) == number(bug)
    }

    /// Plants this bug, in place of the one before.
    pub fn plant(bug: Option<&str>) {
        CHOSEN.store(bug.map_or(0, number), Ordering::Relaxed);
    }
}
