//! How the log is, for `status` and metrics, and how much disk it has and needs.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::segments;

/// With less than this free for the log it is said: twenty files' worth, some days of a busy mount (bytes).
pub const LOW_BYTES: u64 = 256 << 20;
/// The part of its size that a compressed file has: hashes and salts are a fourth of a line and do not shrink.
const COMPRESSED: f64 = 0.4;
/// Less time tells nothing of a usual day.
const TELLING_S: f64 = 86_400.0;

/// As of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The last line's number.
    pub number: u64,
    /// Lines written, and events that could not be, since it was opened.
    pub written: u64,
    pub lost: u64,
    /// Lines that the journal or syslog did not take.
    pub not_exported: u64,
    /// Why it cannot be written, if it cannot.
    pub trouble: Option<String>,
    pub files: u64,
    /// What the files occupy that are not written to any more.
    pub closed_bytes: u64,
    /// What the file occupies that is written to.
    pub open_bytes: u64,
    /// The first line's time.
    pub oldest: Option<Timestamp>,
    /// What is free on the state directory's file system.
    pub free_bytes: Option<u64>,
}

impl Figures {
    /// What all files occupy.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.closed_bytes + self.open_bytes
    }

    /// The same as if the file that is written to were compressed already.
    fn compressed_bytes(&self) -> u64 {
        self.closed_bytes + (self.open_bytes as f64 * COMPRESSED) as u64
    }

    /// What the log will occupy when it is as old as it may become, if its beginning tells of the rest.
    #[must_use]
    pub fn need_bytes(&self, keep_s: f64, now: Timestamp) -> Option<u64> {
        let covered_s = now.duration_since(self.oldest?).as_secs_f64();
        (covered_s >= TELLING_S).then(|| (self.compressed_bytes() as f64 * (keep_s / covered_s).max(1.0)) as u64)
    }

    /// What is to be done about the disk before it is full.
    #[must_use]
    pub fn warning(&self, keep_s: f64, now: Timestamp) -> Option<String> {
        let free = self.free_bytes?;
        let more = self.need_bytes(keep_s, now).map_or(0, |need| need.saturating_sub(self.compressed_bytes()));
        if free < LOW_BYTES {
            Some(format!("only {} MiB are free for the audit log", free >> 20))
        } else if free < more {
            Some(format!(
                "the audit log needs {} MiB more within audit.keep, and {} MiB are free",
                more >> 20,
                free >> 20
            ))
        } else {
            None
        }
    }
}

/// What a directory's log occupies, and what is free for more.
pub fn measured(dir: &Path) -> io::Result<Figures> {
    let files = segments::list(dir)?;
    let (mut closed_bytes, mut open_bytes) = (0, 0);
    for file in &files {
        let is_open = file.path.file_name().is_some_and(|name| name == segments::CURRENT);
        let bytes = if is_open { &mut open_bytes } else { &mut closed_bytes };
        *bytes += file.path.metadata()?.len();
    }
    let oldest = files.first().and_then(segments::Segment::since);
    Ok(Figures {
        files: files.len() as u64,
        closed_bytes,
        open_bytes,
        oldest,
        free_bytes: free(dir),
        ..Figures::default()
    })
}

/// Bytes that are free for this process's user.
#[must_use]
pub fn free(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|told| told.f_bavail * told.f_frsize)
}

/// Figures that change.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Figures>);

impl Shared {
    /// To look at or change.
    pub fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn need_is_told_from_a_day_on_and_a_warning_before_it_is_too_late() {
        let day = |number: i64| Timestamp::from_second(number * 86_400).unwrap();
        let keep_s = 400.0 * 86_400.0;
        let mut figures = Figures {
            closed_bytes: 100 << 20,
            oldest: Some(day(0)),
            free_bytes: Some(100 << 30),
            ..Figures::default()
        };
        assert_eq!(figures.need_bytes(keep_s, day(0)), None);
        assert_eq!(figures.need_bytes(keep_s, day(4)), Some(10_000 << 20));
        assert_eq!(figures.warning(keep_s, day(4)), None);
        assert_eq!(figures.need_bytes(keep_s, day(800)), Some(100 << 20), "it does not grow any more");
        figures.free_bytes = Some(1 << 30);
        assert!(figures.warning(keep_s, day(4)).unwrap().contains("needs 9900 MiB more"));
        figures.free_bytes = Some(1 << 20);
        assert!(figures.warning(keep_s, day(0)).unwrap().contains("only 1 MiB"));
    }
}
