//! A long time under load and faults: memory, descriptors and work under way, as the program itself and the kernel tell of them.

use std::fs::File;
use std::ops::Add;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cxonefs::base::MasterId;
use cxonefs::sim::{Endpoint, Fault, FaultRule, Recording, SimSettings};
use rustix::fs::{Advice, fadvise};

use crate::harness::{Descriptors, Drive, NO_LIMIT, plain, settled};

const READERS: u64 = 16;
/// Of the time; in each of them something must be fetched.
const PARTS: u128 = 10;
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// How long each weather lasts, at most.
const WEATHER_MS: u64 = 600;
/// Descriptors by which two moments of the same load may differ: connections and cache files come and go.
const DESCRIPTORS_MORE: usize = 16;

/// One writer and 16 readers, which are kept: each has the database and its log open; the log's index is shared.
const DATABASE_MAX: usize = 2 * 17 + 1;
/// Connections that are kept for the next request, 16 to the media host and 4 to the API, and those of the program itself.
const SOCKETS_MAX: usize = 16 + 4 + 8;

const FLAGS: [&str; 8] = [
    "--set",
    "limits.deadline=3s",
    "--set",
    "limits.patience=3s",
    // So small that eviction never stops.
    "--set",
    "cache.size=48MiB",
    "--set",
    "cache.whole_file_below=256KiB",
];

/// What the program holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident: u64,
    descriptors: Descriptors,
}

impl Sample {
    fn of(pid: u64) -> Sample {
        let status = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        Sample { resident: pages * rustix::param::page_size() as u64, descriptors: Descriptors::of(pid) }
    }
}

fn weather(random: &mut fastrand::Rng) -> Vec<FaultRule> {
    let faults = [
        (Endpoint::Media, Fault::Status { status: 503, retry_after_s: None }),
        (Endpoint::Media, Fault::Status { status: 403, retry_after_s: None }),
        (Endpoint::Media, Fault::CutAfter { bytes: 50_000 }),
        (Endpoint::Media, Fault::StallAfter { bytes: 30_000 }),
        (Endpoint::Media, Fault::Hang),
        (Endpoint::Media, Fault::Drop),
        (Endpoint::Media, Fault::Truncate { bytes: 10_000 }),
        (Endpoint::Media, Fault::RefuseRange),
        (Endpoint::Media, Fault::WrongContentRange { by: 1 }),
        (Endpoint::Media, Fault::Endless),
        (Endpoint::Playback, Fault::Status { status: 500, retry_after_s: None }),
        (Endpoint::Playback, Fault::Hang),
        (Endpoint::Playback, Fault::CutAfter { bytes: 100 }),
        (Endpoint::Playback, Fault::Garbage { body: String::from("{\"interactions\": [") }),
        (Endpoint::Login, Fault::Status { status: 503, retry_after_s: None }),
    ];
    // Fine half of the time.
    let count = random.usize(0..4).saturating_sub(1);
    (0..count)
        .map(|_| faults[random.usize(0..faults.len())].clone())
        .map(|(at, fault)| FaultRule::always(at, fault))
        .collect()
}

/// What grows with what: connections and readers of the database are kept once they were needed.
fn print_tenths(samples: &[Sample]) {
    for part in samples.chunks(samples.len().div_ceil(10).max(1)) {
        let count = part.len();
        let open = part.iter().map(|sample| sample.descriptors).fold(Descriptors::default(), Descriptors::add);
        let resident = part.iter().map(|sample| sample.resident).sum::<u64>() / count as u64;
        println!(
            "  resident {:.1} MiB, {} sockets, {} of the database, {} of recordings",
            resident as f64 / f64::from(1 << 20),
            open.sockets / count,
            open.database / count,
            open.recordings / count
        );
    }
}

/// Some reads of one file, as they come or on end: how many there were, and whether all of them succeeded.
fn read_some(path: &Path, recording: &Recording, random: &mut fastrand::Rng) -> (u64, bool) {
    let Ok(file) = File::open(path) else { return (0, false) };
    // Or the kernel, which keeps pages across opens, answers everything after the first minutes.
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let (size, sequential) = (recording.len(), random.bool());
    let (mut at, mut reads) = (random.u64(0..size), 0);
    for _ in 0..random.usize(1..12) {
        let (mut got, mut expected) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let Ok(length) = file.read_at(&mut got, at) else { return (reads, false) };
        recording.read_at(at, &mut expected);
        assert!(got[..length] == expected[..length], "wrong bytes at {at} of {}", path.display());
        reads += 1;
        let next = at + length as u64;
        at = if sequential && next < size { next } else { random.u64(0..size) };
    }
    (reads, true)
}

