//! The rate limit: never over it, nearly all of it used, whoever is in a hurry first, and a lower one found out.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cxonefs::base::{Clock, Day, SystemClock};
use jiff::tz::TimeZone;

use super::{billed_files, drive, open};
use crate::harness::{Drive, cxonefs, eventually, wait_for};

const WINDOW: Duration = Duration::from_secs(2);
const FLAGS: [&str; 6] =
    ["--set", "limits.playback_requests=20", "--set", "limits.playback_window=2s", "--set", "limits.patience=10m"];

/// Opens all files with so many threads; gives when each was open, in the order in which they were taken.
fn open_all(files: &[PathBuf], threads: usize) -> Vec<Result<Instant, i32>> {
    let (next, opened) = (AtomicUsize::new(0), Mutex::new(vec![Err(0); files.len()]));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = files.get(number) else { return };
                    let result = open(path).map(|()| Instant::now());
                    opened.lock().unwrap()[number] = result;
                }
            });
        }
    });
    opened.into_inner().unwrap()
}

/// The time that the limit implies for so many calls: the first window's worth is free.
fn implied(calls: usize, per_window: usize, window: Duration) -> Duration {
    window * ((calls - 1) / per_window) as u32
}

#[test]
fn five_hundred_opens_from_fifty_threads_use_the_limit_and_never_pass_it() {
    let drive = drive(25, 20, (20, 2), &FLAGS);
    let files = billed_files(&drive);
    assert_eq!(files.len(), 500);
    let begun = Instant::now();
    let opened = open_all(&files, 50);
    let took = begun.elapsed();
    assert!(opened.iter().all(Result::is_ok), "{:?}", opened.iter().find(|result| result.is_err()));
    let counters = drive.counters();
    assert_eq!((counters.playback_429, counters.playback_billed), (0, 500), "{counters:?}");
    assert!(counters.playback_peak_window <= 20, "{counters:?}");
    let least = implied(500, 20, WINDOW);
    assert!(took.mul_f64(0.97) <= least, "{took:?} for what may take {least:?}");
    // Fair within a class: nobody is overtaken by more than those who wait at the same time.
    let order: Vec<Instant> = opened.iter().map(|opened| opened.unwrap()).collect();
    for (number, at) in order.iter().enumerate() {
        let overtaken_by = order[number + 1..].iter().filter(|later| *later < at).count();
        assert!(overtaken_by <= 60, "number {number} was overtaken by {overtaken_by}");
    }
}

/// Takes its time: five hundred opens are as many windows as a run of everything can afford.
fn calls_of_a_crash() -> (u32, u64) {
    if crate::harness::is_full() { (25, 240) } else { (10, 90) }
}

#[test]
fn a_crash_in_the_middle_never_lets_a_window_pass_the_limit() {
    let (agents, half) = calls_of_a_crash();
    let mut drive = drive(agents, 20, (20, 2), &FLAGS);
    let files = billed_files(&drive);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| open_all(&files, 50));
        eventually("half of the work is done", Duration::from_mins(1), || drive.counters().playback_billed >= half);
        // Those who wait get errors; what was paid is paid.
        drive.mount.kill_nine();
        working.join().unwrap();
    });
    let paid = drive.counters().playback_billed;
    drive.mount.start_again();
    let opened = open_all(&files, 50);
    assert!(opened.iter().all(Result::is_ok), "{:?}", opened.iter().find(|result| result.is_err()));
    let counters = drive.counters();
    assert_eq!(counters.playback_429, 0, "{counters:?}");
    assert!(counters.playback_peak_window <= 20, "{counters:?}");
    // Calls that were under way at the moment of the crash are the only ones that may be paid twice.
    assert!(counters.playback_billed <= files.len() as u64 + 20 && paid >= half, "{counters:?}");
}

#[test]
fn who_opens_a_recording_overtakes_a_backup_within_one_slot() {
    let flags = [&FLAGS[..], &["--profile", "backup"]].concat();
    let drive = drive(5, 40, (20, 2), &flags);
    let files = billed_files(&drive);
    let (urgent, backup) = files.split_last().unwrap();
    std::thread::scope(|scope| {
        // Listing resolves, in the class of listings.
        let walking = scope.spawn(|| {
            let folders: Vec<PathBuf> = backup.iter().map(|file| file.parent().unwrap().to_owned()).collect();
            let next = AtomicUsize::new(0);
            std::thread::scope(|inner| {
                for _ in 0..20 {
                    inner.spawn(|| {
                        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3);
                        }
                    });
                }
            });
        });
        eventually("the backup has used up a window", Duration::from_secs(30), || {
            drive.counters().playback_billed >= 40
        });
        let before = drive.counters().playback_billed;
        open(urgent).unwrap();
        let overtaking = drive.counters().playback_billed - before;
        assert!(!walking.is_finished());
        // Its own call, those that had their slot, and what went on while this thread looked.
        assert!(overtaking <= 24, "{overtaking} calls until it was open");
        walking.join().unwrap();
    });
    assert_eq!(drive.counters().playback_429, 0);
}

