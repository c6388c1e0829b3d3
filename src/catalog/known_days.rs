//! The states of days, in memory beside the table: every attribute that a look shows depends on whether its day is final.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::model::DayState;
use crate::base::Day;

/// States of days as last read. Whoever writes a day forgets it here after the commit.
#[derive(Default)]
pub(super) struct KnownDays(RwLock<Known>);

#[derive(Default)]
struct Known {
    states: HashMap<Day, DayState>,
    /// Raised by every write, so that what was read before a write is not kept after it.
    writes: u64,
}

impl KnownDays {
    /// The state if it is known, and the number of writes so far.
    pub(super) fn get(&self, day: Day) -> (Option<DayState>, u64) {
        let known = self.0.read();
        (known.states.get(&day).copied(), known.writes)
    }

    /// Keeps what was read, unless something was written since `writes`.
    pub(super) fn keep(&self, day: Day, state: DayState, writes: u64) {
        let mut known = self.0.write();
        if known.writes == writes {
            known.states.insert(day, state);
        }
    }

    /// A day was written, and the write is committed.
    pub(super) fn forget(&self, day: Day) {
        let mut known = self.0.write();
        known.writes += 1;
        known.states.remove(&day);
    }

    /// All days were erased, and that is committed.
    pub(super) fn forget_all(&self) {
        let mut known = self.0.write();
        known.writes += 1;
        known.states.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::time;
    use super::*;

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let known = KnownDays::default();
        let day = Day(20_000);
        let state = DayState { indexed_at: time("2026-11-03T12:00:00Z"), closed: false, last_poll: None };
        let (_, writes) = known.get(day);
        known.forget(day);
        known.keep(day, state, writes);
        assert_eq!(known.get(day).0, None);
        let (_, writes) = known.get(day);
        known.keep(day, state, writes);
        assert_eq!(known.get(day).0, Some(state));
    }
}
