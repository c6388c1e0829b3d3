//! The bytes of the simulated recordings: real, byte-exact at any offset, and stored nowhere.
//!
//! A [`Recording`] is a pure function of a seed and a few numbers. Knows nothing of contacts, HTTP or time.

mod boxes;
mod mp4;
mod palette;
#[cfg(test)]
mod tests;

use self::mp4::Mp4;
use super::mix;

/// One recording.
#[derive(Clone, Debug)]
pub struct Recording(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Mp4(Mp4),
    Bulk { seed: u64, bytes: u64 },
}

impl Recording {
    /// A call: mp4 with AAC-LC in stereo, the agent left and the customer right. Lasts `seconds`, rounded to 64 ms.
    #[must_use]
    pub fn voice(seed: u64, seconds: f64) -> Recording {
        Recording(Kind::Mp4(Mp4::new(seed, seconds, false)))
    }

    /// A call with the agent's screen: the same and H.264 video.
    #[must_use]
    pub fn voice_and_screen(seed: u64, seconds: f64) -> Recording {
        Recording(Kind::Mp4(Mp4::new(seed, seconds, true)))
    }

    /// Pseudo-random bytes for benchmarks; not playable.
    #[must_use]
    pub fn bulk(seed: u64, bytes: u64) -> Recording {
        Recording(Kind::Bulk { seed, bytes })
    }

    /// The size in bytes; exact.
    #[expect(clippy::len_without_is_empty, reason = "a recording is never empty, except a bulk one asked to be")]
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Mp4(mp4) => mp4.len(),
            Kind::Bulk { bytes, .. } => *bytes,
        }
    }

    /// Fills `buf` with the bytes at `offset`; returns how many there were before the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = self.len().saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let out = &mut buf[..length];
        match &self.0 {
            Kind::Mp4(mp4) => mp4.read_at(offset, out),
            Kind::Bulk { seed, .. } => mix::fill(*seed, offset, 0, out),
        }
        length
    }
}
