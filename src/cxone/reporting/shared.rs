//! What all listings of a tenant share.

use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use crate::cxone::reporting::slices::Pace;

/// Pages of all listings in memory at once, as they came.
const PAGES_HELD_MAX: usize = 8;

/// Made with the tenant.
pub(in crate::cxone) struct Listings {
    pub held: Semaphore,
    pace: Mutex<Pace>,
    /// The tenant counts more contacts than it sends. Known since a second look found no more.
    pub counts_too_many: AtomicBool,
}

impl Default for Listings {
    fn default() -> Listings {
        Listings {
            held: Semaphore::new(PAGES_HELD_MAX),
            pace: Mutex::default(),
            counts_too_many: AtomicBool::new(false),
        }
    }
}

impl Listings {
    /// How windows and pages are cut now.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock()
    }
}
