//! The palettes of encoded frames that recordings are put together from (made by `scripts/make-sim-assets`).
//!
//! Knows no time, no offsets and no containers.

use std::sync::LazyLock;

/// Encoded AAC-LC frames (16 kHz, stereo) of a phrase by the agent, left, and one by the customer, right, as a loop.
const VOICE: &[u8] = include_bytes!("../assets/voice.bin");
/// An H.264 parameter set pair and intra pictures of a desktop, each twice (odd and even `idr_pic_id`).
const SCREEN: &[u8] = include_bytes!("../assets/screen.bin");

/// The frames of both tracks and the constant sizes to which samples are filled up.
#[derive(Debug)]
pub(super) struct Palette {
    /// One raw data block per entry.
    pub(super) voice: Vec<&'static [u8]>,
    pub(super) sps: &'static [u8],
    pub(super) pps: &'static [u8],
    /// One IDR slice NAL unit per entry, without length or start code; pictures come in twins.
    pub(super) screen: Vec<&'static [u8]>,
    /// Bytes of every audio sample.
    pub(super) voice_sample: usize,
    /// Bytes of every video sample.
    pub(super) screen_sample: usize,
}

/// Smallest filler that an audio sample carries, so that no two are alike: one data stream element of 16 bytes.
const VOICE_FILL_MIN: usize = 18;
/// Size from which the video's sample size is chosen; the pictures themselves are a good deal smaller.
const SCREEN_SAMPLE_MIN: usize = 16 * 1024;

/// The palette; read once per process.
pub(super) static PALETTE: LazyLock<Palette> = LazyLock::new(|| {
    let voice = split(VOICE, 2);
    let mut units = split(SCREEN, 4).into_iter();
    let sps = units.next().unwrap_or_default();
    let pps = units.next().unwrap_or_default();
    let screen: Vec<&'static [u8]> = units.collect();
    let voice_sample = longest(&voice) + VOICE_FILL_MIN;
    let start = SCREEN_SAMPLE_MIN.max(longest(&screen) + 1024);
    let fits = |sample: &usize| screen.iter().all(|picture| sei_payload(*sample - 8 - picture.len()).is_some());
    let screen_sample = (start..start + 4096).find(fits).unwrap_or(start);
    Palette { voice, sps, pps, screen, voice_sample, screen_sample }
});

/// The payload size with which an SEI NAL unit of one message has exactly `unit` bytes, if there is one.
///
/// A unit is: header, payload type, payload size (one byte for each 255, and the rest), payload, trailing bits.
pub(super) fn sei_payload(unit: usize) -> Option<usize> {
    let body = unit.checked_sub(4)?;
    let payload = body - body / 256;
    [payload, payload.saturating_sub(1)].into_iter().find(|payload| payload + payload / 255 == body)
}

fn longest(frames: &[&[u8]]) -> usize {
    frames.iter().map(|frame| frame.len()).max().unwrap_or(0)
}

/// Splits a palette file into its entries, each behind a big-endian length of `width` bytes.
fn split(mut data: &'static [u8], width: usize) -> Vec<&'static [u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = data.split_at_checked(width) {
        let length = length.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
        let Some((entry, rest)) = rest.split_at_checked(length) else { break };
        entries.push(entry);
        data = rest;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palettes_are_whole() {
        let bytes: usize = PALETTE.voice.iter().map(|frame| frame.len() + 2).sum();
        assert_eq!(bytes, VOICE.len());
        assert!(PALETTE.voice.len() > 60);
        assert_eq!(PALETTE.sps[0] & 31, 7);
        assert_eq!(PALETTE.pps[0] & 31, 8);
        assert!(PALETTE.screen.len() >= 4 && PALETTE.screen.len().is_multiple_of(2));
        assert!(PALETTE.screen.iter().all(|unit| unit[0] & 31 == 5));
        assert!(VOICE.len() + SCREEN.len() <= 300 * 1024);
    }

    #[test]
    fn a_message_size_is_exact_or_there_is_none() {
        for unit in 0..70_000 {
            if let Some(payload) = sei_payload(unit) {
                assert_eq!(4 + payload / 255 + payload, unit);
            }
        }
        assert_eq!(sei_payload(4 + 254), Some(254));
        assert_eq!(sei_payload(4 + 255), None);
        assert_eq!(sei_payload(4 + 256), Some(255));
    }
}
