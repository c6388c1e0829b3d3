//! What a process has open, by kind, as the kernel tells of it.

use std::ops::Add;
use std::path::Path;

/// Open descriptors of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptors {
    pub sockets: usize,
    /// Data and index files of recordings.
    pub recordings: usize,
    /// The state database, its log and its shared memory.
    pub database: usize,
    pub others: usize,
}

impl Descriptors {
    /// Of a process that runs.
    pub fn of(pid: u64) -> Descriptors {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.map(|target| Descriptors::to(&target)).fold(Descriptors::default(), Descriptors::add)
    }

    fn to(target: &Path) -> Descriptors {
        // What was removed while it is open has a word behind its name.
        let text = target.to_string_lossy();
        let name = text.trim_end_matches(" (deleted)");
        let mut one = Descriptors::default();
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
        let kind = if name.starts_with("socket:") {
            &mut one.sockets
        } else if matches!(ending, Some("data" | "idx")) {
            &mut one.recordings
        } else if name.contains("/cxonefs.db") {
            &mut one.database
        } else {
            &mut one.others
        };
        *kind = 1;
        one
    }

    pub fn all(&self) -> usize {
        self.sockets + self.recordings + self.database + self.others
    }
}

impl Add for Descriptors {
    type Output = Descriptors;

    fn add(self, more: Descriptors) -> Descriptors {
        Descriptors {
            sockets: self.sockets + more.sockets,
            recordings: self.recordings + more.recordings,
            database: self.database + more.database,
            others: self.others + more.others,
        }
    }
}
