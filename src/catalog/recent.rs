//! Interactions looked at lately, so that the lookup, the open and the audit line of one file cost one query and not four.
//!
//! Knows no table: whoever asks names the state of the database that it wants, and gets nothing that is of another one.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

use super::model::Interaction;
use crate::base::MasterId;

/// What the programs at work have open or are about to open, and what `ls -l` of some weeks looks at again: guessed sizes are asked for each time.
/// Some 150 bytes each, 500 once resolved: 4 to 16 MiB.
const INTERACTIONS_KEPT: NonZeroUsize = NonZeroUsize::new(1 << 15).unwrap();

/// Each with the number of the state in which it was read.
pub(super) struct Recent(Mutex<LruCache<MasterId, (u64, Interaction)>>);

impl Recent {
    pub(super) fn new() -> Recent {
        Recent(Mutex::new(LruCache::new(INTERACTIONS_KEPT)))
    }

    pub(super) fn interaction(&self, master: MasterId, generation: u64) -> Option<Interaction> {
        let mut kept = self.lock();
        let (read_at, known) = kept.get(&master)?;
        (*read_at == generation).then(|| known.clone())
    }

    pub(super) fn note(&self, interaction: &Interaction, generation: u64) {
        self.lock().put(interaction.master_id, (generation, interaction.clone()));
    }

    /// Forgets all of them: what was erased must not stay in memory.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<MasterId, (u64, Interaction)>> {
        self.0.lock()
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
            obstacles: crate::catalog::Obstacles::default(),
        };
        let recent = Recent::new();
        recent.note(&interaction, 4);
        assert_eq!(recent.interaction(MasterId(1), 4), Some(interaction));
        assert_eq!(recent.interaction(MasterId(1), 5), None);
        assert_eq!(recent.interaction(MasterId(2), 4), None);
    }
}
