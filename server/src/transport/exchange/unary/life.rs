//! How long a unary session lives: while calls of it run, and some time after the last one (R-AGT-9).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct Calls {
    running: usize,
    last_ended: Instant,
}

/// The calls of one session.
#[derive(Debug)]
pub(super) struct Life {
    calls: watch::Sender<Calls>,
}

impl Life {
    /// Begins with the call that opened the session, which has just ended.
    pub(super) fn new() -> Self {
        let calls = Calls {
            running: 0,
            last_ended: Instant::now(),
        };
        Self {
            calls: watch::Sender::new(calls),
        }
    }

    pub(super) fn begin(&self) {
        self.calls.send_modify(|calls| calls.running += 1);
    }

    pub(super) fn end(&self) {
        self.calls.send_modify(|calls| {
            calls.running -= 1;
            calls.last_ended = Instant::now();
        });
    }

    /// Waits until no call runs.
    pub(super) async fn idle(&self) -> Instant {
        let mut calls = self.calls.subscribe();
        match calls.wait_for(|calls| calls.running == 0).await {
            Ok(calls) => calls.last_ended,
            // The sender is this one: it is there.
            Err(_) => Instant::now(),
        }
    }

    /// Waits until no call has run for so long.
    pub(super) async fn over(&self, after: Duration) {
        let mut changes = self.calls.subscribe();
        loop {
            let end = self.idle().await + after;
            changes.mark_unchanged();
            let idle = *changes.borrow();
            if idle.running > 0 || idle.last_ended + after > end {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                _ = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn r_agt_9_a_session_lives_some_time_after_its_last_call_and_while_calls_run() {
        let (life, begun) = (Life::new(), Instant::now());
        life.over(AFTER).await;
        assert!(begun.elapsed() >= AFTER, "without any call");

        let (life, long) = (Life::new(), 3 * AFTER);
        life.begin();
        life.begin();
        let over = tokio::time::timeout(long, life.over(AFTER)).await;
        assert!(over.is_err(), "two calls run");
        life.end();
        let over = tokio::time::timeout(long, life.over(AFTER)).await;
        assert!(over.is_err(), "one call runs");
        let begun = Instant::now();
        life.end();
        life.over(AFTER).await;
        assert!(begun.elapsed() >= AFTER, "after the last call");
    }
}