#[test]
#[ignore = "takes as long as it is told to, 15 minutes by default: scripts/soak"]
fn memory_and_descriptors_stay_flat_under_faults() {
    let minutes: u64 = std::env::var("CXONEFS_SOAK_MINUTES").map_or(15, |minutes| minutes.parse().unwrap());
    let lasts = Duration::from_secs(minutes * 60);
    let mut drive = Drive::with(
        SimSettings { bulk_bytes: Some(700_000), playback_requests: 1_000_000, ..plain(8, 40) },
        &[&FLAGS[..], &NO_LIMIT].concat(),
    );
    let files: Vec<(i64, PathBuf)> =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    // What is open once is resolved: the listing and its memory are no part of what grows.
    for (_, path) in &files {
        drop(File::open(path).unwrap());
    }
    let pid = drive.mount.status()["pid"].as_u64().unwrap();
    let idle = Sample::of(pid);
    let (is_over, reads, failures) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (mut samples, mut requested) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (drive, files, is_over, reads, failures) = (&drive, &files, &is_over, &reads, &failures);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !is_over.load(Relaxed) {
                    let (master, path) = &files[random.usize(0..files.len())];
                    let recording = drive.tenant.world().recording(MasterId(*master), 1).unwrap();
                    let (read, whole) = read_some(path, &recording, &mut random);
                    reads.fetch_add(read, Relaxed);
                    failures.fetch_add(u64::from(!whole), Relaxed);
                }
            });
        }
        let mut random = fastrand::Rng::with_seed(99);
        let (begun, mut looked) = (Instant::now(), Instant::now());
        let requests = || drive.counters().media_requests;
        let mut before = requests();
        while begun.elapsed() < lasts {
            let rules = weather(&mut random);
            let token_ends = random.u8(0..50) == 0;
            drive.tenant.switch(|switches| {
                switches.faults = rules;
                switches.token_generation += u64::from(token_ends);
            });
            // The moment of a fault is what is varied.
            std::thread::sleep(Duration::from_millis(random.u64(50..WEATHER_MS)));
            if looked.elapsed() >= SAMPLE_EVERY {
                looked = Instant::now();
                samples.push(Sample::of(pid));
            }
            let part = (begun.elapsed().as_millis() * PARTS / lasts.as_millis()) as usize;
            if part > requested.len() {
                requested.push(requests() - before);
                before = requests();
            }
        }
        is_over.store(true, Relaxed);
        drive.tenant.heal();
    });
    let status = settled(&drive.mount, Duration::from_mins(1)).unwrap();
    let end = Sample::of(pid).descriptors;
    let third = samples.len() / 3;
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let mean = |part: &[Sample]| part.iter().map(|sample| sample.resident).sum::<u64>() as f64 / part.len() as f64;
    // The middle of them: who reads how many at once makes peaks in either.
    let usual = |part: &[Sample]| {
        let mut counts: Vec<usize> = part.iter().map(|sample| sample.descriptors.all()).collect();
        counts.sort_unstable();
        counts[counts.len() / 2]
    };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "soak of {minutes} min: {} reads, {} failures, {:?}; resident {:.1} MiB idle, {:.1} in the middle third, {:.1} in the last; \
         descriptors {} idle, {} and {} as a rule, at the end {end:?}; {}",
        reads.load(Relaxed),
        failures.load(Relaxed),
        drive.counters(),
        mib(idle.resident as f64),
        mib(mean(middle)),
        mib(mean(last)),
        idle.descriptors.all(),
        usual(middle),
        usual(last),
        status["work"],
    );
    println!("requests to the media host in each tenth: {requested:?}");
    print_tenths(&samples);
    assert!(reads.load(Relaxed) > 100 && failures.load(Relaxed) > 0, "it was no soak");
    assert!(requested.iter().all(|requested| *requested > 0), "a part of the time nothing was fetched: {requested:?}");
    assert!(mean(last) <= mean(middle) * 1.05, "memory grows");
    assert!(usual(last) <= usual(middle) + DESCRIPTORS_MORE, "descriptors grow");
    assert_eq!(end.recordings, 0, "files of recordings that nobody reads stay open");
    assert!(end.database <= DATABASE_MAX && end.sockets <= SOCKETS_MAX, "descriptors stay: {end:?}");
    assert!(end.others <= idle.descriptors.others, "descriptors stay: {end:?} after {idle:?}");
    assert!(!drive.mount.stderr().contains("panicked"));
    drive.mount.terminate();
}
