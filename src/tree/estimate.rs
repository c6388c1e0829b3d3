//! Sizes that are not known yet: an estimate that errs high, never 0.
//!
//! Pure. No byte that is read depends on it, but programs that look before they open may stop at it, so a low one would truncate, and 0 would
//! make some skip the file. A high one fails them loudly.

use crate::base::Channel;
use crate::catalog::{FileKind, SHORTEST_SECONDS};

const KIB: f64 = 1024.0;

/// Bytes per second of a recording, at least: where there may be a screen, and where there is a voice alone.
const SCREEN_RATE_MIN: f64 = 128.0 * KIB;
const VOICE_RATE_MIN: f64 = 64.0 * KIB;
/// Bytes of a document, at least: with the messages of a conversation in it, and without.
const CONVERSATION_MIN: f64 = 4.0 * KIB * KIB;
const DOCUMENT_MIN: f64 = 256.0 * KIB;
/// Above the highest rate, and the largest document, that was seen.
const RATE_FACTOR: f64 = 1.5;
const DOCUMENT_FACTOR: f64 = 2.0;

/// Bytes per second that a recording is expected to have before anything was learned: twice the high end of voice-only recordings (about 1 MB a
/// minute).
const CAUTIOUS_BYTES_PER_SECOND: f64 = 32.0 * KIB;

/// A call longer than a week is a mistake in the tenant's data.
const LONGEST_SECONDS: f64 = 7.0 * 86_400.0;

/// The guess that tests ask for in `CXONEFS_TEST_GUESS`: `low`, `high`, or a number of bytes. Development builds only.
#[cfg(debug_assertions)]
fn asked_for_by_test() -> Option<u64> {
    static ASKED: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *ASKED.get_or_init(|| match std::env::var("CXONEFS_TEST_GUESS").ok()?.as_str() {
        "low" => Some(1),
        "high" => Some(64 * 1024 * 1024),
        bytes => bytes.parse().ok(),
    })
}

#[cfg(not(debug_assertions))]
fn asked_for_by_test() -> Option<u64> {
    None
}

/// What is known of a file whose size is not.
#[derive(Clone, Copy, Debug)]
pub struct Unknown {
    pub kind: FileKind,
    pub channel: Channel,
    /// Seconds from the beginning of the first leg to the end of the last.
    pub duration_s: f64,
    /// The highest that was seen of this kind on this channel, as [`crate::catalog::Catalog::highest`] gives it.
    pub highest: Option<f64>,
    /// Bytes of the largest recording of the same interaction whose size is known; 0 if there is none.
    pub sibling: u64,
}

/// The estimate that is shown.
pub fn estimate(file: Unknown) -> u64 {
    if let Some(bytes) = asked_for_by_test() {
        return bytes;
    }
    let highest = file.highest.filter(|value| value.is_finite() && *value > 0.0).unwrap_or_default();
    if matches!(file.kind, FileKind::Recording(_)) {
        let least = if file.channel == Channel::Voicemail { VOICE_RATE_MIN } else { SCREEN_RATE_MIN };
        let bytes = seconds(file.duration_s).max(SHORTEST_SECONDS) * least.max(highest * RATE_FACTOR);
        return whole_pages(bytes).max(file.sibling);
    }
    let is_conversation =
        matches!(file.channel, Channel::Chat | Channel::Sms | Channel::Digital | Channel::Social | Channel::Other(_));
    let least = if is_conversation { CONVERSATION_MIN } else { DOCUMENT_MIN };
    whole_pages(least.max(highest * DOCUMENT_FACTOR))
}

/// What a recording is expected to have, neither high nor low: for costs and for what is fetched at once. `learned` is bytes per second for its
/// channel.
pub fn expected(duration_s: f64, learned: Option<f64>) -> u64 {
    let rate = learned.filter(|rate| rate.is_finite() && *rate > 0.0).unwrap_or(CAUTIOUS_BYTES_PER_SECOND);
    whole_pages(seconds(duration_s) * rate)
}

fn seconds(duration_s: f64) -> f64 {
    if duration_s.is_finite() { duration_s.clamp(1.0, LONGEST_SECONDS) } else { 1.0 }
}

