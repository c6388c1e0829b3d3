//! Eight walkers, refreshes that change the tree, evictions and forgets, all at once: nobody is ever told ESTALE, every listing is right at its
//! time, and in the end the kernel holds nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cxonefs::sim::{Shares, SimSettings};
use serde_json::Value;

use crate::harness::{Drive, cxonefs, eventually, plain};

const WALKERS: u64 = 8;
/// What is added at most.
const BUSY_FOR: Duration = Duration::from_mins(2);

/// 15 seconds; five minutes where everything is tested (`scripts/test --full`).
fn how_long() -> Duration {
    if std::env::var_os("CXONEFS_TEST_FULL").is_some() { Duration::from_mins(5) } else { Duration::from_secs(15) }
}

#[test]
fn kernel_and_daemon_agree_under_stress() {
    let shares = Shares { chat: 200, transferred: 200, ..Shares::plain() };
    let population = SimSettings { shares, days: 2, recording_seconds: (1.0, 4.0), ..plain(4, 25) };
    // So small a cache that reading evicts, and no limit that would make walkers wait.
    let flags =
        ["cache.size=16MiB", "cache.min_free=1MiB", "limits.daily_budget=unlimited", "limits.playback_requests=100000"];
    let flags: Vec<&str> = flags.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut drive = Drive::with(SimSettings { playback_requests: 100_000, ..population }, &flags);
    let always: BTreeSet<PathBuf> = drive.tree.places.iter().map(|place| place.path.clone()).collect();
    // Half of the contacts come and stay; which, the refresher decides. What nobody hid before must always be listed.
    let late: BTreeSet<i64> =
        drive.tree.places.iter().skip(1).step_by(2).flat_map(|place| place.contacts.clone()).collect();
    drive.tenant.switch(|switches| switches.amendments.hidden.clone_from(&late));
    let is_late = |path: &Path| {
        let place = drive.tree.places.iter().find(|place| place.path == path).unwrap();
        place.contacts.iter().any(|contact| late.contains(contact))
    };
    let early: BTreeSet<PathBuf> = always.iter().filter(|path| !is_late(path)).cloned().collect();
    assert!(early.len() > 50 && early.len() < always.len());

    let (end, done) = (Instant::now() + how_long(), AtomicBool::new(false));
    let (walks, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_enough = || walks.load(Ordering::Relaxed) >= WALKERS && reads.load(Ordering::Relaxed) > 50;
    // On a busy machine walks take longer.
    let goes_on = || Instant::now() < end || !is_enough() && Instant::now() < end + BUSY_FOR;
    std::thread::scope(|scope| {
        for walker in 0..WALKERS {
            let (drive, always, early, walks, reads, goes_on) = (&drive, &always, &early, &walks, &reads, &goes_on);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(walker);
                while goes_on() {
                    let seen = walk(drive.path(), &mut random, reads);
                    assert!(seen.is_subset(always), "never was: {:?}", seen.difference(always).next());
                    assert!(seen.is_superset(early), "missing: {:?}", early.difference(&seen).next());
                    walks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            // Who forgets: the kernel, of all that nobody holds.
            while !done.load(Ordering::Relaxed) {
                std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let mut hidden = late.clone();
        let mut random = fastrand::Rng::with_seed(99);
        while goes_on() {
            let revealed: Vec<i64> = hidden.iter().filter(|_| random.u8(..) < 40).copied().collect();
            hidden.retain(|contact| !revealed.contains(contact));
            drive.tenant.switch(|switches| switches.amendments.hidden.clone_from(&hidden));
            refresh(&drive);
        }
        done.store(true, Ordering::Relaxed);
    });
    eprintln!("{} walks, {} files read", walks.load(Ordering::Relaxed), reads.load(Ordering::Relaxed));
    assert!(is_enough());
    drive.tenant.switch(|switches| switches.amendments.hidden.clear());
    refresh(&drive);
    let everything = || walk(drive.path(), &mut fastrand::Rng::with_seed(0), &reads) == always;
    eventually("everything is listed", Duration::from_secs(30), everything);
    // In the end the kernel holds the root, and what nobody can forget: nothing.
    eventually("the kernel forgets everything", Duration::from_secs(20), || {
        std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        held(&drive) == (0, 0)
    });
    // And an unmount finds nothing that is still held: for what it drops itself, the kernel would send no forget.
    drive.mount.terminate();
    let said = drive.mount.stderr();
    assert!(!said.contains("ERROR"), "{said}");
}

fn refresh(drive: &Drive) {
    let days = ["2026-11-01", "2026-11-02"];
    cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).args(days).ok();
}

/// What the daemon says that the kernel holds: inodes and open files.
fn held(drive: &Drive) -> (u64, u64) {
    let status = cxonefs(&drive.sandbox.home()).args(["status", "--json"]).arg(drive.path()).ok().stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    (status["kernel"]["inodes"].as_u64().unwrap(), status["kernel"]["open_files"].as_u64().unwrap())
}

/// Every interaction's folder, with now and then a file stat'ed or read on the way.
fn walk(root: &Path, random: &mut fastrand::Rng, reads: &AtomicU64) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap_or_else(|error| panic!("{error}"));
        if entry.depth() == 3 {
            folders.insert(entry.path().strip_prefix(root).unwrap().to_owned());
        } else if entry.depth() == 4 {
            match random.u8(..) {
                0..=3 => {
                    let bytes = std::fs::read(entry.path());
                    let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
                    let size = entry.path().metadata().unwrap().len();
                    let is_document = entry.file_name() != "recording.mp4";
                    assert!(is_document || bytes.len() as u64 == size, "{}", entry.path().display());
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                4..=40 => assert!(entry.metadata().unwrap().len() > 0),
                _ => {}
            }
        }
    }
    folders
}
