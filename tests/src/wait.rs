//! Waiting for something to become true, with a deadline instead of a sleep.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a condition is looked at.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Waits until the condition holds; an error that names `what` when it does not in time.
pub async fn eventually(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    poll(deadline, what, async || condition().then_some(())).await
}

/// Asks again and again until there is an answer; an error that names `what` when there is none in time.
pub async fn poll<T>(
    deadline: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let mut ticks = interval(POLL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    timeout(deadline, asking)
        .await
        .map_err(|_| anyhow!("waited {deadline:?} in vain until {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let mut asked = 0;
        let answer = poll(Duration::from_secs(5), "three asked", async || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer.await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn a_missed_deadline_says_what_was_waited_for() {
        let error = eventually(Duration::from_millis(20), "pigs fly", || false)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("until pigs fly"), "{error}");
    }
}
