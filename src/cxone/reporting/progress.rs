//! How far a listing has come, for whoever waits and wonders. Knows numbers only.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of a listing, as they arrive. Shared between who lists and who is asked about it.
#[derive(Debug, Default)]
pub struct ListingProgress {
    rows: AtomicU64,
    total: AtomicU64,
}

impl ListingProgress {
    /// Rows so far, and how many the tenant counts; 0 while that is not known.
    pub fn get(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// The tenant told how many there are.
    pub(in crate::cxone) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// A page came. Whether another quarter of all rows is here with it: a moment to say so.
    pub(in crate::cxone) fn add(&self, rows: u64) -> bool {
        let before = self.rows.fetch_add(rows, Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed).max(1);
        (before + rows) * 4 / total > before * 4 / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quarter_is_told_once() {
        let progress = ListingProgress::default();
        progress.expect(8000);
        let told: Vec<bool> = (0..8).map(|_| progress.add(1000)).collect();
        assert_eq!(told, [false, true, false, true, false, true, false, true]);
        assert_eq!(progress.get(), (8000, 8000));
    }
}
