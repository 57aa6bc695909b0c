//! Points at which tests let something happen: a crash, an error of the disk, a user's write.

/// Where something can be let happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Point {
    /// Temporary files are written, nothing else is done.
    Prepared,
    /// Marks and intents are durable, nothing is visible.
    Marked,
    /// A node was just found to be as expected, and is about to be replaced.
    Checked,
    /// A node was just made visible, replaced or removed.
    Visible,
    /// Everything is visible, nothing is noted as reported.
    Done,
    /// A folder is about to be listed.
    Listing,
}

/// What is let happen; nothing outside tests.
#[derive(Default)]
pub(super) struct Faults {
    #[cfg(test)]
    inner: std::sync::Mutex<std::collections::HashMap<Point, Fault>>,
}

/// What a test lets happen.
#[cfg(test)]
pub(super) type Fault = Box<dyn FnMut() -> std::io::Result<()> + Send>;

impl std::fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Faults")
    }
}

impl Faults {
    /// Something is let happen here, if a test wants it so.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' twin uses it")]
    pub(super) fn at(&self, _point: Point) -> std::io::Result<()> {
        Ok(())
    }

    /// Something is let happen here, if a test wants it so.
    #[cfg(test)]
    pub(super) fn at(&self, point: Point) -> std::io::Result<()> {
        let fault = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&point);
        let Some(mut fault) = fault else {
            return Ok(());
        };
        let result = fault();
        self.set(point, fault);
        result
    }

    /// Lets something happen whenever a point is reached.
    #[cfg(test)]
    pub(super) fn set(&self, point: Point, fault: Fault) {
        let mut inner = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.insert(point, fault);
    }
}
