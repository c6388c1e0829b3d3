//! Refusals are answers: one billed call however often it is asked, the reason readable, and the free files beside it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Answer, Answers, Case, CaseDrive, Kind, cxonefs, eventually, xattr};

const MASTER: u64 = 701_000_000_001;
pub const STATE: &str = "user.cxone.state";
pub const REASON: &str = "user.cxone.reason";

/// How a mount resolves, as flags.
const MODES: [&[&str]; 3] = [&[], &["--set", "mount.resolve_on=stat"], &["--profile", "backup"]];

pub fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw_os_error(error.raw_os_error().unwrap())
}

/// What a refused interaction is, in every mode, before and after a remount.
#[track_caller]
fn assert_refused(case: &Case, state: &str, expected: Errno) {
    for flags in MODES {
        let mut drive = CaseDrive::of(case.clone(), flags);
        for round in 0..2 {
            let folder = drive.folder(MASTER);
            for _ in 0..3 {
                for name in ["recording.mp4", "metadata.json"] {
                    let error = fs::read(folder.join(name)).expect_err("it cannot be read");
                    assert_eq!(errno(&error), expected, "{name}, {flags:?}, round {round}");
                }
                assert!(fs::read_dir(&folder).unwrap().all(|entry| entry.is_ok()));
                let contact = fs::read_to_string(folder.join("contact.json")).unwrap();
                assert!(contact.contains(&MASTER.to_string()), "{contact}");
            }
            assert_eq!(xattr(&folder, STATE).as_deref(), Some(state), "{flags:?}");
            assert_eq!(drive.tenant.count(Kind::Playback), 1, "{flags:?}, round {round}");
            drive.mount.remount();
        }
    }
}

#[track_caller]
fn assert_reason(case: Case, says: &str) {
    let drive = CaseDrive::of(case, &[]);
    let folder = drive.folder(MASTER);
    fs::read(folder.join("recording.mp4")).expect_err("it cannot be read");
    let reason = xattr(&folder, REASON).unwrap_or_default();
    assert!(reason.contains(says), "{reason:?} does not say {says:?}");
    assert!(drive.mount.stderr().contains(says), "the log does not say {says:?}");
}

#[test]
fn a_locked_interaction_is_refused_once() {
    let case = Case::named("D403");
    assert_refused(&case, "refused", Errno::ACCESS);
    assert_reason(case, "locked");
}

#[test]
fn not_found_under_400_is_no_recording() {
    let case = Case::named("D400");
    for flags in MODES {
        let mut drive = CaseDrive::of(case.clone(), flags);
        for _ in 0..2 {
            let folder = drive.folder(MASTER);
            for _ in 0..3 {
                let error = fs::read(folder.join("recording.mp4")).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound, "{flags:?}");
            }
            assert_eq!(drive.names(MASTER), ["contact.json"], "{flags:?}");
            fs::read(folder.join("contact.json")).unwrap();
            assert_eq!(xattr(&folder, STATE).as_deref(), Some("none"));
            assert_eq!(drive.tenant.count(Kind::Playback), 1, "{flags:?}");
            drive.mount.remount();
        }
    }
}

#[test]
fn an_interaction_that_is_being_restored_is_busy() {
    let case = Case::named("D202");
    assert_refused(&case, "restoring", Errno::BUSY);
    assert_reason(case, "restored");
}

/// Other statuses of the same kind, and answers that are not understood.
#[test]
fn every_other_refusal_is_an_answer_too() {
    let status = |status| Answer { status: Some(status), body: Some(json!({"message": "no"})), ..Answer::default() };
    let text = |text: &str, kind: &str| Answer {
        raw: Some(text.into()),
        content_type: Some(kind.into()),
        ..Answer::default()
    };
    let answers = [
        status(400),
        status(410),
        status(422),
        status(451),
        text("<html><body>Please sign in</body></html>", "text/html"),
        text("{\"message\": \"The requesting user does not exist\"}", "application/json"),
        text("{\"unknown\": [", "application/json"),
        text("", "application/json"),
    ];
    for answer in answers {
        let said = format!("{answer:?}");
        let mut case = Case::named("D403");
        case.playback.insert("*".into(), answer.into());
        let mut drive = CaseDrive::of(case, &[]);
        for _ in 0..2 {
            let folder = drive.folder(MASTER);
            for _ in 0..3 {
                let error = fs::read(folder.join("recording.mp4")).unwrap_err();
                assert_eq!(errno(&error), Errno::IO, "{said}");
            }
            assert_eq!(xattr(&folder, STATE).as_deref(), Some("refused"), "{said}");
            assert_eq!(drive.tenant.count(Kind::Playback), 1, "{said}");
            drive.mount.remount();
        }
    }
}

