//! Copying and backing up an agent's day of which nothing was opened before, with the tools that people use.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cxonefs::sim::{Shares, SimSettings};

use crate::harness::{Drive, Place, Tool, assert_same_bytes, recording_name, settings, sh, tool, true_bytes};

/// Every channel and transfers, and nothing that is listed but not there: that costs the default mode an error, rightly.
fn recorded_all() -> SimSettings {
    let shares = Shares { unrecorded: 0, without_url: 0, ..Shares::default() };
    SimSettings { shares, recording_seconds: (2.0, 20.0), ..settings(3, 24) }
}

/// An agent's day.
struct Day {
    drive: Drive,
    path: PathBuf,
    places: Vec<Place>,
}

impl Day {
    fn of(settings: SimSettings, flags: &[&str]) -> Day {
        let drive = Drive::with(settings, flags);
        let path = drive.tree.recorded().nth(20).unwrap().path.parent().unwrap().to_owned();
        let in_day = |place: &&Place| place.path.parent() == Some(&path);
        let places: Vec<Place> = drive.tree.places.iter().filter(in_day).cloned().collect();
        assert!(places.len() >= 20, "{} places", places.len());
        Day { drive, path, places }
    }

    fn source(&self) -> PathBuf {
        self.drive.at(&self.path)
    }

    /// Every file of the copy is listed in the mount as `names` says, no more and no fewer, and byte-exact.
    #[track_caller]
    fn assert_copy(&self, copy: &Path, names: impl Fn(i64) -> BTreeSet<String>) {
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

    #[track_caller]
    fn assert_copied(&self, copy: &Path) {
        self.assert_copy(copy, |master| self.drive.tree.predicted(master));
        self.assert_sizes_agree();
    }

    /// What `stat` says now is what `wc -c` counts.
    #[track_caller]
    fn assert_sizes_agree(&self) {
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

fn day() -> Day {
    Day::of(recorded_all(), &[])
}

#[test]
fn cp() {
    let day = day();
    let copy = day.drive.sandbox.path("copy");
    tool("cp").arg("-r").arg(day.source()).arg(&copy).ok();
    day.assert_copied(&copy);
}

#[test]
fn rsync_and_a_second_time_without_work() {
    let mut day = day();
    let copy = day.drive.sandbox.path("copy");
    let rsync = |day: &Day| {
        let mut from = day.source().into_os_string();
        from.push("/");
        tool("rsync").args(["-a", "--itemize-changes"]).arg(from).arg(&copy).ok()
    };
    rsync(&day);
    day.assert_copied(&copy);
    day.drive.mount.remount();
    // What the calls revealed beyond what was listed (a chat's screen recording) is new now, once.
    rsync(&day);
    day.drive.tenant.reset_counters();
    assert_eq!(rsync(&day).stdout, "", "nothing has changed");
    day.drive.assert_nothing_was_paid("rsync of an unchanged tree");
}

#[test]
fn tar_through_a_pipe() {
    let day = day();
    let copy = day.drive.sandbox.dir("copy");
    let (from, to) = (day.source(), copy.display());
    sh(&format!("tar c . | tar x -C '{to}'")).in_dir(&from).ok();
    day.assert_copied(&copy);
}

#[test]
fn zip_and_unzip() {
    let day = day();
    let (archive, copy) = (day.drive.sandbox.path("day.zip"), day.drive.sandbox.dir("copy"));
    tool("zip").args(["-q", "-1", "-r"]).arg(&archive).arg(".").in_dir(&day.source()).ok();
    tool("unzip").arg("-q").arg(&archive).arg("-d").arg(&copy).ok();
    day.assert_copied(&copy);
}

/// A repository in the sandbox.
fn restic(day: &Day) -> Tool {
    let sandbox = &day.drive.sandbox;
    let tool = tool("restic").env("RESTIC_PASSWORD", "x").env("RESTIC_REPOSITORY", sandbox.path("repository"));
    tool.env("RESTIC_CACHE_DIR", sandbox.path("restic-cache")).env("HOME", sandbox.home())
}

#[test]
fn restic_backs_up_restores_and_finds_nothing_new() {
    let mut day = day();
    restic(&day).arg("init").ok();
    restic(&day).arg("backup").arg(day.source()).ok();
    let restored = day.drive.sandbox.dir("restored");
    restic(&day).args(["restore", "latest", "--target"]).arg(&restored).ok();
    day.assert_copied(&below(&restored, &day.source()));

    day.drive.mount.remount();
    day.drive.tenant.reset_counters();
    restic(&day).arg("backup").arg(day.source()).ok();
    let counters = day.drive.counters();
    assert_eq!(counters.playback_calls, 0, "{counters:?}");
    assert_eq!(counters.media_bytes, 0, "what was read before is read from here: {counters:?}");

    day.drive.mount.remount();
    day.drive.tenant.reset_counters();
    let third = restic(&day).args(["backup", "--json"]).arg(day.source()).ok();
    let summary = third.lines().into_iter().find(|line| line.contains("\"summary\"")).unwrap().to_owned();
    assert!(summary.contains("\"files_new\":0,\"files_changed\":0"), "{summary}");
    day.drive.assert_nothing_was_paid("a backup of an unchanged tree");
}

#[test]
fn borg_backs_up_restores_and_finds_nothing_new() {
    let mut day = day();
    let (repository, home) = (day.drive.sandbox.path("borg"), day.drive.sandbox.home());
    let borg = |arguments: &[&str]| {
        let tool = tool("borg").args(arguments).env("BORG_REPO", &repository).env("BORG_BASE_DIR", &home);
        tool.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
    };
    borg(&["init", "-e", "none"]).ok();
    borg(&["create", "::first", "."]).in_dir(&day.source()).ok();
    let restored = day.drive.sandbox.dir("restored");
    borg(&["extract", "::first"]).in_dir(&restored).ok();
    day.assert_copied(&restored);

    day.drive.mount.remount();
    borg(&["create", "::second", "."]).in_dir(&day.source()).ok();
    day.drive.mount.remount();
    day.drive.tenant.reset_counters();
    borg(&["create", "::third", "."]).in_dir(&day.source()).ok();
    day.drive.assert_nothing_was_paid("a backup of an unchanged tree");
}

/// With the backup profile a listed name never fails to open, even where half of the calls have no recording.
#[test]
fn the_backup_profile_makes_complete_backups() {
    let shares = Shares { unrecorded: 400, without_url: 100, elevated: 100, screen: 300, ..Shares::default() };
    let day =
        Day::of(SimSettings { shares, recording_seconds: (2.0, 8.0), ..settings(3, 24) }, &["--profile", "backup"]);
    restic(&day).arg("init").ok();
    restic(&day).arg("backup").arg(day.source()).ok();
    let restored = day.drive.sandbox.dir("restored");
    restic(&day).args(["restore", "latest", "--target"]).arg(&restored).ok();
    day.assert_copy(&below(&restored, &day.source()), |master| day.drive.tree.exact(master));
}

/// Where an absolute path is restored to.
fn below(target: &Path, source: &Path) -> PathBuf {
    target.join(source.strip_prefix("/").unwrap())
}
