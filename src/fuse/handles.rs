//! Open files, by the numbers that the kernel names them by.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// One table of handles; the numbers are never used twice.
pub struct Handles<T> {
    next: AtomicU64,
    open: RwLock<HashMap<u64, Arc<T>>>,
}

impl<T> Handles<T> {
    /// An empty table.
    pub fn new() -> Handles<T> {
        Handles { next: AtomicU64::new(1), open: RwLock::new(HashMap::new()) }
    }

    /// Opens `item`.
    pub fn insert(&self, item: T) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().insert(handle, Arc::new(item));
        handle
    }

    /// The item behind an open handle.
    pub fn get(&self, handle: u64) -> Option<Arc<T>> {
        self.open.read().get(&handle).cloned()
    }

    /// Closes a handle.
    pub fn remove(&self, handle: u64) -> Option<Arc<T>> {
        self.open.write().remove(&handle)
    }

    /// Puts another item behind each handle for whose item `f` gives one.
    pub fn replace(&self, f: impl Fn(&T) -> Option<T>) {
        let mut replaced = Vec::new();
        let mut open = self.open.write();
        for item in open.values_mut() {
            if let Some(other) = f(item) {
                replaced.push(std::mem::replace(item, Arc::new(other)));
            }
        }
        drop(open);
        // Closing a file may take its time.
        drop(replaced);
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.read().len()
    }
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles::new()
    }
}
