//! Attributes of the tree's files and directories, and how long the kernel may keep them.
//!
//! Pure. The rules come from measured tool behaviour: a size is never 0 while unknown (GNU tar would archive an empty file),
//! `blocks` always matches the size (`tar -S` would store holes). An estimate may be kept like any other size: whoever tells it sees to it that
//! no open file is read by it.

use std::time::Duration;

use jiff::Timestamp;

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
    /// A size that is a guess although looking should have made it known: the next look tries again.
    pub const UNKNOWN: Ttl = Ttl { attr: Duration::ZERO, entry: Duration::ZERO };
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

impl Ownership {
    /// A directory. Its link count is 1, "unknown": walkers that count subdirectories by it would need every day indexed.
    pub fn directory(&self, ino: u64, time: Timestamp) -> Attr {
        Attr {
            ino,
            is_dir: true,
            size: 4096,
            is_estimate: false,
            time,
            mode: self.dir_mode,
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
        }
    }

    /// A file that stands in `places` folders.
    pub fn file(&self, ino: u64, size: u64, time: Timestamp, places: u32) -> Attr {
        Attr {
            ino,
            is_dir: false,
            size,
            is_estimate: false,
            time,
            mode: self.file_mode,
            nlink: places.max(1),
            uid: self.uid,
            gid: self.gid,
        }
    }
}
