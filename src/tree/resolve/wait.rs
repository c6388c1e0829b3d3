//! How long an asker stays with a pending call: patience while it waits for the rate limit, a deadline while the call is made.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::waiters::Phase;
use crate::base::span;
use crate::net::Breaker;
use crate::tree::error::{ErrorKind, TreeError};

/// Patience without end ends where no call was answered for so many windows, and at least for so long: then nothing goes through
/// any more.
const STALLED_WINDOWS: u32 = 3;
const STALLED_MIN: Duration = Duration::from_mins(2);

/// What tells whether calls still go through.
pub struct Stall {
    /// When the last call was answered.
    pub answered: watch::Receiver<Option<Instant>>,
    /// The rate limit's window.
    pub window: Duration,
}

impl Stall {
    /// Until when somebody who came at `start` and has no limit to his patience waits, as of now.
    fn until(&self, start: Instant) -> Instant {
        let last = self.answered.borrow().map_or(start, |answered| answered.max(start));
        last + (self.window * STALLED_WINDOWS).max(STALLED_MIN)
    }
}

/// What was waited for in vain.
#[derive(Clone, Copy)]
enum Waited {
    ForLimit,
    ForAnswer,
}

impl Waited {
    fn words(self, patience: Option<Duration>, deadline: Duration) -> String {
        match (self, patience) {
            (Waited::ForLimit, Some(patience)) => format!(
                "waiting for the rate limit took longer than {} (limits.patience); cxonefs status shows how many wait, and cxonefs warm \
                 fetches ahead without a limit on waiting",
                span::words(patience)
            ),
            (Waited::ForLimit, None) => {
                String::from("waiting for the rate limit ended: no billed call was answered meanwhile")
            }
            (Waited::ForAnswer, _) => format!(
                "CXone did not answer within {} (limits.deadline); the call goes on, and its answer is kept: try again later",
                span::words(deadline)
            ),
        }
    }
}

/// Waits until the pending call has completed, at most as long as the limits allow.
pub async fn for_completion(
    mut phase: watch::Receiver<Phase>,
    patience: Option<Duration>,
    deadline: Duration,
    stall: Stall,
    breaker: &Breaker,
) -> Result<(), TreeError> {
    let start = Instant::now();
    // Work of earlier tries, and since when the present one is under way: a try that was throttled goes back into the queue.
    let mut worked = Duration::ZERO;
    let mut working_since: Option<Instant> = None;
    let mut is_down = false;
    loop {
        let now = phase.borrow_and_update().clone();
        let (until, what) = match now {
            Phase::Done(result) => return result,
            Phase::Queued => {
                worked += working_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                let until = patience.map_or_else(|| stall.until(start), |patience| start + patience);
                (until, Waited::ForLimit)
            }
            Phase::Working => {
                let since = *working_since.get_or_insert_with(Instant::now);
                // Where nobody answers, time in the queue was no waiting for the rate limit: it counts.
                let until = if is_down { start + deadline } else { since + deadline.saturating_sub(worked) };
                (until, Waited::ForAnswer)
            }
        };
        let changed = tokio::select! {
            changed = tokio::time::timeout_at(until, phase.changed()) => changed,
            () = breaker.down(), if !is_down => {
                is_down = true;
                continue;
            }
        };
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(TreeError::new(ErrorKind::Io, "the billed call ended without an answer")),
            // Calls were answered meanwhile: patience goes on.
            Err(_) if matches!(now, Phase::Queued) && patience.is_none() && stall.until(start) > Instant::now() => {}
            Err(_) => {
                return Err(TreeError::new(ErrorKind::TimedOut, what.words(patience, deadline)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::{ApiError, ApiErrorKind, Ask, Probe};

    const WINDOW: Duration = Duration::from_mins(5);

    struct Nobody;

    #[async_trait::async_trait]
    impl Probe for Nobody {
        async fn probe(&self) -> Result<(), ApiError> {
            std::future::pending().await
        }
    }

    fn breaker() -> Breaker {
        Breaker::new("test", Arc::new(Nobody))
    }

    fn stall() -> (watch::Sender<Option<Instant>>, Stall) {
        let (sender, answered) = watch::channel(None);
        (sender, Stall { answered, window: WINDOW })
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_so_does_work() {
        let second = Duration::from_secs(1);
        for (phase, seconds) in [(Phase::Queued, 7), (Phase::Working, 3)] {
            let (sender, receiver) = watch::channel(phase);
            let begun = Instant::now();
            let waited = for_completion(receiver, Some(second * 7), second * 3, stall().1, &breaker()).await;
            assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(begun.elapsed().as_secs(), seconds);
            drop(sender);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_rate_limit_again_is_no_work() {
        let second = Duration::from_secs(1);
        let (phase, receiver) = watch::channel(Phase::Working);
        let begun = Instant::now();
        let waiting = tokio::spawn(async move {
            for_completion(receiver, Some(second * 100), second * 3, stall().1, &breaker()).await
        });
        // Throttled after two of three seconds, and told to come back much later.
        for (wait, next) in [(2, Phase::Queued), (40, Phase::Working)] {
            tokio::time::sleep(second * wait).await;
            phase.send_replace(next);
        }
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 43);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_without_end_lasts_while_calls_are_answered() {
        let (phase, receiver) = watch::channel(Phase::Queued);
        let (answered, stall) = stall();
        let begun = Instant::now();
        let waiting =
            tokio::spawn(
                async move { for_completion(receiver, None, Duration::from_secs(3), stall, &breaker()).await },
            );
        for _ in 0..100 {
            tokio::time::sleep(WINDOW).await;
            answered.send_replace(Some(Instant::now()));
        }
        assert!(!waiting.is_finished());
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), WINDOW * 103);
        drop(phase);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_answers_the_queue_counts_as_work() {
        let second = Duration::from_secs(1);
        let (phase, receiver) = watch::channel(Phase::Queued);
        let breaker = breaker();
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let breaker = breaker.clone();
            async move { for_completion(receiver, None, second * 10, stall().1, &breaker).await }
        });
        tokio::time::sleep(second * 8).await;
        phase.send_replace(Phase::Working);
        let admitted = breaker.admit().await.unwrap();
        let refused = ApiError::new(ApiErrorKind::Timeout, "no connection").unsent();
        breaker.conclude(admitted, Ask::of(&1), &Err::<(), _>(refused));
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), second * 10);
    }
}
