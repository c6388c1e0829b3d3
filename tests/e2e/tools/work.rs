//! An agent's day to be copied, and the proof that a copy of it is right.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cxonefs::sim::{Shares, SimSettings};

use crate::harness::{Drive, Place, assert_same_bytes, plain, recording_name, sh, true_bytes};

/// Calls, chats, emails and transfers; nothing that is listed but not there, and nothing that only the billed call tells of.
pub fn recorded_all() -> SimSettings {
    let shares = Shares { chat: 200, email: 150, transferred: 150, late_update: 100, ..Shares::plain() };
    SimSettings { shares, recording_seconds: (2.0, 12.0), ..plain(2, 14) }
}

/// The same with calls that have no recording, and with answers that hold more than was foretold.
pub fn unrecorded_too() -> SimSettings {
    let shares = Shares { unrecorded: 400, without_url: 100, elevated: 100, screen: 300, ..Shares::default() };
    SimSettings { shares, ..recorded_all() }
}

/// An agent's day, and room for what a tool makes of it.
pub struct Work {
    pub drive: Drive,
    path: PathBuf,
    pub places: Vec<Place>,
}

impl Work {
    pub fn of(settings: SimSettings, flags: &[&str]) -> Work {
        let drive = Drive::with(settings, flags);
        let path = drive.tree.recorded().next().unwrap().path.parent().unwrap().to_owned();
        let in_day = |place: &&Place| place.path.parent() == Some(&path);
        let places: Vec<Place> = drive.tree.places.iter().filter(in_day).cloned().collect();
        assert!(places.len() >= 12, "{} places", places.len());
        Work { drive, path, places }
    }

    /// What is copied.
    pub fn source(&self) -> PathBuf {
        self.drive.at(&self.path)
    }

    /// Where a tool keeps what it makes: a copy, an archive, a repository.
    pub fn store(&self) -> PathBuf {
        self.drive.sandbox.path("store")
    }

    /// Where it is brought back to, if the store is no copy.
    pub fn restored(&self) -> PathBuf {
        self.drive.sandbox.path("restored")
    }

    /// Room for the next tool.
    pub fn clear(&mut self) {
        for path in [self.store(), self.restored()] {
            if path.exists() {
                std::fs::remove_dir_all(path).unwrap();
            }
        }
        let archive = self.store().with_extension("zip");
        if archive.exists() {
            std::fs::remove_file(archive).unwrap();
        }
    }

    pub fn home(&self) -> PathBuf {
        self.drive.sandbox.home()
    }

    /// Interactions that are copied; each costs one call.
    pub fn interactions(&self) -> u64 {
        self.places.iter().map(|place| place.master).collect::<BTreeSet<_>>().len() as u64
    }

    /// Every file of the copy is listed in the mount as `names` says, no more and no fewer, and byte-exact.
    #[track_caller]
    pub fn assert_copy(&self, copy: &Path, names: impl Fn(i64) -> BTreeSet<String>) {
        let mut expected = BTreeMap::new();
        for place in &self.places {
            let folder = PathBuf::from(place.path.file_name().unwrap());
            for name in names(place.master) {
                expected.insert(folder.join(&name), self.true_file(place, &name));
            }
        }
        let copied: BTreeSet<PathBuf> = walkdir::WalkDir::new(copy)
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(copy).unwrap().to_owned())
            .collect();
        assert_eq!(copied, expected.keys().cloned().collect(), "files in {}", copy.display());
        for (path, bytes) in expected {
            assert_same_bytes(&std::fs::read(copy.join(&path)).unwrap(), &bytes, &path);
        }
    }

    /// Recordings from the tenant; documents, which another theme compares with the tenant, from the mount.
    fn true_file(&self, place: &Place, name: &str) -> Vec<u8> {
        let truth = self.drive.tree.truth(place.master);
        match (0..truth.media.len()).find(|index| recording_name(*index) == name) {
            Some(index) => true_bytes(&self.drive.tenant, place.master, truth.media[index].number),
            None => std::fs::read(self.drive.at(&place.path).join(name)).unwrap(),
        }
    }

    /// What `stat` says now is what `wc -c` counts.
    #[track_caller]
    pub fn assert_sizes_agree(&self) {
        let counted = sh("find . -type f -print0 | xargs -0 wc -c").in_dir(&self.source()).ok();
        let mut files = 0;
        for line in counted.lines().iter().filter(|line| !line.ends_with(" total")) {
            let (size, path) = line.trim_start().split_once(' ').unwrap();
            let stat = self.source().join(path).metadata().unwrap();
            assert_eq!(stat.size(), size.parse::<u64>().unwrap(), "{path}");
            files += 1;
        }
        assert!(files >= 3 * self.places.len(), "{files} files");
    }
}
