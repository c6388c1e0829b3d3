//! What is known of an interaction is compared and stored as one step, one step per interaction at a time.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::base::MasterId;

/// Steps that may be under way at once; two interactions share one by chance. A step is waited for in a task and not on a thread: threads that wait for
/// a step could be all that there are, and its holder would have none to end it on.
const PLACES: usize = 64;

/// The step ends when this is dropped.
pub type Step = OwnedMutexGuard<()>;

/// One step per interaction at a time.
pub(super) struct Publishing([Arc<Mutex<()>>; PLACES]);

impl Publishing {
    pub(super) fn new() -> Publishing {
        Publishing(std::array::from_fn(|_| Arc::default()))
    }

    /// Held for a flush of the disk and a notice, on a thread that may wait.
    pub(super) async fn step(&self, master: MasterId) -> Step {
        let place = &self.0[master.0.rem_euclid(PLACES as i64) as usize];
        Arc::clone(place).lock_owned().await
    }
}
