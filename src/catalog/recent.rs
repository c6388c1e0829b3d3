//! Interactions and days looked at lately, so that the lookup, the open and the audit line of one file cost one query and not seven.
//!
//! Knows no table: whoever asks names the state of the database that it wants, and gets nothing that is of another one.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::model::{DayState, Interaction};
use crate::base::{Day, MasterId};

/// What the programs at work have open or are about to open; some 300 bytes each.
const INTERACTIONS_KEPT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
const DAYS_KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Each with the number of the state in which it was read.
pub(super) struct Recent {
    interactions: Kept<MasterId, Interaction>,
    days: Kept<Day, DayState>,
}

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { interactions: Kept::new(INTERACTIONS_KEPT), days: Kept::new(DAYS_KEPT) }
    }

    pub(super) fn interaction(&self, master: MasterId, generation: u64) -> Option<Interaction> {
        self.interactions.get(&master, generation)
    }

    pub(super) fn note_interaction(&self, interaction: &Interaction, generation: u64) {
        self.interactions.put(interaction.master_id, interaction.clone(), generation);
    }

    pub(super) fn day(&self, day: Day, generation: u64) -> Option<DayState> {
        self.days.get(&day, generation)
    }

    pub(super) fn note_day(&self, day: Day, state: DayState, generation: u64) {
        self.days.put(day, state, generation);
    }
}

struct Kept<K, V>(Mutex<LruCache<K, (u64, V)>>);

impl<K: Hash + Eq, V: Clone> Kept<K, V> {
    fn new(most: NonZeroUsize) -> Kept<K, V> {
        Kept(Mutex::new(LruCache::new(most)))
    }

    fn get(&self, key: &K, generation: u64) -> Option<V> {
        let mut kept = self.lock();
        let (read_at, known) = kept.get(key)?;
        (*read_at == generation).then(|| known.clone())
    }

    fn put(&self, key: K, value: V, generation: u64) {
        self.lock().put(key, (generation, value));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<K, (u64, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::base::Channel;
    use crate::catalog::Resolution;

    #[test]
    fn what_was_read_before_a_commit_is_not_given_after_it() {
        let interaction = Interaction {
            master_id: MasterId(1),
            channel: Channel::Call,
            ino_base: 256,
            mtime: Timestamp::UNIX_EPOCH,
            duration_s: 1.0,
            places: 1,
            resolution: Resolution::Unresolved,
        };
        let recent = Recent::new();
        recent.note_interaction(&interaction, 4);
        assert_eq!(recent.interaction(MasterId(1), 4), Some(interaction));
        assert_eq!(recent.interaction(MasterId(1), 5), None);
        assert_eq!(recent.interaction(MasterId(2), 4), None);
    }
}
