//! How many calls the tenant is known to accept in one window, and how carefully to go beyond it. Pure.
//!
//! A limit that is lower than configured shows as 429s. If all configured calls went out at once, as many would be refused as
//! the limit is too high; going beyond what is proven with one call under way at a time finds it with one. A tenant that answers
//! so slowly that this would hold us back is met by doubling: each window in which somebody was held back, and no 429 came,
//! allows twice as many.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Proof {
    /// The most calls that were accepted in one window.
    proven: u32,
    /// Calls beyond it that may be under way.
    step: u32,
    /// Since when somebody is held back.
    held_since: Option<Instant>,
}

impl Proof {
    /// With what an earlier process saw accepted.
    pub fn new(proven: u32) -> Proof {
        Proof { proven, step: 1, held_since: None }
    }

    pub fn proven(&self) -> u32 {
        self.proven
    }

    /// Whether one more call may go out where `used` slots are taken and `outstanding` calls are not answered yet.
    pub fn admits(&self, used: u32, outstanding: u32) -> bool {
        used < self.proven || outstanding.min(used - self.proven) < self.step
    }

    /// Somebody is held back by this; gives the time from which on more is allowed.
    pub fn hold_back(&mut self, now: Instant, window: Duration) -> Instant {
        let since = match self.held_since {
            Some(since) if now >= since + window * 2 => now,
            Some(since) if now >= since + window => {
                self.step = self.step.saturating_mul(2);
                now
            }
            Some(since) => since,
            None => now,
        };
        self.held_since = Some(since);
        since + window
    }

    /// The tenant accepted a call, and `accepted` of the window so far.
    pub fn accepted(&mut self, accepted: u32) {
        self.proven = self.proven.max(accepted);
    }

    /// The tenant refused one: nothing is proven any more.
    pub fn refused(&mut self) {
        *self = Proof::new(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_what_is_proven_calls_go_one_by_one() {
        let mut proof = Proof::new(0);
        assert!(proof.admits(0, 0) && !proof.admits(1, 1));
        proof.accepted(1);
        assert!(proof.admits(1, 0) && !proof.admits(2, 1));
        proof.accepted(10);
        assert!(proof.admits(9, 9) && proof.admits(10, 10) && !proof.admits(11, 11));
        // Slots of failed calls prove nothing, but do not count as under way either.
        assert!(proof.admits(13, 0));
        proof.refused();
        assert!(!proof.admits(1, 1));
    }

    #[tokio::test]
    async fn slow_answers_widen_it_window_by_window_and_idle_ones_do_not() {
        let window = Duration::from_secs(2);
        let mut proof = Proof::new(0);
        let now = Instant::now();
        assert_eq!(proof.hold_back(now, window), now + window);
        assert!(!proof.admits(1, 1));
        proof.hold_back(now + window, window);
        assert!(proof.admits(1, 1) && !proof.admits(2, 2));
        proof.hold_back(now + window * 10, window);
        assert!(!proof.admits(2, 2));
    }
}
