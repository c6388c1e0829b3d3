//! How the log is kept, and where the ends of its chain are.

use std::time::Duration;

use jiff::SignedDuration;

use super::line::Head;
use super::verify::Anchors;
use crate::base::Export;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    pub keep: Duration,
    /// Whether nothing may be opened whose line is not on disk.
    pub required: bool,
    pub export: Export,
    /// A file is turned over at that size, or when its first line is so old.
    pub segment_bytes: u64,
    pub segment_age: SignedDuration,
}

impl AuditSettings {
    /// With files of 10 MiB, or a day.
    #[must_use]
    pub fn new(keep: Duration, required: bool, export: Export) -> AuditSettings {
        AuditSettings { keep, required, export, segment_bytes: 10 << 20, segment_age: SignedDuration::from_hours(24) }
    }
}

/// Keeps the places where the chain begins and ends, apart from the log. An error is a text.
pub trait ChainStore: Send + Sync + 'static {
    /// None: there never was a log.
    fn anchors(&self) -> Result<Option<Anchors>, String>;

    /// The last line. Often; it outlives the process, and need not outlive a loss of power.
    fn note_head(&self, head: &Head) -> Result<(), String>;

    /// The last line that was deleted by age; on disk when this returns.
    fn note_start(&self, start: &Head) -> Result<(), String>;
}
