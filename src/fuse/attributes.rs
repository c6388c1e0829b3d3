//! Attributes as the kernel shows them, and how long it may keep them.
//!
//! Pure. `blocks` always matches the size (`tar -S` would store holes). An estimate may be kept like any other size: `told` sees to it that no
//! open file is read by it.

use std::time::Duration;

use jiff::Timestamp;

use crate::tree::{Holds, Stat};

/// What `stat` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub ino: u64,
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
    /// The size is not known yet.
    pub is_estimate: bool,
    /// mtime = ctime = atime; never "now".
    pub time: Timestamp,
    /// Permission bits.
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Attr {
    /// 512-byte units that match the size.
    pub fn blocks(&self) -> u64 {
        self.size.div_ceil(512)
    }
}

/// How long the kernel may keep a name, or that there is none: it is told when that changes.
pub const NAME_KEPT: Duration = Duration::from_hours(1);

/// How long the kernel may answer without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// Attributes.
    pub attr: Duration,
    /// The name.
    pub entry: Duration,
}

impl Ttl {
    /// What was published for good.
    pub const FINAL: Ttl = Ttl { attr: Duration::from_hours(1), entry: NAME_KEPT };
    /// What a refresh of an open day may change; the kernel is told of that, too.
    pub const OPEN_DAY: Ttl = Ttl { attr: Duration::from_mins(1), entry: NAME_KEPT };
    /// An estimate, where some callers are to be shown the exact size: the kernel asks for it every time, because it cannot tell them apart.
    pub const ESTIMATE: Ttl = Ttl { attr: Duration::ZERO, entry: NAME_KEPT };
    /// Not at all.
    pub const NONE: Ttl = Ttl { attr: Duration::ZERO, entry: Duration::ZERO };

    /// For what holds so long.
    pub fn of(holds: Holds) -> Ttl {
        match holds {
            Holds::Forever => Ttl::FINAL,
            Holds::UntilRefreshed => Ttl::OPEN_DAY,
            Holds::ForWhoAsks => Ttl::ESTIMATE,
            Holds::ForNow => Ttl::NONE,
        }
    }
}

/// Who owns the tree, and its modes.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits of directories.
    pub dir_mode: u16,
    /// Permission bits of files.
    pub file_mode: u16,
}

/// What `ls` shows as the size of a directory.
const DIRECTORY_BYTES: u64 = 4096;

impl Ownership {
    /// What `stat` shows. A directory's link count is 1, "unknown": walkers that count subdirectories by it would need every day indexed.
    pub fn attr(&self, stat: &Stat) -> Attr {
        Attr {
            ino: stat.id,
            is_dir: stat.is_dir,
            size: if stat.is_dir { DIRECTORY_BYTES } else { stat.size },
            is_estimate: stat.is_estimate,
            time: stat.time,
            mode: if stat.is_dir { self.dir_mode } else { self.file_mode },
            nlink: if stat.is_dir { 1 } else { stat.places.max(1) },
            uid: self.uid,
            gid: self.gid,
        }
    }
}
