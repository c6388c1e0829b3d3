//! What is counted of a fetch while it goes on, without waking anybody: how much arrived, and who waits. The gate orders by it, and a read
//! tells a slow line from a dead one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The counters of one fetch.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Begun for a read that waits for it.
    asked: bool,
    /// Bytes that arrived.
    received: AtomicUsize,
    /// Reads that wait for it now.
    waiters: AtomicUsize,
    /// It waits for a connection.
    is_queued: AtomicBool,
    /// How often it began to.
    queued: AtomicUsize,
}

impl Traffic {
    /// Of a fetch that a read waits for, until the first byte is here.
    pub fn asked() -> Traffic {
        Traffic { asked: true, ..Traffic::default() }
    }

    /// Whether a read waits for it, so that it goes before others.
    pub fn is_awaited(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0 || (self.asked && self.received() == 0)
    }

    /// Bytes that arrived so far.
    pub fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes arrived.
    pub fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether it waits for a connection.
    pub fn is_queued(&self) -> bool {
        self.is_queued.load(Ordering::Relaxed)
    }

    /// How often it has begun to wait for a connection.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// It waits for a connection, or does no more.
    pub fn queue(&self, waits: bool) {
        self.queued.fetch_add(usize::from(waits), Ordering::Relaxed);
        self.is_queued.store(waits, Ordering::Relaxed);
    }

    /// A read waits for it, until the answer is dropped.
    pub fn wait(self: &Arc<Traffic>) -> Waiter {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Waiter(Arc::clone(self))
    }
}

/// A read that waits for a fetch.
#[derive(Debug)]
pub struct Waiter(Arc<Traffic>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
