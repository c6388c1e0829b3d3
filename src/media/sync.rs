//! What the block table, those who change it and those who wait for it are synchronised with. In one place, so that a test can
//! compile the same files over a scheduler that tries out interleavings: see `tests/explored`.

pub use std::sync::atomic::{AtomicI64, AtomicU64};
pub use std::sync::{Mutex, MutexGuard};

pub use tokio::runtime::Handle as Runtime;
pub use tokio::task::{JoinHandle, spawn_blocking, yield_now};
pub use tokio::time::timeout;

/// Does what may wait on another thread, within a runtime.
pub fn aside(work: impl FnOnce() + Send + 'static) {
    match Runtime::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Whether a task never ran, because the program ended before.
pub fn never_ran(error: &tokio::task::JoinError) -> bool {
    error.is_cancelled()
}
