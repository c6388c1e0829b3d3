//! What the kernel asked, how long it took and how it ended: for `status` and metrics. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::base::{Counted, Histogram, MasterId};
use crate::tree::{Erased, ErrorKind};

/// Every operation that is answered.
pub const OPERATIONS: [&str; 9] =
    ["lookup", "getattr", "open", "read", "opendir", "readdir", "getxattr", "listxattr", "statfs"];
/// Less is never among the slow ones.
const SLOW_MIN: Duration = Duration::from_millis(100);
/// How many of the slowest are remembered, and for how long.
const SLOWEST_MAX: usize = 10;
const RECENT: SignedDuration = SignedDuration::from_mins(15);

/// One slow request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When it was answered.
    pub at: Timestamp,
    pub operation: &'static str,
    /// Below the mount point, without the agent's name.
    pub path: String,
    /// Whose it is.
    pub master: Option<MasterId>,
    pub took: Duration,
    /// How it failed, if it did.
    pub error: Option<ErrorKind>,
}

#[derive(Default)]
struct Operation {
    took: Histogram,
    errors: [AtomicU64; ErrorKind::ALL.len()],
}

/// Counters of all mounts of a tree.
#[derive(Default)]
pub struct Meters {
    operations: [Operation; OPERATIONS.len()],
    slowest: Mutex<Vec<Slow>>,
}

/// What the counters say.
#[derive(Clone, Debug)]
pub struct Measured {
    pub operations: Vec<(&'static str, Counted)>,
    /// Operation, kind, how many.
    pub errors: Vec<(&'static str, ErrorKind, u64)>,
    /// The slowest of the last quarter of an hour, slowest first.
    pub slowest: Vec<Slow>,
}

impl Meters {
    /// A request was answered. True: it was slow.
    pub fn note(&self, operation: &str, took: Duration, error: Option<ErrorKind>) -> bool {
        if let Some(index) = OPERATIONS.iter().position(|known| *known == operation) {
            self.operations[index].took.note(took);
            if let Some(kind) = error {
                self.operations[index].errors[kind as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
        took >= SLOW_MIN
    }

    /// One that was slow.
    pub fn note_slow(&self, slow: Slow) {
        let mut slowest = self.slowest.lock();
        let now = slow.at;
        slowest.retain(|other| now.duration_since(other.at) <= RECENT);
        slowest.push(slow);
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.took));
        slowest.truncate(SLOWEST_MAX);
    }

    /// Forgets slow requests for what was erased.
    pub fn forget(&self, what: Erased<'_>) {
        let mut slowest = self.slowest.lock();
        match what {
            Erased::These(masters) => {
                slowest.retain(|slow| slow.master.is_none_or(|master| !masters.contains(&master)));
            }
            Erased::Everything => slowest.clear(),
        }
    }

    /// What was counted.
    pub fn measured(&self, now: Timestamp) -> Measured {
        let mut errors = Vec::new();
        for (name, operation) in OPERATIONS.into_iter().zip(&self.operations) {
            for (kind, count) in ErrorKind::ALL.into_iter().zip(&operation.errors) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    errors.push((name, kind, count));
                }
            }
        }
        let mut slowest = self.slowest.lock().clone();
        slowest.retain(|slow| now.duration_since(slow.at) <= RECENT);
        Measured {
            operations: OPERATIONS.into_iter().zip(self.operations.iter().map(|known| known.took.counted())).collect(),
            errors,
            slowest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(at: i64, millis: u64) -> Slow {
        let took = Duration::from_millis(millis);
        let at = Timestamp::from_second(at).unwrap();
        Slow { at, operation: "read", path: String::new(), master: Some(MasterId(1)), took, error: None }
    }

    #[test]
    fn requests_are_counted_by_operation_and_error() {
        let meters = Meters::default();
        assert!(!meters.note("read", Duration::from_millis(1), None));
        assert!(meters.note("open", Duration::from_secs(2), Some(ErrorKind::TimedOut)));
        let measured = meters.measured(Timestamp::UNIX_EPOCH);
        let count = |name| measured.operations.iter().find(|(known, _)| *known == name).unwrap().1.count();
        assert_eq!((count("read"), count("open"), count("lookup")), (1, 1, 0));
        assert_eq!(measured.errors, [("open", ErrorKind::TimedOut, 1)]);
    }

    #[test]
    fn the_slowest_of_the_last_quarter_of_an_hour_are_kept() {
        let meters = Meters::default();
        meters.note_slow(slow(0, 90_000));
        for second in 0..30 {
            meters.note_slow(slow(600 + second, 100 + second as u64));
        }
        let kept = |now| meters.measured(Timestamp::from_second(now).unwrap()).slowest;
        assert_eq!(kept(700).len(), SLOWEST_MAX);
        assert_eq!(kept(700)[0].took, Duration::from_secs(90));
        assert_eq!(kept(1000)[0].took, Duration::from_millis(129));
        assert!(kept(3000).is_empty());
        meters.note_slow(Slow { master: Some(MasterId(2)), ..slow(3000, 500) });
        meters.note_slow(slow(3000, 600));
        meters.forget(Erased::These(&[MasterId(1)]));
        assert_eq!(kept(3000).iter().map(|slow| slow.master).collect::<Vec<_>>(), [Some(MasterId(2))]);
    }
}
