//! Blocks that the disk did not take, kept in memory for the readers that wait for them: few, and the oldest goes first.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

use super::settings::SPILL_BLOCKS_MAX;
use super::space::FileId;

/// See the module.
pub struct Spill {
    blocks: Mutex<LruCache<(FileId, u32), Bytes>>,
    /// How many, so that the normal case takes no lock.
    len: AtomicUsize,
}

impl Default for Spill {
    fn default() -> Spill {
        Spill { blocks: Mutex::new(LruCache::unbounded()), len: AtomicUsize::new(0) }
    }
}

impl Spill {
    /// Whether nothing is kept, which is the normal case.
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Keeps a block for a while. `bytes` must not be a slice of a larger buffer.
    pub fn put(&self, file: FileId, block: u32, bytes: Bytes) {
        let mut blocks = self.lock();
        blocks.put((file, block), bytes);
        while blocks.len() > SPILL_BLOCKS_MAX {
            blocks.pop_lru();
        }
        self.len.store(blocks.len(), Ordering::Release);
    }

    /// A block that is kept.
    pub fn get(&self, file: FileId, block: u32) -> Option<Bytes> {
        if self.is_empty() { None } else { self.lock().get(&(file, block)).cloned() }
    }

    /// The disk took a block: what it did not take before ages away.
    pub fn age(&self) {
        if !self.is_empty() {
            let mut blocks = self.lock();
            blocks.pop_lru();
            self.len.store(blocks.len(), Ordering::Release);
        }
    }

    /// Drops the blocks of a recording.
    pub fn forget(&self, file: FileId) {
        if self.is_empty() {
            return;
        }
        let mut blocks = self.lock();
        let theirs: Vec<_> = blocks.iter().map(|(key, _)| *key).filter(|key| key.0 == file).collect();
        for key in theirs {
            blocks.pop(&key);
        }
        self.len.store(blocks.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<(FileId, u32), Bytes>> {
        self.blocks.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_ages() {
        let spill = Spill::default();
        for block in 0..2 * SPILL_BLOCKS_MAX as u32 {
            spill.put(FileId(u64::from(block % 2)), block, Bytes::from_static(b"x"));
        }
        assert_eq!(spill.len.load(Ordering::Acquire), SPILL_BLOCKS_MAX);
        assert!(spill.get(FileId(0), 0).is_none());
        spill.age();
        spill.forget(FileId(1));
        assert!(spill.get(FileId(1), 2 * SPILL_BLOCKS_MAX as u32 - 1).is_none() && !spill.is_empty());
        spill.forget(FileId(0));
        assert!(spill.is_empty());
    }
}
