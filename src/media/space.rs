//! What the cache may occupy and what goes first: accounting and LRU order. Pure; it removes nothing itself.
//!
//! Two kinds of things are on disk. Files not touched since start are *cold*: one unit each, oldest first, and they go
//! before anything else. Files touched since are *hot*: in one LRU over all of them stand segments of their blocks, of one block each
//! in a small cache and of up to 64 in a huge one; a segment gives up its blocks one by one. Where more than [`HOT_BLOCKS_MAX`]
//! blocks are hot, the files used least recently become cold again once nobody has them open. So the memory that it takes does not
//! grow with the bytes that are cached: about 80 bytes per recording and 20 MiB for what is hot.
//!
//! What is held is no victim: it stands beside both orders ([`Held`]).
//!
//! `used` counts what is on disk, what is about to be written (reserved first) and what is being removed (released after),
//! so it is never below the truth. Blocks of the file system that an extent tree or a directory takes are part of what a
//! file is charged for ([`file_charge`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use lru::LruCache;

use super::geometry::{BLOCK_SIZE, block_count, block_len};
use super::index::{Form, index_len};
use super::key::KeyHash;

/// The unit in which file systems allocate (bytes).
pub const ALLOCATION_UNIT: u64 = 4096;

/// Bytes that may be written before the file system is asked again what it has free.
const FREE_BELIEVED: u64 = 16 << 20;
/// Blocks that may be hot before files become cold again (16 GiB of bytes).
pub const HOT_BLOCKS_MAX: u64 = 256 * 1024;
/// Up to this many segments (16 GiB of one block each) the order is that of single blocks.
const SEGMENTS_MAX: u64 = 256 * 1024;
/// The largest segment, in blocks (4 MiB).
const SEGMENT_BLOCKS_MAX: u64 = 64;
/// With less than this (bytes) above what must stay free, it is asked every time.
const FREE_AMPLE: u64 = 512 << 20;

/// Names a file that was touched in this process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// What to remove next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// A file not touched since start, and what its removal frees.
    Cold(KeyHash, u64),
    /// A block of a touched file.
    Block(FileId, u32),
}

/// What must stay, by the same names as what may go.
#[derive(Debug, Default)]
struct Held {
    names: HashSet<KeyHash>,
    files: HashSet<FileId>,
    cold: HashMap<KeyHash, u64>,
    segments: BTreeMap<(FileId, u32), u64>,
}

/// The books of the cache.
#[derive(Debug)]
pub struct Space {
    limit: u64,
    min_free: u64,
    used: u64,
    /// Reserved and not settled yet: the file system does not count these as taken.
    pending: u64,
    /// Bytes free on the file system when it was last asked, less what was settled since; none if it does not tell.
    free: Option<u64>,
    /// Bytes settled since it was asked; none before the first time.
    settled_since: Option<u64>,
    cold: LruCache<KeyHash, u64>,
    /// By file and number of the segment, the blocks of it that are here, as bits.
    hot: LruCache<(FileId, u32), u64>,
    /// Blocks of a segment, at most.
    segment_blocks: u32,
    /// Blocks in `hot`.
    hot_blocks: u64,
    hot_blocks_max: u64,
    held: Held,
}

impl Space {
    /// An empty cache of at most `limit` bytes that leaves `min_free` bytes of the file system free.
    #[must_use]
    pub fn new(limit: u64, min_free: u64) -> Space {
        Space {
            limit,
            min_free,
            used: 0,
            pending: 0,
            free: None,
            settled_since: None,
            cold: LruCache::unbounded(),
            hot: LruCache::unbounded(),
            segment_blocks: segment_blocks(limit),
            hot_blocks: 0,
            hot_blocks_max: HOT_BLOCKS_MAX,
            held: Held::default(),
        }
    }

    /// Lets fewer blocks be hot.
    #[cfg(test)]
    pub fn keep_hot(&mut self, blocks: u64) {
        self.hot_blocks_max = blocks;
    }

    /// Bytes on disk, reserved ones included.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that the cache may occupy.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Notes a file found at start. Call in order, oldest first.
    pub fn add_cold(&mut self, hash: KeyHash, bytes: u64) {
        self.used += bytes;
        if let Some(before) = self.put_cold(hash, bytes) {
            self.used -= before;
        }
    }

    /// What is here of a recording must stay, or need not any more. `file`: what it is called since it was touched.
    pub fn hold(&mut self, hash: KeyHash, file: Option<FileId>, is_held: bool) {
        let cold = self.take_cold(&hash);
        let segments = file.map(|file| self.take_segments(file)).unwrap_or_default();
        if is_held {
            self.held.names.insert(hash);
        } else {
            self.held.names.remove(&hash);
            file.map(|file| self.held.files.remove(&file));
        }
        if let Some(bytes) = cold {
            self.put_cold(hash, bytes);
        }
        if let Some(file) = file {
            self.note_file(hash, file);
            for (segment, bits) in segments {
                self.put_segment(file, segment, bits);
            }
        }
    }

    /// Whether what is here of a recording must stay.
    #[must_use]
    pub fn is_held(&self, hash: &KeyHash) -> bool {
        self.held.names.contains(hash)
    }

