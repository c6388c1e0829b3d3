//! One user takes neither the queue nor the budget of another.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{billed_files, drive, open};
use crate::harness::{Done, Drive, eventually, tool};

const THREADS: usize = 300;
/// Calls of the first user that arrive while the other one waits.
const MORE: usize = 100;
/// Calls in a window of two seconds.
const CALLS: u32 = 10;

/// What the other user says of a file.
fn other_reads(path: &Path) -> Done {
    tool("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]).arg(path).run()
}

/// A day of which everybody may read.
fn shared(files_each: u32, flags: &[&str]) -> (Drive, Vec<PathBuf>) {
    let (calls, window) = (format!("limits.playback_requests={CALLS}"), "limits.playback_window=2s");
    let modes = ["--allow-other", "--set", "mount.dir_mode=0555", "--set", "mount.file_mode=0444"];
    let limits = ["--set", &calls, "--set", window, "--set", "limits.patience=10s"];
    let drive = drive(8, files_each, (CALLS, 2), &[&modes[..], &limits[..], flags].concat());
    // Else nobody else gets as far as the mount.
    std::fs::set_permissions(drive.sandbox.root(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let files = billed_files(&drive);
    (drive, files)
}

#[test]
fn three_hundred_threads_of_one_user_leave_the_other_its_turn() {
    let (drive, files) = shared(64, &[]);
    let (others, flooded) = files.split_at(3);
    let (is_over, crowded, other_errors) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let waiting = || drive.mount.status()["playback"]["waiting"]["open"].as_u64().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (is_over, crowded, other_errors) = (&is_over, &crowded, &other_errors);
            scope.spawn(move || {
                let mut at = thread;
                while !is_over.load(Relaxed) {
                    match open(&flooded[at % flooded.len()]) {
                        Ok(()) | Err(libc::ETIMEDOUT) => {}
                        Err(libc::EAGAIN) => {
                            crowded.fetch_add(1, Relaxed);
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        Err(_) => drop(other_errors.fetch_add(1, Relaxed)),
                    }
                    at += THREADS;
                }
            });
        }
        eventually("they wait", Duration::from_secs(20), || waiting() > 200);
        for path in others {
            let begun = Instant::now();
            let other = scope.spawn(|| other_reads(path));
            // More of the first user's calls arrive while the other one waits, however busy the machine is.
            for more in 0.. {
                if other.is_finished() || more == MORE {
                    break;
                }
                let (crowded, file) = (&crowded, &flooded[more % flooded.len()]);
                scope.spawn(move || {
                    if open(file) == Err(libc::EAGAIN) {
                        crowded.fetch_add(1, Relaxed);
                    }
                });
                std::thread::sleep(Duration::from_millis(20));
            }
            let done = other.join().unwrap();
            assert!(done.status.success(), "{}", done.stderr);
            // Its turn is the next but one, and a window may be full.
            assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        }
        is_over.store(true, Relaxed);
    });
    assert!(crowded.load(Relaxed) > 0, "nobody was told that too many of its calls wait");
    assert_eq!(other_errors.load(Relaxed), 0);
}

#[test]
fn a_user_who_has_spent_its_budget_has_spent_nobody_elses() {
    let (mut drive, files) = shared(2, &["--set", "limits.daily_budget_per_user=3"]);
    for round in 0..2 {
        for file in &files[..3] {
            open(file).unwrap();
        }
        for file in &files[3..6] {
            assert_eq!(open(file), Err(libc::EDQUOT), "round {round}");
        }
        drive.mount.remount();
    }
    for file in &files[3..6] {
        let done = other_reads(file);
        assert!(done.status.success(), "{}", done.stderr);
    }
    let done = other_reads(&files[6]);
    assert!(done.stderr.contains("quota"), "{}", done.stderr);
    assert_eq!(open(&files[3]), Ok(()), "what is paid costs nobody anything");
    assert_eq!(drive.counters().playback_billed, 6);
    assert!(drive.mount.stderr().contains("daily budget of billed calls of user"), "{}", drive.mount.stderr());
}
