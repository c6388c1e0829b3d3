//! What the line to the media hosts carries, as far as readahead must know: nothing, until reads have to wait long for their bytes. From
//! then on readers together ask for no more ahead than arrives in a few seconds, so that what one waits for is not behind what others may
//! want. Pure but for its lock; time and counters are passed in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::geometry::BLOCK_SIZE;

/// A read that waited so long found the line slow.
const STALL_MIN: Duration = Duration::from_secs(1);
/// The line counts as slow so long after the last such read.
const STRAIN_LASTS: Duration = Duration::from_secs(10);
/// The rate is measured over so long at least.
const SAMPLE_MIN: Duration = Duration::from_secs(1);
/// Readahead of all readers together is what arrives in so many seconds.
const AHEAD_S: f64 = 2.0;
/// What one reader may ask for ahead on any line, in blocks.
const WINDOW_MIN_BLOCKS: u32 = 4;

/// See the module.
#[derive(Debug, Default)]
pub struct Line {
    is_strained: AtomicBool,
    sample: Mutex<Option<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    until: Instant,
    since: Instant,
    /// Bytes that had arrived by then.
    brought: u64,
    bytes_per_s: Option<f64>,
}

impl Line {
    /// A read has waited so long for bytes; `brought` have arrived from all hosts so far.
    pub fn note_wait(&self, waited: Duration, brought: u64, now: Instant) {
        if waited < STALL_MIN {
            return;
        }
        let mut sample = self.sample.lock();
        let until = now + STRAIN_LASTS;
        match sample.as_mut() {
            Some(sample) => sample.until = until,
            None => *sample = Some(Sample { until, since: now, brought, bytes_per_s: None }),
        }
        self.is_strained.store(true, Ordering::Relaxed);
    }

    /// The largest window of one reader, in blocks, where `waiting` reads wait; none: the line does not limit it. Cheap while it is not slow.
    pub fn window_max(&self, waiting: usize, brought: u64, now: Instant) -> Option<u32> {
        if !self.is_strained.load(Ordering::Relaxed) {
            return None;
        }
        let mut held = self.sample.lock();
        let sample = held.as_mut()?;
        if now >= sample.until {
            *held = None;
            self.is_strained.store(false, Ordering::Relaxed);
            return None;
        }
        let elapsed = now.duration_since(sample.since);
        if elapsed >= SAMPLE_MIN {
            sample.bytes_per_s = Some(brought.saturating_sub(sample.brought) as f64 / elapsed.as_secs_f64());
            (sample.since, sample.brought) = (now, brought);
        }
        let share = sample.bytes_per_s.unwrap_or(0.0) * AHEAD_S / waiting.max(1) as f64;
        Some(((share / BLOCK_SIZE as f64) as u32).max(WINDOW_MIN_BLOCKS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readahead_is_what_a_slow_line_carries_and_unlimited_on_a_quick_one() {
        let (line, start) = (Line::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        line.note_wait(Duration::from_millis(900), 0, start);
        assert_eq!(line.window_max(1, 0, start), None);
        line.note_wait(Duration::from_secs(2), 0, start);
        assert_eq!(line.window_max(12, 0, start), Some(WINDOW_MIN_BLOCKS), "nothing is known yet");
        assert_eq!(line.window_max(1, 1 << 20, at(1)), Some(32), "two seconds of 1 MiB/s");
        assert_eq!(line.window_max(4, 1 << 20, at(1)), Some(8), "for all of them together");
        assert_eq!(line.window_max(1, 100 << 20, at(2)), Some(3168), "it became quick");
        assert_eq!(line.window_max(1, 100 << 20, at(11)), None, "nobody has waited for long");
    }
}
