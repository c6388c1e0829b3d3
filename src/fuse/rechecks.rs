//! Folders that show no recording now and may show one again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Folders that show no recording now and may show one again, by when. The soonest makes room: it is then looked at too early.
#[derive(Default)]
pub struct Rechecks(Mutex<BTreeSet<(Timestamp, u64)>>);

/// Folders remembered; one in twenty calls of a million has no recording.
pub const RECHECKS_MAX: usize = 1 << 16;

impl Rechecks {
    /// The kernel is about to be shown a folder (its inode number) that is another one from `at` on.
    pub fn note(&self, at: Timestamp, ino: u64) {
        let mut folders = self.0.lock();
        folders.insert((at, ino));
    }

    /// Folders whose time has come, and those that there is no room for.
    pub fn take(&self, now: Timestamp) -> Vec<u64> {
        let mut folders = self.0.lock();
        let mut due = Vec::new();
        while let Some(&(at, ino)) = folders.first() {
            if at > now && folders.len() <= RECHECKS_MAX {
                break;
            }
            folders.pop_first();
            due.push(ino);
        }
        due
    }
}
