//! Many files open at once, each being read: all of them get on, in the memory that was allowed.
//!
//! 150 files in a plain run, 1,000 with `scripts/test --full`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use cxonefs::sim::{Endpoint, Fault, SimSettings};

use crate::harness::{Drive, assert_same_bytes, is_full, plain, read_at, true_bytes};

const MIB: u64 = 1024 * 1024;
const READERS: usize = 50;
/// `limits.memory`, and what the program may take besides.
const MEMORY: u64 = 64 * MIB;
const BESIDES: u64 = 64 * MIB;
const PIECE: usize = 128 * 1024;

/// The most memory that a process has had resident so far (bytes).
fn peak(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn many_open_files_get_on_within_the_memory_that_was_allowed() {
    let files: u32 = if is_full() { 1000 } else { 150 };
    let settings = SimSettings { bulk_bytes: Some(650_001), playback_requests: 1_000_000, ..plain(10, files / 10) };
    let limits = [
        "cache.size=40MiB",
        "cache.whole_file_below=64KiB",
        "limits.memory=64MiB",
        "limits.playback_requests=1000000",
        "limits.daily_budget=unlimited",
        "mount.passthrough=false",
    ];
    let flags: Vec<&str> = limits.iter().flat_map(|limit| ["--set", *limit]).collect();
    let drive = Drive::with(settings, &flags);
    let recordings: Vec<(PathBuf, Vec<u8>)> = drive
        .tree
        .recorded()
        .map(|place| (drive.at(&place.path).join("recording.mp4"), true_bytes(&drive.tenant, place.master, 1)))
        .collect();
    assert_eq!(recordings.len(), files as usize);
    let all_are_open = Barrier::new(READERS);
    let share = recordings.len().div_ceil(READERS);
    std::thread::scope(|scope| {
        for theirs in recordings.chunks(share) {
            let all_are_open = &all_are_open;
            scope.spawn(move || {
                let open: Vec<File> = theirs.iter().map(|(path, _)| File::open(path).unwrap()).collect();
                all_are_open.wait();
                for offset in (0..650_001).step_by(PIECE) {
                    for (file, (path, truth)) in open.iter().zip(theirs) {
                        let bytes = read_at(file, offset as u64, PIECE);
                        let expected = &truth[offset..truth.len().min(offset + PIECE)];
                        let what = format!("{} from {offset} on", path.display());
                        assert_same_bytes(&bytes, expected, Path::new(&what));
                    }
                }
            });
        }
    });
    let pid = drive.mount.status()["pid"].as_u64().unwrap();
    let peak = peak(pid);
    assert!(peak <= MEMORY + BESIDES, "{} MiB resident at most", peak / MIB);
    eprintln!("{files} files, {} MiB resident at most", peak / MIB);
}

/// A host that ignores ranges sends all of it whatever is asked for: streamed into the cache once, in bounded memory.
#[test]
fn a_host_that_ignores_ranges_is_streamed_once_in_bounded_memory() {
    const SIZE: u64 = 160 * MIB;
    let settings = SimSettings { bulk_bytes: Some(SIZE), ..plain(1, 2) };
    let drive = Drive::with(settings, &["--set", "limits.memory=64MiB", "--set", "mount.passthrough=false"]);
    drive.tenant.fail(Endpoint::Media, Fault::RefuseRange);
    let place = drive.tree.recorded().next().unwrap();
    let path = drive.at(&place.path).join("recording.mp4");
    let truth = true_bytes(&drive.tenant, place.master, 1);
    drive.tenant.reset_counters();
    let file = File::open(&path).unwrap();
    // From the middle, then all of it, by two at once.
    assert_same_bytes(&read_at(&file, SIZE / 2, PIECE), &truth[SIZE as usize / 2..][..PIECE], &path);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for offset in (0..SIZE as usize).step_by(1 << 20) {
                    let bytes = read_at(&file, offset as u64, 1 << 20);
                    assert_same_bytes(&bytes, &truth[offset..truth.len().min(offset + (1 << 20))], &path);
                }
            });
        }
    });
    // The head that tells the size is broken off; what had been sent of it by then is lost.
    let sent = drive.counters().media_bytes;
    assert!(sent < SIZE * 9 / 4, "{} MiB sent for {} MiB", sent / MIB, SIZE / MIB);
    let peak = peak(drive.mount.status()["pid"].as_u64().unwrap());
    assert!(peak <= MEMORY + BESIDES, "{} MiB resident at most", peak / MIB);
    eprintln!("{} MiB sent, {} MiB resident at most", sent / MIB, peak / MIB);
}
