//! Sizes that are not known yet: a high guess, never 0.
//!
//! Pure. Nothing depends on a guess being right (it is shown with TTL 0 and opening replaces it); a high one is kinder to tools that
//! reserve space, and zero would make some skip the file.

use crate::catalog::FileKind;

/// Documents are small; 8 KiB covers nearly all of them.
const DOCUMENT_BYTES: u64 = 8 * 1024;

/// Bytes per second before anything was learned: twice the high end of voice-only recordings (about 1 MB a minute).
const CAUTIOUS_BYTES_PER_SECOND: f64 = 32.0 * 1024.0;

/// A call longer than a week is a mistake in the tenant's data.
const LONGEST_SECONDS: f64 = 7.0 * 86_400.0;

/// The guess for a file of an interaction that took `duration_s` seconds; `learned` is bytes per second for its channel.
pub fn estimate(kind: FileKind, duration_s: f64, learned: Option<f64>) -> u64 {
    if !matches!(kind, FileKind::Recording(_)) {
        return DOCUMENT_BYTES;
    }
    let rate = learned.filter(|rate| rate.is_finite() && *rate > 0.0).unwrap_or(CAUTIOUS_BYTES_PER_SECOND);
    let seconds = if duration_s.is_finite() { duration_s.clamp(1.0, LONGEST_SECONDS) } else { 1.0 };
    // Whole 4 KiB pages: a guess should look like one.
    ((seconds * rate).ceil() as u64).next_multiple_of(4096).max(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_never_zero_and_follows_what_was_learned() {
        let recording = FileKind::Recording(0);
        for duration in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e300] {
            for rate in [None, Some(0.0), Some(f64::NAN), Some(8000.0)] {
                assert!(estimate(recording, duration, rate) >= 4096);
            }
        }
        assert_eq!(estimate(recording, 100.0, Some(8192.0)), 819_200);
        assert_eq!(estimate(FileKind::Email(0), 100.0, Some(8192.0)), 8192);
    }
}