#[test]
fn a_tenant_that_allows_less_refuses_few_and_nothing_is_lost() {
    let drive = drive(5, 20, (10, 2), &FLAGS);
    let files = billed_files(&drive);
    let opened = open_all(&files[..60], 30);
    assert!(opened.iter().all(Result::is_ok), "nothing is lost");
    let counters = drive.counters();
    assert_eq!(counters.playback_billed, 60);
    // What was under way at the first refusal, and one or two of each window after it.
    assert!((1..=40).contains(&counters.playback_429), "{counters:?}");
    assert!(drive.mount.stderr().matches("the tenant throttles").count() as u64 <= counters.playback_429);
}

/// Opens side by side of calls that take a second, on a limiter that knows nothing yet.
#[test]
fn two_dozen_opens_side_by_side_do_not_wait_for_each_other() {
    let mut drive = drive(4, 20, (150, 300), &[]);
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(cxonefs::sim::Endpoint::Playback, 1000);
    });
    let files = billed_files(&drive);
    for round in 0..2 {
        let begun = Instant::now();
        let opened = open_all(&files[round * 24..(round + 1) * 24], 24);
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
        // One after the other would be 24 s.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(drive.counters().playback_429, 0);
        drive.mount.remount();
    }
}

#[test]
fn ten_processes_share_one_call() {
    let drive = Drive::of(crate::harness::settings(6, 40));
    let transferred = drive.tree.first(|truth| {
        truth.legs.len() == 2 && truth.legs[0].agent != truth.legs[1].agent && truth.media.len() == 1 && truth.known
    });
    let folders = drive.tree.places_of_master(transferred.master);
    drive.tenant.reset_counters();
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(cxonefs::sim::Endpoint::Playback, 300);
    });
    std::thread::scope(|scope| {
        for number in 0..10 {
            let path = drive.at(&folders[usize::from(number < 2)].path).join("recording.mp4");
            scope.spawn(move || crate::harness::tool("head").args(["-c", "1"]).arg(path).ok());
        }
    });
    assert_eq!(drive.counters().playback_calls, 1);
}

#[test]
fn a_backup_of_three_hundred_takes_what_the_limit_implies() {
    let flags = ["--profile", "backup", "--set", "limits.playback_requests=30", "--set", "limits.playback_window=10s"];
    let drive = drive(10, 30, (30, 10), &flags);
    let begun = Instant::now();
    let folders: Vec<PathBuf> = drive.tree.places.iter().map(|place| drive.at(&place.path)).collect();
    assert_eq!(folders.len(), 300);
    for folder in &folders {
        for entry in std::fs::read_dir(folder).unwrap() {
            open(&entry.unwrap().path()).unwrap();
        }
    }
    let (took, least) = (begun.elapsed(), implied(300, 30, Duration::from_secs(10)));
    let counters = drive.counters();
    assert_eq!((counters.playback_429, counters.playback_billed), (0, 300), "{counters:?}");
    // By one walker, one call after the other.
    assert!(took <= least.mul_f64(1.03), "{took:?} for what may take {least:?}");
}

#[test]
fn the_ledger_knows_what_the_tenant_counted() {
    let drive = drive(2, 6, (100, 2), &[]);
    for path in billed_files(&drive) {
        open(&path).unwrap();
    }
    let ledger = |more: &[&str]| {
        let tool = cxonefs(&drive.sandbox.home()).arg("ledger").arg("--config").arg(drive.sandbox.config());
        tool.args(more).ok().stdout
    };
    // The last outcome may still be on its way to the disk.
    let rows = wait_for(Duration::from_secs(5), || {
        let rows: Vec<serde_json::Value> =
            ledger(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.iter().all(|row| row["outcome"] == "found").then_some(rows)
    });
    let rows = rows.expect("outcomes");
    assert_eq!(rows.len() as u64, drive.counters().playback_billed);
    assert!(rows.iter().all(|row| row["why"] == "open" && row["billed"] == true && row["uid"] == 0));
    assert!(rows.iter().all(|row| row["pid"].as_u64().unwrap() > 0 && !row["program"].as_str().unwrap().is_empty()));
    assert_eq!(ledger(&["--csv"]).lines().count(), 13);
    assert!(ledger(&[]).ends_with("12 calls billed\n"));
    let tables = [("user", "root"), ("day", &Day::of(SystemClock.now(), &TimeZone::UTC).to_string()), ("program", "")];
    for (by, word) in tables {
        let [csv, table, json] = [&["--csv"][..], &[], &["--json"]].map(|form| ledger(&[&["--by", by], form].concat()));
        assert!(csv.lines().nth(1).unwrap().starts_with(word) && csv.contains(",12,12,0"), "{by}: {csv}");
        assert!(table.contains(word) && table.contains("12"), "{by}: {table}");
        let total: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert!(
            total["billed"] == 12
                && total
                    .as_object()
                    .unwrap()
                    .values()
                    .any(|value| value.as_str().is_some_and(|value| value.starts_with(word))),
            "{by}: {json}"
        );
    }
    assert_eq!(ledger(&["--since", "1h", "--json"]).lines().count(), 12);
    assert_eq!(ledger(&["--since", "2099-01-01", "--json"]), "");
}
