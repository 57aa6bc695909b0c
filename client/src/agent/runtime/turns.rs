//! One upload of a content at a time: several parts of a session may need the same one.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// The contents that are on their way up.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<HashSet<Bytes>>,
    given_back: Notify,
}

/// The right to send one content; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    digest: Bytes,
}

// === impl Turns ===

impl Turns {
    /// Waits until nobody else sends the content.
    pub(super) async fn turn(&self, digest: &Bytes) -> Turn<'_> {
        loop {
            // Before the look, so that what is given back in between is not missed.
            let given_back = self.given_back.notified();
            if self.lock().insert(digest.clone()) {
                return Turn {
                    turns: self,
                    digest: digest.clone(),
                };
            }
            given_back.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Bytes>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turn ===

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.digest);
        self.turns.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn one_content_goes_once_at_a_time_and_others_beside_it() {
        let turns = Turns::default();
        let (one, other) = (Bytes::from_static(b"one"), Bytes::from_static(b"other"));
        let first = turns.turn(&one).await;
        let _beside = turns.turn(&other).await;
        let mut second = Box::pin(turns.turn(&one));
        assert!(matches!(poll!(&mut second), Poll::Pending));
        drop(first);
        let second = second.await;
        drop(second);
        assert!(turns.lock().contains(&other));
        assert!(!turns.lock().contains(&one));
    }
}
