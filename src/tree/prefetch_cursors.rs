//! How far each agent's day was anticipated: which interactions are prepared next when one is read.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::base::{AgentId, Day, MasterId};
use crate::tree::error::TreeError;
use crate::tree::node::Place;

/// Interactions that are prepared beyond the one being read. At 40 ms of round trip, one that takes two of them, and 10 ms for
/// the reader to copy one, eight would do.
pub const AHEAD: usize = 16;
/// Agents' days whose order is remembered.
const COURSES_MAX: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// How far each agent's day was anticipated.
pub struct Anticipation {
    prefetch_cursors: Mutex<LruCache<(Day, AgentId), PrefetchCursor>>,
    /// One permit per interaction under way.
    pub hands: Arc<Semaphore>,
}

/// One agent's day as it is listed.
struct PrefetchCursor {
    order: Vec<MasterId>,
    /// Everything before this was begun, or passed by.
    next: usize,
}

impl PrefetchCursor {
    /// What is to be begun when `reading` is read; nothing for one that is not on the list.
    fn advance(&mut self, reading: MasterId) -> Option<&[MasterId]> {
        let position = self.order.iter().position(|master| *master == reading)?;
        // A reader that jumps, backward too, takes the window along.
        if position >= self.next || self.next > position + 1 + AHEAD {
            self.next = position + 1;
        }
        let begun = self.next;
        self.next = self.order.len().min(position + 1 + AHEAD).max(begun);
        Some(&self.order[begun..self.next])
    }
}

impl Anticipation {
    /// Nothing anticipated.
    pub fn new() -> Anticipation {
        Anticipation {
            prefetch_cursors: Mutex::new(LruCache::new(COURSES_MAX)),
            hands: Arc::new(Semaphore::new(AHEAD)),
        }
    }

    /// What is to be begun now that `place` is read. `order` lists its agent's day.
    pub fn next(
        &self,
        place: Place,
        order: impl FnOnce() -> Result<Vec<MasterId>, TreeError>,
    ) -> Result<Vec<MasterId>, TreeError> {
        let key = (place.day, place.agent);
        let mut prefetch_cursors = self.prefetch_cursors.lock();
        if let Some(begun) = prefetch_cursors.get_mut(&key).and_then(|cursor| cursor.advance(place.master)) {
            return Ok(begun.to_vec());
        }
        // Unknown, or grown since.
        let mut cursor = PrefetchCursor { order: order()?, next: 0 };
        let begun = cursor.advance(place.master).map(<[_]>::to_vec).unwrap_or_default();
        prefetch_cursors.put(key, cursor);
        Ok(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Day = Day(20_000);

    fn place(master: i64) -> Place {
        Place { day: DAY, agent: AgentId(1), master: MasterId(master) }
    }

    fn masters(range: std::ops::Range<i64>) -> Vec<MasterId> {
        range.map(MasterId).collect()
    }

    #[test]
    fn each_is_begun_once_and_never_far_ahead() {
        let anticipation = Anticipation::new();
        let next = |master| anticipation.next(place(master), || Ok(masters(0..40))).unwrap();
        assert_eq!(next(0), masters(1..17));
        assert_eq!(next(0), []);
        assert_eq!(next(1), masters(17..18));
        assert_eq!(next(5), masters(18..22));
        assert_eq!(next(39), []);
        // Back to the start: what the cache still holds costs nothing.
        assert_eq!(next(2), masters(3..19));
    }

    #[test]
    fn a_day_that_grew_is_listed_anew() {
        let anticipation = Anticipation::new();
        assert_eq!(anticipation.next(place(1), || Ok(masters(0..2))).unwrap(), []);
        assert_eq!(anticipation.next(place(2), || Ok(masters(0..5))).unwrap(), masters(3..5));
        assert_eq!(anticipation.next(place(9), || Ok(masters(0..5))).unwrap(), []);
    }
}
