//! `kill -9` at any time, again and again, while files are listed, opened and read and the cache has no room: no wrong byte, and
//! the ledger knows every call that was billed.
//!
//! 15 times in a plain run, 1,000 times with `scripts/test --full`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cxonefs::sim::SimSettings;
use serde_json::Value;

use crate::harness::{Drive, cxonefs, is_full, plain, true_bytes};

const READERS: u64 = 4;

struct Recording {
    path: PathBuf,
    truth: Vec<u8>,
}

/// What the readers saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    reads: AtomicU64,
}

/// Opens, lists and reads at random until it is told to stop. Errors are what a dead mount gives; wrong bytes are never.
fn load(recordings: &[Recording], seen: &Seen, number: u64) {
    let mut random = fastrand::Rng::with_seed(number);
    while !seen.stop.load(Ordering::SeqCst) {
        let recording = &recordings[random.usize(0..recordings.len())];
        if random.u8(0..8) == 0 {
            let agent = recording.path.ancestors().nth(2).unwrap();
            let _ = std::fs::read_dir(agent).map(Iterator::count);
        }
        let Ok(file) = File::open(&recording.path) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        for _ in 0..random.u8(1..6) {
            let offset = random.usize(0..recording.truth.len());
            let mut bytes = vec![0; random.usize(1..200_000)];
            let Ok(read) = file.read_at(&mut bytes, offset as u64) else { break };
            let expected = &recording.truth[offset..recording.truth.len().min(offset + bytes.len())];
            assert!(read <= expected.len() && read > 0, "{read} of {} bytes at {offset}", expected.len());
            assert!(bytes[..read] == expected[..read], "wrong bytes in {} at {offset}", recording.path.display());
            seen.reads.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn no_kill_shows() {
    let kills = if is_full() { 1000 } else { 15 };
    let settings = SimSettings { bulk_bytes: Some(700_001), playback_requests: 1_000_000, ..plain(3, 30) };
    let limits = [
        "cache.size=3MiB",
        "cache.whole_file_below=200KiB",
        "mount.passthrough=false",
        "limits.playback_requests=1000000",
        "limits.daily_budget=unlimited",
    ];
    let flags: Vec<&str> = limits.iter().flat_map(|limit| ["--set", *limit]).collect();
    let mut drive = Drive::with(settings, &flags);
    let recordings: Vec<Recording> = drive
        .tree
        .recorded()
        .map(|place| Recording {
            path: drive.at(&place.path).join("recording.mp4"),
            truth: true_bytes(&drive.tenant, place.master, 1),
        })
        .collect();
    let seen = Seen::default();
    let mut random = fastrand::Rng::with_seed(kills);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                scope.spawn({
                    let (recordings, seen) = (&recordings, &seen);
                    move || load(recordings, seen, number)
                })
            })
            .collect();
        for _ in 0..kills {
            // A time, and not a condition: the moment of a crash is what is varied.
            std::thread::sleep(Duration::from_millis(random.u64(0..250)));
            drive.mount.kill_nine();
            drive.mount.start_again();
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        seen.stop.store(true, Ordering::SeqCst);
    });
    let reads = seen.reads.load(Ordering::SeqCst);
    assert!(reads > kills, "{reads} reads for {kills} kills: nothing was put to the test");
    for recording in recordings.iter().step_by(7) {
        assert!(std::fs::read(&recording.path).unwrap() == recording.truth, "{}", recording.path.display());
    }
    drive.mount.terminate();

    let ledger = cxonefs(&drive.sandbox.home()).args(["ledger", "--json", "--config"]).arg(drive.sandbox.config()).ok();
    let rows: Vec<Value> = ledger.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let billed = drive.counters().playback_billed as usize;
    // A row without an outcome: killed between writing it and hearing the answer, so the call was made or was not.
    let open = rows.iter().filter(|row| row["outcome"].is_null()).count();
    let told = rows.iter().filter(|row| !row["outcome"].is_null() && row["billed"] == true).count();
    assert!(told <= billed && billed <= told + open, "{billed} billed, {told} rows with an outcome, {open} without");
    assert!(open <= (READERS * kills) as usize, "{open} rows without an outcome after {kills} kills");
    eprintln!("{kills} kills, {reads} reads, {billed} billed, {told} + {open} rows");
}
