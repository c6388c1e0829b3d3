//! What is known of a file or directory without opening it.

use jiff::Timestamp;

/// What a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// A stable number of what the file is: the same through every door, after every restart.
    pub id: u64,
    pub is_dir: bool,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// The size is not known yet: it is an estimate that errs high, and never 0.
    pub is_estimate: bool,
    /// Never "now".
    pub time: Timestamp,
    /// Folders that show the file.
    pub places: u32,
    pub holds: Holds,
}

/// How long what was shown holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// For good. A change, which nobody expects, is told to the observers.
    Forever,
    /// Until the day is refreshed; observers are told.
    UntilRefreshed,
    /// For whoever asked: others may be shown an exact size, so each of them has to ask.
    ForWhoAsks,
    /// Not beyond this look: it is an estimate although looking should have made the size known, so the next look tries again.
    ForNow,
}

impl Stat {
    /// A directory.
    pub fn directory(id: u64, time: Timestamp, holds: Holds) -> Stat {
        Stat { id, is_dir: true, size: 0, is_estimate: false, time, places: 1, holds }
    }

    /// A file whose size is known.
    pub fn file(id: u64, size: u64, time: Timestamp, holds: Holds) -> Stat {
        Stat { id, is_dir: false, size, is_estimate: false, time, places: 1, holds }
    }
}
