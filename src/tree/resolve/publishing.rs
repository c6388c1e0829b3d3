//! What is known of an interaction is compared and stored as one step, one step per interaction at a time.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::base::MasterId;

/// Steps that may be under way at once; two interactions share one by chance.
const PLACES: usize = 64;

/// One step per interaction at a time.
pub(super) struct Publishing([Arc<Mutex<()>>; PLACES]);

impl Publishing {
    pub(super) fn new() -> Publishing {
        Publishing(std::array::from_fn(|_| Arc::default()))
    }

    /// Held for a flush of the disk and a notice, on a thread that may wait.
    pub(super) async fn step(&self, master: MasterId) -> OwnedMutexGuard<()> {
        self.place(master).lock_owned().await
    }

    /// The same for a thread that may wait.
    pub(super) fn step_here(&self, master: MasterId) -> OwnedMutexGuard<()> {
        self.place(master).blocking_lock_owned()
    }

    fn place(&self, master: MasterId) -> Arc<Mutex<()>> {
        Arc::clone(&self.0[master.0.rem_euclid(PLACES as i64) as usize])
    }
}
