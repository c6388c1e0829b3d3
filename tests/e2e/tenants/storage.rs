//! A media host that fails at one recording, and a recording that is not given out any more: known after a restart too, and paid for once.

use std::fs::{self, File};
use std::time::Duration;

use rustix::io::Errno;

use super::states::{REASON, STATE, assert_state, errno};
use crate::harness::{Answer, Answers, Case, CaseDrive, Kind, Object, cxonefs, eventually, read_at, xattr};

const MASTER: u64 = 701_000_000_001;
const OBJECT: &str = "701000000001.mp4";
/// How long links live, in seconds.
const LINK_LIFE: u64 = 1;

/// Until links that live so long have ended.
fn ended(life: u64) -> Duration {
    Duration::from_millis(life * 1000 + 1100)
}

/// A recording of which the storage says nothing special, behind links that soon end.
fn good(life: u64) -> (Case, Answer) {
    let mut case = Case::named("G403");
    case.media.clear();
    let Answers::Always(answer) = case.playback["*"].clone() else { panic!("one answer") };
    let answer = Answer { ttl: Some(life), ..*answer };
    case.playback.insert("*".into(), answer.clone().into());
    (case, answer)
}

#[test]
fn a_storage_that_fails_at_one_recording_costs_one_link() {
    // A host that fails is asked several times, by the same link.
    for (status, state, life) in [(500, "failed", 7), (404, "refused", LINK_LIFE), (410, "refused", LINK_LIFE)] {
        let (mut case, _) = good(life);
        case.media.insert(OBJECT.into(), Object { status: Some(status), ..Object::default() });
        let mut drive = CaseDrive::of(case, &["--set", "limits.deadline=8s"]);
        let recording = drive.folder(MASTER).join("recording.mp4");
        fs::read(&recording).unwrap_err();
        std::thread::sleep(ended(life));
        for round in 0..2 {
            let folder = drive.folder(MASTER);
            let recording = folder.join("recording.mp4");
            for _ in 0..3 {
                assert_eq!(errno(&fs::read(&recording).unwrap_err()), Errno::IO, "{status}");
            }
            assert_state(&recording, state, if status == 500 { "500" } else { "no such recording" });
            fs::read(folder.join("metadata.json")).unwrap();
            assert_eq!(drive.tenant.calls_for(MASTER), 1, "{status}, round {round}");
            let counts = &drive.mount.status()["tree"]["hindered"];
            assert_eq!(counts[state], 1, "{counts}");
            let table = cxonefs(&drive.sandbox.home()).arg("status").arg(drive.mount.path()).ok().stdout;
            assert!(table.contains(&format!("1 {state} (")), "{table}");
            drive.mount.remount();
        }
        // Mended, and asked for by name.
        drive.tenant.change(|case| case.media.clear());
        let recording = drive.folder(MASTER).join("recording.mp4");
        cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.mount.path()).arg("--retry").arg(&recording).ok();
        assert_eq!(fs::read(&recording).unwrap(), drive.tenant.bytes(OBJECT, 0));
        assert_eq!(drive.tenant.calls_for(MASTER), 2);
        // A reader has its bytes before the last of them is on disk.
        eventually("it is cached", Duration::from_secs(30), || xattr(&recording, STATE).as_deref() == Some("cached"));
        assert_eq!(xattr(&recording, REASON), None);
    }
}

#[test]
fn a_recording_that_is_withdrawn_costs_one_more_call_and_none_after_a_restart() {
    let (mut case, answer) = good(LINK_LIFE);
    case.media.insert(OBJECT.into(), Object { size: Some(24 << 20), ..Object::default() });
    let mut without = answer.clone();
    without.body.as_mut().unwrap()["interactions"][0]["data"].as_object_mut().unwrap().remove("fileToPlayUrl");
    case.playback.insert("*".into(), Answers::InTurn(vec![answer, without]));
    let mut drive = CaseDrive::of(case, &["--set", "cache.whole_file_below=64KiB"]);
    let path = drive.folder(MASTER).join("recording.mp4");
    // The estimate was too low for it: the first open says so.
    let file = File::open(&path).or_else(|_| File::open(&path)).unwrap();
    read_at(&file, 0, 4096);
    drop(file);
    std::thread::sleep(ended(LINK_LIFE));
    for round in 0..2 {
        let path = drive.folder(MASTER).join("recording.mp4");
        for _ in 0..3 {
            let read = File::open(&path).and_then(|file| {
                let mut bytes = [0; 4096];
                std::os::unix::fs::FileExt::read_at(&file, &mut bytes, 20 << 20)
            });
            assert_eq!(errno(&read.unwrap_err()), Errno::NOENT, "round {round}");
        }
        assert_eq!(drive.tenant.count(Kind::Playback), 2, "round {round}");
        assert_state(&path, "none", "does not give out");
        fs::read(path.with_file_name("metadata.json")).unwrap();
        drive.mount.remount();
    }
}
