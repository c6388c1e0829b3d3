//! A tenant that refuses some interactions, fails at some and is slow at some, and whose totals lie: everything good reads, nothing is paid twice,
//! and nothing is missing from the listing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cxonefs::sim::{Listing, Naming, Shares, SimSettings, Total};

use crate::harness::{Drive, assert_same_bytes, cxonefs, is_full, plain, true_bytes};

const READERS: u64 = 8;
/// Longer than what one kernel request waits, so that a slow answer comes after its asker has left; not as long as two such waits, so that
/// the next caller gets it.
const SLOW_MS: u64 = 6000;

const FLAGS: [&str; 10] = [
    "--set",
    "limits.deadline=4s",
    "--set",
    "limits.playback_requests=10000",
    "--set",
    "limits.playback_window=1s",
    "--set",
    "limits.daily_budget=unlimited",
    "--set",
    "cache.whole_file_below=16KiB",
];

fn settings() -> SimSettings {
    let irregular = Shares { stringly: 50, nulls: 50, variant: 60, transferred: 100, ..Shares::plain() };
    let irregular = Shares { type_by_name: 200, odd_dates: 300, redirecting: 300, ..irregular };
    let shares = Shares { refused: 50, failing: 50, slow: 20, ..irregular };
    let (listing, naming) = (lying(Total::Page), Naming::Mixed);
    SimSettings { shares, listing, naming, bulk_bytes: Some(50_000), playback_requests: 1_000_000, ..plain(8, 60) }
}

/// Pages that hold less than a day, so that a total that lies would end the listing too early.
fn lying(total: Total) -> Listing {
    Listing { total, page_rows_max: Some(150), ..Listing::default() }
}

/// One recording and what became of reading it.
#[derive(Default)]
struct Reads {
    whole: u64,
    /// By reader.
    failed: [u64; READERS as usize],
    failed_after_whole: bool,
}

fn listed(drive: &Drive) -> BTreeSet<PathBuf> {
    let entries = walkdir::WalkDir::new(drive.path()).min_depth(3).max_depth(3).into_iter();
    let folders = entries.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().is_dir());
    folders.map(|entry| entry.path().strip_prefix(drive.path()).unwrap().to_owned()).collect()
}

#[test]
fn nothing_good_fails_and_nothing_is_paid_twice() {
    let lasts = if is_full() { Duration::from_mins(10) } else { Duration::from_secs(40) };
    let drive = Drive::with(settings(), &FLAGS);
    drive.tenant.switch(|switches| switches.slow_ms = SLOW_MS);
    let expected: BTreeSet<PathBuf> = drive.tree.places.iter().map(|place| place.path.clone()).collect();
    assert_eq!(listed(&drive), expected, "the listing is not what the tenant has");
    let reads: Mutex<BTreeMap<i64, Reads>> = Mutex::default();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (drive, reads) = (&drive, &reads);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut places: Vec<_> = drive.tree.places.iter().collect();
                let mut rounds = 0;
                // Everything is read at least twice by somebody, whatever the machine does.
                while begun.elapsed() < lasts || rounds < 2 {
                    random.shuffle(&mut places);
                    for place in places.iter().skip(seed as usize % 4).step_by(if rounds < 2 { 1 } else { 4 }) {
                        let path = drive.at(&place.path).join("recording.mp4");
                        let read = fs::read(&path);
                        if let Ok(bytes) = &read {
                            assert_same_bytes(bytes, &true_bytes(&drive.tenant, place.master, 1), &path);
                        }
                        fs::read(drive.at(&place.path).join("contact.json")).unwrap();
                        let mut reads = reads.lock().unwrap();
                        let entry = reads.entry(place.master).or_default();
                        entry.failed_after_whole |= read.is_err() && entry.whole > 0;
                        *if read.is_ok() { &mut entry.whole } else { &mut entry.failed[seed as usize] } += 1;
                    }
                    rounds += 1;
                }
            });
        }
    });
    let mut calls: BTreeMap<i64, u64> = BTreeMap::new();
    for arrival in drive.tenant.playback_arrivals() {
        *calls.entry(arrival.master.unwrap()).or_default() += 1;
    }
    let reads = reads.into_inner().unwrap();
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut asked_twice = 0;
    for (master, read) in &reads {
        let mood = drive.tree.truth(*master).mood.as_str();
        *seen.entry(mood).or_default() += 1;
        let calls = calls.get(master).copied().unwrap_or_default();
        let failed: u64 = read.failed.iter().sum();
        assert!(!read.failed_after_whole, "{master} ({mood}) failed after it had been read");
        match mood {
            "fine" => assert_eq!((failed, calls), (0, 1), "{master}"),
            // A caller that asked while the answer was under way may have left without it, once.
            "slow" => assert!(
                read.whole > 0 && read.failed.iter().all(|times| *times <= 1) && calls == 1,
                "{master}: {:?} failed, {calls} calls",
                read.failed
            ),
            // Refusals whose words fit every interaction, several of them in a row, are asked for once more after another one was answered.
            "refused" => {
                assert!(read.whole == 0 && (1..=2).contains(&calls), "{master}: {calls} calls");
                asked_twice += calls - 1;
            }
            // After ten minutes for a second time.
            _ => assert!(read.whole == 0 && (1..=2).contains(&calls), "{master} ({mood}): {calls} calls"),
        }
    }
    assert_eq!(reads.len(), drive.tree.interactions.len());
    assert!(seen.len() == 4, "{seen:?}");
    println!(
        "{} interactions ({seen:?}), {} reads, {asked_twice} refused twice, {:?}",
        reads.len(),
        reads.values().map(|read| read.whole).sum::<u64>(),
        drive.counters()
    );
    // Listed once more, under every other lie.
    let day = drive.tree.places[0].path.iter().next().unwrap();
    for total in [Total::Absent, Total::Zero, Total::Capped(150), Total::Double] {
        drive.tenant.switch(|switches| switches.listing = lying(total));
        cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).arg(day).ok();
        assert_eq!(listed(&drive), expected, "{total:?}");
    }
}