/// The storage has archived the object: what the call revealed stays readable, and no second link is asked for.
#[test]
fn an_archived_recording_is_not_signed_again() {
    let mut drive = CaseDrive::named("G403");
    for _ in 0..2 {
        let folder = drive.folder(MASTER);
        let recording = folder.join("recording.mp4");
        for _ in 0..3 {
            assert_eq!(errno(&fs::read(&recording).unwrap_err()), Errno::IO);
        }
        assert!(fs::read_to_string(folder.join("metadata.json")).unwrap().contains("voice-only"));
        assert_state(&recording, "archived", "archive");
        assert_eq!(drive.tenant.count(Kind::Playback), 1);
        drive.mount.remount();
    }
    assert!(drive.mount.stderr().contains("archive"), "the log does not say it");
}

#[track_caller]
pub fn assert_state(path: &Path, state: &str, reason: &str) {
    assert_eq!(xattr(path, STATE).as_deref(), Some(state));
    let said = xattr(path, REASON).unwrap_or_default();
    assert!(said.contains(reason), "{said:?} does not say {reason:?}");
}

/// An answer that is refused, and then a good one.
fn refused_first(refusal: Answer) -> Case {
    let Answers::Always(good) = Case::named("G403").playback["*"].clone() else { panic!("one answer") };
    let mut case = Case::named("D403");
    case.playback.insert("*".into(), Answers::InTurn(vec![refusal, *good]));
    case
}

#[test]
fn a_refusal_is_asked_for_again_when_that_is_wanted() {
    let Answers::Always(locked) = Case::named("D403").playback["*"].clone() else { panic!("one answer") };
    let drive = CaseDrive::of(refused_first(*locked), &[]);
    let recording = drive.folder(MASTER).join("recording.mp4");
    let refresh = |path: Option<&Path>| {
        let command = cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.mount.path()).arg("--retry");
        command.args(path).ok().stdout
    };
    for _ in 0..2 {
        assert_eq!(errno(&fs::read(&recording).unwrap_err()), Errno::ACCESS);
    }
    assert_eq!(drive.mount.status()["tree"]["hindered"]["refused"], 1);
    let said = refresh(Some(&recording));
    assert!(said.contains('1'), "{said}");
    fs::read(&recording).unwrap();
    assert_eq!(drive.tenant.count(Kind::Playback), 2);
    assert_eq!(drive.mount.status()["tree"]["hindered"]["refused"], 0);
    refresh(None);
    fs::read(&recording).unwrap();
    assert_eq!(drive.tenant.count(Kind::Playback), 2, "what is known is not asked for again");
}

/// A new key forgets refusals that named no interaction, by a signal and by a remount; it keeps those that named one.
#[test]
fn another_access_key_forgets_what_was_refused_to_all() {
    for remounts in [false, true] {
        let forbidden = Answer { status: Some(403), body: Some(json!({"message": "Forbidden"})), ..Answer::default() };
        let mut drive = CaseDrive::of(refused_first(forbidden), &[]);
        let path = |drive: &CaseDrive| drive.folder(MASTER).join("recording.mp4");
        for _ in 0..2 {
            assert_eq!(errno(&fs::read(path(&drive)).unwrap_err()), Errno::ACCESS);
        }
        assert_eq!(drive.tenant.count(Kind::Playback), 1);
        let config = fs::read_to_string(drive.sandbox.config()).unwrap();
        fs::write(drive.sandbox.config(), config.replace("CASEACCESSKEYID", "CASEACCESSKEYID2")).unwrap();
        if remounts {
            drive.mount.remount();
        } else {
            drive.mount.signal(Signal::HUP);
        }
        eventually("the new key is used", Duration::from_secs(20), || {
            drive.mount.stderr().contains("the access key is another one")
        });
        fs::read(path(&drive)).unwrap();
        assert_eq!(drive.tenant.count(Kind::Playback), 2);
    }
}
