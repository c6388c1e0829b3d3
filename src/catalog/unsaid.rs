//! Changes of days that nobody was told of yet.

use std::collections::HashSet;

use parking_lot::{Mutex, MutexGuard};

use crate::base::Day;

/// Days that changed, and nobody was told: the next who records such a day tells of it, should a later piece have failed.
#[derive(Default)]
pub(super) struct Unsaid(Mutex<HashSet<Day>>);

impl Unsaid {
    fn lock(&self) -> MutexGuard<'_, HashSet<Day>> {
        self.0.lock()
    }

    pub(super) fn note(&self, day: Day) {
        self.lock().insert(day);
    }

    pub(super) fn take(&self, day: Day) -> bool {
        self.lock().remove(&day)
    }
}