    /// A recording is touched, under this name from now on.
    pub fn note_file(&mut self, hash: KeyHash, file: FileId) {
        if self.is_held(&hash) {
            self.held.files.insert(file);
        }
    }

    /// Nobody uses the name of a touched recording any more.
    pub fn forget_file(&mut self, file: FileId) {
        self.held.files.remove(&file);
    }

    fn put_cold(&mut self, hash: KeyHash, bytes: u64) -> Option<u64> {
        if self.is_held(&hash) { self.held.cold.insert(hash, bytes) } else { self.cold.put(hash, bytes) }
    }

    fn take_segments(&mut self, file: FileId) -> Vec<(u32, u64)> {
        // Oldest first, so that they are put back in their order.
        let hot = self.hot.iter().rev().filter(|((of, _), _)| *of == file);
        let mut segments: Vec<(u32, u64)> = hot.map(|((_, segment), bits)| (*segment, *bits)).collect();
        for (segment, bits) in &segments {
            self.hot.pop(&(file, *segment));
            self.hot_blocks -= u64::from(bits.count_ones());
        }
        let held = self.held.segments.extract_if((file, 0)..=(file, u32::MAX), |_, _| true);
        segments.extend(held.map(|((_, segment), bits)| (segment, bits)));
        segments
    }

    fn put_segment(&mut self, file: FileId, segment: u32, bits: u64) {
        if self.held.files.contains(&file) {
            self.held.segments.insert((file, segment), bits);
        } else {
            self.hot.put((file, segment), bits);
            self.hot_blocks += u64::from(bits.count_ones());
        }
    }

    /// A hot file becomes cold: the most recently used of those. Its bytes are in the books already, and its blocks were taken out.
    pub fn cool(&mut self, hash: KeyHash, bytes: u64) {
        self.put_cold(hash, bytes);
    }

    /// The hot file that was used least recently, if more is hot than should be.
    #[must_use]
    pub fn overheated(&self) -> Option<FileId> {
        let too_much = self.hot_blocks > self.hot_blocks_max;
        self.hot.peek_lru().filter(|_| too_much).map(|((file, _), _)| *file)
    }

    /// Files not touched since start, or since they cooled, the most recently used first.
    #[must_use]
    pub fn cold_hashes(&self) -> Vec<KeyHash> {
        self.cold.iter().map(|(hash, _)| *hash).chain(self.held.cold.keys().copied()).collect()
    }

    /// Whether the file was found at start and not touched since.
    #[must_use]
    pub fn is_cold(&self, hash: &KeyHash) -> bool {
        self.cold.contains(hash) || self.held.cold.contains_key(hash)
    }

    /// The file is touched or removed from now on by the caller, who settles its bytes with [`Space::release`].
    pub fn take_cold(&mut self, hash: &KeyHash) -> Option<u64> {
        self.cold.pop(hash).or_else(|| self.held.cold.remove(hash))
    }

    /// Whether the file system must be asked what it has free before anything else is reserved. Others write to it too, so what
    /// it said is believed for a while only, and not at all where it matters soon.
    #[must_use]
    pub fn must_ask(&self) -> bool {
        let Some(settled) = self.settled_since else { return true };
        let ample = self.free.is_none_or(|free| free >= self.min_free.saturating_add(self.pending + FREE_AMPLE));
        !ample || settled >= FREE_BELIEVED
    }

    /// What the file system has free now; none if it does not tell.
    pub fn learn_free(&mut self, free: Option<u64>) {
        self.free = free;
        self.settled_since = Some(0);
    }

    /// Takes `bytes` if they fit now.
    #[must_use]
    pub fn reserve(&mut self, bytes: u64) -> bool {
        let within_limit = self.used.saturating_add(bytes) <= self.limit;
        let leaves_free =
            self.free.is_none_or(|free| free >= self.min_free.saturating_add(self.pending).saturating_add(bytes));
        if within_limit && leaves_free {
            self.used += bytes;
            self.pending += bytes;
        }
        within_limit && leaves_free
    }

    /// Reserved bytes are on disk now.
    pub fn settle(&mut self, bytes: u64) {
        debug_assert!(self.pending >= bytes);
        self.pending = self.pending.saturating_sub(bytes);
        self.free = self.free.map(|free| free.saturating_sub(bytes));
        self.settled_since = self.settled_since.map(|settled| settled + bytes);
    }

    /// Reserved bytes are not needed.
    pub fn cancel(&mut self, bytes: u64) {
        self.settle(bytes);
        self.release(bytes);
    }

    /// Charges what is on disk already, whether it fits or not.
    pub fn charge(&mut self, bytes: u64) {
        self.used += bytes;
    }

    /// Bytes are gone from the disk. They count as free at once, even where the file system takes its time to say so: believing it would
    /// cost one victim after the other.
    pub fn release(&mut self, bytes: u64) {
        debug_assert!(self.used >= bytes);
        self.used = self.used.saturating_sub(bytes);
        self.free = self.free.map(|free| free.saturating_add(bytes));
    }

