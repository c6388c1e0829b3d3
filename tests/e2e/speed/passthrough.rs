//! Complete recordings that the kernel reads by itself. As root with Linux 6.9 or later these show passthrough; elsewhere the same
//! through the daemon, for nothing of it may show to readers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cxonefs::sim::SimSettings;

use crate::harness::{Drive, assert_same_bytes, cxonefs, eventually, plain, read_at, true_bytes};

const MIB: u64 = 1024 * 1024;
/// Above `AT_ONCE_BYTES_MAX`: comparing it goes on in the background.
const FILE_BYTES: u64 = 6 * MIB + 4321;

/// Comparing checksums goes on in the background, and the kernel tells of a close late.
const WITHIN: Duration = Duration::from_secs(20);

struct Files {
    drive: Drive,
    paths: Vec<(i64, PathBuf)>,
}

fn files(flags: &[&str]) -> Files {
    let drive = Drive::with(SimSettings { bulk_bytes: Some(FILE_BYTES), ..plain(2, 4) }, flags);
    let paths =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    Files { drive, paths }
}

impl Files {
    fn truth(&self, file: usize) -> Vec<u8> {
        true_bytes(&self.drive.tenant, self.paths[file].0, 1)
    }

    fn path(&self, file: usize) -> &Path {
        &self.paths[file].1
    }

    #[track_caller]
    fn assert_reads(&self, file: usize) {
        assert_same_bytes(&std::fs::read(self.path(file)).unwrap(), &self.truth(file), self.path(file));
    }

    /// (how passthrough is doing, opens served so).
    fn passthrough(&self) -> (String, u64) {
        let said = cxonefs(&self.drive.sandbox.home()).arg("status").arg(self.drive.path()).arg("--json").ok();
        let status: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let passthrough = &status["kernel"]["passthrough"];
        (passthrough["state"].as_str().unwrap().to_owned(), passthrough["opens"].as_u64().unwrap())
    }

    fn has_passthrough(&self) -> bool {
        self.passthrough().0 == "working"
    }
}

fn map(file: &File) -> memory::Map {
    memory::Map::of(file, FILE_BYTES as usize)
}

#[test]
fn a_complete_recording_is_promoted_when_nobody_has_it_open_otherwise() {
    let files = files(&[]);
    let cached = File::open(files.path(0)).unwrap();
    let expected = files.truth(0);
    assert_same_bytes(&read_at(&cached, 0, expected.len()), &expected, files.path(0));
    // Complete and verified, but in use through the daemon: a second open must not be refused.
    let beside = File::open(files.path(0)).unwrap();
    let mapped = map(&beside);
    drop(beside);
    drop(cached);
    // The map alone keeps the mode.
    files.assert_reads(0);
    assert_eq!(files.passthrough().1, 0);
    assert_same_bytes(mapped.bytes(), &expected, files.path(0));
    drop(mapped);
    eventually("passed through", WITHIN, || {
        files.assert_reads(0);
        files.passthrough().1 > 0 || files.passthrough().0 == "refused" || files.passthrough().0 == "not offered"
    });
    if !files.has_passthrough() {
        return;
    }
    let before = files.passthrough().1;
    let passed = File::open(files.path(0)).unwrap();
    let mapped = map(&passed);
    files.assert_reads(0);
    assert_same_bytes(mapped.bytes(), &expected, files.path(0));
    assert_eq!(files.passthrough().1, before + 2);
}

#[test]
fn turned_off_it_is_never_used() {
    let files = files(&["--set", "mount.passthrough=false"]);
    for _ in 0..3 {
        files.assert_reads(0);
    }
    assert_eq!(files.passthrough(), ("off".to_owned(), 0));
}

#[test]
fn what_an_earlier_process_left_is_verified_first() {
    let mut files = files(&[]);
    files.assert_reads(0);
    files.drive.mount.remount();
    files.assert_reads(0);
    eventually("verified and passed through", WITHIN, || {
        files.assert_reads(0);
        let (state, opens) = files.passthrough();
        opens > 0 || state == "refused" || state == "not offered"
    });
    let fetched = files.drive.counters().media_bytes;
    assert!(fetched < FILE_BYTES + MIB, "{fetched} bytes fetched: the cache was not believed");
}

/// A cache with room for one file and a half: while the kernel reads one, the others push it out.
#[test]
fn eviction_under_passthrough_shows_no_wrong_byte() {
    let files = files(&["--cache-size", "10MiB", "--set", "cache.min_free=0B"]);
    files.assert_reads(0);
    eventually("passed through", WITHIN, || {
        files.assert_reads(0);
        let (state, opens) = files.passthrough();
        opens > 0 || state == "refused" || state == "not offered"
    });
    let expected = files.truth(0);
    let held = File::open(files.path(0)).unwrap();
    let mapped = map(&held);
    for round in 0..2 {
        for other in 1..files.paths.len().min(4) {
            files.assert_reads(other);
            assert_same_bytes(&read_at(&held, 0, expected.len()), &expected, files.path(0));
            drop_pages(&held);
        }
        assert_same_bytes(mapped.bytes(), &expected, files.path(0));
        // A second opener while the evicted file is still being read.
        files.assert_reads(0);
        assert!(round < 2);
    }
    drop((held, mapped));
    files.assert_reads(0);
}

/// So that the next read asks the file and not the page cache.
fn drop_pages(file: &File) {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

mod memory {
    //! A read-only shared map of a file.

    use std::fs::File;
    use std::os::fd::AsRawFd;

    pub struct Map {
        start: *mut libc::c_void,
        len: usize,
    }

    impl Map {
        pub fn of(file: &File, len: usize) -> Map {
            // SAFETY: a new mapping, at an address of the kernel's choice.
            let start = unsafe {
                libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
            };
            assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
            Map { start, len }
        }

        pub fn bytes(&self) -> &[u8] {
            // SAFETY: the mapping lives as long as `self`, and nobody can write to the file.
            unsafe { std::slice::from_raw_parts(self.start.cast(), self.len) }
        }
    }

    impl Drop for Map {
        fn drop(&mut self) {
            // SAFETY: nothing borrowed from it is left.
            assert_eq!(unsafe { libc::munmap(self.start, self.len) }, 0);
        }
    }
}

/// The mount takes no more of the kernel's levels of stacking than passthrough needs: an overlayfs can have it as its lower layer.
#[test]
fn an_overlay_above_the_mount() {
    let files = files(&[]);
    files.assert_reads(0);
    let sandbox = &files.drive.sandbox;
    let [upper, work, merged] = ["upper", "work", "merged"].map(|name| sandbox.dir(name));
    let options =
        format!("lowerdir={},upperdir={},workdir={}", files.drive.path().display(), upper.display(), work.display());
    // In a mount namespace of its own, so that nothing stays.
    let relative = files.path(0).strip_prefix(files.drive.path()).unwrap();
    let line = format!(
        "mount -t overlay overlay -o '{options}' '{merged}' && cat '{}'",
        merged.join(relative).display(),
        merged = merged.display()
    );
    let copy = sandbox.path("copy");
    crate::harness::tool("unshare").args(["-m", "sh", "-c", &format!("({line}) > '{}'", copy.display())]).ok();
    assert_same_bytes(&std::fs::read(&copy).unwrap(), &files.truth(0), &copy);
}
