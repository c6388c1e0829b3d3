//! Settings of the cache and the fetcher: what the configuration decides, and the constants behind it.

use std::path::PathBuf;
use std::time::Duration;

use super::geometry::BLOCK_SIZE;
use super::reach::MediaReach;
use crate::net::CaBundle;

/// Settings of the cache and the fetcher.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    pub cache_dir: PathBuf,
    /// Bytes that the cache may occupy on disk, at most.
    pub cache_size: u64,
    /// Bytes that must stay free on the cache's file system.
    pub min_free: u64,
    /// Bytes are dropped so long after they were fetched.
    pub max_age: Duration,
    /// Recordings up to this size (bytes) are fetched whole at their first read.
    pub whole_file_below: u64,
    /// Ranged GETs in flight at once to each host, at most.
    pub connections: usize,
    /// Bytes in flight, at most.
    pub memory: u64,
    /// Where media may be fetched from.
    pub reach: MediaReach,
    /// Authorities that are trusted beside the system's.
    pub ca: Option<CaBundle>,
    /// The time that one read may take.
    pub deadline: Duration,
}

/// Blocks that a fetch collects while the disk is busy with the blocks before them.
pub(super) const WRITE_BATCH_BLOCKS: usize = 8;

/// Bytes that one fetch may hold: a batch being written, a batch being collected, the block being received, and the HTTP
/// client's read buffer (about 400 KiB at most).
pub(super) const FETCH_MEMORY_BYTES: u64 = (2 * WRITE_BATCH_BLOCKS as u64 + 1) * BLOCK_SIZE + 448 * 1024;

/// Blocks that could not be written to disk and are kept for the readers that wait for them.
pub(super) const SPILL_BLOCKS_MAX: usize = 128;

/// So many bytes within the time that a read waits show that a line is slow and not dead. At 30 s that is 140 bytes a second.
pub(super) const PROGRESS_BYTES_MIN: usize = 4096;

/// How patient a fetch is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Attempts in a row that brought no byte.
    pub barren_attempts_max: u32,
    /// Attempts of one fetch, whatever they brought.
    pub attempts_max: u32,
    /// First pause between attempts; doubles up to [`Patience::pause_max`].
    pub pause_min: Duration,
    pub pause_max: Duration,
    /// The longest silence of a media host: before its answer and between two pieces of the body.
    pub silence_max: Duration,
    /// The longest time that the body may take for [`PROGRESS_BYTES_MIN`]: no reader waits longer for them.
    pub crawl_max: Duration,
}

impl Patience {
    /// For a fetch whose readers wait for `deadline` at most: a silence must leave time for a second attempt.
    pub fn within(deadline: Duration) -> Patience {
        Patience {
            barren_attempts_max: 6,
            attempts_max: 64,
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(2),
            silence_max: (deadline / 3).clamp(Duration::from_secs(1), Duration::from_secs(20)),
            crawl_max: deadline,
        }
    }

    /// The pause before attempt number `attempt` (the first retry is 1); `jitter` in `[0, 1)` takes off up to a half.
    pub fn pause(&self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.pause_min.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(self.pause_max).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds() {
        let patience = Patience::within(Duration::from_secs(30));
        let millis: Vec<u128> = (1..8).map(|attempt| patience.pause(attempt, 0.0).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(patience.pause(1, 1.0).as_millis(), 50);
        assert_eq!(patience.pause(u32::MAX, 0.0), patience.pause_max);
    }
}
