//! Single readers that want something particular: a head, a tail, a map, holes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use cxonefs::sim::SimSettings;

use crate::harness::{Drive, assert_same_bytes, plain, tool, true_bytes};

const MIB: u64 = 1024 * 1024;

fn drive_of(bulk_bytes: u64) -> (Drive, i64, PathBuf) {
    let drive = Drive::of(SimSettings { bulk_bytes: Some(bulk_bytes), ..plain(1, 2) });
    let place = drive.tree.places[0].clone();
    let path = drive.at(&place.path).join("recording.mp4");
    drive.tenant.reset_counters();
    (drive, place.master, path)
}

/// The promise of design and issue: at most 256 KiB for the last 64 KiB of 128 MiB, the head that tells the size included.
#[test]
fn the_tail_of_an_unseen_file_costs_little() {
    let (drive, master, path) = drive_of(128 * MIB);
    let file = File::open(&path).unwrap();
    let opened = drive.counters().media_bytes;
    let tail = crate::harness::read_at(&file, 128 * MIB - 65_536, 65_536);
    let expected = true_bytes(&drive.tenant, master, 1);
    assert_same_bytes(&tail, &expected[expected.len() - 65_536..], &path);
    let fetched = drive.counters().media_bytes - opened;
    assert!(fetched <= 256 * 1024, "{fetched} bytes for the tail, {opened} for opening");
    assert!(opened <= MIB, "{opened} bytes for opening");
}

/// Whoever opens a short recording reads it: once five have shown what a second of their channel takes, the request that learns the
/// size brings all of it.
#[test]
fn a_short_recording_costs_one_request() {
    let mut drive = Drive::of(plain(1, 16));
    let mut requests = Vec::new();
    for (nth, place) in drive.tree.recorded().cloned().collect::<Vec<_>>().into_iter().enumerate() {
        if nth == 5 {
            // What was learned is looked up again within seconds, and at once by the next process.
            drive.mount.remount();
        }
        drive.tenant.reset_counters();
        let path = drive.at(&place.path).join("recording.mp4");
        let bytes = std::fs::read(&path).unwrap();
        assert_same_bytes(&bytes, &true_bytes(&drive.tenant, place.master, 1), &path);
        let counters = drive.counters();
        assert_eq!((counters.playback_calls, counters.media_bytes), (1, bytes.len() as u64));
        requests.push((bytes.len(), counters.media_requests));
    }
    // What is thought of is a quarter more than the mean, or more than that.
    let (learning, short): (Vec<_>, Vec<_>) = requests.iter().enumerate().partition(|(place, _)| *place < 5);
    assert!(learning.iter().all(|(_, (_, count))| *count == 2), "{requests:?}");
    let short: Vec<_> = short.into_iter().filter(|(_, (size, _))| *size < 600_000).collect();
    assert!(!short.is_empty() && short.iter().all(|(_, (_, count))| *count == 1), "{requests:?}");
}

#[test]
fn head_and_tail_see_the_true_ends() {
    let (drive, master, path) = drive_of(48 * MIB + 17);
    let expected = true_bytes(&drive.tenant, master, 1);
    let out = drive.sandbox.path("out");
    for (arguments, range) in [
        (["head", "-c", "100"], 0..100),
        (["tail", "-c", "100"], expected.len() - 100..expected.len()),
        (["tail", "-c", "1000001"], expected.len() - 1_000_001..expected.len()),
        (["head", "-c", "3000000"], 0..3_000_000),
    ] {
        let line = format!("{} '{}' > '{}'", arguments.join(" "), path.display(), out.display());
        crate::harness::sh(&line).ok();
        assert_same_bytes(&std::fs::read(&out).unwrap(), &expected[range], &path);
    }
    let fetched = drive.counters().media_bytes;
    assert!(fetched < 24 * MIB, "{fetched} bytes for a few of {}", expected.len());
    tool("cmp").arg(&path).arg(&path).ok();
    assert_same_bytes(&std::fs::read(&path).unwrap(), &expected, &path);
}

#[test]
fn a_map_shows_every_byte() {
    let (drive, master, path) = drive_of(3 * MIB + 4321);
    let expected = true_bytes(&drive.tenant, master, 1);
    let file = File::open(&path).unwrap();
    let len = file.metadata().unwrap().size() as usize;
    for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
        // SAFETY: a new mapping at an address of the kernel's choice, checked before it is used.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
        assert_ne!(map, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        // SAFETY: `len` bytes are mapped there until they are unmapped below, and recordings do not change.
        let bytes = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), len) };
        // From the end, so that no readahead helps.
        for start in (0..len).step_by(100_000).rev() {
            let end = (start + 100_000).min(len);
            assert_same_bytes(&bytes[start..end], &expected[start..end], &path);
        }
        // SAFETY: nothing refers to the mapping any more.
        assert_eq!(unsafe { libc::munmap(map, len) }, 0);
    }
}

/// The cache below is sparse; nothing of that may show, or tools would copy holes.
#[test]
fn a_file_never_looks_sparse() {
    let (drive, master, path) = drive_of(6 * MIB + 100);
    let expected = true_bytes(&drive.tenant, master, 1);
    let file = File::open(&path).unwrap();
    assert_eq!(file.metadata().unwrap().blocks(), (6 * MIB + 100).div_ceil(512));
    // SAFETY: lseek(2) on an open descriptor touches no memory.
    let hole = unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_HOLE) };
    assert_eq!(hole as u64, 6 * MIB + 100, "a hole in a recording");
    let copies = drive.sandbox.dir("copies");
    let (copy, archive) = (copies.join("copy"), copies.join("archive"));
    tool("cp").arg("--sparse=auto").arg(&path).arg(&copy).ok();
    assert_same_bytes(&std::fs::read(&copy).unwrap(), &expected, &copy);
    tool("tar").arg("-S").arg("-cf").arg(&archive).arg("-C").arg(path.parent().unwrap()).arg("recording.mp4").ok();
    tool("tar").arg("-xf").arg(&archive).arg("-C").arg(&copies).ok();
    let unpacked = copies.join("recording.mp4");
    assert_same_bytes(&std::fs::read(&unpacked).unwrap(), &expected, &unpacked);
}

#[test]
fn reading_at_and_beyond_the_end_gives_nothing() {
    let (drive, _, path) = drive_of(100_001);
    let file = File::open(&path).unwrap();
    for offset in [100_001, 100_002, 131_072, 1 << 40] {
        assert_eq!(crate::harness::read_at(&file, offset, 4096), b"", "at {offset}");
    }
    assert_eq!(crate::harness::read_at(&file, 100_000, 4096).len(), 1);
    drop(drive);
}
