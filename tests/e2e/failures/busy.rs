//! Another process holds the state database: who needs it waits, everybody else goes on.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, SimSettings};

use crate::harness::{Drive, cxonefs, eventually, plain, tool};

const SOON: Duration = Duration::from_secs(30);
/// How long the media host takes for the heads of the recordings whose sizes are learned.
const HEADS_TAKE: Duration = Duration::from_secs(2);

/// An `sqlite3` shell in a write transaction.
struct Holder(Child);

impl Holder {
    fn of(drive: &Drive) -> Holder {
        let database = drive.sandbox.state().join("cxonefs.db");
        let mut shell =
            Command::new("sqlite3").arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 5];
        shell.stdin.as_mut().unwrap().write_all(b".timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'held';\n").unwrap();
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(&said, b"held\n");
        Holder(shell)
    }

    fn lets_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn opens_that_wait_for_the_database_stop_nobody_else() {
    let opens = std::thread::available_parallelism().map_or(2, usize::from).max(2) * 2;
    let settings = SimSettings { bulk_bytes: Some(24 << 20), ..plain(1, opens as u32 * 2 + 4) };
    let drive = Drive::of(settings);
    let files: Vec<_> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("recording.mp4")).take(opens + 1).collect();
    let (read, opened) = files.split_last().unwrap();
    let read = File::open(read).unwrap();
    let day = drive.at(drive.tree.places[0].path.iter().next().unwrap());
    let heads = HEADS_TAKE.as_millis() as u64;
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(Endpoint::Media, heads);
    });
    let before = drive.counters().media_requests;
    let first_opened = Mutex::new(None);
    std::thread::scope(|scope| {
        for path in opened {
            let first_opened = &first_opened;
            scope.spawn(move || {
                let _ = File::open(path);
                first_opened.lock().unwrap().get_or_insert_with(Instant::now);
            });
        }
        eventually("all sizes are asked for", SOON, || drive.counters().media_requests >= before + opens as u64);
        let holder = Holder::of(&drive);
        drive.tenant.switch(|switches| switches.latency_ms.clear());
        // The sizes arrive and are to be stored.
        std::thread::sleep(HEADS_TAKE + Duration::from_millis(500));
        let mut bytes = [0; 4096];
        read.read_exact_at(&mut bytes, 20 << 20).unwrap();
        // A day that is listed; listing another one is to be stored.
        tool("ls").arg("-lR").arg(&day).ok();
        let gone_on = Instant::now();
        let pending = first_opened.lock().unwrap().is_none_or(|opened| opened > gone_on);
        holder.lets_go();
        assert!(pending, "the read and the listing took as long as the database was held");
    });
}

/// Ends what runs beside, also where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A large day that is stored, and an erasure that rewrites the database: the mount answers meanwhile, and no thread that others need waits (the
/// watchdog, see `Mount`).
#[test]
fn a_large_day_and_an_erasure_hold_up_nobody() {
    let drive = Drive::of(SimSettings { bulk_bytes: Some(2048), days: 2, ..plain(6, 700) });
    let [first, last] = [drive.tree.places.first().unwrap(), drive.tree.places.last().unwrap()];
    let day = |place: &Path| place.iter().next().unwrap().to_owned();
    let (one, other) = (day(&first.path), day(&last.path));
    assert_ne!(one, other);
    // One day is known; a recording of it is cached.
    tool("ls").arg("-R").arg(drive.at(&one)).ok();
    let cached = drive.at(&first.path).join("recording.mp4");
    std::fs::read(&cached).unwrap();
    let (is_over, longest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let begun = Instant::now();
                std::fs::metadata(drive.at(&one).join("no such agent")).unwrap_err();
                rustix::fs::getxattr(&cached, "user.cxone.state", &mut [0; 64]).unwrap();
                let mut longest = longest.lock().unwrap();
                *longest = longest.max(begun.elapsed());
                drop(longest);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        // Whatever fails here, the looking ends.
        let _over = Over(&is_over);
        tool("ls").arg("-R").arg(drive.at(&other)).within(Duration::from_secs(100)).ok();
        let purge =
            cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes", "--contact", &last.master.to_string()]);
        purge.arg(drive.path()).within(Duration::from_secs(100)).ok();
    });
    println!("the longest look took {:?}", longest.lock().unwrap());
}
