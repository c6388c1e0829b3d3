//! Least privilege: the right to mount goes once nothing takes it any more, in every thread, and the mount still ends in good order.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Drive, daemons_of, mount_at, plain};

/// What each thread of a process may do, but for looking at other processes.
fn rights(pid: i32) -> Vec<u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |path: &Path| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:").map(str::to_owned));
        line.map_or(0, |hex| u64::from_str_radix(hex.trim(), 16).unwrap()) & !(1 << 19)
    };
    threads.map(|thread| of(&thread.unwrap().path())).collect()
}

#[test]
fn the_right_to_mount_goes_where_no_passthrough_is_used() {
    let mut drive = Drive::with(plain(1, 2), &["--set", "mount.passthrough=false"]);
    let pid = daemons_of(&drive.sandbox)[0].as_raw_nonzero().get();
    // They go just after the mount is there.
    let (begun, mut threads) = (Instant::now(), rights(pid));
    while threads.iter().any(|rights| *rights != 0) && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        threads = rights(pid);
    }
    assert!(threads.len() > 3 && threads.iter().all(|rights| *rights == 0), "{threads:x?}");
    let recording = drive.at(&drive.tree.places[0].path).join("recording.mp4");
    let length = std::fs::read(&recording).unwrap().len();
    assert!(length > 0 && rights(pid).iter().all(|rights| *rights == 0), "threads that began since have none either");
    drive.mount.terminate();
    assert_eq!(mount_at(drive.path()), None);
}
