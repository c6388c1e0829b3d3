//! Storages that redirect, and that make another object of each signing.

use std::fs::{self, File};
use std::io::Read;
use std::time::Duration;

use crate::harness::{Case, CaseDrive, Kind, Object, assert_same_bytes, read_at};

const MASTER: u64 = 701_000_000_001;
const OBJECT: &str = "701000000001.mp4";

#[test]
fn a_redirect_is_followed_with_its_range() {
    let drive = CaseDrive::named("G302");
    let path = drive.folder(MASTER).join("recording.mp4");
    assert_same_bytes(&fs::read(&path).unwrap(), &drive.tenant.bytes(OBJECT, 0), &path);
    let asked: Vec<_> = drive.tenant.seen().into_iter().filter(|seen| seen.kind == Kind::Media).collect();
    assert!(
        asked.iter().any(|seen| seen.path.starts_with("/go/"))
            && asked.iter().any(|seen| seen.path.starts_with("/media/"))
    );
    assert!(asked.iter().all(|seen| seen.range.is_some() && !seen.bears_token), "{asked:?}");
    assert_eq!(drive.tenant.count(Kind::Playback), 1);
}

/// Every status that redirects; never to a place that is neither https nor loopback.
#[test]
fn redirects_of_every_kind_and_to_nowhere_else() {
    for status in [301, 302, 303, 307, 308] {
        let mut case = Case::named("G302");
        case.media.insert(OBJECT.into(), Object { redirect_status: Some(status), ..Object::default() });
        let drive = CaseDrive::of(case, &[]);
        let path = drive.folder(MASTER).join("recording.mp4");
        assert_same_bytes(&fs::read(&path).unwrap(), &drive.tenant.bytes(OBJECT, 0), &path);
    }
    let round = Object { redirect: Some(format!("{{B}}/media/{OBJECT}?{{Q}}")), ..Object::default() };
    let inward = Object { redirect: Some(String::from("http://10.255.255.1/x.mp4?{Q}")), ..Object::default() };
    for object in [round, inward] {
        let mut case = Case::named("G302");
        case.media.insert(OBJECT.into(), object);
        let drive = CaseDrive::of(case, &[]);
        let folder = drive.folder(MASTER);
        assert_eq!(fs::read(folder.join("recording.mp4")).unwrap_err().raw_os_error(), Some(libc::EIO));
        fs::read(folder.join("metadata.json")).unwrap();
        // A head and its retries, each at most three redirects long.
        assert!(drive.tenant.count(Kind::Media) <= 24, "{}", drive.tenant.count(Kind::Media));
    }
}

/// A reader that is slower than its link lives gets all of one object, though each signing is another.
#[test]
fn a_slow_reader_gets_one_whole_object() {
    let drive = CaseDrive::named("H2");
    let path = drive.folder(MASTER).join("recording.mp4");
    let mut file = File::open(&path).unwrap();
    let mut read = Vec::new();
    // Small steps at first, so that little is fetched ahead; the link has long ended before half of the 24 MiB are read.
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        read.extend_from_slice(&piece[..count]);
        let is_beginning = read.len() < 6 << 20;
        std::thread::sleep(Duration::from_millis(if is_beginning { 250 } else { 5 }));
    }
    assert_is_one_object(&drive, &read);
    // It stays that object.
    let file = File::open(&path).unwrap();
    let middle = read_at(&file, 12 << 20, 4096);
    assert_eq!(middle, read[12 << 20..(12 << 20) + 4096]);
}

#[track_caller]
fn assert_is_one_object(drive: &CaseDrive, read: &[u8]) {
    let versions = (1..=drive.tenant.links()).filter(|version| drive.tenant.bytes("x.mp4", *version) == read);
    assert_eq!(versions.count(), 1, "{} bytes are of none of the {} objects", read.len(), drive.tenant.links());
}
