//! The tenant's limit on Media Playback: at most so many calls answered in any window, and a record of the busiest one.
//!
//! Pure; told the time.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Calls remembered for the peak; a peak beyond it is not told apart.
const REMEMBERED_MAX: usize = 100_000;

/// A sliding window over the calls made.
#[derive(Debug, Default)]
pub(super) struct SlidingWindow {
    answered: VecDeque<Timestamp>,
    made: VecDeque<Timestamp>,
    peak: usize,
}

impl SlidingWindow {
    /// Notes a call; whether it is within the limit. Refused calls do not use the limit up.
    pub(super) fn admit(&mut self, now: Timestamp, limit: usize, window: Duration) -> bool {
        let begin = now.saturating_sub(window).unwrap_or(Timestamp::MIN);
        for calls in [&mut self.answered, &mut self.made] {
            while calls.front().is_some_and(|call| *call <= begin) {
                calls.pop_front();
            }
        }
        if self.made.len() == REMEMBERED_MAX {
            self.made.pop_front();
        }
        self.made.push_back(now);
        self.peak = self.peak.max(self.made.len());
        let admitted = self.answered.len() < limit;
        if admitted {
            self.answered.push_back(now);
        }
        admitted
    }

    /// The most calls, refused ones too, that any window held.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_in_every_window() {
        let mut window = SlidingWindow::default();
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let mut admit = |ms| window.admit(at(ms), 2, Duration::from_secs(1));
        let answers: Vec<bool> = [0, 400, 500, 999, 1000, 1399, 1400].into_iter().map(&mut admit).collect();
        assert_eq!(answers, [true, true, false, false, true, false, true]);
        assert_eq!(window.peak(), 5);
    }
}
