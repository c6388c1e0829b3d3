//! Memory that a burst of work needed goes back to the system. Listing a day of a large tenant takes a hundred MiB of small pieces for
//! a moment; glibc keeps what was freed in its arenas for ever unless told otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// After this, what a burst held is free as a rule, and further bursts have joined it.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Gives memory back after bursts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trimmer {
    is_due: Arc<AtomicBool>,
}

impl Trimmer {
    /// A burst of work is over, or nearly. Must be called within a runtime.
    pub fn burst_ends(&self) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let is_due = Arc::clone(&self.is_due);
        tokio::spawn(async move {
            tokio::time::sleep(SETTLED_AFTER).await;
            is_due.store(false, Ordering::Release);
            // It walks the heap, some milliseconds.
            let _ = tokio::task::spawn_blocking(trim).await;
        });
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: no preconditions; it takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
