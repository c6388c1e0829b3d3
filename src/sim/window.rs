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
}

impl SlidingWindow {
    /// Notes a call, whatever will become of it; how many there were in the window that ends now.
    pub(super) fn note(&mut self, now: Timestamp, window: Duration) -> usize {
        forget(&mut self.made, now, window);
        if self.made.len() == REMEMBERED_MAX {
            self.made.pop_front();
        }
        self.made.push_back(now);
        self.made.len()
    }

    /// Whether a call is within the limit. Refused calls do not use the limit up.
    pub(super) fn admit(&mut self, now: Timestamp, limit: usize, window: Duration) -> bool {
        forget(&mut self.answered, now, window);
        let admitted = self.answered.len() < limit;
        if admitted {
            self.answered.push_back(now);
        }
        admitted
    }
}

fn forget(calls: &mut VecDeque<Timestamp>, now: Timestamp, window: Duration) {
    let begin = now.saturating_sub(window).unwrap_or(Timestamp::MIN);
    while calls.front().is_some_and(|call| *call <= begin) {
        calls.pop_front();
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
        let noted: Vec<usize> =
            [0, 400, 500, 1400].into_iter().map(|ms| window.note(at(ms), Duration::from_secs(1))).collect();
        assert_eq!(noted, [1, 2, 3, 2]);
    }
}
