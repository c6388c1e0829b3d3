//! What storages behind links do: redirect, archive, give another object with each link; and reads past the page cache.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault, SimSettings};

use crate::harness::{Case, CaseDrive, Drive, Kind, assert_same_bytes, eventually, plain, true_bytes};

const MASTER: u64 = 701_000_000_001;
const MIB: usize = 1024 * 1024;

#[test]
fn a_redirect_is_followed() {
    let drive = CaseDrive::named("G302");
    let path = drive.folder(MASTER).join("recording.mp4");
    assert_same_bytes(&std::fs::read(&path).unwrap(), &drive.tenant.bytes(&format!("{MASTER}.mp4"), 0), &path);
    assert_eq!(drive.tenant.calls_for(MASTER), 1);
}

#[test]
fn what_is_archived_is_not_signed_again() {
    let drive = CaseDrive::named("G403");
    let path = drive.folder(MASTER).join("recording.mp4");
    for _ in 0..3 {
        assert!(std::fs::read(&path).is_err());
    }
    assert_eq!(drive.tenant.calls_for(MASTER), 1);
    assert!(!std::fs::read(path.with_file_name("metadata.json")).unwrap().is_empty());
}

#[test]
fn a_slow_reader_gets_all_of_it_though_each_signing_is_another_object() {
    let drive = CaseDrive::named("H2");
    let path = drive.folder(MASTER).join("recording.mp4");
    let mut file = File::open(&path).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), vec![0; MIB]);
    loop {
        let read = file.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..read]);
        // Slower than its link lives: that is what the case is about.
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_same_bytes(&bytes, &drive.tenant.bytes("x.mp4", 1), &path);
    assert_eq!(drive.tenant.count(Kind::Playback), 1);
}

#[test]
fn a_host_that_is_not_named_is_not_asked() {
    let drive = CaseDrive::of(Case::named("G302"), &["--set", "tenant.media_hosts=media.example"]);
    let path = drive.folder(MASTER).join("recording.mp4");
    assert_eq!(std::fs::read(&path).unwrap_err().raw_os_error(), Some(libc::EIO));
    assert_eq!(drive.tenant.count(Kind::Media), 0);
}

/// Reads that no block device would take, of a recording that is not here, that is, and that others read by passthrough.
#[test]
fn unaligned_reads_past_the_page_cache_are_the_same_whatever_is_cached() {
    let drive = Drive::with(SimSettings { bulk_bytes: Some(MIB as u64 + 77), ..plain(1, 2) }, &[]);
    let place = drive.tree.recorded().next().unwrap();
    let path = drive.at(&place.path).join("recording.mp4");
    let truth = true_bytes(&drive.tenant, place.master, 1);
    let read_past = |what: &str| {
        let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
        for (at, len) in [(0, 10), (1, 4095), (4097, 12_345), (MIB - 3, 500)] {
            let mut bytes = vec![0; len];
            let read =
                file.read_at(&mut bytes, at as u64).unwrap_or_else(|error| panic!("{what}, {len} at {at}: {error}"));
            let expected = &truth[at..truth.len().min(at + len)];
            assert_eq!(&bytes[..read], expected, "{what}, {len} at {at}");
        }
    };
    read_past("not here");
    assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
    read_past("cached");
    let other = File::open(&path).unwrap();
    read_past("open otherwise");
    let mut bytes = vec![0; 100];
    other.read_exact_at(&mut bytes, 5).unwrap();
    assert_eq!(bytes, truth[5..105]);
}

/// A complete backup fetches the next recordings ahead by links that are at hand. Refused, they are not signed anew before somebody asks.
#[test]
fn fetching_ahead_never_bills() {
    let flags = ["--profile", "backup", "--set", "limits.deadline=5s"];
    let drive = Drive::with(SimSettings { bulk_bytes: Some(MIB as u64), ..plain(1, 12) }, &flags);
    let folders: Vec<_> = drive.tree.recorded().map(|place| drive.at(&place.path)).collect();
    for folder in &folders {
        std::fs::read_dir(folder).unwrap().count();
    }
    let paid = drive.counters().playback_calls;
    drive.tenant.fail(Endpoint::Media, Fault::Status { status: 403, retry_after_s: None });
    // What is free: a document, at which the recordings of the next interactions are fetched ahead.
    std::fs::read(folders[0].join("contact.json")).unwrap();
    std::fs::read(folders[0].join("metadata.json")).unwrap();
    eventually("the links were tried", Duration::from_secs(20), || drive.counters().faults >= 3);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(drive.counters().playback_calls, paid, "nobody asked for a recording");
}
