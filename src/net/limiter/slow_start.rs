//! How many calls may be under way at once before the tenant is known to take them. Pure.
//!
//! A limit that is lower than configured shows as 429s. If all that is allowed went out at once, as many would be refused as the limit is
//! too high. So what may be under way begins small and doubles with every round that was accepted: seconds, until it is out of the way.
//! A call that is under way for longer than a refusal takes counts as accepted, so that slow answers hold nobody back.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Calls of the first round of a fresh limiter: a folder's worth for people, and few enough to be refused.
const FIRST_ROUND: u32 = 8;
/// A gateway refuses at once; what takes longer than this was accepted.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct SlowStart {
    /// Calls that may be under way at once, not counting those that are known to be accepted.
    width: u32,
    /// When those began, oldest first.
    young: VecDeque<Instant>,
}

impl SlowStart {
    pub fn new() -> SlowStart {
        SlowStart { width: FIRST_ROUND, young: VecDeque::new() }
    }

    /// Whether one more call may begin; else when it is worth another look, if no call ends before.
    pub fn may_begin(&mut self, now: Instant) -> Result<(), Instant> {
        while let Some(begun) = self.young.front().copied().filter(|begun| *begun + REFUSED_WITHIN <= now) {
            self.accepted(begun);
        }
        match self.young.front() {
            Some(oldest) if self.young.len() >= self.width as usize => Err(*oldest + REFUSED_WITHIN),
            _ => Ok(()),
        }
    }

    pub fn begin(&mut self, now: Instant) {
        self.young.push_back(now);
    }

    /// A call that began then has ended, or was not made.
    pub fn ended(&mut self, begun: Instant) -> bool {
        let place = self.young.iter().position(|young| *young == begun);
        place.is_some_and(|place| self.young.remove(place).is_some())
    }

    /// The tenant accepted a call that began then.
    pub fn accepted(&mut self, begun: Instant) {
        if self.ended(begun) {
            self.width = self.width.saturating_add(1);
        }
    }

    /// The tenant refused one: one at a time again.
    pub fn refused(&mut self) {
        self.width = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_accepted_round_doubles_and_a_refusal_begins_anew() {
        let now = Instant::now();
        let mut start = SlowStart::new();
        for width in [8, 16, 32] {
            for _ in 0..width {
                assert_eq!(start.may_begin(now), Ok(()));
                start.begin(now);
            }
            assert_eq!(start.may_begin(now), Err(now + REFUSED_WITHIN));
            (0..width).for_each(|_| start.accepted(now));
        }
        start.refused();
        start.begin(now);
        assert!(start.may_begin(now).is_err());
        assert!(start.ended(now) && start.may_begin(now).is_ok(), "a failure proves nothing, and makes room");
    }

    #[tokio::test]
    async fn slow_answers_hold_nobody_back() {
        let now = Instant::now();
        let mut start = SlowStart::new();
        (0..8).for_each(|_| start.begin(now));
        let later = start.may_begin(now).unwrap_err();
        assert_eq!(start.may_begin(later), Ok(()));
        assert_eq!(start.width, 16, "they were accepted");
        start.accepted(now);
        assert_eq!(start.width, 16, "once");
    }
}