    /// What is on disk as before was counted as `before` bytes, and is `after`.
    pub fn recount(&mut self, before: u64, after: u64) {
        debug_assert!(self.used >= before);
        self.used = self.used.saturating_sub(before).saturating_add(after);
    }

    /// A block of a touched file is present: the most recently used from now on.
    pub fn add_block(&mut self, file: FileId, block: u32) {
        let (segment, bit) = self.segment(block);
        if self.held.files.contains(&file) {
            *self.held.segments.entry((file, segment)).or_default() |= bit;
            return;
        }
        let bits = self.hot.get_or_insert_mut((file, segment), || 0);
        self.hot_blocks += u64::from(*bits & bit == 0);
        *bits |= bit;
    }

    /// A block that an earlier process left: the least recently used, until somebody reads it.
    pub fn add_old_block(&mut self, file: FileId, block: u32) {
        let (segment, bit) = self.segment(block);
        if self.held.files.contains(&file) {
            *self.held.segments.entry((file, segment)).or_default() |= bit;
            return;
        }
        if let Some(bits) = self.hot.peek_mut(&(file, segment)) {
            self.hot_blocks += u64::from(*bits & bit == 0);
            *bits |= bit;
            return;
        }
        self.hot.put((file, segment), bit);
        self.hot.demote(&(file, segment));
        self.hot_blocks += 1;
    }

    /// A block was read.
    pub fn touch(&mut self, file: FileId, blocks: std::ops::Range<u32>) {
        if blocks.is_empty() {
            return;
        }
        for segment in self.segment(blocks.start).0..=self.segment(blocks.end - 1).0 {
            self.hot.promote(&(file, segment));
        }
    }

    /// A block is being removed for another reason than eviction. False: somebody else removes it already.
    pub fn take_block(&mut self, file: FileId, block: u32) -> bool {
        let had = self.has_block(file, block);
        if had {
            self.remove_hot(file, block);
        }
        had
    }

    /// Whether a block is there to be evicted; not if somebody removes it already.
    #[must_use]
    pub fn has_block(&self, file: FileId, block: u32) -> bool {
        let (segment, bit) = self.segment(block);
        let bits = self.hot.peek(&(file, segment)).or_else(|| self.held.segments.get(&(file, segment)));
        bits.is_some_and(|bits| bits & bit != 0)
    }

    /// What to remove next; the caller removes it and then releases its bytes.
    pub fn pop_victim(&mut self) -> Option<Victim> {
        if let Some((hash, bytes)) = self.cold.pop_lru() {
            return Some(Victim::Cold(hash, bytes));
        }
        let ((file, segment), bits) = self.hot.peek_lru().map(|(key, bits)| (*key, *bits))?;
        let block = segment * self.segment_blocks + bits.trailing_zeros();
        self.remove_hot(file, block);
        Some(Victim::Block(file, block))
    }

    /// The segment of a block, and the block's bit in it.
    fn segment(&self, block: u32) -> (u32, u64) {
        (block / self.segment_blocks, 1 << (block % self.segment_blocks))
    }

    /// A block that is there goes, and its segment with the last one.
    fn remove_hot(&mut self, file: FileId, block: u32) {
        let (segment, bit) = self.segment(block);
        if let Some(bits) = self.held.segments.get_mut(&(file, segment)) {
            *bits &= !bit;
            if *bits == 0 {
                self.held.segments.remove(&(file, segment));
            }
            return;
        }
        let Some(bits) = self.hot.peek_mut(&(file, segment)) else { return };
        *bits &= !bit;
        self.hot_blocks -= 1;
        if *bits == 0 {
            self.hot.pop(&(file, segment));
        }
    }
}

/// Blocks of a segment in a cache of `limit` bytes.
fn segment_blocks(limit: u64) -> u32 {
    let per_segment = limit / (SEGMENTS_MAX * BLOCK_SIZE);
    per_segment.next_power_of_two().clamp(1, SEGMENT_BLOCKS_MAX) as u32
}

/// Bytes that a block takes on disk.
#[must_use]
pub fn block_charge(size: u64, block: u32) -> u64 {
    block_len(size, block).next_multiple_of(ALLOCATION_UNIT)
}

/// Bytes that a recording's files take on disk besides their blocks: the index, directory entries, and a leaf of the
/// extent tree per 256 blocks once a sparse file has more extents than its inode holds (4 on ext4).
#[must_use]
pub fn file_charge(size: u64, form: Form) -> u64 {
    let count = u64::from(block_count(size));
    let extent_leaves = if count > 4 { count.div_ceil(256) } else { 0 };
    let directory = 1;
    index_len(size, form).next_multiple_of(ALLOCATION_UNIT) + (extent_leaves + directory) * ALLOCATION_UNIT
}

/// Bytes that a note, `len` bytes with its entry, adds to that.
#[must_use]
pub fn note_charge(size: u64, form: Form, len: u64) -> u64 {
    let before = index_len(size, form);
    (before + len).next_multiple_of(ALLOCATION_UNIT) - before.next_multiple_of(ALLOCATION_UNIT)
}

#[cfg(test)]
mod tests;