/// An estimate should look like one.
fn whole_pages(bytes: f64) -> u64 {
    (bytes.ceil() as u64).next_multiple_of(4096).max(4096)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(kind: FileKind, channel: Channel, duration_s: f64, highest: Option<f64>) -> u64 {
        estimate(Unknown { kind, channel, duration_s, highest, sibling: 0 })
    }

    #[test]
    fn an_estimate_is_never_zero_and_never_below_the_ceilings() {
        let recording = FileKind::Recording(0);
        for duration in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e300] {
            for highest in [None, Some(0.0), Some(f64::NAN), Some(8000.0)] {
                assert!(of(recording, Channel::Call, duration, highest) >= 30 * 128 * 1024);
            }
        }
        assert_eq!(of(recording, Channel::Call, 100.0, None), 100 * 128 * 1024);
        assert_eq!(of(recording, Channel::Voicemail, 100.0, None), 100 * 64 * 1024);
        assert_eq!(of(recording, Channel::Call, 100.0, Some(1024.0 * 1024.0)), 150 * 1024 * 1024);
        assert_eq!(of(FileKind::Email(0), Channel::Email, 100.0, None), 256 * 1024);
        assert_eq!(of(FileKind::TranscriptText, Channel::Chat, 100.0, None), 4 * 1024 * 1024);
        assert_eq!(of(FileKind::TranscriptText, Channel::Chat, 100.0, Some(4.0 * 1024.0 * 1024.0)), 8 * 1024 * 1024);
    }

    #[test]
    fn a_second_recording_is_not_thought_to_be_smaller_than_the_first() {
        let file = Unknown {
            kind: FileKind::Recording(1),
            channel: Channel::Call,
            duration_s: 10.0,
            highest: None,
            sibling: 1 << 30,
        };
        assert_eq!(estimate(file), 1 << 30);
    }

    #[test]
    fn what_is_expected_follows_what_was_learned() {
        assert_eq!(expected(100.0, Some(8192.0)), 819_200);
        assert_eq!(expected(100.0, None), 100 * 32 * 1024);
    }

    /// What files of 10,000 mixed interactions come to, in some order: voices, screens, rare long videos, chats of up to 5,000 messages, emails.
    fn replay(seed: u64) -> u32 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut highest: BTreeMap<(i64, FileKind), f64> = BTreeMap::new();
        let mut too_low = 0;
        for _ in 0..10_000 {
            let duration_s = 2.0 + 60.0 * random.f64() + if random.u8(..10) == 0 { 7000.0 * random.f64() } else { 0.0 };
            let between = |random: &mut fastrand::Rng, low: f64, high: f64| low * (high / low).powf(random.f64());
            let (channel, files) = match random.u8(..20) {
                0..=7 => (Channel::Call, vec![(FileKind::Recording(0), duration_s * between(&mut random, 4e3, 40e3))]),
                8..=12 => {
                    (Channel::Call, vec![(FileKind::Recording(0), duration_s * between(&mut random, 30e3, 500e3))])
                }
                13 => {
                    (Channel::Voicemail, vec![(FileKind::Recording(0), duration_s * between(&mut random, 4e3, 32e3))])
                }
                14..=17 => {
                    let messages = between(&mut random, 2.0, 5000.0);
                    let (text, json) = (messages * between(&mut random, 40.0, 300.0), messages * 900.0);
                    (Channel::Chat, vec![(FileKind::TranscriptText, text), (FileKind::TranscriptJson, json)])
                }
                _ => (Channel::Email, vec![(FileKind::Email(0), between(&mut random, 1e3, 2e6))]),
            };
            for (kind, bytes) in files {
                let top = highest.entry((channel.media_type_id(), kind)).or_default();
                too_low += u32::from(of(kind, channel, duration_s, Some(*top)) < bytes as u64);
                let value = match kind {
                    FileKind::Recording(_) => bytes / duration_s.max(SHORTEST_SECONDS),
                    _ => bytes,
                };
                *top = top.max(value);
            }
        }
        too_low
    }

    #[test]
    fn of_ten_thousand_interactions_at_most_one_in_a_thousand_is_larger_than_its_estimate() {
        let too_low: Vec<u32> = (0..20).map(replay).collect();
        println!("of 10,000 interactions larger than their estimate, by seed: {too_low:?}");
        assert!(too_low.iter().all(|files| *files <= 10), "{too_low:?}");
    }
}
