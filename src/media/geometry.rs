//! How a recording is cut into blocks. Pure arithmetic; knows neither files nor requests.

use std::ops::Range;

/// Bytes of a block, the last one of a recording excepted. A compromise: a probe of a file's tail costs two of these at
/// most, while a checksum, an index entry and an LRU node per block stay below 0.2 % of the bytes they are about.
pub const BLOCK_SIZE: u64 = 64 * 1024;

/// The largest recording that is accepted (bytes). A size comes from the network and decides how much memory its block
/// table takes, so it needs a bound: 64 GiB are weeks of call audio.
pub const MAX_RECORDING_BYTES: u64 = 64 << 30;

/// Blocks of a recording of `size` bytes. Sizes above [`MAX_RECORDING_BYTES`] never get this far.
#[must_use]
pub fn block_count(size: u64) -> u32 {
    debug_assert!(size <= MAX_RECORDING_BYTES);
    size.div_ceil(BLOCK_SIZE) as u32
}

/// The block that holds the byte at `offset`.
#[must_use]
pub fn block_at(offset: u64) -> u32 {
    (offset / BLOCK_SIZE) as u32
}

/// Offset of a block's first byte.
#[must_use]
pub fn block_start(block: u32) -> u64 {
    u64::from(block) * BLOCK_SIZE
}

/// Bytes of a block in a recording of `size` bytes; 0 past its end.
#[must_use]
pub fn block_len(size: u64, block: u32) -> u64 {
    size.saturating_sub(block_start(block)).min(BLOCK_SIZE)
}

/// The blocks that hold the bytes `[start, end)`.
#[must_use]
pub fn blocks_of(bytes: &Range<u64>) -> Range<u32> {
    if bytes.is_empty() { 0..0 } else { block_at(bytes.start)..block_at(bytes.end - 1) + 1 }
}

/// The bytes of the given blocks in a recording of `size` bytes.
#[must_use]
pub fn bytes_of(size: u64, blocks: &Range<u32>) -> Range<u64> {
    block_start(blocks.start).min(size)..block_start(blocks.end).min(size)
}

/// The part of a read that lies inside a recording of `size` bytes; empty at or past its end.
#[must_use]
pub fn clamp(size: u64, offset: u64, len: u32) -> Range<u64> {
    let start = offset.min(size);
    start..start.saturating_add(u64::from(len)).min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_short() {
        let size = 2 * BLOCK_SIZE + 5;
        assert_eq!(block_count(size), 3);
        assert_eq!(block_len(size, 1), BLOCK_SIZE);
        assert_eq!(block_len(size, 2), 5);
        assert_eq!(block_len(size, 3), 0);
        assert_eq!(bytes_of(size, &(1..3)), BLOCK_SIZE..size);
    }

    #[test]
    fn reads_end_with_the_recording() {
        assert_eq!(clamp(100, 90, 20), 90..100);
        assert!(clamp(100, 100, 20).is_empty());
        assert!(clamp(100, u64::MAX, u32::MAX).is_empty());
        assert_eq!(blocks_of(&(BLOCK_SIZE - 1..BLOCK_SIZE + 1)), 0..2);
        assert!(blocks_of(&(7..7)).is_empty());
    }
}
