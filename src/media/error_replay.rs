//! One failure, told twice: the kernel asks for a page again, by itself, if the readahead that held it failed. Without this a read
//! that fails would take two deadlines, and twice the attempts.
//!
//! Knows neither the kernel nor why something failed.

use std::ops::Range;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::MediaError;

/// The kernel asks again at once. Whoever tries again by himself takes longer, or does so more than once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Requests of one open that fail together, at most: the kernel's readahead is a few.
const FAILURES_MAX: usize = 16;

/// The last failures of one open.
#[derive(Debug, Default)]
pub struct ErrorReplay {
    last: Mutex<Vec<Failed>>,
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    span: Range<u64>,
    error: MediaError,
}

impl ErrorReplay {
    /// The bytes `span` could not be read.
    pub fn note(&self, span: &Range<u64>, error: &MediaError) {
        let mut last = self.last.lock();
        last.retain(|failed| failed.at.elapsed() < AT_ONCE);
        if last.len() < FAILURES_MAX {
            last.push(Failed { at: Instant::now(), span: span.clone(), error: error.clone() });
        }
    }

    /// The failure that a read of `span` repeats, if it does. Each is repeated once.
    pub fn repeats(&self, span: &Range<u64>) -> Option<MediaError> {
        let mut last = self.last.lock();
        let same = last.iter().position(|failed| {
            failed.at.elapsed() < AT_ONCE && failed.span.start < span.end && span.start < failed.span.end
        })?;
        Some(last.swap_remove(same).error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::StorageRefusal;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_repeated_once_at_once_and_for_the_same_bytes() {
        let again = ErrorReplay::default();
        let gone = MediaError::Refused(StorageRefusal::Gone);
        assert!(again.repeats(&(0..10)).is_none());
        again.note(&(0..128), &MediaError::Timeout);
        again.note(&(128..256), &gone);
        assert!(matches!(again.repeats(&(100..104)), Some(MediaError::Timeout)));
        assert!(matches!(again.repeats(&(128..132)), Some(MediaError::Refused(StorageRefusal::Gone))));
        assert!(again.repeats(&(100..104)).is_none(), "once");
        again.note(&(0..128), &MediaError::Timeout);
        assert!(again.repeats(&(128..130)).is_none(), "other bytes");
        tokio::time::sleep(AT_ONCE).await;
        assert!(again.repeats(&(0..128)).is_none(), "later");
    }
}
