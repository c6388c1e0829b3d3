//! Whether each signing of a recording leads to another object at the media host.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const SAME: u8 = 1;
const DIFFERENT: u8 = 2;

/// Whether two signings of a recording lead to the same object, as far as this process has seen.
#[derive(Debug, Default)]
pub struct Signings(AtomicU8);

impl Signings {
    /// A second link led to the same object.
    pub fn note_same(&self) {
        let _ = self.0.compare_exchange(UNKNOWN, SAME, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A second link led to another object, of the same size.
    pub fn note_different(&self) {
        if self.0.swap(DIFFERENT, Ordering::Relaxed) != DIFFERENT {
            tracing::info!(
                "every new link leads to another object at the media host: recordings are fetched whole under their first link"
            );
        }
    }

    /// Every new link leads to the same object.
    pub fn are_the_same(&self) -> bool {
        self.seen() == SAME
    }

    /// Every new link leads to another object.
    pub fn differ(&self) -> bool {
        self.seen() == DIFFERENT
    }

    fn seen(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
